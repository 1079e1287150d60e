"""A request and its response, as an ASGI server passes them on."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from sagemaker_inference._errors import PayloadTooLargeError
from sagemaker_inference._http.messages import Headers, Part, Request, whole_body
from sagemaker_inference._http.sendable import header_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from sagemaker_inference._http.messages import Response
    from sagemaker_inference.asgi._application import Message, Receive, Send

# The key of scope["extensions"] by which a client in this process hears what a request failed for:
# {"on_failure": function of the exception}.
EXTENSION: Final = "sagemaker_inference"
# As Multi Model Server gives them to all of its responses.
_COMMON: Final = {
    b"pragma": b"no-cache",
    b"cache-control": b"no-cache; no-store, must-revalidate, private",
    b"expires": b"Thu, 01 Jan 1970 00:00:00 UTC",
}
# How a response is framed is the server's affair.
_FRAMING: Final = (b"transfer-encoding", b"connection", b"content-length")
_WITHOUT_LENGTH: Final = (204, 304)


class ClientGone(Exception):  # noqa: N818 - nothing has failed
    """The client has disconnected."""


class _WatchedRequest(Request):
    """A request whose client hears what it failed for."""

    __slots__ = ("_on_failure",)

    _on_failure: Callable[[BaseException], object]

    def note_failure(self, error: BaseException) -> None:
        self._on_failure(error)

    def watch(self, on_failure: Callable[[BaseException], object]) -> Request:
        """Have a function called with what it failed for; returns the request."""
        self._on_failure = on_failure
        return self


class Exchange:
    """One request and its response.

    Args:
        scope: what the server says of the request.
        receive: where the body comes from.
        send: where the response goes.

    Attributes:
        id: the id of the request.
        method: the HTTP method.
        path: the path, percent-decoded.
        headers: the headers of the request.
        body: the body, when it has been read.
        parameters: the query parameters.
        problem: why the body was not read; None if it was.
    """

    def __init__(self, scope: Message, receive: Receive, send: Send) -> None:
        self.id = str(uuid.uuid4())
        self.method: str = scope["method"]
        # An application that this one is mounted in says where in root_path.
        root, path = scope.get("root_path", ""), scope["path"]
        self.path: str = path.removeprefix(root) if root and path.startswith(root) else path
        self.headers = Headers(
            (name.decode("latin-1"), value.decode("utf-8", "replace"))
            for name, value in scope["headers"]
        )
        query = scope.get("query_string", b"").decode("utf-8", "replace")
        pairs = parse_qsl(query, keep_blank_values=True) if query else ()
        self.parameters = [Part(name, "", value.encode()) for name, value in pairs]
        self.body = b""
        self.problem: PayloadTooLargeError | None = None
        self._extension: dict[str, Any] = (scope.get("extensions") or {}).get(EXTENSION, {})
        self._receive = receive
        self._send = send

    @property
    def request(self) -> Request:
        """The request for the program."""
        on_failure = self._extension.get("on_failure")
        if on_failure is None:
            return Request(self.id, self.headers, self.body, self.parameters)
        watched = _WatchedRequest(self.id, self.headers, self.body, self.parameters)
        return watched.watch(on_failure)

    async def read_body(self, limit: int, overhead: int) -> None:
        """Read the body.

        Args:
            limit: most bytes that it may have, for the message.
            overhead: bytes beyond the limit that are let through, since a form has them.

        Raises:
            ClientGone: it did not come.
        """
        announced = self.headers.find("content-length")
        size = int(announced) if announced.isdecimal() else -1
        pieces: list[bytes] = []
        received = 0
        is_complete = size > limit + overhead
        while not is_complete:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            piece = message.get("body", b"")
            pieces.append(piece)
            received += len(piece)
            is_complete = not message.get("more_body", False) or received > limit + overhead
        if max(size, received) > limit + overhead:
            what = f"The body has {size} bytes" if size > limit else "The body is too large"
            self.problem = PayloadTooLargeError(f"{what}; at most {limit} bytes are allowed")
        else:
            self.body = pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def wait_for(self, answer: Future[Response], seconds: float) -> bool:
        """Wait for an answer, or for the client to disconnect; returns whether the answer is there.

        Args:
            answer: the answer.
            seconds: how long to wait.

        Raises:
            ClientGone: it has disconnected.
        """
        waiting = asyncio.wrap_future(answer)
        listening = asyncio.ensure_future(self._hang_up())
        both: set[asyncio.Future[Any]] = {waiting, listening}
        try:
            await asyncio.wait(both, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        except BaseException:
            answer.cancel()
            raise
        finally:
            has_gone = listening.done()
            listening.cancel()
        if has_gone and not waiting.done():
            answer.cancel()
            raise ClientGone
        return waiting.done()

    async def _hang_up(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def respond(self, response: Response) -> int:
        """Send the response; returns how many bytes its body has."""
        body = bytes(whole_body(response))
        headers = dict(_COMMON)
        if response.content_type:
            headers[b"content-type"] = header_line(response.content_type)
        for name, value in response.headers.items():
            headers[name.lower().encode()] = header_line(value)
        for framing in _FRAMING:
            headers.pop(framing, None)
        headers[b"x-request-id"] = self.id.encode()
        if response.status not in _WITHOUT_LENGTH:
            headers[b"content-length"] = str(len(body)).encode()
        start = {"type": "http.response.start", "status": int(response.status)}
        await self._send({**start, "headers": list(headers.items())})
        sent = b"" if self.method == "HEAD" else body
        await self._send({"type": "http.response.body", "body": sent})
        return len(sent)
