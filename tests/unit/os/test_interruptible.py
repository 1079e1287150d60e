"""Waits end by what they wait for, or by their limit; `test_signals` has signals end them."""

from __future__ import annotations

import queue
import threading
import time
from concurrent.futures import Future

import pytest

from sagemaker_inference._os.interruptible import next_of, result_of, wait_for, wait_until


def later(act: object, *values: object) -> None:
    assert callable(act)
    threading.Timer(0.5, act, values).start()


def test_work_that_ends_while_it_is_waited_for() -> None:
    work: Future[int] = Future()
    later(work.set_result, 3)
    assert result_of(work) == 3
    assert wait_for(work, 0.0)


def test_work_that_fails() -> None:
    work: Future[int] = Future()
    work.set_exception(KeyError("a"))
    with pytest.raises(KeyError, match="a"):
        result_of(work)


def test_an_item_that_comes_later() -> None:
    items: queue.SimpleQueue[str] = queue.SimpleQueue()
    later(items.put, "a")
    assert next_of(items) == "a"


@pytest.mark.parametrize("seconds", [-1.0, 0.0, 0.1, 0.5])
def test_a_limit(seconds: float) -> None:
    began = time.monotonic()
    steps: list[float] = []

    def look(step: float) -> bool:
        steps.append(step)
        time.sleep(step)
        return False

    assert not wait_until(look, seconds)
    assert time.monotonic() - began >= seconds
    assert all(0.0 <= step <= 0.2 for step in steps)
