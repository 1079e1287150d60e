"""How requests reach a program: one by one, in batches, in threads, or in one event loop."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Final, Literal

Collate = Literal["list", "concatenate"]

# An async program mostly waits for others: as many at a time as the front end queues comfortably.
_ASYNC_LIMIT: Final = 32
# Beyond those in progress, the front end may send requests that wait in the socket: the next one
# is there the moment a worker is free. More would only hide the queue from the front end.
_AHEAD: Final = 7


@dataclass(frozen=True, slots=True)
class Batching:
    """How a predictor is fed.

    Attributes:
        max_batch_size: most requests per call; above 1 the predictor gets lists.
        max_batch_delay: seconds to wait for more requests; 0 takes what has arrived.
        collate: ``"list"`` gives the predictor a list of decoded inputs, ``"concatenate"`` one
            input with the rows of all requests, stacked along axis 0.
        retry_one_by_one: whether a batch on which the predictor raised is tried again request by
            request, so that only the guilty one fails.
        threads: how many threads run a blocking predictor at the same time.
    """

    max_batch_size: int = 1
    max_batch_delay: float = 0.0
    collate: Collate = "list"
    retry_one_by_one: bool = True
    threads: int = 1

    def problem(self) -> str | None:
        """What is wrong with these options, or None."""
        for name in ("max_batch_size", "threads"):
            if not _is_count(value := getattr(self, name)):
                return f"{name} must be an integer >= 1, got {value!r}"
        delay = self.max_batch_delay
        if not (isinstance(delay, (int, float)) and 0 <= delay < inf):
            return f"max_batch_delay must be a number of seconds >= 0, got {delay!r}"
        if self.collate not in ("list", "concatenate"):
            return f"collate must be 'list' or 'concatenate', got {self.collate!r}"
        if self.threads > 1 and self.max_batch_size > 1:
            return "threads and max_batch_size exclude each other: a batch is one call"
        return None


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


@dataclass(frozen=True, slots=True)
class Concurrency:
    """How many requests a worker handles at a time, and how.

    Attributes:
        max_batch_size: most requests per call.
        max_batch_delay: seconds to wait for more requests.
        threads: how many threads call a blocking program at the same time.
        is_async: whether calls await, and so run concurrently in one event loop.
    """

    max_batch_size: int = 1
    max_batch_delay: float = 0.0
    threads: int = 1
    is_async: bool = False

    @property
    def limit(self) -> int:
        """How many requests a worker handles at the same time."""
        return _ASYNC_LIMIT if self.is_async else max(self.max_batch_size, self.threads)

    @property
    def connections(self) -> int:
        """How many connections of the front end keep one worker busy."""
        return self.limit + _AHEAD
