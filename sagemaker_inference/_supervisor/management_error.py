"""What the management interface refuses, in the shape of Multi Model Server's own errors."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

BAD_REQUEST: Final = int(HTTPStatus.BAD_REQUEST)
NOT_FOUND: Final = int(HTTPStatus.NOT_FOUND)
METHOD_NOT_ALLOWED: Final = int(HTTPStatus.METHOD_NOT_ALLOWED)
CONFLICT: Final = int(HTTPStatus.CONFLICT)
FAILED: Final = int(HTTPStatus.INTERNAL_SERVER_ERROR)
UNAVAILABLE: Final = int(HTTPStatus.SERVICE_UNAVAILABLE)
OUT_OF_MEMORY: Final = int(HTTPStatus.INSUFFICIENT_STORAGE)

# The Java classes that Multi Model Server names; clients may look at them.
_TYPES: Final = {
    BAD_REQUEST: "BadRequestException",
    NOT_FOUND: "ModelNotFoundException",
    METHOD_NOT_ALLOWED: "MethodNotAllowedException",
    CONFLICT: "ConflictStatusException",
    FAILED: "InternalServerException",
    UNAVAILABLE: "ServiceUnavailableException",
    OUT_OF_MEMORY: "InternalServerException",
}


class ManagementError(Exception):
    """A request about models is refused, or has failed.

    Args:
        status: the HTTP status.
        message: what the client is told.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message

    @property
    def document(self) -> dict[str, object]:
        """The body of the answer."""
        return {"code": self.status, "type": _TYPES[self.status], "message": self.message}
