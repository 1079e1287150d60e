"""Send several streams at the same time, in one event loop."""

from __future__ import annotations

import asyncio
import types
from http import HTTPStatus
from select import POLLIN, poll
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, cast

from sagemaker_inference._inference.awaiting import uncancel
from sagemaker_inference._inference.streams import others_turn
from sagemaker_inference._ipc import wire
from sagemaker_inference._worker.senders import CLIENT_GONE, GRACE_SECONDS, Cut, Sender

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator

    from sagemaker_inference._http.messages import Response
    from sagemaker_inference._inference.streams import Stream
    from sagemaker_inference._worker.connection import Connection
    from sagemaker_inference._worker.senders import Ending, Limits
    from sagemaker_inference._worker.streams import Streams
    from sagemaker_inference._worker.work import Work

# So often, limits are looked at.
_TICK_SECONDS: Final = 0.25
# A program that has all of its items at hand lets others run so often.
_TURN_SECONDS: Final = 0.002
# It looks so often whether there are requests that have not begun: these come first.
_GLANCE_SECONDS: Final = 0.0002
# Items that a program yields one right after the other, without waiting for anything, are sent
# together: each system call costs as much as several of them. So many are sent alone before.
_ALONE: Final = 2
# None of them waits for longer, where the program gives as much as a sign of life.
_HOLD_SECONDS: Final = 0.001
_MOST_HELD: Final = 1 << 15
# A program that goes on when it is cancelled is cancelled again so often.
AGAIN_SECONDS: Final = 5.0


class AsyncSender(Sender):
    """Sends a stream in the task that has called the program."""

    awaits = True

    def __init__(self, limits: Limits, connection: Connection, response: Response) -> None:
        super().__init__(limits, connection, response)
        self._loop = asyncio.get_running_loop()
        self._task = cast("asyncio.Task[None]", asyncio.current_task())
        # Since when the program is at work on an item; 0 where its client or others are waited for.
        self._asked = self._began
        # When others are let run, and when it is looked whether they are to be.
        self._turn_end = self._began + _TURN_SECONDS
        self._next_glance = self._began + _GLANCE_SECONDS
        # Items that are sent with the next one, or when the program waits for something; how many
        # it has yielded since it last did; and when any was last sent.
        self._held: list[bytes] = []
        self._held_size = 0
        self._quick = 0
        self._sent_at = 0.0
        # Since when it is to end, or was last cancelled.
        self._ending = 0.0

    async def send(self) -> Ending:
        """Send all of it; what the front end says meanwhile is heard at once."""
        fd = self._sock.fileno()
        # Once the requests that came with this one have their first items, too.
        listening = self._loop.call_soon(self._loop.add_reader, fd, self._listen)
        try:
            return await super().send()
        finally:
            listening.cancel()
            self._loop.remove_reader(fd)
            self._loop.remove_writer(fd)

    def _listen(self) -> None:
        has_gone = self._heard()
        if has_gone:
            self._end(Cut(CLIENT_GONE))
        if has_gone is not False:
            self._loop.remove_reader(self._sock.fileno())

    def tick(self, now: float) -> None:
        """Look for limits that the stream has exceeded; its task waits for something now."""
        if self._ending:
            if now - self._ending > AGAIN_SECONDS:
                self._cancel()
        elif self._asked and now - self._asked > self._limits.idle:
            self._end(self._limits.too_quiet())
        elif now - self._began > self._limits.whole:
            self._end(self._limits.too_long())

    def stop(self) -> None:
        """End it, since the worker ends."""
        if not self._ending:
            self._end(self._limits.too_late())

    def _end(self, cut: Cut) -> None:
        if self.cut is None and not self._ending:
            self.cut = cut
            self._cancel()

    def _cancel(self) -> None:
        self._ending = monotonic()
        self._task.cancel()

    async def _send_items(self) -> None:
        await self._watched(self._draw_items())

    async def _draw_items(self) -> None:
        # Every item passes here: a coroutine more for each would be a fifth of what it costs.
        async for chunk in self._stream:
            now = self._asked = monotonic()
            if self.cut is not None:
                break
            data = chunk if isinstance(chunk, bytes) else bytes(chunk)
            self._count(data, now)
            if not (data and self._hold(data, now)):
                await self._put_chunk(data)
            if now > self._next_glance:
                await self._let_others_run(now)
        if self.cut is not None:  # the program has gone on all the same
            raise self.cut

    async def _let_others_run(self, now: float) -> None:
        """Let others run where it is their turn, or where requests wait for their first item."""
        has_newcomers = self._limits.has_newcomers
        if now < self._turn_end and not has_newcomers():
            self._next_glance = now + _GLANCE_SECONDS
            return
        self._flush()
        self._asked = 0.0
        await others_turn()
        if has_newcomers():
            # Once: requests that come all the time must not keep a stream from going on.
            await others_turn()
        self._asked = now = monotonic()
        self._turn_end = now + _TURN_SECONDS
        self._next_glance = now + _GLANCE_SECONDS

    @types.coroutine
    def _watched(self, drawing: Coroutine[Any, Any, None]) -> Generator[Any, Any, None]:
        """Draw items; where the program waits for something, what was held is sent before that."""
        step: Any = drawing.send
        value: Any = None
        while True:
            try:
                awaited = step(value)
            except StopIteration:
                return
            if self._asked:
                self._quick = 0
                self._flush()
            try:
                step, value = drawing.send, (yield awaited)
            except GeneratorExit:
                drawing.close()
                raise
            except BaseException as error:  # noqa: BLE001 - the program gets it
                step, value = drawing.throw, error

    def _hold(self, chunk: bytes, now: float) -> bool:
        self._quick += 1
        is_quick = self._quick > _ALONE and now - self._sent_at < _HOLD_SECONDS
        if is_quick and self._held_size < _MOST_HELD:
            self._held.append(chunk)
            self._held_size += len(chunk)
            return True
        if not self._sent_at:
            # Others have their first items before this one has its second.
            self._turn_end = self._next_glance = 0.0
        self._sent_at = now
        return False

    def _flush(self) -> None:
        """Send what is held, as far as there is room; the rest follows when there is."""
        if self._held:
            self._keep_held()
            self._go_on()

    def _keep_held(self) -> None:
        """Have what is held go out with what the socket had no room for."""
        if self._held:
            self._rest = memoryview(b"".join((self._rest, self._joined(self._held))))
            self._held.clear()
            self._held_size = 0

    def _joined(self, chunks: list[bytes]) -> bytes:
        return wire.chunk(b"".join(chunks))

    def _go_on(self) -> None:
        """Send what the socket had no room for, while the program waits for something else."""
        fd = self._sock.fileno()
        try:
            self._rest = self._rest[self._try(self._rest) :]
        except Cut:  # the end of the connection is heard, too
            self._rest = memoryview(b"")
        if self._rest:
            self._loop.add_writer(fd, self._go_on)
        else:
            self._loop.remove_writer(fd)

    async def _put(self, data: bytes) -> None:
        self._keep_held()
        if self._rest:
            self._loop.remove_writer(self._sock.fileno())
            data, self._rest = b"".join((self._rest, data)), memoryview(b"")
        await super()._put(data)

    async def _wait_for_room(self, seconds: float) -> None:
        self._asked = 0.0
        fd, room = self._sock.fileno(), asyncio.Event()
        timer = self._loop.call_later(seconds, room.set)
        self._loop.add_writer(fd, room.set)
        try:
            await room.wait()
        finally:
            self._loop.remove_writer(fd)
            timer.cancel()
            self._asked = monotonic()

    def _on_ending(self) -> None:
        self._keep_held()
        self._ending = monotonic()
        uncancel(self._task)

    async def _close(self) -> None:
        await self._stream.aclose()


class AsyncStreams:
    """The streams that are open in an event loop.

    Args:
        streams: those of the worker.
    """

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._loop = asyncio.get_running_loop()
        self._open: set[AsyncSender] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._stop = poll()
        self._stop.register(streams.limits.stop_fd, POLLIN)
        self._stop_at = 0.0

    async def send(self, work: Work, responses: list[Response]) -> None:
        """Send the answer to a message if it is a stream."""
        if not self._streams.are_open(responses):
            return
        response = responses[0]
        sender = _sender_of(response)(self._streams.limits, work.connection, response)
        self._open.add(sender)
        if self._timer is None:
            self._tick()
        try:
            cast("Stream", response.body).ending = await sender.send()
        finally:
            self._open.discard(sender)

    def _tick(self) -> None:
        now = monotonic()
        if not self._stop_at and self._stop.poll(0):
            self._stop_at = now + GRACE_SECONDS
        for sender in list(self._open):
            if self._stop_at and now > self._stop_at:
                sender.stop()
            sender.tick(now)
        self._timer = self._loop.call_later(_TICK_SECONDS, self._tick) if self._open else None


def _sender_of(response: Response) -> type[AsyncSender]:
    if response.status != HTTPStatus.SWITCHING_PROTOCOLS:
        return AsyncSender
    from sagemaker_inference._worker.socket_senders import SocketSender

    return SocketSender
