"""A loop over descriptors and timers, in one thread."""

from __future__ import annotations

import select
from time import monotonic
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference._os.child_process import Relay

_LONGEST_WAIT_SECONDS: Final = 60.0


class EventLoop:
    """Calls back when a descriptor is ready or a timer is due."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watched: dict[int, Callable[[], None]] = {}
        self._timers: list[tuple[float, Callable[[], None]]] = []

    def watch(self, fd: int, callback: Callable[[], None], events: int = select.EPOLLIN) -> None:
        """Call back each time ``fd`` is ready, or its other end is closed."""
        self._watched[fd] = callback
        self._epoll.register(fd, events)

    def modify(self, fd: int, events: int) -> None:
        """Change the events of a watched descriptor."""
        self._epoll.modify(fd, events)

    def unwatch(self, fd: int) -> None:
        """Stop watching; call it before closing the descriptor. Unknown ones are ignored."""
        if self._watched.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def watch_relay(self, relay: Relay) -> None:
        """Pass a child's output on as it arrives, until the stream ends."""

        def pump() -> None:
            if not relay.pump():
                self.unwatch(relay.source)

        self.watch(relay.source, pump)

    def after(self, seconds: float, callback: Callable[[], None]) -> None:
        """Call back once, in ``seconds``."""
        self._timers.append((monotonic() + seconds, callback))

    def every(self, seconds: float, callback: Callable[[], None]) -> None:
        """Call back every ``seconds``, counted from the end of the previous call."""

        def again() -> None:
            callback()
            self.after(seconds, again)

        self.after(seconds, again)

    def turn(self) -> None:
        """Wait for the next event or timer, and call back."""
        now = monotonic()
        wait = min((when - now for when, _ in self._timers), default=_LONGEST_WAIT_SECONDS)
        ready = [(fd, self._watched.get(fd)) for fd, _ in self._epoll.poll(max(wait, 0))]
        for fd, callback in ready:
            # An earlier callback of this turn may have unwatched it and reused the descriptor.
            if callback is not None and self._watched.get(fd) is callback:
                callback()
        now = monotonic()
        due = [timer for timer in self._timers if timer[0] <= now]
        self._timers = [timer for timer in self._timers if timer[0] > now]
        for _, callback in due:
            callback()

    def close(self) -> None:
        """Close the epoll instance."""
        self._epoll.close()
