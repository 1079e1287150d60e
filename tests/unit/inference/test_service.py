import asyncio

import pytest

from sagemaker_inference._inference.service import Plan, run


def test_a_coroutine_that_never_waits_runs_without_a_loop():
    async def answer():
        return 5

    assert run(answer()) == 5


def test_what_a_coroutine_raises_passes_through():
    async def answer():
        raise KeyError

    with pytest.raises(KeyError):
        run(answer())


def test_a_coroutine_that_waits_is_refused():
    async def answer():
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="a handler that is not async waited"):
        run(answer())


@pytest.mark.parametrize(
    ("plan", "concurrency"),
    [
        (Plan(), 1),
        (Plan(max_batch_size=8), 8),
        (Plan(threads=4), 4),
        (Plan(is_async=True), Plan._ASYNC_CONCURRENCY),
    ],
)
def test_a_process_has_more_connections_than_it_works_on(plan, concurrency):
    assert plan.concurrency == concurrency
    assert plan.slots > concurrency
