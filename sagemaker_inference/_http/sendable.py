"""What a response must be to be sent, whoever sends it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from sagemaker_inference._errors import EncodeError
from sagemaker_inference._http.error_response import error_response
from sagemaker_inference._http.messages import whole_body
from sagemaker_inference._log import get_logger

if TYPE_CHECKING:
    from sagemaker_inference._http.messages import Request, Response
    from sagemaker_inference.codecs import Body

logger = get_logger()

# RFC 9110 section 5.1: field names are tokens.
TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def sendable(request: Request, response: Response, limit: int) -> Response:
    """The response with its body in one piece, or a failure in place of one that cannot be sent.

    Args:
        request: what it answers.
        response: what a program, or a handler service, has answered.
        limit: most bytes of a body.
    """
    try:
        if type(response.body) is not bytes:
            response.body = whole_body(response)
    except BaseException as error:
        logger.exception("request %s: the body of the answer failed", request.id)
        return _unsendable(request, response, type(error).__name__)
    found = problem(response, limit)
    if found is None:
        return response
    logger.error("request %s: the answer cannot be sent: %s", request.id, found)
    return _unsendable(request, response, found)


def problem(response: Response, limit: int) -> str | None:
    """Why a server would not pass this on: it hangs or breaks the connection over it.

    Args:
        response: as for `sendable`, with its body in one piece.
        limit: most bytes of a body.
    """
    body: Body = response.body  # type: ignore[assignment]
    size = body.nbytes if isinstance(body, memoryview) else len(body)
    if size > limit:
        return f"it has {size} bytes, and SAGEMAKER_MAX_RESPONSE_IN_MB allows {limit}."
    if not 200 <= response.status <= 599:  # noqa: PLR2004 - RFC 9110: final statuses
        return f"its status is {response.status}; a response has one from 200 to 599."
    if isinstance(body, memoryview) and not body.c_contiguous:
        return "its body is a memoryview of bytes that lie apart."
    return problem_of_headers(response.headers) if response.headers else None


def header_line(text: object) -> bytes:
    """A header value without line breaks: behind one, the next header would begin."""
    encoded = str(text).encode("utf-8", "replace")
    if b"\n" in encoded or b"\r" in encoded or b"\0" in encoded:
        encoded = b" ".join(encoded.replace(b"\0", b" ").split())
    return encoded


def problem_of_headers(headers: object) -> str | None:
    """Why a server would not pass these headers on."""
    if not isinstance(headers, Mapping):
        return f"its headers are of type {type(headers).__name__}; they are a dict."
    for name, value in headers.items():
        if not (isinstance(name, str) and TOKEN.fullmatch(name)):
            return f"{name!r:.40} is not the name of a header."
        if not (isinstance(value, str) or _is_text(value)):
            return f"the header {name[:40]} has a value of type {type(value).__name__}."
    return None


def _is_text(value: object) -> bool:
    try:
        return not isinstance(value, (bytes, bytearray)) and isinstance(str(value), str)
    except Exception:  # noqa: BLE001 - an object of the program's
        return False


def _unsendable(request: Request, response: Response, why: str) -> Response:
    """The failure in place of a response, with the times that it took."""
    failure = EncodeError(f"The answer cannot be sent: {why}")
    sent = error_response(failure, request.id, request.accept, path=request.path)
    sent.decode_seconds = response.decode_seconds
    sent.predict_seconds = response.predict_seconds
    sent.encode_seconds = response.encode_seconds
    return sent
