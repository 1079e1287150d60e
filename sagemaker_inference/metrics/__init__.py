"""Metrics of a program: counters, gauges, histograms, and decorators that feed them.

>>> from sagemaker_inference import metrics
>>> hits = metrics.counter("cache_hits", "Look-ups that the cache answered.", labels=("kind",))
>>> hits.inc(kind="tokens")
>>> hits.value(kind="tokens")
1.0

A worker's numbers are in memory that the supervisor reads; anywhere else they are just kept, so
that a test can read them. Feeding a metric takes neither a lock nor a system call: each thread has
numbers of its own.
"""

from __future__ import annotations

import bisect
import inspect
import os
import re
import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, cast

from sagemaker_inference._errors import RegistrationError
from sagemaker_inference._log import get_logger
from sagemaker_inference.metrics._cells import Area

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Counter", "Gauge", "Histogram", "counted", "counter", "gauge", "histogram", "timed"]

_Function = TypeVar("_Function", bound="Callable[..., Any]")
Kind = Literal["counter", "gauge", "histogram"]
Summary = Literal["sum", "max", "last"]

# https://prometheus.io/docs/concepts/data_model/
_NAME: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL: Final = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")
# The server's own metrics begin so.
RESERVED: Final = "sagemaker_"
# Label values may come from clients: what is kept of them must not grow with what they send.
MOST_SERIES: Final = 100
OTHER: Final = "other"
# Seconds: from a look-up in memory to the 60 s that SageMaker waits for an answer.
DEFAULT_BUCKETS: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)

logger = get_logger()


class _Metric:
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
        with _STATE.lock:
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

    def __init__(self, metric: _Metric, labels: dict[str, str]) -> None:
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
            place = _STATE.area.take(self.metric.size, {**self.metric.about, "labels": self.labels})
            if place is None:
                _STATE.warn_of_full_area()
                return None
            self.cells[thread] = place
        return place

    def add(self, amount: float, index: int = 0) -> None:
        """Add to a number."""
        place = self.place()
        if place is not None:
            _STATE.area.cells[place + index] += amount

    def values(self) -> list[float]:
        """The numbers of all threads, added up."""
        cells, size = _STATE.area.cells, self.metric.size
        columns = [cells[place : place + size].tolist() for place in list(self.cells.values())]
        return [sum(numbers) for numbers in zip(*columns, strict=True)] or [0.0] * size


class Counter(_Metric):
    """A number that only grows; made by `counter`."""

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


class Gauge(_Metric):
    """A number that goes up and down; made by `gauge`."""

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
            cells = _STATE.area.cells
            cells[place], cells[place + 1] = value, time.time()

    def value(self, **labels: Any) -> float:
        """What was set last in this process; 0 before."""
        cells = _STATE.area.cells
        places = list(self.series(labels).cells.values())
        return max(((cells[at + 1], cells[at]) for at in places), default=(0.0, 0.0))[1]


class Histogram(_Metric):
    """How many observations were at most so large; made by `histogram`."""

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
            cells = _STATE.area.cells
            cells[place + bisect.bisect_left(self.buckets, value)] += 1
            cells[place + len(self.buckets) + 1] += value

    def recorder(self) -> Callable[[float], None]:
        """The fastest way to observe, for the calling thread alone; without labels."""
        place = self.series({}).place()
        if place is None:
            return lambda _value: None
        cells, bounds, bucket = _STATE.area.cells, self.buckets, bisect.bisect_left
        total = place + len(bounds) + 1

        def record(value: float) -> None:
            cells[place + bucket(bounds, value)] += 1
            cells[total] += value

        return record

    def count(self, **labels: Any) -> float:
        """How many observations this process has made."""
        return sum(self.series(labels).values()[:-1])

    def sum(self, **labels: Any) -> float:
        """The sum of this process's observations."""
        return self.series(labels).values()[-1]


class _State:
    """The metrics of this process, and where their numbers are."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.metrics: dict[str, _Metric] = {}
        self._area: Area | None = None
        self._is_full = False

    @property
    def area(self) -> Area:
        """The cells; memory of this process's own unless a worker has attached others."""
        if self._area is None:
            self._area = Area()
        return self._area

    def attach(self, fd: int | None) -> None:
        """Feed other cells from now on, which begin at 0.

        Args:
            fd: a shared area's descriptor, or None for memory of this process's own.
        """
        self._area, self._is_full = None if fd is None else Area(fd), False
        for metric in self.metrics.values():
            metric.forget_cells()

    def warn_of_full_area(self) -> None:
        """Log once that numbers get lost."""
        if not self._is_full:
            self._is_full = True
            logger.warning("there is no room for more metrics; those that come now are not kept")

    def add(self, new: _Metric) -> _Metric:
        """Keep a metric; the same one again is the one that is there.

        Raises:
            RegistrationError: there is another one of its name.
        """
        with self.lock:
            old = self.metrics.setdefault(new.name, new)
        if old is new or (old.about, old.labels) == (new.about, new.labels):
            return old
        message = (
            f"the metric {new.name} at {new.place} is another one than that at {old.place}: "
            f"{_described(new)}, not {_described(old)}. Give one of them another name."
        )
        raise RegistrationError(message)


_STATE: Final = _State()
# A process that a program forks must not write into cells whose writer is its parent.
os.register_at_fork(after_in_child=lambda: _STATE.attach(None))


def attach(fd: int) -> None:
    """Put this process's numbers where another process reads them; a worker calls it once."""
    _STATE.attach(fd)


def reset() -> None:
    """Forget all metrics, for tests."""
    _STATE.metrics.clear()
    _STATE.attach(None)


def counter(name: str, description: str, *, labels: Sequence[str] = ()) -> Counter:
    """Create a counter, or get the one of this name.

    >>> failures = counter("tokenizer_failures", "Texts that could not be tokenized.")
    >>> failures.inc()

    Args:
        name: letters, digits and underscores; ``_total`` is appended where it is exposed.
        description: what it counts, in a sentence.
        labels: names of labels; each call gives a value for each. At most 100 sets of values are
            told apart.

    Raises:
        RegistrationError: a name cannot be used, or another metric has it.
    """
    place = _check(name, labels)
    name = name.removesuffix("_total")
    return cast("Counter", _STATE.add(Counter(name, description, labels, place)))


def gauge(
    name: str, description: str, *, labels: Sequence[str] = (), over_workers: Summary = "sum"
) -> Gauge:
    """Create a gauge, or get the one of this name.

    >>> cached = gauge("cached_prompts", "Prompts in the cache.", over_workers="max")
    >>> cached.set(3)

    Args:
        name: as for `counter`, with nothing appended.
        description: as for `counter`.
        labels: as for `counter`.
        over_workers: what is exposed of the workers' numbers: their ``"sum"``, the ``"max"``, or
            the one that was set ``"last"``.

    Raises:
        RegistrationError: as for `counter`, or ``over_workers`` is none of these.
    """
    place = _check(name, labels)
    if over_workers not in ("sum", "max", "last"):
        message = f"the gauge {name} at {place}: over_workers must be 'sum', 'max' or 'last'"
        raise RegistrationError(message)
    return cast("Gauge", _STATE.add(Gauge(name, description, labels, place, over_workers)))


def histogram(
    name: str,
    description: str,
    *,
    labels: Sequence[str] = (),
    buckets: Sequence[float] = DEFAULT_BUCKETS,
) -> Histogram:
    """Create a histogram, or get the one of this name.

    >>> lengths = histogram("prompt_tokens", "Tokens of a prompt.", buckets=(16, 64, 256, 1024))
    >>> lengths.observe(100)

    Args:
        name: as for `counter`, with nothing appended.
        description: as for `counter`.
        labels: as for `counter`.
        buckets: upper bounds, ascending; by default seconds, from 0.001 to 60.

    Raises:
        RegistrationError: as for `counter`, or the buckets do not ascend.
    """
    place = _check(name, labels)
    bounds = tuple(float(bound) for bound in buckets)
    if not bounds or any(not low < high for low, high in pairwise(bounds)):
        message = f"the histogram {name} at {place}: buckets must ascend, got {buckets!r}"
        raise RegistrationError(message)
    return cast("Histogram", _STATE.add(Histogram(name, description, labels, place, bounds)))


def server_histogram(
    name: str, description: str, buckets: Sequence[float] = DEFAULT_BUCKETS
) -> Histogram:
    """Create a histogram of the server itself, whose names programs cannot take."""
    made = Histogram(name, description, (), "the server", tuple(buckets))
    return cast("Histogram", _STATE.add(made))


def timed(name: str, description: str = "") -> Callable[[_Function], _Function]:
    """Decorate a function, method or coroutine: a histogram gets the seconds of each call.

    >>> @timed("tokenize_seconds")
    ... def tokenize(text):
    ...     return text.split()

    Args:
        name: the histogram's name.
        description: what it measures; by default "Seconds of" and the function's name.

    Raises:
        RegistrationError: as for `histogram`.
    """

    def decorate(function: _Function) -> _Function:
        measured = histogram(name, description or f"Seconds of {function.__qualname__}.")

        def wrapper(wrapped: Any, _instance: Any, arguments: Any, options: Any) -> Any:
            if inspect.iscoroutinefunction(wrapped):
                return time_awaited(wrapped(*arguments, **options))
            began = time.perf_counter()
            try:
                return wrapped(*arguments, **options)
            finally:
                measured.observe(time.perf_counter() - began)

        async def time_awaited(coroutine: Any) -> Any:
            began = time.perf_counter()
            try:
                return await coroutine
            finally:
                measured.observe(time.perf_counter() - began)

        return _wrapped(function, wrapper)

    return decorate


def counted(
    name: str, description: str = "", *, on: type[BaseException] | None = None
) -> Callable[[_Function], _Function]:
    """Decorate a function, method or coroutine: a counter gets its calls, or its failures.

    >>> @counted("bad_prices", on=ValueError)
    ... def price(text):
    ...     return float(text)

    Args:
        name: the counter's name.
        description: what it counts; by default that and the function's name.
        on: count only calls that raise this; None counts all calls.

    Raises:
        RegistrationError: as for `counter`.
    """

    def decorate(function: _Function) -> _Function:
        what = "Calls of" if on is None else f"Calls that raised {on.__name__}:"
        number = counter(name, description or f"{what} {function.__qualname__}.")

        def wrapper(wrapped: Any, _instance: Any, arguments: Any, options: Any) -> Any:
            if on is None:
                number.inc()
                return wrapped(*arguments, **options)
            if inspect.iscoroutinefunction(wrapped):
                return count_awaited(wrapped(*arguments, **options), on)
            try:
                return wrapped(*arguments, **options)
            except on:
                number.inc()
                raise

        async def count_awaited(coroutine: Any, kind: type[BaseException]) -> Any:
            try:
                return await coroutine
            except kind:
                number.inc()
                raise

        return _wrapped(function, wrapper)

    return decorate


def _wrapped(function: _Function, wrapper: Callable[..., Any]) -> _Function:
    # A proxy keeps what other decorators and inspect ask for: signature, binding, coroutines.
    import wrapt

    return cast("_Function", wrapt.FunctionWrapper(function, wrapper))


def _check(name: str, labels: Sequence[str]) -> str:
    """Refuse names that Prometheus has not; returns the caller's place."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__") == __name__:
        frame = frame.f_back
    place = f"{frame.f_code.co_filename}, line {frame.f_lineno}" if frame else "an unknown place"
    problem = ""
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        problem = f"{name!r} is not a name: use letters, digits and underscores"
    elif name.startswith(RESERVED):
        problem = f"{name} begins with {RESERVED}, as the server's own metrics do"
    elif isinstance(labels, str):
        problem = f"labels must be a list or tuple of names, got {labels!r}"
    else:
        bad = [label for label in labels if not _LABEL.fullmatch(str(label)) or label == "le"]
        problem = f"{bad[0]!r} is not the name of a label" if bad else ""
    if problem:
        message = f"a metric at {place}: {problem}."
        raise RegistrationError(message)
    return place


def _described(metric: _Metric) -> str:
    labels = f" with the labels {', '.join(metric.labels)}" if metric.labels else ""
    more = {name: value for name, value in metric.about.items() if name not in ("name", "kind")}
    return f"a {metric.kind}{labels} ({more})"
