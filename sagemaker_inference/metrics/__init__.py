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

import inspect
import math
import re
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from sagemaker_inference._errors import RegistrationError
from sagemaker_inference.metrics._instruments import (
    DEFAULT_BUCKETS,
    STATE,
    Counter,
    Gauge,
    Histogram,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sagemaker_inference.metrics._instruments import Summary

__all__ = ["Counter", "Gauge", "Histogram", "counted", "counter", "gauge", "histogram", "timed"]

_Function = TypeVar("_Function", bound="Callable[..., Any]")

# https://prometheus.io/docs/concepts/data_model/
_NAME: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL: Final = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")
# The server's own metrics begin so.
RESERVED: Final = "sagemaker_"


def attach(fd: int) -> None:
    """Put this process's numbers where another process reads them; a worker calls it once."""
    STATE.attach(fd)


def reset() -> None:
    """Forget all metrics, for tests."""
    STATE.metrics.clear()
    STATE.attach(None)


def counter(name: str, description: str, *, labels: Sequence[str] = ()) -> Counter:
    """Create a counter, or get the one of this name.

    >>> failures = counter("tokenizer_failures", "Texts that could not be tokenized.")
    >>> failures.inc()

    Args:
        name: letters, digits and underscores; ``_total`` is appended where it is exposed.
        description: what it counts, in a sentence.
        labels: names of labels; each call gives a value for each. At most 100 sets of values are
            told apart, and of a value the first 200 characters.

    Raises:
        RegistrationError: a name cannot be used, or another metric has it.
    """
    place = _check(name, labels)
    name = name.removesuffix("_total") or name
    return cast("Counter", STATE.add(Counter(name, description, labels, place)))


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
    return cast("Gauge", STATE.add(Gauge(name, description, labels, place, over_workers)))


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
    try:
        bounds = tuple(float(bound) for bound in buckets)
    except (TypeError, ValueError):
        bounds = ()
    if bounds and bounds[-1] == math.inf:
        bounds = bounds[:-1]  # which is always there
    is_usable = all(map(math.isfinite, bounds)) and all(
        low < high for low, high in pairwise(bounds)
    )
    if not (bounds and is_usable):
        message = (
            f"the histogram {name} at {place}: buckets must be numbers that ascend, got {buckets!r}"
        )
        raise RegistrationError(message)
    return cast("Histogram", STATE.add(Histogram(name, description, labels, place, bounds)))


def server_histogram(
    name: str, description: str, buckets: Sequence[float] = DEFAULT_BUCKETS
) -> Histogram:
    """Create a histogram of the server itself, whose names programs cannot take."""
    made = Histogram(name, description, (), "the server", tuple(buckets))
    return cast("Histogram", STATE.add(made))


def server_counter(name: str, description: str, *, labels: Sequence[str] = ()) -> Counter:
    """Create a counter of the server itself."""
    return cast("Counter", STATE.add(Counter(name, description, labels, "the server")))


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
        if not problem and len({*labels}) < len(labels):
            problem = f"a label is there twice: {', '.join(labels)}"
    if problem:
        message = f"a metric at {place}: {problem}."
        raise RegistrationError(message)
    return place
