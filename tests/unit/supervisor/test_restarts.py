"""Pauses between the starts of workers, with a clock that the test turns."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagemaker_inference._supervisor.restarts import Backoff, Restarts

if TYPE_CHECKING:
    from collections.abc import Callable


class FakeLoop:
    """Timers, and a clock that goes to the next of them."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def after(self, seconds: float, callback: Callable[[], None]) -> None:
        self.timers.append((self.now + seconds, callback))

    def run(self) -> None:
        """Let all timers come."""
        while self.timers:
            timer = min(self.timers, key=lambda timer: timer[0])
            self.timers.remove(timer)
            self.now = timer[0]
            timer[1]()


def test_pauses_double_up_to_half_a_minute() -> None:
    backoff = Backoff()
    delays = [backoff.next_delay() for _ in range(12)]
    assert delays == pytest.approx([0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30])
    backoff.reset()
    assert backoff.next_delay() == 0


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_every_failure_is_followed_by_a_start_after_its_pause(had_started_well: list[bool]) -> None:
    loop = FakeLoop()
    restarts = Restarts(loop)  # type: ignore[arg-type]
    starts: list[float] = []
    row = 0
    for is_well in had_started_well:
        # One that had started well is the first of a row, as the first of all is.
        row = 0 if is_well or not starts else row + 1
        failed = loop.now
        restarts.add(3, lambda: starts.append(loop.now), had_started_well=is_well)
        assert restarts.is_waiting(3) == (row > 0)
        loop.run()
        assert not restarts.is_waiting(3)
        expected = min(0.1 * 2 ** (row - 1), 30) if row else 0
        assert starts[-1] - failed == pytest.approx(expected)
    assert len(starts) == len(had_started_well)


@given(st.lists(st.integers(0, 3), max_size=40))
def test_places_wait_for_themselves_and_each_pause_is_logged_once(places: list[int]) -> None:
    loop = FakeLoop()
    restarts = Restarts(loop)  # type: ignore[arg-type]
    lines = Lines()
    logger = logging.getLogger("sagemaker-inference")
    logger.addHandler(lines)
    starts: list[int] = []
    for place in places:
        restarts.add(place, lambda place=place: starts.append(place))  # type: ignore[misc]
        loop.run()
    logger.removeHandler(lines)
    assert starts == places
    assert len(lines.texts) == len(places) - len(set(places))


class Lines(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def test_what_could_not_be_started_at_all_is_not_tried_again_at_once() -> None:
    loop = FakeLoop()
    restarts = Restarts(loop)  # type: ignore[arg-type]
    starts: list[float] = []
    restarts.add(0, lambda: starts.append(loop.now), is_at_once=False)
    assert starts == []
    # A second failure within the pause changes nothing.
    restarts.add(0, lambda: starts.append(-1.0))
    loop.run()
    assert starts == [0.1]
