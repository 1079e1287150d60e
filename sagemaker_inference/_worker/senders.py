"""Send a stream to the front end while the program makes it.

Each item goes out at once, and the next one is asked for when the socket has taken it: a client
that reads slowly slows the program down, and costs no memory.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from http import HTTPStatus

# Looked up before the program is imported: gevent replaces it in its module.
from select import POLLIN, POLLOUT, poll
from socket import MSG_DONTWAIT, MSG_PEEK
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference import _variables
from sagemaker_inference._errors import (
    BaseInferenceToolkitError,
    EncodeError,
    PredictionTimeoutError,
    ServiceUnavailableError,
)
from sagemaker_inference._http.messages import CLIENT_CLOSED_REQUEST
from sagemaker_inference._inference.streams import log_broken_end
from sagemaker_inference._ipc import slots, wire
from sagemaker_inference._log import current_request, get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference._config import Config
    from sagemaker_inference._http.messages import Response
    from sagemaker_inference._ipc.slots import SlotTable
    from sagemaker_inference._worker.connection import Connection
    from sagemaker_inference.codecs import Body

logger = get_logger()

# A program that yields all the time is interrupted so often, to look for what else has happened.
_LOOK_SECONDS: Final = 0.05
# What streams get when their worker is told to end; the supervisor kills it a second later.
GRACE_SECONDS: Final = 1.5
# How a stream ends; `Ending.name` has the others.
COMPLETE: Final = "complete"
CLIENT_GONE: Final = "client_gone"
# How long the end of a stream may take to go out.
_LAST_SECONDS: Final = 2.0
_MILLISECONDS: Final = 1000


@dataclass(frozen=True)
class Ending:
    """How a stream has ended.

    Attributes:
        name: "complete", "error", "timeout", "stopped" or "client_gone".
        status: what has become of the request; that of the response, where it is complete.
        size: how many bytes were sent.
        seconds: from the first item to the end.
        is_connected: whether the connection can be used for another request.
    """

    name: str
    status: int
    size: int
    seconds: float
    is_connected: bool


class Cut(Exception):  # noqa: N818 - no error of the program's
    """A stream ends before the program ends it.

    Args:
        name: as for `Ending`.
        error: what the client reads of it; None where it has gone.
    """

    def __init__(self, name: str, error: BaseInferenceToolkitError | None = None) -> None:
        super().__init__(name)
        self.name = name
        self.error = error


def _no_newcomers() -> bool:
    return False


class Limits:
    """What streams may take, and where it is said that they take it.

    Args:
        config: the limits.
        table: the shared records.
        stop_fd: readable when the worker is to end.
        copied: streams up to this size are kept when they are sent; 0 for none.

    Attributes:
        begun: the slots of streams that are being sent, WebSockets aside.
        has_newcomers: whether requests have come that have not begun, and would if a stream let
            others run.
    """

    def __init__(self, config: Config, table: SlotTable, stop_fd: int, copied: int = 0) -> None:
        self.idle = config.stream_idle_timeout
        self.whole = config.stream_timeout
        self.size = config.response_limit
        self.table = table
        self.stop_fd = stop_fd
        self.copied = copied
        self.begun: set[int] = set()
        self.has_newcomers: Callable[[], bool] = _no_newcomers

    def too_quiet(self) -> Cut:
        """No item has come for too long."""
        text = f"No item within {self.idle:g} s ({_variables.STREAM_IDLE_TIMEOUT.name})."
        return Cut("timeout", PredictionTimeoutError(text))

    def too_long(self) -> Cut:
        """The stream goes on for too long."""
        text = f"The stream is longer than {self.whole:g} s ({_variables.STREAM_TIMEOUT.name})."
        return Cut("timeout", PredictionTimeoutError(text))

    def too_late(self) -> Cut:
        """The worker ends."""
        text = "The server is stopping. Send the request again later."
        return Cut("stopped", ServiceUnavailableError(text))


class Sender(ABC):
    """Sends one stream; its methods wait in the way of a subclass.

    Args:
        limits: what it may take.
        connection: where to.
        response: the response, whose body is the stream.

    Attributes:
        awaits: whether it waits in an event loop.
        cut: why it is to end, if it is.
    """

    awaits = False

    def __init__(self, limits: Limits, connection: Connection, response: Response) -> None:
        self._limits = limits
        self._slot = connection.slot
        self._sock = connection.sock
        self._response = response
        self._stream: Any = response.body
        self.cut: Cut | None = None
        self._began = self._looked = monotonic()
        self._stop_at = 0.0
        self._size = 0
        # The head of the response, until it goes out with the first chunk.
        self._head = b""
        # Of what the socket had no room for.
        self._rest = memoryview(b"")
        self._is_connected = True
        is_socket = response.status == HTTPStatus.SWITCHING_PROTOCOLS
        self._state = slots.SOCKET if is_socket else slots.STREAMING
        self._most_copied = 0 if is_socket else limits.copied
        self._copy: list[bytes] = []

    async def send(self) -> Ending:
        """Send all of it; what it fails with is a part of it."""
        before = current_request.set(self._stream.request.id)
        # From now on, nobody else may answer this request.
        self._limits.table.restart(self._slot, self._state)
        if not self._stream.is_socket:
            self._limits.begun.add(self._slot)
        try:
            name, status = await self._send()
        finally:
            self._limits.begun.discard(self._slot)
            current_request.reset(before)
        is_copied = name == COMPLETE and self._size <= self._most_copied
        self._stream.copy = b"".join(self._copy) if is_copied else None
        seconds = monotonic() - self._began
        return Ending(name, status, self._size, seconds, self._is_connected)

    async def _send(self) -> tuple[str, int]:
        request, response = self._stream.request, self._response
        self._head = wire.begin_stream(request.id, response)
        try:
            await self._send_items()
            await self._put(wire.STREAM_END)
        except BaseException as error:
            # Of this coroutine: the process ends.
            if self.awaits and isinstance(error, GeneratorExit):
                raise
            if self.cut not in {None, error} and isinstance(error, Exception):
                log_broken_end(request.id, error)  # of a program that was cancelled
            return await self._break_off(self.cut or error)
        return COMPLETE, response.status

    def _count(self, chunk: bytes, now: float) -> None:
        """Count a chunk that is to be sent, and look from time to time what else has happened.

        Raises:
            EncodeError: it is too large.
            Cut: the stream is to end.
        """
        size = len(chunk)
        if size > self._limits.size:
            self._refuse(size)
        self._size += size
        if self._size <= self._most_copied:
            self._copy.append(chunk)
        if now - self._looked > _LOOK_SECONDS:
            self._look(now)

    def _refuse(self, size: int) -> None:
        allowed = f"{_variables.MAX_RESPONSE_IN_MB.name} allows {self._limits.size}"
        message = f"An item of the stream has {size} bytes, and {allowed}."
        raise EncodeError(message)

    async def _put_chunk(self, chunk: bytes) -> None:
        data = self._head + wire.chunk(chunk) if chunk else self._head
        self._head = b""
        if data:
            await self._put(data)

    async def _put(self, data: bytes) -> None:
        sent = self._try(data)
        if sent < len(data):
            self._rest = memoryview(data)[sent:]
            while self._rest:
                await self._wait_for_room(_LOOK_SECONDS)
                self._look(monotonic())
                self._rest = self._rest[self._try(self._rest) :]

    def _try(self, data: Body) -> int:
        try:
            return self._sock.send(data, MSG_DONTWAIT)
        except BlockingIOError:
            return 0
        except OSError as error:
            self._is_connected = False
            logger.warning("a stream could not be delivered: %s", error)
            raise Cut(CLIENT_GONE) from None

    def _look(self, now: float) -> None:
        """Look for what else has happened, and say that the program is not stuck.

        Raises:
            Cut: the stream is to end.
        """
        self._looked = now
        self._limits.table.restart(self._slot, self._state)
        if self.cut is not None:
            raise self.cut
        if now - self._began > self._limits.whole:
            raise self._limits.too_long()
        if self._stop_at and now > self._stop_at:
            raise self._limits.too_late()

    def _heard(self) -> bool | None:
        """Whether the client has gone, as the front end says; None where it says something else."""
        try:
            said = self._sock.recv(1, MSG_DONTWAIT | MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            said = b""
        if said == wire.CANCEL:
            self._sock.recv(1)
        elif said:  # a request that follows, and is read in its turn
            return None
        else:
            self._is_connected = False
        return True

    async def _break_off(self, error: BaseException) -> tuple[str, int]:
        self._on_ending()
        name, cause = (error.name, error.error) if isinstance(error, Cut) else ("error", error)
        status, record = CLIENT_CLOSED_REQUEST, b""
        if cause is not None:
            status, record = self._stream.failure(cause)
        if record:
            self._size += len(record)
            await self._put_last(wire.chunk(record))
        try:
            await self._close()
        except BaseException as failure:
            if self.awaits and isinstance(failure, GeneratorExit):
                raise
            log_broken_end(self._stream.request.id, failure)
        self._on_ending()
        await self._put_last(wire.break_stream(status))
        return name, status

    async def _put_last(self, data: bytes) -> None:
        """Send what ends a stream, unless its client does not read."""
        rest = memoryview(bytes(self._rest) + data)
        until = monotonic() + _LAST_SECONDS
        while self._is_connected and rest:
            try:
                rest = rest[self._try(rest) :]
            except Cut:
                return
            left = until - monotonic()
            if rest and left > 0:
                await self._wait_for_room(left)
            elif rest:
                self._is_connected = False
        self._rest = memoryview(b"")

    # What differs.

    @abstractmethod
    async def _send_items(self) -> None:
        """Send all that the stream yields."""

    @abstractmethod
    async def _wait_for_room(self, seconds: float) -> None:
        """Wait until the socket takes more, or for so long."""

    @abstractmethod
    async def _close(self) -> None:
        """Have the program clean up."""

    def _on_ending(self) -> None:  # noqa: B027 - most do nothing
        """Called when a step of an end that is not the program's begins."""


class BlockingSender(Sender):
    """Sends a stream in the thread that calls the program, and awaits nothing."""

    def __init__(self, limits: Limits, connection: Connection, response: Response) -> None:
        super().__init__(limits, connection, response)
        self._pid = os.getpid()
        self._news = poll()
        self._news.register(self._sock, POLLIN)
        self._news.register(limits.stop_fd, POLLIN)

    async def _send_items(self) -> None:
        while (chunk := await self._next()) is not None:
            self._count(chunk, monotonic())
            await self._put_chunk(chunk)

    async def _next(self) -> bytes | None:
        chunk = next(self._stream, None)
        self._stop_strays()
        return chunk if isinstance(chunk, bytes) or chunk is None else bytes(chunk)

    def _stop_strays(self) -> None:
        """End a process that user code forked and let come back: the socket is not its own."""
        if os.getpid() != self._pid:
            os._exit(0)

    def _look(self, now: float) -> None:
        for fd, _ in self._news.poll(0):
            if fd == self._limits.stop_fd:
                self._stop_at = now + GRACE_SECONDS
                self._news.unregister(fd)
            elif self._heard():
                self.cut = Cut(CLIENT_GONE)
            else:  # what it says is for later
                self._news.unregister(fd)
        super()._look(now)

    async def _wait_for_room(self, seconds: float) -> None:
        room = poll()
        room.register(self._sock, POLLOUT)
        room.poll(seconds * _MILLISECONDS)

    async def _close(self) -> None:
        self._stream.close()
