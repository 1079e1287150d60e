"""Requests on their way to the thread that has the model."""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import suppress
from math import inf
from queue import Empty, Queue
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference._http.messages import Request, Response


class Work:
    """A request that waits for its answer.

    Attributes:
        request: the request.
        answer: its answer; who does not wait for it any more cancels it.
        arrived: when it was given to the model's thread, by the monotonic clock.
        began: when the program got it; None before.
    """

    __slots__ = ("answer", "arrived", "began", "request")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.answer: Future[Response] = Future()
        self.arrived = monotonic()
        self.began: float | None = None

    def begin(self) -> bool:
        """Give it to the program, unless nobody waits for it any more; returns whether."""
        if not self.answer.set_running_or_notify_cancel():
            return False
        self.began = monotonic()
        return True


class Inbox:
    """What has arrived, in order; any thread may add to it, one takes.

    Attributes:
        is_closed: whether everything that will ever arrive has been taken.
    """

    def __init__(self) -> None:
        self.is_closed = False
        # Not a SimpleQueue: where its lock is free and it is empty, a wait of no time never ends
        # in Python 3.10.
        self._queue: Queue[Work | None] = Queue()
        self._on_added: Callable[[], object] = lambda: None

    def __len__(self) -> int:
        return self._queue.qsize()

    def add(self, work: Work) -> None:
        """Add a request."""
        self._put(work)

    def close(self) -> None:
        """Have it be closed when all that was added before is taken."""
        self._put(None)

    def watch(self, on_added: Callable[[], object]) -> None:
        """Have a function called, by any thread, when there is something to take."""
        self._on_added = on_added

    def _put(self, item: Work | None) -> None:
        self._queue.put(item)
        with suppress(RuntimeError):  # the event loop that is to hear of it is closed
            self._on_added()

    def take(self, patience: float, room: int) -> tuple[list[Work], float]:
        """Wait for a request, and take those that are there.

        Args:
            patience: seconds to wait for the first; infinite for as long as it takes.
            room: how many to take at most.

        Returns:
            The requests, and when the wait ended, by the monotonic clock.
        """
        taken: list[Work] = []
        wait = None if patience == inf else patience
        ended = 0.0
        try:
            while len(taken) < room:
                work = self._queue.get(timeout=wait)
                ended = ended or monotonic()
                if work is None:
                    self.is_closed = True
                    break
                taken.append(work)
                wait = 0.0
        except Empty:
            ended = ended or monotonic()
        return taken, ended
