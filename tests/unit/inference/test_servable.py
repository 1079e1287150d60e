import asyncio

import pytest

from sagemaker_inference._inference.inference_handler import run_without_loop
from sagemaker_inference._program.concurrency import Concurrency


def test_a_coroutine_that_never_waits_runs_without_a_loop():
    async def answer():
        return 5

    assert run_without_loop(answer()) == 5


def test_what_a_coroutine_raises_passes_through():
    async def answer():
        raise KeyError

    with pytest.raises(KeyError):
        run_without_loop(answer())


def test_a_coroutine_that_waits_is_refused():
    async def answer():
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="a handler that is not async awaited"):
        run_without_loop(answer())


@pytest.mark.parametrize(
    ("concurrency", "limit"),
    [
        (Concurrency(), 1),
        (Concurrency(max_batch_size=8), 8),
        (Concurrency(threads=4), 4),
        (Concurrency(is_async=True), 32),
    ],
)
def test_a_worker_has_more_connections_than_it_handles_at_a_time(concurrency, limit):
    assert concurrency.limit == limit
    assert concurrency.connections > limit
