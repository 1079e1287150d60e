"""WebSockets, as an ASGI server passes them on to the event loop of the model's thread."""

from __future__ import annotations

import asyncio
import json
import uuid
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast

from sagemaker_inference import _content_types as content_types
from sagemaker_inference._errors import ErrorCode
from sagemaker_inference._http.error_response import error_body
from sagemaker_inference._http.messages import Response, whole_body
from sagemaker_inference._inference.awaiting import await_answer, uncancel
from sagemaker_inference._inference.sockets import (
    ABNORMAL,
    BINARY,
    CLOSE,
    CONTINUATION,
    LAST,
    REFUSED,
    SWITCHING,
    TEXT,
    GoingAwayError,
    Socket,
)
from sagemaker_inference._log import current_request, get_logger, users_exc_info
from sagemaker_inference.asgi._exchange import headers_of, new_request, path_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from sagemaker_inference._http.messages import Request
    from sagemaker_inference._inference.inference_handler import InferenceHandler
    from sagemaker_inference.asgi._application import Message, Receive, Send
    from sagemaker_inference.asgi._counts import Counts
    from sagemaker_inference.asgi._model_thread import ModelThread

# As in a worker.
GRACE_SECONDS: Final = 5.0
OPEN_SECONDS: Final = 5.0
_WINDOW: Final = 1 << 18
_REFUSAL: Final = "websocket.http.response"
_OTHER: Final = "other"
_TOO_BIG: Final = 1009

logger = get_logger()


class Talk:
    """A WebSocket in the event loop of the model's thread.

    Args:
        request: the request that asks for it.
        deliver: sends a frame to the client.
        on_taken: called with the size of each message that the program takes.

    Attributes:
        started: done when the program has got it, with the response to the handshake.
    """

    def __init__(
        self,
        request: Request,
        deliver: Callable[[bytes], Awaitable[None]],
        on_taken: Callable[[int], object],
    ) -> None:
        self.socket: Socket
        self.started: Future[Response] = Future()
        self._request = request
        # Who stops waiting for it must not cancel it.
        self.started.set_running_or_notify_cancel()
        self._deliver = deliver
        self._on_taken = on_taken
        self._cause: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop
        self._task: asyncio.Task[None]

    async def run(self, handler: InferenceHandler, timeout: float) -> Response:
        """Talk until either side ends it, unless it is refused.

        Args:
            handler: the program.
            timeout: how long that may take, in seconds.

        Returns:
            The response to the handshake.
        """
        self._loop = asyncio.get_running_loop()
        self._task = cast("asyncio.Task[None]", asyncio.current_task())
        requests = [self._request]
        [response] = await await_answer(handler.answer(requests), requests, timeout)
        if not isinstance(response.body, Socket):
            self.started.set_result(response)
            return response
        before = current_request.set(self._request.id)
        self.socket = response.body
        self.socket.open(self._on_taken)
        self.started.set_result(response)
        try:
            async for frame in self.socket:
                if frame:
                    await self._deliver(frame)
        except BaseException as error:  # noqa: BLE001 - user code may raise anything
            uncancel(self._task)
            await self._end(self._cause or error)
        finally:
            current_request.reset(before)
        return response

    async def _end(self, error: BaseException) -> None:
        has_gone = self.socket.messages.close_code is not None
        if not (has_gone and isinstance(error, asyncio.CancelledError)):
            _, frame = self.socket.failure(error)
            if frame:
                await self._deliver(frame)
        try:
            await self.socket.aclose()
        except BaseException as failure:
            logger.error(  # noqa: TRY400 - without this package's own frames
                "request %s: the end of a WebSocket failed",
                self._request.id,
                exc_info=users_exc_info(failure),
            )

    def put(self, first: int, data: bytes) -> None:
        """Give the program what the client has sent; called in any thread, once it has started."""
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._put, first, data)

    def _put(self, first: int, data: bytes) -> None:
        self.socket.put(first, data)
        if first == CLOSE:
            self._loop.call_later(GRACE_SECONDS, self._task.cancel)

    def stop(self) -> None:
        """End it, since the model's thread ends; called there."""
        self._cause = GoingAwayError("The server is stopping.")
        self._task.cancel()


class SocketExchange:
    """A WebSocket, from its handshake to its end, in the event loop of the server.

    Args:
        model: the model.
        counts: what has been counted of requests.
        scope: what the server says of the request.
        receive: where messages come from.
        send: where messages go.
    """

    def __init__(
        self, model: ModelThread, counts: Counts, scope: Message, receive: Receive, send: Send
    ) -> None:
        self.id = str(uuid.uuid4())
        self._model = model
        self._counts = counts
        self._scope = scope
        self._receive = receive
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._untaken = 0
        # The program may have something to say before the server has heard that it is open.
        self._is_open = asyncio.Event()
        self._is_closed = False
        # Of a message that is yielded in fragments, which ASGI does not know.
        self._parts = b""
        self._is_text = False

    async def serve(self) -> None:
        """Refuse it, or serve it to its end."""
        await self._receive()
        path = path_of(self._scope)
        failure = self._model.failure
        sockets = None if failure else self._model.loaded.result().sockets
        paths = [options.path for options in sockets.options] if sockets else []
        count = self._counts.begin(path if path in paths else _OTHER)
        try:
            if failure:
                count.status = await self._refuse(ErrorCode.SERVICE_UNAVAILABLE, failure)
            elif sockets is None or path not in paths:
                text = f"There is no WebSocket at {path}; this program has {named(paths)}"
                count.status = await self._refuse(ErrorCode.NOT_FOUND, text)
            else:
                options = sockets.at(path)
                count.status = await self._open(path, options.max_message)
        finally:
            self._counts.end(count)

    async def _refuse(self, code: ErrorCode, message: str) -> int:
        body = error_body(code.value, message, self.id)
        return await self._refuse_with(Response(body, content_types.JSON, status=code.status))

    async def _refuse_with(self, response: Response) -> int:
        body, status = bytes(whole_body(response)), int(response.status)
        if _REFUSAL in (self._scope.get("extensions") or {}):
            headers = [
                (b"content-type", response.content_type.encode()),
                (b"content-length", str(len(body)).encode()),
                (b"x-request-id", self.id.encode()),
            ]
            await self._send({"type": f"{_REFUSAL}.start", "status": status, "headers": headers})
            await self._send({"type": f"{_REFUSAL}.body", "body": body})
        else:
            is_json = response.content_type == content_types.JSON
            reason = json.loads(body)["error"]["message"] if is_json else body.decode()
            await self._send({"type": "websocket.close", "code": REFUSED, "reason": reason})
        return status

    async def _open(self, path: str, max_message: int) -> int:
        model = self._model
        request = new_request(self._scope, self.id, headers_of(self._scope), path=path)
        request.query = self._scope.get("query_string", b"").decode("utf-8", "replace")
        places = model.loaded.result().concurrency.sockets
        talk = Talk(request, self._deliver, self._on_taken)
        full = f"All {places} place(s) for WebSockets are taken"
        if model.talking >= places:
            return await self._refuse(ErrorCode.SERVICE_UNAVAILABLE, full)
        work = model.submit(request, talk)
        started, answer = asyncio.wrap_future(talk.started), asyncio.wrap_future(work.answer)
        both: set[asyncio.Future[Any]] = {started, answer}
        await asyncio.wait(both, timeout=OPEN_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if not started.done() and work.answer.cancel():
            return await self._refuse(ErrorCode.SERVICE_UNAVAILABLE, full)
        # The program has it, and a time limit.
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        response = started.result() if started.done() else answer.result()
        if response.status != SWITCHING:
            return await self._refuse_with(response)
        more = [(name.lower().encode(), value.encode()) for name, value in response.headers.items()]
        headers = [(b"x-request-id", self.id.encode()), *more]
        try:
            await self._send({"type": "websocket.accept", "headers": headers})
            self._is_open.set()
            await self._listen(talk, answer, max_message)
        finally:
            # Where the server gives it up, too.
            self._is_closed = True
            self._is_open.set()
            talk.put(CLOSE, ABNORMAL.to_bytes(2, "big"))
        return int(SWITCHING)

    async def _listen(self, talk: Talk, answer: asyncio.Future[Response], max_message: int) -> None:
        listening = asyncio.ensure_future(self._pass_on(talk, max_message))
        try:
            await answer
        finally:
            listening.cancel()

    async def _pass_on(self, talk: Talk, max_message: int) -> None:
        while True:
            await self._has_room.wait()
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                self._is_closed = True
                reason = (message.get("reason") or "").encode()
                talk.put(CLOSE, message.get("code", ABNORMAL).to_bytes(2, "big") + reason)
                return
            text = message.get("text")
            data: bytes = message["bytes"] if text is None else text.encode()
            if len(data) > max_message:
                reason = f"A message has more than {max_message} bytes".encode()
                closing = _TOO_BIG.to_bytes(2, "big") + reason
                await self._pass_back(bytes((CLOSE,)) + closing)
                talk.put(CLOSE, closing)
                return
            self._untaken += len(data) + 1
            if self._untaken > _WINDOW:
                self._has_room.clear()
            talk.put(LAST | (BINARY if text is None else TEXT), data)

    # Called in the event loop of the model's thread.

    def _on_taken(self, size: int) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._take, size)

    async def _deliver(self, frame: bytes) -> None:
        passing = asyncio.run_coroutine_threadsafe(self._pass_back(frame), self._loop)
        with suppress(OSError):  # the client has gone, and is heard to have
            await asyncio.wrap_future(passing)

    def _take(self, size: int) -> None:
        self._untaken -= size
        if self._untaken <= _WINDOW:
            self._has_room.set()

    async def _pass_back(self, frame: bytes) -> None:
        first, data = frame[0], frame[1:]
        await self._is_open.wait()
        if self._is_closed:
            return
        if first == CLOSE:
            self._is_closed = True
            code, reason = int.from_bytes(data[:2], "big"), data[2:].decode()
            await self._send({"type": "websocket.close", "code": code, "reason": reason})
            return
        if first & ~LAST != CONTINUATION:
            self._is_text = first & ~LAST == TEXT
        self._parts += data
        if not first & LAST:
            return
        whole, self._parts = self._parts, b""
        if self._is_text:
            await self._send({"type": "websocket.send", "text": whole.decode()})
        else:
            await self._send({"type": "websocket.send", "bytes": whole})


def named(paths: Sequence[str]) -> str:
    """The paths, for a message."""
    return ", ".join(paths) or "none"
