"""Python values to a program and back, by the formats that clients use."""

from __future__ import annotations

import contextlib
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference import _content_types as content_types
from sagemaker_inference import codecs
from sagemaker_inference._http.messages import Headers
from sagemaker_inference._program.paths import INVOCATIONS
from sagemaker_inference.asgi._call import Call, body_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sagemaker_inference.asgi import Application

_BYTES: Final = (bytes, bytearray, memoryview)
_NPY: Final = "application/x-npy"
_TEXT: Final = "text/"


class RequestError(Exception):
    """A request has failed in the program that was to answer it.

    >>> from sagemaker_inference.ray import RequestError
    >>> str(RequestError(422, "data[0] must be a number"))
    '422 data[0] must be a number'

    Attributes:
        status_code: the HTTP status.
        message: what clients read of it.
    """

    # Not one of a program's own failures: what another program fails with is not the client's
    # mistake. And without attributes of the class, which would hide these where Ray wraps it.

    def __init__(self, status_code: int, message: str) -> None:
        super().__init__(status_code, message)
        self.status_code = status_code
        self.message = message

    def __str__(self) -> str:
        return f"{self.status_code} {self.message}"


async def predict(  # noqa: PLR0913 - the parts of a request
    application: Application,
    data: Any,
    content_type: str | None = None,
    accept: str | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    path: str = INVOCATIONS,
) -> Any:
    """Have a program decode, predict and encode; returns the decoded prediction.

    Args:
        application: the program.
        data: an array is sent as NPY, bytes as they are, anything else as JSON, unless
            ``content_type`` names another format.
        content_type: the format of the data.
        accept: the format of the prediction, as ``application/x-npy`` for an array; by default the
            program's choice, which is JSON for most.
        headers: further headers of the request.
        path: another path of the program.

    Raises:
        RequestError: the request has failed, with its status and message.
        TypeError: no built-in format writes ``content_type``, or this one cannot write the data.
    """
    content_type = content_type or _format_of(data)
    named = {"Content-Type": content_type, "Accept": accept, **(headers or {})}
    present = {name: value for name, value in named.items() if value is not None}
    call = Call("POST", path, body_of(data, content_type), present)
    await application(call.scope, call.receive, call.send)
    if call.status >= HTTPStatus.BAD_REQUEST or not call.is_complete:
        raise _failure_of(call)
    return _value_of(call)


def _format_of(data: Any) -> str:
    if isinstance(data, _BYTES):
        return "application/octet-stream"
    # Of numpy and of whatever else is one.
    is_array = type(data).__name__ == "ndarray" and data.dtype != object
    return _NPY if is_array else content_types.JSON


def _value_of(call: Call) -> Any:
    content_type = Headers(call.headers).content_type
    parsed = content_types.parse(content_type)
    name = parsed.name
    if name == content_types.JSON:
        return json.loads(call.body)
    if name.startswith(_TEXT) and name != content_types.CSV:
        return call.body.decode(
            content_types.parse(content_type).parameters.get("charset", "utf-8")
        )
    codec = codecs.for_content_type(content_type) if content_type else None
    if codec is None or codec.decode is None:
        return call.body
    return codec.decode(call.body, content_type)


def _failure_of(call: Call) -> RequestError:
    if call.status < HTTPStatus.BAD_REQUEST:
        return RequestError(HTTPStatus.INTERNAL_SERVER_ERROR, "The stream broke off; see the log.")
    message = call.body.decode(errors="replace")
    with contextlib.suppress(ValueError, TypeError, KeyError):
        message = json.loads(message)["error"]["message"]
    return RequestError(call.status, message)
