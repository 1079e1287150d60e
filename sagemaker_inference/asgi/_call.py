"""A request to an application from within its process: no server, no port."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from sagemaker_inference import _content_types as content_types
from sagemaker_inference import codecs
from sagemaker_inference._errors import EncodeError
from sagemaker_inference._http.sendable import TOKEN
from sagemaker_inference.asgi._exchange import EXTENSION

if TYPE_CHECKING:
    from collections.abc import Mapping

_ASGI: Final = {"version": "3.0", "spec_version": "2.3"}
_BYTES: Final = (bytes, bytearray, memoryview)
# RFC 9110 section 5.5; a lone surrogate is not text.
_VALUE: Final = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]*")


class Call:
    """A request, as an ASGI server would pass it on, and what came back.

    Args:
        method: the HTTP method.
        target: the path, with the query if there is one.
        body: the body.
        headers: the headers.

    Raises:
        TypeError, ValueError: one of the headers cannot be sent.

    Attributes:
        scope: what the application is called with.
        status: the status of the response.
        headers: its headers.
        error: what the program raised, if it failed.
        is_complete: whether the end of the body has come.
    """

    def __init__(
        self, method: str, target: str, body: bytes, headers: Mapping[str, str | None]
    ) -> None:
        path, _, query = target.partition("?")
        self.scope: dict[str, Any] = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": "1.1",
            "method": method.upper(),
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [*header_lines(headers), (b"content-length", str(len(body)).encode())],
            "client": None,
            "server": None,
            "extensions": {EXTENSION: {"on_failure": self._on_failure}},
        }
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self._pieces: list[bytes] = []
        self.error: BaseException | None = None
        self.is_complete = False
        self._sent = body
        self._is_read = False

    @property
    def body(self) -> bytes:
        """What has come of the body."""
        return b"".join(self._pieces)

    def _on_failure(self, error: BaseException) -> None:
        self.error = error

    async def receive(self) -> dict[str, Any]:
        """The body; after that, nothing: this client does not disconnect."""
        if self._is_read:
            await asyncio.Event().wait()
        self._is_read = True
        return {"type": "http.request", "body": self._sent, "more_body": False}

    async def send(self, message: Any) -> None:
        """Keep a part of the response."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = [(name.decode(), value.decode()) for name, value in message["headers"]]
        else:
            self._pieces.append(message["body"])
            self.is_complete = not message.get("more_body", False)


def header_lines(headers: Mapping[str, str | None]) -> list[tuple[bytes, bytes]]:
    """Headers as an ASGI server passes them on; none that it would never get over HTTP.

    A value of None leaves a header out.

    Raises:
        TypeError, ValueError: one of them cannot be sent.
    """
    lines = []
    for name, value in headers.items():
        if value is None:
            continue
        if not (isinstance(name, str) and isinstance(value, str)):
            message = f"header {name!r}: {value!r} cannot be sent: both have to be of type str"
            raise TypeError(message)
        if not TOKEN.fullmatch(name):
            message = f"{name!r} is not the name of a header: use letters, digits and dashes"
            raise ValueError(message)
        if not _VALUE.fullmatch(value):
            message = (
                f"the value {value!r} of the header {name} cannot be sent: leave out line ends and "
                "other control characters"
            )
            raise ValueError(message)
        lines.append((name.lower().encode(), value.strip(" \t").encode()))
    return lines


def body_of(data: Any, content_type: str | None) -> bytes:
    """The body for a value.

    Args:
        data: bytes are the body as they are, and so is a str unless it is sent as
            ``application/json``, where it is a JSON string; anything else is written by the
            built-in format of ``content_type``.
        content_type: the Content-Type of the body; None has no format, and is for bytes and str.

    Raises:
        TypeError: no built-in format writes ``content_type``, or this one cannot write the value.
        ValueError: the charset of ``content_type`` cannot write the text.
    """
    if isinstance(data, _BYTES):
        return bytes(data)
    name = content_type or ""
    parsed = content_types.parse(name)
    if isinstance(data, str) and parsed.name != content_types.JSON:
        try:
            return data.encode(parsed.parameters.get("charset", "utf-8"))
        except (LookupError, UnicodeError) as error:
            message = f"the input cannot be sent as {name!r}: {error}. Pass the body as bytes."
            raise ValueError(message) from None
    codec = codecs.for_content_type(name)
    if codec is None or codec.encode is None:
        message = (
            f"no built-in format writes {content_type!r}: pass the body as bytes or str, not "
            f"{type(data).__name__}"
        )
        raise TypeError(message)
    try:
        encoded = codec.encode(data, name)
    except EncodeError as error:
        # Its words are for those who return a prediction.
        problem = str(error).replace("A prediction", "The input", 1).partition(". Return ")[0]
        message = f"{problem}. Pass plain values or arrays, or the body as bytes or str."
        raise TypeError(message) from error.__cause__
    return encoded.encode() if isinstance(encoded, str) else bytes(encoded)
