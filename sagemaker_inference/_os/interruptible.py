"""Waits that signals interrupt.

CPython calls the handlers of signals between two instructions. One that comes after the last
instruction before a wait for a lock, and before the wait itself, is handled when the wait is over;
Windows interrupts none of these waits.
"""

from __future__ import annotations

import queue
import time
from concurrent.futures import wait
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

T = TypeVar("T")

# Seconds for which a signal may go unseen.
_STEP: Final = 0.2


def wait_until(is_there: Callable[[float], bool], seconds: float | None = None) -> bool:
    """Wait in short steps; returns whether what is waited for has come.

    Args:
        is_there: waits for so many seconds; returns whether it has come.
        seconds: how long to wait; None for as long as it takes.
    """
    if seconds is None:
        while not is_there(_STEP):
            pass
        return True
    deadline = time.monotonic() + seconds
    while not is_there(max(min(_STEP, seconds), 0.0)):
        seconds = deadline - time.monotonic()
        if seconds <= 0:
            return False
    return True


def wait_for(future: Future[T], seconds: float | None = None) -> bool:
    """Wait for the end of some work; returns whether it has ended."""
    return wait_until(lambda step: bool(wait([future], step).done), seconds)


def next_of(items: queue.SimpleQueue[T] | queue.Queue[T]) -> T:
    """Wait for the next item of a queue, and return it."""
    while True:
        with suppress(queue.Empty):
            return items.get(timeout=_STEP)


def result_of(future: Future[T]) -> T:
    """Wait for the result of some work, and return it."""
    wait_for(future)
    return future.result()
