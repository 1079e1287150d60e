"""Several requests at the same time in one process: async handlers, or threads."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import TYPE_CHECKING

from sagemaker_inference.errors import PredictionTimeoutError
from sagemaker_inference.logging import get_logger
from sagemaker_inference.requests import error_response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sagemaker_inference.backend.loop import Loop, Work
    from sagemaker_inference.requests import Response
    from sagemaker_inference.service import Plan

logger = get_logger()


def run(loop: Loop, plan: Plan) -> None:
    """Serve until the server stops, ``plan.concurrency`` messages at a time."""
    if plan.is_async:
        asyncio.run(_serve(loop, plan.concurrency, lambda work: _await_answer(loop, work)))
        return
    with ThreadPoolExecutor(plan.threads, "predictor") as pool:

        async def in_thread(work: Work) -> list[Response]:
            running = asyncio.get_running_loop()
            return await running.run_in_executor(pool, loop.answer_now, work.requests)

        asyncio.run(_serve(loop, plan.concurrency, in_thread))


async def _await_answer(loop: Loop, work: Work) -> list[Response]:
    try:
        return await asyncio.wait_for(loop.service.answer(work.requests), loop.timeout)
    except asyncio.TimeoutError:
        ids = ", ".join(request.id for request in work.requests)
        logger.error("request %s was given up after %g s", ids, loop.timeout)  # noqa: TRY400
        error = PredictionTimeoutError(f"No prediction within {loop.timeout:g} seconds.")
        return [error_response(error, request.id, request.accept) for request in work.requests]


async def _serve(
    loop: Loop, concurrency: int, answer: Callable[[Work], Awaitable[list[Response]]]
) -> None:
    """One task per message."""
    running_loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    running: set[asyncio.Task[None]] = set()

    async def serve(work: Work | None) -> None:
        while work is not None:
            work = loop.finish(work, await answer(work))

    def finished(task: asyncio.Task[None]) -> None:
        running.discard(task)
        if len(running) == concurrency - 1:
            listen()
        task.result()

    def look() -> None:
        for work in loop.take(loop.epoll.poll(0, concurrency - len(running)), monotonic()):
            task = running_loop.create_task(serve(work))
            running.add(task)
            task.add_done_callback(finished)
        # With every place taken, what is ready stays ready: looking again would spin.
        if loop.stopping or len(running) >= concurrency:
            running_loop.remove_reader(loop.epoll.fileno())
        if loop.stopping:
            stopped.set()

    def listen() -> None:
        if not loop.stopping:
            running_loop.add_reader(loop.epoll.fileno(), look)

    listen()
    await stopped.wait()
    if running:
        await asyncio.wait(running)
