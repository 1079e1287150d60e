"""Send several streams at the same time, in one event loop."""

from __future__ import annotations

import asyncio
from select import POLLIN, poll
from time import monotonic
from typing import TYPE_CHECKING, Final, cast

from sagemaker_inference._worker.concurrency import uncancel
from sagemaker_inference._worker.senders import CLIENT_GONE, GRACE_SECONDS, Cut, Sender

if TYPE_CHECKING:
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
# A program that goes on when it is cancelled is cancelled again so often.
_AGAIN_SECONDS: Final = 5.0


class AsyncSender(Sender):
    """Sends a stream in the task that has called the program."""

    awaits = True

    def __init__(self, limits: Limits, connection: Connection, response: Response) -> None:
        super().__init__(limits, connection, response)
        self._loop = asyncio.get_running_loop()
        self._task = cast("asyncio.Task[None]", asyncio.current_task())
        # Since when the program is at work on an item; 0 where its client is waited for.
        self._asked = 0.0
        # When others were last let run.
        self._turn = self._began
        # Since when it is to end, or was last cancelled.
        self._ending = 0.0

    async def send(self) -> Ending:
        """Send all of it; what the front end says meanwhile is heard at once."""
        fd = self._sock.fileno()
        self._loop.add_reader(fd, self._listen)
        try:
            return await super().send()
        finally:
            self._loop.remove_reader(fd)

    def _listen(self) -> None:
        has_gone = self._heard()
        if has_gone:
            self._end(Cut(CLIENT_GONE))
        if has_gone is not False:
            self._loop.remove_reader(self._sock.fileno())

    def tick(self, now: float) -> None:
        """Look for limits that the stream has exceeded; its task waits for something now."""
        if self._ending:
            if now - self._ending > _AGAIN_SECONDS:
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

    async def _next(self) -> bytes | None:
        self._asked = monotonic()
        if self._asked - self._turn > _TURN_SECONDS:
            await asyncio.sleep(0)
            self._turn = monotonic()
        try:
            chunk = await self._stream.__anext__()
        except StopAsyncIteration:
            chunk = None
        self._asked = 0.0
        if self.cut is not None:  # the program has gone on all the same
            raise self.cut
        return chunk if isinstance(chunk, bytes) or chunk is None else bytes(chunk)

    async def _wait_for_room(self, seconds: float) -> None:
        fd, room = self._sock.fileno(), asyncio.Event()
        timer = self._loop.call_later(seconds, room.set)
        self._loop.add_writer(fd, room.set)
        try:
            await room.wait()
        finally:
            self._loop.remove_writer(fd)
            timer.cancel()

    def _on_ending(self) -> None:
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
        sender = AsyncSender(self._streams.limits, work.connection, response)
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
