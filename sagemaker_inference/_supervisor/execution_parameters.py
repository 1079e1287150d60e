"""``GET /execution-parameters``, answered by the supervisor."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference._errors import ErrorCode
from sagemaker_inference._http.execution_parameters import NOT_LOADED, PATH, RETRY_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference._supervisor.front_end import FrontEndProcess, Request

_OK: Final = 200


class ExecutionParameters:
    """Answers requests for them.

    Args:
        front_end: what the requests come from.
        find: the parameters; None while the model is not loaded.
    """

    def __init__(
        self, front_end: FrontEndProcess, find: Callable[[], dict[str, Any] | None]
    ) -> None:
        self._front_end = front_end
        self._find = find

    def handle(self, request: Request) -> None:
        """Answer a request."""
        if not self._front_end.takes_read(request, PATH):
            return
        found = self._find()
        if found is None:
            retry = [("retry-after", RETRY_SECONDS)]
            self._front_end.refuse(request, ErrorCode.SERVICE_UNAVAILABLE, NOT_LOADED, retry)
        else:
            headers = [("content-type", "application/json")]
            self._front_end.reply(request.id, _OK, json.dumps(found).encode(), headers)
