"""Windows of batches, with simulated clients, predictions and time."""

from __future__ import annotations

import heapq
import random
from statistics import fmean, median
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagemaker_inference._inference.batch_window import (
    AdaptiveWindow,
    FixedCost,
    FixedWindow,
    window_for,
)
from sagemaker_inference._program.concurrency import Concurrency

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sagemaker_inference._inference.batch_window import BatchWindow

# Seconds to decode a request, encode its prediction and send the answer.
OVERHEAD = 60e-6


class Run(NamedTuple):
    """What came of a simulation: sizes of batches, and seconds of requests and altogether."""

    batches: list[int]
    waits: list[float]
    seconds: float

    @property
    def rate(self) -> float:
        return sum(self.batches) / self.seconds


def simulate(
    window: BatchWindow,
    predict: Callable[[int], float],
    arrivals: list[float],
    *,
    comes_again: bool = False,
    count: int = 2000,
) -> Run:
    """Serve requests as a worker does.

    Args:
        window: the window.
        predict: seconds that a prediction takes, by the size of the batch.
        arrivals: when requests come.
        comes_again: whether each client sends its next request 0.2 to 0.6 ms after its answer.
        count: how many batches to simulate.
    """
    chance = random.Random(0)  # noqa: S311 - no secret
    waiting = sorted(arrivals)
    now, batches, waits = 0.0, [], []

    def take(room: int) -> Iterator[float]:
        while waiting and waiting[0] <= now and room > 0:
            room -= 1
            yield heapq.heappop(waiting)

    while waiting and len(batches) < count:
        at_once = waiting[0] <= now
        start = now = max(now, waiting[0])
        batch = list(take(window.size))
        window.open(len(batch), at_once=at_once)
        while (patience := window.patience(len(batch), now - start)) > 1e-9:  # of rounding
            comes = waiting and waiting[0] <= now + patience
            now = max(now, waiting[0]) if comes else now + patience
            batch += take(window.size - len(batch))
        seconds = predict(len(batch))
        now += seconds
        window.close(len(batch), seconds)
        batches.append(len(batch))
        for arrival in batch:
            now += OVERHEAD
            waits.append(now - arrival)
            if comes_again:
                heapq.heappush(waiting, now + chance.uniform(0.0002, 0.0006))
    return Run(batches, waits, now)


def clients(count: int) -> list[float]:
    chance = random.Random(count)  # noqa: S311 - no secret
    return [chance.uniform(0, 0.01) for _ in range(count)]


def at_random(rate: float, count: int = 4000) -> list[float]:
    chance, now, times = random.Random(1), 0.0, []  # noqa: S311 - no secret
    for _ in range(count):
        now += chance.expovariate(rate)
        times.append(now)
    return times


def in_bursts(count: int, spread: float, gap: float, bursts: int = 60) -> list[float]:
    chance = random.Random(2)  # noqa: S311 - no secret
    return [
        number * gap + chance.uniform(0, spread) for number in range(bursts) for _ in range(count)
    ]


def of_5_ms(_count: int) -> float:
    return 0.005


PREDICTIONS = {
    "fixed": of_5_ms,
    "by row": lambda count: 0.0001 * count,
    "both": lambda count: 0.001 + 0.00005 * count,
}


@pytest.mark.parametrize("count", [2, 4, 16, 64])
def test_clients_that_come_again_share_a_batch(count: int) -> None:
    run = simulate(AdaptiveWindow(64), of_5_ms, clients(count), comes_again=True)
    assert fmean(run.batches[50:]) > 0.95 * count


@pytest.mark.parametrize("count", [1, 2, 4, 16, 64, 256])
@pytest.mark.parametrize("predict", PREDICTIONS.values(), ids=PREDICTIONS)
def test_waiting_costs_no_throughput(predict: Callable[[int], float], count: int) -> None:
    eager = simulate(FixedWindow(64, 0), predict, clients(count), comes_again=True)
    adaptive = simulate(AdaptiveWindow(64), predict, clients(count), comes_again=True)
    assert adaptive.rate > 0.98 * eager.rate


@pytest.mark.parametrize("rate", [20, 100, 300, 1000])
def test_requests_at_random_wait_for_nobody(rate: float) -> None:
    eager = simulate(FixedWindow(64, 0), of_5_ms, at_random(rate))
    adaptive = simulate(AdaptiveWindow(64), of_5_ms, at_random(rate))
    assert median(adaptive.waits) < 1.02 * median(eager.waits)


@settings(max_examples=30)
@given(
    st.sampled_from(sorted(PREDICTIONS)),
    st.integers(1, 64),
    st.floats(0, 0.01),
    st.floats(0.03, 0.5),
)
def test_bursts_wait_hardly_longer_than_without_a_window(
    kind: str, count: int, spread: float, gap: float
) -> None:
    predict, arrivals = PREDICTIONS[kind], in_bursts(count, spread, gap)
    eager = simulate(FixedWindow(64, 0), predict, arrivals)
    adaptive = simulate(AdaptiveWindow(64), predict, arrivals)
    assert fmean(adaptive.waits) < 1.04 * fmean(eager.waits)
    assert len(adaptive.batches) <= len(eager.batches)


@given(st.integers(1, 64), st.integers(1, 64))
def test_a_burst_that_comes_at_once_is_one_batch(small: int, large: int) -> None:
    arrivals = in_bursts(small, 0, 0.1) + [100 + time for time in in_bursts(large, 0, 0.1)]
    run = simulate(AdaptiveWindow(64), of_5_ms, arrivals)
    assert run.batches == [small] * 60 + [large] * 60


def test_a_lone_client_never_waits() -> None:
    one = simulate(FixedWindow(1, 0), of_5_ms, clients(1), comes_again=True)
    assert simulate(AdaptiveWindow(64), of_5_ms, clients(1), comes_again=True) == one


def test_clients_that_leave_are_soon_forgotten_and_new_ones_found() -> None:
    window = AdaptiveWindow(64)
    simulate(window, of_5_ms, clients(64), comes_again=True, count=100)
    few = simulate(window, of_5_ms, clients(4), comes_again=True, count=200)
    assert few.batches[100:] == [4] * 100
    more = simulate(window, of_5_ms, clients(32), comes_again=True, count=400)
    assert fmean(more.batches[200:]) > 0.95 * 32


def test_a_full_batch_does_not_wait() -> None:
    run = simulate(AdaptiveWindow(8), of_5_ms, clients(64), comes_again=True)
    assert fmean(run.batches[10:]) > 7.9


@given(
    st.lists(st.floats(0, 10), min_size=1, max_size=200),
    st.integers(1, 16),
    st.floats(0, 1),
    st.floats(0, 0.1),
)
def test_every_request_is_in_one_batch_and_none_is_too_large(
    arrivals: list[float], size: int, fixed: float, by_row: float
) -> None:
    run = simulate(AdaptiveWindow(size), lambda count: fixed + by_row * count, arrivals)
    assert sum(run.batches) == len(arrivals)
    assert max(run.batches) <= size


@given(st.lists(st.floats(0, 10), min_size=1, max_size=100), st.integers(2, 16))
def test_nothing_waits_longer_than_a_tenth_of_a_second(arrivals: list[float], size: int) -> None:
    window = AdaptiveWindow(size)
    window.close(size, 100.0)
    window.open(1, at_once=True)
    assert window.patience(1, 0.0) == 0.1
    run = simulate(window, of_5_ms, arrivals)
    assert run.seconds <= max(arrivals) + len(arrivals) * (0.1 + 0.005 + OVERHEAD) + 1e-6


def test_a_number_is_kept_to() -> None:
    window = window_for(Concurrency(max_batch_size=4, max_batch_delay=0.5))
    window.open(1, at_once=False)
    assert [window.patience(1, 0.0), window.patience(1, 0.4), window.patience(1, 0.6)] == [
        0.5,
        pytest.approx(0.1),
        0.0,
    ]
    assert window.patience(4, 0.0) == 0.0


def test_without_a_number_the_window_learns() -> None:
    assert isinstance(window_for(Concurrency(max_batch_size=4)), AdaptiveWindow)


def test_the_fixed_cost_is_where_the_line_of_times_begins() -> None:
    cost, chance = FixedCost(), random.Random(0)  # noqa: S311 - no secret
    cost.add(1, 8.0)  # compiles the model
    for _ in range(200):
        count = chance.randint(1, 32)
        cost.add(count, 0.004 + 0.001 * count)
    assert cost.seconds == pytest.approx(0.004, rel=0.05)
    before = cost.seconds
    cost.add(16, 30.0)  # the machine was busy
    assert cost.seconds < 3 * before


def test_batches_of_one_size_teach_no_slope() -> None:
    cost = FixedCost()
    for _ in range(100):
        cost.add(8, 0.01)
    assert cost.seconds == pytest.approx(0.01)
