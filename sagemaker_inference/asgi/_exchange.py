"""A request and its response, as an ASGI server passes them on."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from sagemaker_inference._errors import PayloadTooLargeError
from sagemaker_inference._http.messages import Headers, Part, Request, whole_body
from sagemaker_inference._http.sendable import header_line
from sagemaker_inference._program.paths import INVOCATIONS
from sagemaker_inference.asgi._relay import Relay

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sagemaker_inference._config import Config
    from sagemaker_inference._http.messages import Response
    from sagemaker_inference.asgi._application import Message, Receive, Send
    from sagemaker_inference.asgi._inbox import Work

# The key of scope["extensions"] of those who call the application in this process: a dict with
# "on_failure", a function that gets what the request failed for, with "on_stream", one that gets a
# future which is done when the program has ended a stream, or with "request_id", where a server has
# given the request one, and sends it itself.
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
# To hear of a client that hangs up takes a task, which costs as much as the rest of a wait. Most
# answers are there before it would matter.
_DEAF_SECONDS: Final = 0.05


_MODELS, _INVOKE, _PREDICTIONS = "/models/", "/invoke", "/predictions/"


def model_of(path: str) -> str | None:
    """The name of the model that a path invokes, or None if it invokes none."""
    name = ""
    if path.startswith(_MODELS) and path.endswith(_INVOKE):
        name = path[len(_MODELS) : -len(_INVOKE)]
    elif path.startswith(_PREDICTIONS):
        name = path[len(_PREDICTIONS) :]
    return name or None


class ClientGone(Exception):  # noqa: N818 - nothing has failed
    """The client has disconnected."""


class _WatchedRequest(Request):
    """A request whose client hears what it failed for."""

    __slots__ = ("_on_failure",)

    _on_failure: Callable[[BaseException], object]

    def note_failure(self, error: BaseException) -> str:
        self._on_failure(error)
        return ""

    def watch(self, on_failure: Callable[[BaseException], object]) -> Request:
        """Have a function called with what it failed for; returns the request."""
        self._on_failure = on_failure
        return self


def _extension(scope: Message) -> dict[str, Any]:
    found: dict[str, Any] = (scope.get("extensions") or {}).get(EXTENSION, {})
    return found


def path_of(scope: Message) -> str:
    """The path of a request, percent-decoded."""
    # An application that this one is mounted in says where in root_path.
    root, path = scope.get("root_path", ""), str(scope["path"])
    return path.removeprefix(root) if root and path.startswith(root) else path


def headers_of(scope: Message) -> Headers:
    """The headers of a request."""
    return Headers(
        (name.decode("latin-1"), value.decode("utf-8", "replace"))
        for name, value in scope["headers"]
    )


def new_request(  # noqa: PLR0913 - the parts of a request
    scope: Message,
    identity: str,
    headers: Headers,
    body: bytes = b"",
    parameters: Sequence[Part] = (),
    *,
    path: str = INVOCATIONS,
) -> Request:
    """The request for the program, whose client hears what it fails for if it wants to."""
    on_failure = _extension(scope).get("on_failure")
    if on_failure is None:
        return Request(identity, headers, body, parameters, path=path)
    return _WatchedRequest(identity, headers, body, parameters, path=path).watch(on_failure)


class Exchange:
    """One request and its response.

    Args:
        scope: what the server says of the request.
        receive: where the body comes from.
        send: where the response goes.
        config: which pages of browsers may send requests.

    Attributes:
        id: the id of the request.
        method: the HTTP method.
        path: the path, percent-decoded.
        headers: the headers of the request.
        body: the body, when it has been read.
        parameters: the query parameters.
        problem: why the body was not read; None if it was.
    """

    def __init__(self, scope: Message, receive: Receive, send: Send, config: Config) -> None:
        given_id = _extension(scope).get("request_id")
        self.id: str = given_id or str(uuid.uuid4())
        self.method: str = scope["method"]
        self.path = path_of(scope)
        self.headers = headers_of(scope)
        query = scope.get("query_string", b"").decode("utf-8", "replace")
        pairs = parse_qsl(query, keep_blank_values=True) if query else ()
        self.parameters = [Part(name, "", value.encode()) for name, value in pairs]
        self.body = b""
        self.problem: PayloadTooLargeError | None = None
        self._scope = scope
        self._receive = receive
        self._send = send
        self._config = config
        self._sends_id = not given_id
        self._has_gone = False

    @property
    def request(self) -> Request:
        """The request for the program."""
        path = INVOCATIONS if model_of(self.path) else self.path
        return new_request(
            self._scope, self.id, self.headers, self.body, self.parameters, path=path
        )

    @property
    def is_preflight(self) -> bool:
        """Whether a browser asks if a page may send a request."""
        is_asked = self.headers.find("access-control-request-method") != ""
        return self.method == "OPTIONS" and bool(self._config.cors_origin) and is_asked

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

    async def wait_for(self, work: Work, seconds: float) -> bool:
        """Wait for an answer, or for the client to disconnect; returns whether the answer is there.

        Args:
            work: what is to be answered.
            seconds: how long to wait.

        Raises:
            ClientGone: it has disconnected.
        """
        loop = asyncio.get_running_loop()
        has_news = asyncio.Event()
        work.answer.add_done_callback(partial(_tell, loop, has_news))
        timer = loop.call_later(min(seconds, _DEAF_SECONDS), has_news.set)
        listening: asyncio.Task[None] | None = None
        try:
            await has_news.wait()
            if seconds > _DEAF_SECONDS and not work.answer.done():
                has_news.clear()
                timer = loop.call_later(seconds - _DEAF_SECONDS, has_news.set)
                listening = asyncio.ensure_future(self._hang_up())
                listening.add_done_callback(lambda _: has_news.set())
                await has_news.wait()
        except BaseException:
            work.abandon()
            raise
        finally:
            timer.cancel()
            if listening is not None:
                self._has_gone = listening.done()
                listening.cancel()
        is_answered = work.answer.done()
        if self._has_gone and not is_answered:
            work.abandon()
            raise ClientGone
        return is_answered

    async def _hang_up(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def respond(self, response: Response) -> int:
        """Send the response; returns how many bytes its body has.

        Raises:
            ClientGone: the client has disconnected while its body was made.
        """
        if isinstance(response.body, Relay):
            return await self._stream(response, response.body)
        body = bytes(whole_body(response))
        headers = self._headers(response)
        if response.status not in _WITHOUT_LENGTH:
            headers[b"content-length"] = str(len(body)).encode()
        await self._start(response, headers)
        sent = b"" if self.method == "HEAD" else body
        await self._send({"type": "http.response.body", "body": sent})
        return len(sent)

    async def _start(self, response: Response, headers: dict[bytes, bytes]) -> None:
        start = {"type": "http.response.start", "status": int(response.status)}
        await self._send({**start, "headers": list(headers.items())})

    async def _stream(self, response: Response, relay: Relay) -> int:
        """Send what the program yields; a server hears that the end is missing where it is."""
        sent = 0
        if (on_stream := _extension(self._scope).get("on_stream")) is not None:
            on_stream(relay.ended)
        gone = asyncio.ensure_future(self._hang_up())
        try:
            await asyncio.sleep(0)  # a client that has gone before is heard of now
            if self._has_gone or gone.done():
                raise ClientGone
            await self._start(response, self._headers(response))
            async for chunk in relay.chunks(gone):
                await self._send_piece(chunk)
                sent += len(chunk)
            if relay.is_complete:
                await self._send({"type": "http.response.body", "body": b""})
            elif gone.done():
                raise ClientGone
        finally:
            gone.cancel()
            relay.leave()
        return sent

    async def _send_piece(self, piece: bytes) -> None:
        """Send a piece of a stream; who does not read it does not keep the program from others."""
        sending = self._send({"type": "http.response.body", "body": piece, "more_body": True})
        try:
            await asyncio.wait_for(sending, self._config.client_write_timeout)
        except asyncio.TimeoutError:
            raise ClientGone from None

    def _headers(self, response: Response) -> dict[bytes, bytes]:
        headers = dict(_COMMON)
        if self._config.cors_origin:
            headers |= _cors_headers(self._config)
        if response.content_type:
            headers[b"content-type"] = header_line(response.content_type)
        for name, value in response.headers.items():
            headers[name.lower().encode()] = header_line(value)
        for framing in _FRAMING:
            headers.pop(framing, None)
        if self._sends_id:
            headers[b"x-request-id"] = self.id.encode()
        return headers


def _tell(loop: asyncio.AbstractEventLoop, has_news: asyncio.Event, _answer: object) -> None:
    """Wake who waits for an answer; called in any thread."""
    with suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(has_news.set)


def _cors_headers(config: Config) -> dict[bytes, bytes]:
    named = {
        b"access-control-allow-origin": config.cors_origin,
        b"access-control-allow-methods": config.cors_methods,
        b"access-control-allow-headers": config.cors_headers,
        # Without it, the script of a page cannot read custom attributes, sessions and request ids.
        b"access-control-expose-headers": "*",
    }
    return {name: value.encode() for name, value in named.items() if value}
