"""``GET /openapi.json``, answered by the supervisor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sagemaker_inference import _content_types as content_types
from sagemaker_inference._program.paths import OPENAPI

if TYPE_CHECKING:
    from sagemaker_inference._supervisor.front_end import FrontEndProcess, Request

_OK: Final = 200


class OpenAPI:
    """Answers requests for the description of the program, where there is one.

    Args:
        front_end: what the requests come from.
        document: the description; "" for none.
    """

    def __init__(self, front_end: FrontEndProcess, document: str) -> None:
        self._front_end = front_end
        self._body = document.encode()

    def offer(self) -> None:
        """Answer such requests from now on."""
        if self._body:
            self._front_end.ask([OPENAPI], OPENAPI)

    def handle(self, request: Request) -> None:
        """Answer a request."""
        if self._front_end.takes_read(request, OPENAPI):
            headers = [("content-type", content_types.JSON)]
            self._front_end.reply(request.id, _OK, self._body, headers)
