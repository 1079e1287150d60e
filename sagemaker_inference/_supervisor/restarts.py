"""When workers that have ended are started once more."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from sagemaker_inference._log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference._os.event_loop import EventLoop

logger = get_logger()

SHORTEST_SECONDS: Final = 0.1
LONGEST_SECONDS: Final = 30.0


class Backoff:
    """Waits longer from failure to failure: 0, 0.1, 0.2, 0.4 ... 30 seconds.

    The first successor is started at once: most workers die over a request, and their successors
    serve on. A fault of the machine or of the model's files goes on for longer, and starting
    without a pause would take the processors from workers that answer.
    """

    def __init__(self) -> None:
        self._next = 0.0

    def next_delay(self) -> float:
        """Seconds to wait after one more failure."""
        delay = self._next
        self._next = min(max(2 * delay, SHORTEST_SECONDS), LONGEST_SECONDS)
        return delay

    def reset(self) -> None:
        """Begin anew: the worker had started well."""
        self._next = 0.0


class Restarts:
    """Starts what has ended, after the pause of its place.

    Args:
        loop: calls back when a pause is over.
    """

    def __init__(self, loop: EventLoop) -> None:
        self._loop = loop
        self._backoffs: defaultdict[int, Backoff] = defaultdict(Backoff)
        self._waiting: set[int] = set()

    def is_waiting(self, place: int) -> bool:
        """Whether nothing is to be started in a place yet."""
        return place in self._waiting

    def add(
        self,
        place: int,
        start: Callable[[], None],
        *,
        had_started_well: bool = False,
        is_at_once: bool = True,
    ) -> None:
        """Have something started after the pause of its place.

        Args:
            place: where it has ended.
            start: starts what is missing.
            had_started_well: whether it was of use before it ended.
            is_at_once: whether the first of a row of failures needs no pause.
        """
        backoff = self._backoffs[place]
        if had_started_well:
            backoff.reset()
        delay = backoff.next_delay() or (0.0 if is_at_once else backoff.next_delay())
        if not delay:
            start()
            return
        if place not in self._waiting:
            self._waiting.add(place)
            logger.warning("the next worker is started in %g s", delay)
            self._loop.after(delay, lambda: self._on_due(place, start))

    def _on_due(self, place: int, start: Callable[[], None]) -> None:
        self._waiting.discard(place)
        start()
