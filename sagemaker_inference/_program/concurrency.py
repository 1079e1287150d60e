"""How requests reach a program: one by one, in batches, in threads or in one event loop."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from sagemaker_inference._parsers import MOST_REQUESTS, MOST_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Collate = Literal["list", "concatenate"]
OnBadRecord = Literal["fail", "placeholder"]

# An async program mostly waits for other services: as many requests at a time as the front end
# queues comfortably.
ASYNC_LIMIT: Final = 32
# Requests that the front end may send beyond those in progress. They wait in the socket, so that
# the next one is there the moment a worker is free; more would hide the queue from the front end.
# Of batches, the next one may wait there whole.
_AHEAD: Final = 7


@dataclass(frozen=True, slots=True)
class Batching:
    """How a predictor receives requests.

    Attributes:
        max_batch_size: maximum number of requests per call; above 1 the predictor gets lists.
        max_batch_delay: seconds to wait for more requests; 0 takes those that have arrived; None
            learns how long waiting pays.
        collate: ``"list"`` passes a list of decoded inputs, ``"concatenate"`` one input with the
            rows of all requests stacked along axis 0.
        batch_sizes: the numbers of items, or of rows with ``"concatenate"``, that the predictor
            gets, in ascending order; empty for any number. A batch is padded to the next of them
            by repeating its last item or row, and the predictions are cut, for models that are
            compiled for the shape of their input. ``max_batch_size`` is the largest by default.
        retry_one_by_one: whether a batch on which the predictor raises is retried in halves, down
            to single requests, so that only those that cause the error fail; and whether requests
            are predicted again, each alone, if their worker died over another one.
        threads: how many threads call a blocking predictor at the same time.
        max_concurrency: how many requests a worker handles at the same time where the predictor is
            async; None is 32.
        on_bad_record: what happens in a batch transform job if one of the records of a request
            cannot be decoded or predicted: ``"fail"`` fails the request, and so the job;
            ``"placeholder"`` answers that record with a placeholder, and the others as usual.
    """

    max_batch_size: int = 1
    max_batch_delay: float | None = None
    collate: Collate = "list"
    retry_one_by_one: bool = True
    threads: int = 1
    batch_sizes: Sequence[int] = ()
    on_bad_record: OnBadRecord = "fail"
    max_concurrency: int | None = None

    def problem(self) -> str | None:
        """Describe the first invalid option; None if all are valid."""
        for name in ("max_batch_size", "threads", "max_concurrency"):
            value = getattr(self, name)
            if not (_is_count(value) or (value is None and name == "max_concurrency")):
                return f"{name} must be an integer from 1 to {MOST_REQUESTS}, got {value!r}"
        delay = self.max_batch_delay
        if delay is not None and not (
            isinstance(delay, (int, float)) and 0 <= delay <= MOST_SECONDS
        ):
            most = f"from 0 to {MOST_SECONDS}"
            return f"max_batch_delay must be a number of seconds {most}, got {delay!r}"
        for name, choices in (
            ("collate", ("list", "concatenate")),
            ("on_bad_record", ("fail", "placeholder")),
        ):
            if (value := getattr(self, name)) not in choices:
                return f"{name} must be {' or '.join(map(repr, choices))}, got {value!r}"
        if not _are_sizes(self.batch_sizes):
            most = f"from 1 to {MOST_REQUESTS}, in ascending order"
            return f"batch_sizes must be integers {most}, got {self.batch_sizes!r}"
        if self.threads > 1 and self.max_batch_size > 1:
            return "threads and max_batch_size cannot be combined: a batch is one call"
        return None


def _are_sizes(value: object) -> bool:
    if not (isinstance(value, (list, tuple)) and all(map(_is_count, value))):
        return False
    return list(value) == sorted(set(value))


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_REQUESTS


@dataclass(frozen=True, slots=True)
class Concurrency:
    """How many requests a worker handles at the same time, and how.

    Attributes:
        max_batch_size: maximum number of requests per call.
        max_batch_delay: seconds to wait for more requests; None learns how long waiting pays.
        threads: how many threads call a blocking program at the same time.
        is_async: whether calls await and run concurrently in one event loop.
        max_concurrency: how many of them at the same time.
        has_sockets: whether it has WebSockets; as many may be open, besides.
        repeats_lost: whether requests are predicted again if their worker died over another one.
        batch_limits: maximum number of requests per call, by path; empty where there is one path,
            or no batches.
    """

    max_batch_size: int = 1
    max_batch_delay: float | None = None
    threads: int = 1
    is_async: bool = False
    repeats_lost: bool = True
    batch_limits: Mapping[str, int] = field(default_factory=dict)
    max_concurrency: int = ASYNC_LIMIT
    has_sockets: bool = False

    @property
    def is_concurrent(self) -> bool:
        """Whether requests begin and end at times of their own, and not as a batch."""
        return self.is_async or self.threads > 1

    @property
    def limit(self) -> int:
        """How many requests a worker handles at the same time."""
        return self.max_concurrency if self.is_async else max(self.max_batch_size, self.threads)

    @property
    def connections(self) -> int:
        """How many connections to the front end keep one worker busy."""
        ahead = _AHEAD if self.is_concurrent else max(_AHEAD, self.max_batch_size)
        return self.limit + self.sockets + ahead

    @property
    def sockets(self) -> int:
        """How many WebSockets a worker has at the same time, besides its requests."""
        return self.limit if self.has_sockets else 0
