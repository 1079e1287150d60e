"""Streams on their way from the thread that has the model to the event loop of the server.

Each item waits until the one before it is sent: a client that reads slowly slows the program down,
and costs no memory.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from sagemaker_inference import _variables
from sagemaker_inference._errors import EncodeError, PredictionTimeoutError
from sagemaker_inference._http.messages import CLIENT_CLOSED_REQUEST
from sagemaker_inference._inference.awaiting import uncancel
from sagemaker_inference._inference.streams import AsyncStream, SyncStream, log_broken_end
from sagemaker_inference._log import current_request
from sagemaker_inference.asgi._heartbeat import COMMENT, Heartbeat

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from sagemaker_inference._config import Config
    from sagemaker_inference._http.messages import Response
    from sagemaker_inference.codecs import Body

COMPLETE: Final = "complete"
_ERROR: Final = "error"
_TIMEOUT: Final = "timeout"
_CLIENT_GONE: Final = "client_gone"


class Ending(NamedTuple):
    """How a stream has ended.

    Attributes:
        name: "complete", "error", "timeout" or "client_gone".
        size: how many bytes the program has yielded.
        seconds: from the first item to the end.
    """

    name: str
    size: int
    seconds: float


class _Left(Exception):  # noqa: N818 - no failure of the program
    """Nobody reads the stream any more."""


class _Item:
    """A part of a stream; its body is None where it is over."""

    __slots__ = ("body", "following", "taken")

    def __init__(self, body: bytes | None) -> None:
        self.body = body
        self.taken: Future[None] = _promise()
        self.following: Future[_Item] = _promise()


def _promise() -> Future[Any]:
    future: Future[Any] = Future()
    # Who stops waiting for it must not cancel it.
    future.set_running_or_notify_cancel()
    return future


class Relay:
    """The body of a response that is sent while the program makes it.

    Args:
        response: the response, whose body is the stream; from now on, it is this.
        config: the limits.
        on_end: called with this in the thread that has the model, when the program has ended it and
            before its reader hears of that.
        copied: streams up to this size are kept when they are sent; 0 for none.

    Attributes:
        stream: what the program yields.
        response: the response.
        is_complete: whether all of it has been read.
        ended: done when the program has ended it.
    """

    def __init__(
        self,
        response: Response,
        config: Config,
        on_end: Callable[[Relay], object],
        copied: int = 0,
    ) -> None:
        self.stream = cast("SyncStream | AsyncStream", response.body)
        self.response = response
        response.body = self  # type: ignore[assignment]
        self.is_complete = False
        self.ended: Future[None] = _promise()
        self._config = config
        self._on_end = on_end
        self._began = monotonic()
        self._size = 0
        self._most_copied = copied
        self._copy: list[bytes] = []
        # Where the program puts its next item, and where the server looks for one.
        self._place: Future[_Item] = _promise()
        self._next = self._place
        self._item: _Item | None = None
        # Why the reader has left; "" while there is one.
        self._left = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None

    # Called in the event loop of the server.

    async def chunks(self, gone: asyncio.Future[None]) -> AsyncIterator[bytes]:
        """What to send; each is sent when the next one is asked for.

        Args:
            gone: done when the client has disconnected.
        """
        heartbeat = Heartbeat(self.response.content_type, self._config)
        quiet_since = monotonic()
        try:
            while not gone.done():
                item = await self._read(gone, quiet_since, heartbeat.patience)
                if item is None:
                    if not gone.done():
                        yield COMMENT  # for the client alone: the program is as quiet as before
                    continue
                if item.body is None:
                    self.is_complete = self.stream.ending.name == COMPLETE
                    return
                yield item.body
                if not gone.done():  # else the program is to make no more
                    self._item = None
                    item.taken.set_result(None)
                    heartbeat.note(item.body)
                    quiet_since = monotonic()
            self.response.status = CLIENT_CLOSED_REQUEST
        except PredictionTimeoutError as error:
            self._left = _TIMEOUT
            self.response.status, record = self.stream.failure(error)
            if record:
                yield bytes(record)
        finally:
            self.leave()

    async def _read(
        self, gone: asyncio.Future[None], quiet_since: float, patience: float
    ) -> _Item | None:
        """The next item; None where the client has disconnected, or is due a comment.

        Args:
            gone: done when the client has disconnected.
            quiet_since: when the last item was sent.
            patience: seconds until a comment is due.

        Raises:
            PredictionTimeoutError: a limit of the stream is over.
        """
        config = self._config
        idle, whole = config.stream_idle_timeout, config.stream_timeout
        now = monotonic()
        left = self._began + whole - now
        most = min(quiet_since + idle - now, left)
        coming = asyncio.wrap_future(self._next)
        both: set[asyncio.Future[Any]] = {coming, gone}
        wait = max(min(most, patience), 0.0)
        await asyncio.wait(both, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
        if gone.done() or (not coming.done() and patience < most):
            return None
        if not coming.done():
            text = f"No item within {idle:g} s ({_variables.STREAM_IDLE_TIMEOUT.name})."
            if left < idle:
                name = _variables.STREAM_TIMEOUT.name
                text = f"The stream is longer than {whole:g} s ({name})."
            raise PredictionTimeoutError(text)
        self._item = item = coming.result()
        self._next = item.following
        return item

    def leave(self) -> None:
        """Read no more of it: the program is to end it."""
        self._left = self._left or _CLIENT_GONE
        # What the program puts from now on, it does not wait for.
        item = self._item
        if item is None and self._next.done():
            item = self._next.result()
        if item is not None and not item.taken.done():
            item.taken.set_result(None)
        if self._loop is not None and self._task is not None:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    # Called in the thread that has the model.

    def step(self) -> bool:
        """Send the next item of a program that awaits nothing; returns whether more may follow."""
        stream = cast("SyncStream", self.stream)
        before = current_request.set(stream.request.id)
        try:
            chunk = next(stream, None)
            if chunk is not None:
                self._put(chunk).result()
                self._check_reader()
                return True
            self._finish(COMPLETE)
        except BaseException as error:  # noqa: BLE001 - user code may raise anything
            name = self._break_off(error)
            try:
                stream.close()
            except BaseException as failure:  # noqa: BLE001 - as above
                log_broken_end(stream.request.id, failure)
            self._finish(name)
        finally:
            current_request.reset(before)
        return False

    async def send(self) -> None:
        """Send all of it, in the task that has called the program."""
        stream = cast("AsyncStream", self.stream)
        before = current_request.set(stream.request.id)
        self._task = task = cast("asyncio.Task[None]", asyncio.current_task())
        self._loop = asyncio.get_running_loop()
        try:
            self._check_reader()
            async for chunk in stream:
                await asyncio.wrap_future(self._put(chunk))
                self._check_reader()
            self._task = None
            self._finish(COMPLETE)
        except GeneratorExit:  # of this coroutine: the process ends
            raise
        except BaseException as error:  # noqa: BLE001 - user code may raise anything
            self._task = None
            uncancel(task)
            name = self._break_off(error)
            await self._close(stream)
            self._finish(name)
        finally:
            current_request.reset(before)

    @staticmethod
    async def _close(stream: AsyncStream) -> None:
        try:
            await stream.aclose()
        except GeneratorExit:
            raise
        except BaseException as failure:  # noqa: BLE001 - user code may raise anything
            log_broken_end(stream.request.id, failure)

    def _put(self, chunk: Body) -> Future[None]:
        size = len(chunk)
        if size > self._config.response_limit:
            allowed = f"{_variables.MAX_RESPONSE_IN_MB.name} allows {self._config.response_limit}"
            message = f"An item of the stream has {size} bytes, and {allowed}."
            raise EncodeError(message)
        self._size += size
        body = bytes(chunk)
        if self._size <= self._most_copied:
            self._copy.append(body)
        return self._pass_on(body).taken

    def _pass_on(self, body: bytes | None) -> _Item:
        item = _Item(body)
        place, self._place = self._place, item.following
        place.set_result(item)
        # Whoever has left before it was there cannot say that it is taken.
        self._check_reader()
        return item

    def _check_reader(self) -> None:
        if self._left:
            raise _Left

    def _break_off(self, error: BaseException) -> str:
        """Pass on what the stream has failed with, if anybody reads it; returns how it ends."""
        if self._left:
            # What a program raises when it is cancelled is said of its end.
            if isinstance(error, Exception) and not isinstance(error, _Left):
                log_broken_end(self.stream.request.id, error)
            return self._left
        self.response.status, record = self.stream.failure(error)
        with suppress(_Left):
            if record:
                self._pass_on(bytes(record))
        return _ERROR

    def _finish(self, name: str) -> None:
        if name == COMPLETE and self._size <= self._most_copied:
            self.stream.copy = b"".join(self._copy)
        self.stream.ending = Ending(name, self._size, monotonic() - self._began)
        self._on_end(self)
        self.ended.set_result(None)
        with suppress(_Left):
            self._pass_on(None)


def send_in_turn(relays: Sequence[Relay]) -> None:
    """Send streams in this thread, an item of each in turn.

    Those of a batch have a generator in common, which goes on when all have been sent.
    """
    unfinished = list(relays)
    while unfinished:
        unfinished = [relay for relay in unfinished if relay.step()]
