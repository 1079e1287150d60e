"""One thread's loop over descriptors and timers."""

from __future__ import annotations

import select
from time import monotonic
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference._os.child_process import Relay

_LONGEST_WAIT_SECONDS: Final = 60.0


class EventLoop:
    """Calls back when a descriptor is ready or a time has come."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watched: dict[int, Callable[[], None]] = {}
        self._timers: list[tuple[float, Callable[[], None]]] = []

    def watch(self, fd: int, callback: Callable[[], None], events: int = select.EPOLLIN) -> None:
        """Call back each time ``fd`` is ready, or its other end is closed."""
        self._watched[fd] = callback
        self._epoll.register(fd, events)

    def modify(self, fd: int, events: int) -> None:
        """Call back at these events from now on; ``fd`` is watched."""
        self._epoll.modify(fd, events)

    def unwatch(self, fd: int) -> None:
        """Stop watching; call it before the descriptor is closed. Unknown ones are ignored."""
        if self._watched.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def watch_relay(self, relay: Relay) -> None:
        """Pass a child's output on as it comes, until it ends."""

        def pump() -> None:
            if not relay.pump():
                self.unwatch(relay.source)

        self.watch(relay.source, pump)

    def after(self, seconds: float, callback: Callable[[], None]) -> None:
        """Call back once."""
        self._timers.append((monotonic() + seconds, callback))

    def every(self, seconds: float, callback: Callable[[], None]) -> None:
        """Call back again and again."""

        def again() -> None:
            callback()
            self.after(seconds, again)

        self.after(seconds, again)

    def turn(self) -> None:
        """Wait for whatever comes first, and call back."""
        now = monotonic()
        wait = min((when - now for when, _ in self._timers), default=_LONGEST_WAIT_SECONDS)
        ready = [(fd, self._watched.get(fd)) for fd, _ in self._epoll.poll(max(wait, 0))]
        for fd, callback in ready:
            # An earlier callback of this turn may have unwatched it, and the descriptor may be
            # another one's by now.
            if callback is not None and self._watched.get(fd) is callback:
                callback()
        now = monotonic()
        due = [timer for timer in self._timers if timer[0] <= now]
        self._timers = [timer for timer in self._timers if timer[0] > now]
        for _, callback in due:
            callback()

    def close(self) -> None:
        """Give the descriptor back."""
        self._epoll.close()
