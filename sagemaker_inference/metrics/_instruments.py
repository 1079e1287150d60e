"""Counters, gauges and histograms, and where this process keeps their numbers."""

from __future__ import annotations

import bisect
import math
import os
import threading
import time
from typing import TYPE_CHECKING, Any, Final, Literal

from sagemaker_inference._errors import RegistrationError
from sagemaker_inference._log import get_logger
from sagemaker_inference.metrics._cells import Area
from sagemaker_inference.metrics._exposition import exposed_names

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Kind = Literal["counter", "gauge", "histogram"]
Summary = Literal["sum", "max", "last"]

# Label values may come from clients: what is kept of them must not grow with what they send.
MOST_SERIES: Final = 100
MOST_CHARACTERS: Final = 200
OTHER: Final = "other"
# Seconds: from a look-up in memory to the 60 s that SageMaker waits for an answer.
DEFAULT_BUCKETS: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
# Those of whoever counts requests (the front end: RouteStats.java), in seconds.
REQUEST_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

logger = get_logger()


class Metric:
    """What all metrics have.

    Args:
        name: its name.
        description: what it counts, in a sentence.
        labels: names of labels, whose values are given with each call.
        place: where it was created, for messages.
    """

    kind: Kind

    def __init__(self, name: str, description: str, labels: Sequence[str], place: str) -> None:
        self.name = name
        self.description = description
        self.labels = tuple(labels)
        self.place = place
        self._series: dict[tuple[str, ...], _Series] = {}
        self._is_full = False

    @property
    def about(self) -> dict[str, Any]:
        """What the reader of its cells has to know."""
        return {"name": self.name, "kind": self.kind, "help": self.description}

    @property
    def size(self) -> int:
        """How many cells a series takes."""
        return 1

    def series(self, values: dict[str, Any]) -> _Series:
        """The numbers of a set of label values.

        Raises:
            TypeError: the labels are not those that the metric has.
        """
        if len(values) != len(self.labels):
            raise TypeError(self._mismatch(values))
        try:
            key = tuple([str(values[label]) for label in self.labels])
        except KeyError:
            raise TypeError(self._mismatch(values)) from None
        series = self._series.get(key)
        return self._new_series(key) if series is None else series

    def _mismatch(self, values: dict[str, Any]) -> str:
        given, wanted = ", ".join(values) or "none", ", ".join(self.labels) or "none"
        return f"the metric {self.name} has the labels {wanted}, and was given {given}"

    def _new_series(self, key: tuple[str, ...]) -> _Series:
        key = tuple(map(bounded_label, key))
        with STATE.lock:
            if key in self._series:
                return self._series[key]
            if len(self._series) >= MOST_SERIES:
                if not self._is_full:
                    self._is_full = True
                    logger.warning(
                        "the metric %s has %d sets of label values; further ones count as %r",
                        self.name,
                        MOST_SERIES,
                        OTHER,
                    )
                key = (OTHER,) * len(self.labels)
            labels = dict(zip(self.labels, key, strict=True))
            return self._series.setdefault(key, _Series(self, labels))

    def forget_cells(self) -> None:
        """Start anew, in another area."""
        for series in list(self._series.values()):
            series.cells = {}


class _Series:
    """The numbers of one set of label values: cells for each thread that feeds them."""

    __slots__ = ("cells", "labels", "metric")

    def __init__(self, metric: Metric, labels: dict[str, str]) -> None:
        self.metric = metric
        self.labels = labels
        # By thread. The number of a thread that has ended may be given to another one, which then
        # goes on with its cells: there is one writer at any time.
        self.cells: dict[int, int] = {}

    def place(self) -> int | None:
        """Where this thread's cells are; None where the area is full."""
        thread = threading.get_ident()
        place = self.cells.get(thread)
        if place is None:
            place = STATE.area.take(self.metric.size, {**self.metric.about, "labels": self.labels})
            if place is None:
                STATE.warn_of_full_area()
                return None
            self.cells[thread] = place
        return place

    def add(self, amount: float, index: int = 0) -> None:
        """Add to a number."""
        place = self.place()
        if place is not None:
            STATE.area.cells[place + index] += amount

    def values(self) -> list[float]:
        """The numbers of all threads, added up."""
        cells, size = STATE.area.cells, self.metric.size
        columns = [cells[place : place + size].tolist() for place in list(self.cells.values())]
        return [sum(numbers) for numbers in zip(*columns, strict=True)] or [0.0] * size


class Counter(Metric):
    """A number that only grows; made by `counter`.

    >>> from sagemaker_inference import metrics
    >>> misses = metrics.counter("cache_misses", "Look-ups that the cache could not answer.")
    >>> misses.inc(2)
    >>> misses.value()
    2.0
    """

    kind = "counter"

    def inc(self, amount: float = 1.0, **labels: Any) -> None:
        """Add to it.

        Args:
            amount: 0 or more.
            labels: a value for each label.

        Raises:
            ValueError: the amount is negative.
        """
        if not amount >= 0:
            message = f"the counter {self.name} cannot go down, by {amount!r}"
            raise ValueError(message)
        self.series(labels).add(amount)

    def value(self, **labels: Any) -> float:
        """What this process has counted."""
        return self.series(labels).values()[0]


class Gauge(Metric):
    """A number that goes up and down; made by `gauge`.

    >>> from sagemaker_inference import metrics
    >>> open_files = metrics.gauge("open_files", "Files that are open.")
    >>> open_files.set(3)
    >>> open_files.value()
    3.0
    """

    kind = "gauge"

    def __init__(
        self,
        name: str,
        description: str,
        labels: Sequence[str],
        place: str,
        over_workers: Summary = "sum",
    ) -> None:
        super().__init__(name, description, labels, place)
        self.over_workers = over_workers

    @property
    def about(self) -> dict[str, Any]:
        """What the reader of its cells has to know."""
        return {**super().about, "over_workers": self.over_workers}

    @property
    def size(self) -> int:
        """The number, and when it was set, in seconds since 1970."""
        return 2

    def set(self, value: float, **labels: Any) -> None:
        """Set it; of several threads of a worker, the last one counts."""
        place = self.series(labels).place()
        if place is not None:
            cells = STATE.area.cells
            cells[place], cells[place + 1] = value, time.time()

    def value(self, **labels: Any) -> float:
        """What was set last in this process; 0 before."""
        cells = STATE.area.cells
        places = list(self.series(labels).cells.values())
        return max(((cells[at + 1], cells[at]) for at in places), default=(0.0, 0.0))[1]


class Histogram(Metric):
    """How many observations were at most so large; made by `histogram`.

    >>> from sagemaker_inference import metrics
    >>> pages = metrics.histogram("pages", "Pages of a document.", buckets=(1, 10, 100))
    >>> pages.observe(12)
    >>> pages.count(), pages.sum()
    (1.0, 12.0)
    """

    kind = "histogram"

    def __init__(
        self,
        name: str,
        description: str,
        labels: Sequence[str],
        place: str,
        buckets: Sequence[float] = DEFAULT_BUCKETS,
    ) -> None:
        super().__init__(name, description, labels, place)
        self.buckets = tuple(buckets)

    @property
    def about(self) -> dict[str, Any]:
        """What the reader of its cells has to know."""
        return {**super().about, "buckets": self.buckets}

    @property
    def size(self) -> int:
        """A number for each bucket, one for what is larger, and the sum."""
        return len(self.buckets) + 2

    def observe(self, value: float, **labels: Any) -> None:
        """Count an observation."""
        place = self.series(labels).place()
        if place is not None:
            cells = STATE.area.cells
            # What is not a number is in no bucket.
            at = len(self.buckets)
            if not math.isnan(value):
                at = bisect.bisect_left(self.buckets, value)
            cells[place + at] += 1
            cells[place + len(self.buckets) + 1] += value

    def recorder(self) -> Callable[[float], None]:
        """The fastest way to observe, for the calling thread alone; without labels.

        It knows what it has written, so that it does not read its cells again.
        """
        place = self.series({}).place()
        if place is None:
            return lambda _value: None
        cells, bounds, bucket = STATE.area.cells, self.buckets, bisect.bisect_left
        first, last = bounds[0], len(bounds) + 1
        total = place + last
        written: list[float] = [*cells[place : total + 1]]

        def record(value: float) -> None:
            # Most of what the server measures at each request is small, or 0.
            at = 0 if value <= first else bucket(bounds, value)
            cells[place + at] = written[at] = written[at] + 1.0
            if value:
                cells[total] = written[last] = written[last] + value

        return record

    def count(self, **labels: Any) -> float:
        """How many observations this process has made."""
        return sum(self.series(labels).values()[:-1])

    def sum(self, **labels: Any) -> float:
        """The sum of this process's observations."""
        return self.series(labels).values()[-1]


class State:
    """The metrics of this process, and where their numbers are."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.metrics: dict[str, Metric] = {}
        self._area: Area | None = None
        self._is_full = False

    @property
    def area(self) -> Area:
        """The cells; memory of this process's own unless a worker has attached others."""
        if self._area is None:
            # Threads may come here together, and have to get the same cells.
            with self.lock:
                self._area = self._area or Area()
        return self._area

    def attach(self, fd: int | None) -> None:
        """Feed other cells from now on, which begin at 0.

        Args:
            fd: a shared area's descriptor, or None for memory of this process's own.
        """
        self._area, self._is_full = None if fd is None else Area(fd), False
        # A thread that a fork has not copied may have held it.
        self.lock = threading.Lock()
        for metric in self.metrics.values():
            metric.forget_cells()

    def warn_of_full_area(self) -> None:
        """Log once that numbers get lost."""
        if not self._is_full:
            self._is_full = True
            logger.warning("there is no room for more metrics; those that come now are not kept")

    def add(self, new: Metric) -> Metric:
        """Keep a metric; the same one again is the one that is there.

        Raises:
            RegistrationError: there is another one of its name.
        """
        with self.lock:
            old = self.metrics.get(new.name) or self._sharing(new)
            if old is None:
                old = self.metrics[new.name] = new
        if old is new or (old.about, old.labels) == (new.about, new.labels):
            return old
        message = (
            f"the metric {new.name} at {new.place} is another one than {old.name} at {old.place}: "
            f"{_described(new)}, not {_described(old)}. Give one of them another name."
        )
        raise RegistrationError(message)

    def _sharing(self, new: Metric) -> Metric | None:
        """The metric that has one of the names under which this one is exposed."""
        names = exposed_names(new.name, new.kind)
        return next(
            (
                old
                for old in self.metrics.values()
                if not names.isdisjoint(exposed_names(old.name, old.kind))
            ),
            None,
        )


def bounded_label(value: str) -> str:
    """The value of a label as it is exposed: clients may have sent anything."""
    return value[:MOST_CHARACTERS].encode(errors="replace").decode()


STATE: Final = State()
# A process that a program forks must not write into cells whose writer is its parent.
if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=lambda: STATE.attach(None))


def _described(metric: Metric) -> str:
    labels = f" with the labels {', '.join(metric.labels)}" if metric.labels else ""
    more = {name: value for name, value in metric.about.items() if name not in ("name", "kind")}
    return f"a {metric.kind}{labels} ({more})"
