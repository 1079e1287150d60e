"""WebSockets: messages of a client to the program, and what the program yields to the client.

Both are drawn and passed on by whoever has the connection: a worker, or an ASGI server.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from sagemaker_inference._errors import (
    BaseInferenceToolkitError,
    DecodeError,
    EncodeError,
    ErrorCode,
    ServiceUnavailableError,
)
from sagemaker_inference._http.error_response import error_details, error_status
from sagemaker_inference._http.messages import Response
from sagemaker_inference._inference.failures import as_failure
from sagemaker_inference._inference.streams import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from sagemaker_inference._http.context import Context
    from sagemaker_inference._http.messages import Request
    from sagemaker_inference._inference.inference_handler import InferenceHandler
    from sagemaker_inference._program.bidirectional import SocketOptions
    from sagemaker_inference._program.registration import Registration

    Answer = Callable[[Sequence[Request]], Coroutine[Any, Any, list[Response]]]

# The first byte of a frame (RFC 6455, 5.2): the bit of the last fragment, and the kinds.
LAST: Final = 0x80
CONTINUATION: Final = 0
TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = LAST | 8
# RFC 6455, 7.4.1.
NORMAL: Final = 1000
GOING_AWAY: Final = 1001
NO_STATUS: Final = 1005
ABNORMAL: Final = 1006
REFUSED: Final = 1008
FAILED: Final = 1011
# The status of the response to the handshake.
SWITCHING: Final = HTTPStatus.SWITCHING_PROTOCOLS
# A control frame has at most 125 bytes, and the status is two of them.
_MAX_REASON: Final = 123
# Short enough for it, with a request id.
_FAILURE: Final = "The handler failed; see the log"


class Fragment(NamedTuple):
    """A frame of a message, for handlers with ``raw=True``; they may yield some, too.

    >>> Fragment(b"a text in", is_text=True, is_last=False)
    Fragment(data=b'a text in', is_text=True, is_last=False)

    Attributes:
        data: the bytes; of a text in UTF-8, where characters may lie across fragments.
        is_text: whether the message is a text.
        is_last: whether the message ends with it.
    """

    data: bytes
    is_text: bool = False
    is_last: bool = True


class GoingAwayError(ServiceUnavailableError):
    """The server ends."""


class Messages(AsyncIterator[Any]):
    """What a client sends: an async iterator of str and bytes, until the connection is closed.

    Args:
        on_taken: called with the size of each message that the program takes.
        raw: whether they are fragments.

    Attributes:
        close_code: the status that the client has closed the connection with; 1006 where it has
            disconnected without one, None while it is open.
        close_reason: what it has said about that.
    """

    def __init__(self, on_taken: Callable[[int], object], *, raw: bool = False) -> None:
        self.close_code: int | None = None
        self.close_reason = ""
        self._on_taken = on_taken
        self._raw = raw
        self._queue: deque[tuple[Any, int]] = deque()
        self._news = asyncio.Event()

    def put(self, first: int, data: bytes) -> None:
        """Add what a client has sent.

        Args:
            first: the first byte of the frame.
            data: its payload.
        """
        item: Any = data
        if self._raw:
            if first & ~LAST != CONTINUATION:
                self._is_text = first & ~LAST == TEXT
            item = Fragment(data, self._is_text, bool(first & LAST))
        elif first & ~LAST == TEXT:
            item = str(data, "utf-8")
        self._queue.append((item, len(data) + 1))
        self._news.set()

    def end(self, code: int, reason: str = "") -> None:
        """The client sends nothing more."""
        if self.close_code is None:
            self.close_code, self.close_reason = code, reason
        self._news.set()

    async def __anext__(self) -> Any:
        while not self._queue:
            if self.close_code is not None:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        item, size = self._queue.popleft()
        self._on_taken(size)
        return item

    def json(self) -> JsonMessages:
        """The same messages, read as JSON: SageMaker passes most texts on as binary messages.

        ``async for event in messages.json()``; a message that is not JSON raises a DecodeError,
        which closes the connection with 1008.

        Raises:
            TypeError: they are fragments.
        """
        if self._raw:
            message = "fragments are not JSON: leave raw=True out"
            raise TypeError(message)
        return JsonMessages(self)


class JsonMessages(AsyncIterator[Any]):
    """Messages, read as JSON.

    Args:
        messages: the messages.
    """

    def __init__(self, messages: Messages) -> None:
        self._messages = messages

    async def __anext__(self) -> Any:
        message = await self._messages.__anext__()
        try:
            return orjson.loads(message)
        except orjson.JSONDecodeError as error:
            text = f"The message is not JSON: {error}"
            raise DecodeError(text) from None


class Socket(Stream, AsyncIterator[bytes]):
    """A WebSocket: the body of a response with status 101, an iterator of frames.

    A frame is its first byte and its payload; an empty one first, since the connection is open
    before the program has anything to say.

    Args:
        request: the request that was upgraded.
        registration: the handler.
        model: the model.
        context: the context of the request.

    Attributes:
        messages: what the client sends; None before `open`.
        close_code: how the connection was closed, in the end.
        received, sent: bytes of messages.
        received_items: how many the client has sent.
        dropped: how many the program has yielded when its client had gone.
    """

    is_socket = True

    def __init__(
        self, request: Request, registration: Registration, model: Any, context: Context
    ) -> None:
        self.request = request
        self._on_end = []
        self.items = self.received_items = self.received = self.sent = self.dropped = 0
        self.ending: Any = None
        self.close_code = 0
        self.close_reason = ""
        self.messages: Messages
        self._registration = registration
        self._handler = registration.handler
        self._model = model
        self._context = context
        self._program: Any = None
        self._has_begun = self._has_ended = False
        # Of the program's own fragments: the kind of the message that goes on, or None.
        self._goes_on: int | None = None

    @property
    def options(self) -> SocketOptions:
        """What messages it takes."""
        assert self._registration.socket is not None  # noqa: S101 - each of this role has it
        return self._registration.socket

    @property
    def facts(self) -> dict[str, Any]:
        """What an access line says of it."""
        facts = {
            "socket": self.ending.name,
            "close": self.close_code,
            "messages_in": self.received_items,
            "messages_out": self.items,
            "bytes_in": self.received,
            "bytes_out": self.sent,
            "socket_ms": round(self.ending.seconds * 1000, 3),
        }
        if self.dropped:
            facts["messages_dropped"] = self.dropped
        return facts

    def open(self, on_taken: Callable[[int], object]) -> Messages:
        """Begin to take messages; `Messages` has the argument."""
        self.messages = Messages(on_taken, raw=self.options.raw)
        return self.messages

    def put(self, first: int, data: bytes) -> None:
        """Take what the client has sent: a message, or a frame that closes."""
        if first == CLOSE:
            code = int.from_bytes(data[:2], "big") if data else NO_STATUS
            self.messages.end(code, str(data[2:], "utf-8", "replace"))
        else:
            self.received += len(data)
            self.received_items += bool(first & LAST)
            self.messages.put(first, data)

    async def __anext__(self) -> bytes:
        if self._has_ended:
            raise StopAsyncIteration
        if self._program is None:
            handler = self._registration.handler
            self._program = handler.call(self.messages, self._model, self._context)
            return b""
        try:
            item = await self._program.__anext__()
        except StopAsyncIteration:
            self._has_ended = True
            self.end()
            return self._close(NORMAL, "")
        frame = self._frame(item)
        if self.messages.close_code is not None:
            # Nobody hears it. The program has a few seconds yet, and is not to fail over that.
            self.dropped += bool(frame[0] & LAST)
            return b""
        self.items += bool(frame[0] & LAST)
        self.sent += len(frame) - 1
        return frame

    def _frame(self, item: Any) -> bytes:
        """The frame of what the program yields.

        Raises:
            EncodeError: it is not a message.
        """
        first, data = LAST | BINARY, item
        if isinstance(item, Fragment):
            kind = TEXT if item.is_text else BINARY
            first = kind if self._goes_on is None else CONTINUATION
            first |= LAST if item.is_last else 0
            data = item.data
            if self._goes_on not in (None, kind):
                message = "a fragment is a text, and the one before it is not, or the reverse."
                raise EncodeError(message)
            self._goes_on = None if item.is_last else kind
        elif self._goes_on is not None:
            message = "a message was yielded before the last fragment of the one before it."
            raise EncodeError(message)
        elif isinstance(item, str):
            first = LAST | TEXT
            try:
                data = item.encode()
            except UnicodeEncodeError as error:
                message = f"A text cannot be sent: {error}"
                raise EncodeError(message) from None
        if not isinstance(data, (bytes, bytearray, memoryview)):
            message = (
                f"{self._handler} yields str and bytes, not {type(data).__name__}. "
                "Write: yield json.dumps(...)"
            )
            raise EncodeError(message)
        return b"".join((bytes((first,)), data))

    def _close(self, code: int, reason: str) -> bytes:
        """The last frame; empty where the client has closed the connection."""
        if self.messages.close_code is not None:
            self.close_code = self.messages.close_code
            return b""
        self.close_code, self.close_reason = code, reason
        return bytes((CLOSE,)) + code.to_bytes(2, "big") + reason.encode()

    def failure(self, error: BaseException) -> tuple[int, bytes]:
        """Log what it has failed with; returns the status, and the last frame."""
        self.request.note_failure(error)
        code, reason = self._reason(error)
        return SWITCHING, self._close(code, reason)

    def _reason(self, error: BaseException) -> tuple[int, str]:
        failure = as_failure(self.request, error, self._handler)
        status, (word, message) = error_status(failure), error_details(failure)
        is_ours = isinstance(error, BaseInferenceToolkitError)
        if word == ErrorCode.BIDIRECTIONAL_FAILED.value and not is_ours:
            message = _FAILURE
        if isinstance(error, GoingAwayError):
            code = GOING_AWAY
        elif status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            code = FAILED
        else:
            code = REFUSED if status >= HTTPStatus.BAD_REQUEST else NORMAL
        start = f"{status} {word}" if is_ours else word
        return code, reason_of(start, message, self.request.id)

    def gone(self) -> None:
        """Note that the client has ended it."""
        self.close_code = self.messages.close_code or ABNORMAL

    async def aclose(self) -> None:
        """Have the program clean up; what it raises passes through."""
        try:
            if self._program is not None:
                await self._program.aclose()
        finally:
            self.end()


def reason_of(start: str, message: str, request_id: str) -> str:
    """The reason of a close frame: ``code: message [request id]``, in its 123 bytes."""
    end = f" [{request_id}]"
    room = _MAX_REASON - len(end.encode()) - len(start.encode()) - 2
    line = " ".join(message.split())
    encoded = line.encode(errors="replace")
    if len(encoded) > room:
        line = encoded[: max(0, room - 3)].decode(errors="ignore") + "..."
    text = f"{start}: {line}{end}"
    return text.encode(errors="replace")[:_MAX_REASON].decode(errors="ignore")


class Sockets:
    """The bidirectional handlers of a program.

    Args:
        handler: the program.
        registrations: the handlers.
    """

    def __init__(self, handler: InferenceHandler, registrations: Sequence[Registration]) -> None:
        self._handler = handler
        self._by_path = {item.socket.path: item for item in registrations if item.socket}

    @property
    def options(self) -> list[SocketOptions]:
        """What messages each of them takes."""
        return [item.socket for item in self._by_path.values() if item.socket]

    def at(self, path: str) -> SocketOptions:
        """What messages the one at a path takes."""
        return self._by_path[path].socket  # type: ignore[return-value]

    def _open(self, request: Request, new_metrics: Any) -> Socket:
        handler = self._handler
        context = handler.load_context.for_request(request, new_metrics)
        return Socket(request, self._by_path[request.path], handler.model, context)

    def around(self, answer: Answer, new_metrics: Any) -> Answer:
        """Answer requests that ask for a WebSocket with one, not begun yet, and others as before.

        Args:
            answer: answers the others.
            new_metrics: creates MMS's store of metrics, for a handler that asks for it.
        """

        async def answer_or_open(requests: Sequence[Request]) -> list[Response]:
            if requests[0].query is None:
                return await answer(requests)
            return [Response(self._open(requests[0], new_metrics), "", status=SWITCHING)]

        return answer_or_open
