"""``GET /v1/models``, answered by the supervisor."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Final

from sagemaker_inference._http.openai_models import are_listed, models
from sagemaker_inference._program.paths import OPENAI_MODELS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagemaker_inference._supervisor.front_end import FrontEndProcess, Request

_OK: Final = 200


class OpenAIModels:
    """Answers requests for the list of models, where the program has paths of OpenAI's API.

    Args:
        front_end: what the requests come from.
        name: the name of the one model.
    """

    def __init__(self, front_end: FrontEndProcess, name: str) -> None:
        self._front_end = front_end
        self._name = name
        self._created = 0

    def offer(self, paths: Sequence[str]) -> None:
        """Answer such requests from now on, if the program has these paths."""
        if are_listed(paths):
            self._created = int(time.time())
            self._front_end.ask([OPENAI_MODELS], OPENAI_MODELS)

    def handle(self, request: Request) -> None:
        """Answer a request."""
        if self._front_end.takes_read(request, OPENAI_MODELS):
            body = json.dumps(models(self._name, self._created)).encode()
            headers = [("content-type", "application/json")]
            self._front_end.reply(request.id, _OK, body, headers)
