"""How long a batch stays open for requests that have not arrived yet.

A client that has its answer often sends its next request at once. Where some clients are answered
while others wait, two groups form that take turns, each with batches of half the size: the worker
takes what has arrived, and the rest comes a moment later. To wait that moment joins them.

The rule: a batch waits for as many requests as the last one had and as came while it was predicted;
at most for a quarter of what a prediction costs whatever its size; and where they did not come,
more is expected only after 2 batches, then after 4, up to 64.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference._program.concurrency import Concurrency

_Item = TypeVar("_Item")

# Where asking for requests took less than this, in seconds, they were there.
AT_ONCE: Final = 50e-6
# Of the fixed time of a prediction, which a fuller batch saves. A wait in vain costs that much.
_SHARE: Final = 0.25
# Seconds. Less does not pay for the system calls of waiting; more is noticed by people.
_LEAST: Final = 50e-6
_MOST: Final = 0.1
# The newest prediction counts as much as the fifth of all that were before.
_WEIGHT: Final = 0.2
_LONGEST_PAUSE: Final = 64
# Of the sizes of batches.
_LEAST_VARIANCE: Final = 0.1


class BatchWindow(Protocol):
    """How long to wait, asked for one batch after the other.

    Attributes:
        size: most requests of a batch.
    """

    size: int

    @property
    def waits(self) -> bool:
        """Whether it waits for requests at all."""
        ...

    def open(self, count: int, *, at_once: bool) -> None:
        """Begin a batch.

        Args:
            count: how many requests it has.
            at_once: whether they were there when the one before had been answered.
        """
        ...

    def patience(self, count: int, open_for: float) -> float:
        """How long to wait for more requests, in seconds; 0 to predict now.

        Args:
            count: how many requests the batch has by now.
            open_for: seconds since it has begun.
        """
        ...

    def close(self, count: int, seconds: float) -> None:
        """End a batch.

        Args:
            count: how many requests it had.
            seconds: how long they were predicted.
        """
        ...


def window_for(concurrency: Concurrency) -> BatchWindow:
    """Create the window that a program has asked for."""
    size, delay = concurrency.max_batch_size, concurrency.max_batch_delay
    return AdaptiveWindow(size) if delay is None else FixedWindow(size, delay)


def fill(
    batch: list[_Item],
    window: BatchWindow,
    opened: float,
    take_more: Callable[[float, int], tuple[list[_Item], float]],
    is_over: Callable[[], bool],
) -> None:
    """Add to a batch what arrives while its window is open.

    Args:
        batch: what has arrived, and to which more is added.
        window: how long to wait.
        opened: when the batch began, by the monotonic clock.
        take_more: waits for so many seconds, and takes at most so many; returns also when the wait
            ended.
        is_over: whether to predict what there is, however long the window is open.
    """
    asked = opened
    while not is_over():
        patience = window.patience(len(batch), asked - opened)
        if not patience:
            return
        more, asked = take_more(patience, window.size - len(batch))
        batch += more


class FixedWindow:
    """Waits as long as the program says.

    Args:
        size: most requests of a batch.
        delay: seconds.
    """

    def __init__(self, size: int, delay: float) -> None:
        self.size = size
        self._delay = delay

    @property
    def waits(self) -> bool:
        """Whether it waits for requests at all."""
        return self._delay > 0

    def open(self, count: int, *, at_once: bool) -> None:
        """Begin a batch."""

    def patience(self, count: int, open_for: float) -> float:
        """How long to wait for more requests."""
        return max(0.0, self._delay - open_for) if count < self.size else 0.0

    def close(self, count: int, seconds: float) -> None:
        """End a batch."""


class AdaptiveWindow:
    """Learns how long it pays to wait.

    Args:
        size: most requests of a batch.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._cost = FixedCost()
        self._wanted = self._last = self._known = 0
        self._pause = self._failures = 0

    @property
    def waits(self) -> bool:
        """Whether it waits for requests at all, once predictions show that this may pay."""
        return self._limit() > 0

    def open(self, count: int, *, at_once: bool) -> None:
        """Begin a batch."""
        wanted = min(self._last + count if at_once else self._last, self.size)
        if wanted > self._known and self._pause:
            self._pause -= 1
            wanted = self._known
        self._wanted = wanted if self._limit() else 0

    def patience(self, count: int, open_for: float) -> float:
        """How long to wait for more requests."""
        return max(0.0, self._limit() - open_for) if count < self._wanted else 0.0

    def close(self, count: int, seconds: float) -> None:
        """End a batch."""
        if count < self._wanted:
            self._known = count
            self._failures += 1
            self._pause = min(2**self._failures, _LONGEST_PAUSE)
        elif self._wanted > self._known:
            self._known = self._wanted
            self._failures = 0
        self._last = count
        self._cost.add(count, seconds)

    def _limit(self) -> float:
        limit = min(_SHARE * self._cost.seconds, _MOST)
        return limit if limit >= _LEAST else 0.0


class FixedCost:
    """What a prediction takes whatever its size: where a line through their times begins.

    Attributes:
        seconds: that time; 0 before the first prediction.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._count = self._mean = self._slope = 0.0
        self._variance = self._covariance = 0.0

    def add(self, count: int, seconds: float) -> None:
        """Learn from a prediction.

        Args:
            count: how many requests it was for.
            seconds: how long it took.
        """
        expected = self.seconds + self._slope * count
        if not self._mean or seconds * 2 < expected:
            # The first ones may have compiled the model: they say nothing about the others.
            self._count, self._mean = count, seconds
            self._variance = self._covariance = self._slope = 0.0
            expected = seconds
        # One that was held up says little: it counts as twice what was expected.
        more, longer = count - self._count, min(seconds, 2 * expected) - self._mean
        self._count += _WEIGHT * more
        self._mean += _WEIGHT * longer
        self._variance = (1 - _WEIGHT) * (self._variance + _WEIGHT * more * more)
        self._covariance = (1 - _WEIGHT) * (self._covariance + _WEIGHT * more * longer)
        # Where all batches have one size there is nothing to learn, and the slope stays.
        if self._variance > _LEAST_VARIANCE:
            self._slope = max(0.0, self._covariance / self._variance)
        self.seconds = max(0.0, self._mean - self._slope * self._count)
