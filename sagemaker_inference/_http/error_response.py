"""Turn the failure of a request into its response."""

from __future__ import annotations

import json
from enum import IntEnum
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from sagemaker_inference import _content_types as content_types
from sagemaker_inference._errors import ErrorCode
from sagemaker_inference._http.messages import Response
from sagemaker_inference._program.paths import INVOCATIONS, is_openai

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sagemaker_inference._errors import BaseInferenceToolkitError

# SageMaker passes the body of an error on as OriginalMessage, where it must stay readable.
MESSAGE_LIMIT: Final = 400
_PHRASE_LIMIT: Final = 80
_CODE_LIMIT: Final = 80


# The types of OpenAI's errors; those of other statuses depend on whose mistake it is.
_OPENAI_TYPES: Final[dict[int, str]] = {
    HTTPStatus.UNAUTHORIZED: "authentication_error",
    HTTPStatus.FORBIDDEN: "permission_error",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limit_error",
}


class ErrorForm(IntEnum):
    """What the body of an error is; shared memory has the number."""

    JSON = 0  # {"error": {"code", "message", "request_id"}}
    TEXT = 1  # the message
    OPENAI = 2  # {"error": {"message", "type", "param", "code"}}


def error_response(  # noqa: PLR0913, PLR0917 - what it depends on
    error: BaseInferenceToolkitError,
    request_id: str,
    accept: str = "",
    headers: Mapping[str, str] | None = None,
    path: str = INVOCATIONS,
    form: ErrorForm | None = None,
) -> Response:
    """The response to a failure: ``{"error": {"code", "message", "request_id"}}``.

    A client that prefers text/plain to JSON gets the message as text. On a path of OpenAI's API,
    each gets the error in the form of that.

    Args:
        error: the failure.
        request_id: the id under which the failure is logged.
        accept: the request's Accept header.
        headers: additional response headers.
        path: the request's path.
        form: the form of the body, where that is known already.
    """
    status = error_status(error)
    code, message = error_details(error)
    phrase = error.phrase or standard_phrase(status)
    if form is None:
        form = error_form(accept, path)
    content_type = content_types.JSON
    if form is ErrorForm.TEXT:
        body, content_type = (
            message.encode(errors="replace"),
            f"{content_types.TEXT}; charset=utf-8",
        )
    elif form is ErrorForm.OPENAI:
        body = openai_error_body(status, code, message, request_id)
    else:
        body = error_body(code, message, request_id)
    return Response(body, content_type, status=status, headers=headers, phrase=ascii_line(phrase))


def error_form(accept: str, path: str) -> ErrorForm:
    """The form that the error of a request has, by its Accept header and its path."""
    if is_openai(path):
        return ErrorForm.OPENAI
    return ErrorForm.TEXT if wants_text(accept) else ErrorForm.JSON


def error_details(error: BaseInferenceToolkitError) -> tuple[str, str]:
    """The code and the message of a failure, as clients get them."""
    code = getattr(error, "code", None) or ErrorCode.for_status(error_status(error))
    return _text(code)[:_CODE_LIMIT], _shortened(_text(error.message))


def error_body(code: str, message: str, request_id: str) -> bytes:
    """The JSON body of an error, in the form that all errors have."""
    document = {"error": {"code": code, "message": message, "request_id": request_id}}
    return _written(document)


def openai_error_body(status: int, code: str, message: str, request_id: str) -> bytes:
    """The JSON body of an error on a path of OpenAI's API.

    Its form has no place for the request's id, which whoever reads the log needs.
    """
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        message, default = f"{message} (request {request_id})", "server_error"
    else:
        default = "invalid_request_error"
    kind = _OPENAI_TYPES.get(status, default)
    return _written({"error": {"message": message, "type": kind, "param": None, "code": code}})


def with_traceback(response: Response, trace: str) -> Response:
    """Add a traceback to the body of an error of the server; others stay as they are.

    For `sagemaker-inference dev` alone: a traceback shows a program to its clients.
    """
    if response.status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return response
    body = response.body
    assert isinstance(body, bytes)  # noqa: S101 - errors are
    if response.content_type == content_types.JSON:
        document = json.loads(body)
        document["error"]["traceback"] = trace
        response.body = _written(document)
    else:
        response.body = body + b"\n\n" + trace.encode(errors="replace")
    return response


def _written(document: object) -> bytes:
    # In UTF-8: SageMaker quotes it in OriginalMessage, where \\u00e9 is hard to read.
    return json.dumps(document, ensure_ascii=False).encode(errors="replace")


@lru_cache(maxsize=256)
def wants_text(accept: str) -> bool:
    """Whether a client with this Accept header prefers errors as text to JSON."""
    offers = (content_types.JSON, content_types.TEXT)
    return (
        "text/" in accept.lower() and content_types.negotiate(accept, offers) == content_types.TEXT
    )


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - the program raised it, and its __str__ may raise anything
        return f"({type(value).__name__} without text)"


def error_status(error: BaseInferenceToolkitError) -> int:
    """The status of an error; 500 if it is not a final status of RFC 9110 (200 to 599).

    Programs raise statuses below 400 on purpose: AWS's XGBoost container answers 204 if there is
    nothing to predict.
    """
    status = error.status_code
    is_final = isinstance(status, int) and 200 <= status <= 599  # noqa: PLR2004
    return int(status if is_final else HTTPStatus.INTERNAL_SERVER_ERROR)


def one_line(text: str) -> str:
    """The text as one line that can be sent, short enough for SageMaker's OriginalMessage."""
    return _shortened(" ".join(text.split()).encode(errors="replace").decode())


def _shortened(message: str) -> str:
    return message if len(message) <= MESSAGE_LIMIT else message[: MESSAGE_LIMIT - 3] + "..."


@lru_cache
def standard_phrase(status: int) -> str:
    """The registered reason phrase of a status; "Error" for an unregistered one."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def ascii_line(text: str) -> str:
    """One short line of ASCII: the front end closes the connection if it gets anything else."""
    line = " ".join(str(text).split())
    return line.encode("ascii", "replace").decode()[:_PHRASE_LIMIT]
