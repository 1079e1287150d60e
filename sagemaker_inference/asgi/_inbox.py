"""Requests on their way to the thread that has the model."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from math import inf
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING

from sagemaker_inference.asgi._relay import Relay

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference._http.messages import Request, Response
    from sagemaker_inference.asgi._sockets import Talk


class Work:
    """A request that waits for its answer.

    Attributes:
        request: the request.
        talk: what talks with its client, where it is a WebSocket.
        answer: its answer; who does not wait for it any more calls `abandon`.
        arrived: when it was given to the model's thread, by the monotonic clock.
        began: when the program got it; None before.
        is_late: whether its time limit was over before the program had answered.
    """

    __slots__ = ("answer", "arrived", "began", "is_late", "request", "talk")

    def __init__(self, request: Request, talk: Talk | None = None) -> None:
        self.request = request
        self.talk = talk
        self.answer: Future[Response] = Future()
        self.arrived = monotonic()
        self.began: float | None = None
        self.is_late = False

    def begin(self) -> bool:
        """Give it to the program, unless nobody waits for it any more; returns whether."""
        if not self.answer.set_running_or_notify_cancel():
            return False
        self.began = monotonic()
        return True

    def abandon(self) -> bool:
        """Wait for it no more; returns whether the program never gets it."""
        if self.answer.cancel():
            return True
        self.answer.add_done_callback(_leave)
        return False


def path_of(work: Work) -> str:
    """The path that a request asks for."""
    return work.request.path


def _leave(answer: Future[Response]) -> None:
    body = answer.result().body
    if isinstance(body, Relay):
        body.leave()


class Inbox:
    """What has arrived, in order; any thread may add to it, one takes.

    Attributes:
        is_closed: whether everything that will ever arrive has been taken.
    """

    def __init__(self) -> None:
        self.is_closed = False
        # Not a Queue, which takes five locks for each item, nor a SimpleQueue: where its lock is
        # free and it is empty, a wait of no time never ends in Python 3.10.
        self._items: deque[Work | None] = deque()
        # Locked while nothing has been added since it was last taken.
        self._bell = Lock()
        self._bell.acquire()
        self._on_added: Callable[[], object] = self._bell.release

    def __len__(self) -> int:
        return len(self._items)

    def add(self, work: Work) -> None:
        """Add a request."""
        self._put(work)

    def close(self) -> None:
        """Have it be closed when all that was added before is taken."""
        self._put(None)

    def watch(self, on_added: Callable[[], object]) -> None:
        """Have a function called, by any thread, when there is something to take.

        From then on, `take` is not to wait.
        """
        self._on_added = on_added

    def _put(self, item: Work | None) -> None:
        self._items.append(item)
        # It rings already, or the event loop that is to hear of it is closed.
        with suppress(RuntimeError):
            self._on_added()

    def take(self, patience: float, room: int) -> tuple[list[Work], float]:
        """Wait for a request, and take those that are there.

        Args:
            patience: seconds to wait for the first; infinite for as long as it takes.
            room: how many to take at most.

        Returns:
            The requests, and when the wait ended, by the monotonic clock.
        """
        until = monotonic() + patience
        while not self._items and self._wait(until):
            pass
        ended = monotonic()
        taken: list[Work] = []
        with suppress(IndexError):  # that was all
            while len(taken) < room:
                work = self._items.popleft()
                if work is None:
                    self.is_closed = True
                    break
                taken.append(work)
        return taken, ended

    def _wait(self, until: float) -> bool:
        left = until - monotonic()
        return left > 0 and self._bell.acquire(timeout=-1 if left == inf else left)
