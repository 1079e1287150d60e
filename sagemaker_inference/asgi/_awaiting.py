"""Async programs: requests run at the same time in the event loop of the model's thread."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING

from sagemaker_inference._inference.streams import whole_answers
from sagemaker_inference._worker.concurrency import await_answer

if TYPE_CHECKING:
    from sagemaker_inference._inference.inference_handler import InferenceHandler
    from sagemaker_inference._worker.health_checks import HealthChecks
    from sagemaker_inference.asgi._inbox import Work
    from sagemaker_inference.asgi._model_thread import ModelThread


async def serve(model: ModelThread, handler: InferenceHandler, checks: HealthChecks) -> None:
    """Answer what the thread gets, until it is to end and all is answered.

    Args:
        model: the thread.
        handler: the program.
        checks: its health check.
    """
    loop = asyncio.get_running_loop()
    has_news = asyncio.Event()
    model.inbox.watch(lambda: loop.call_soon_threadsafe(has_news.set))
    running: set[asyncio.Task[None]] = set()
    while not model.inbox.is_closed:
        has_news.clear()
        room = handler.concurrency.limit - len(running)
        works = model.take(0.0, room)[0] if room else []
        for work in works:
            task = loop.create_task(_answer(model, handler, work))
            running.add(task)
            task.add_done_callback(running.discard)
            task.add_done_callback(lambda _: has_news.set())
        if not works and not model.inbox.is_closed:
            with suppress(asyncio.TimeoutError):
                patience = None if checks.wait == inf else checks.wait
                await asyncio.wait_for(has_news.wait(), patience)
        checks.fail()
    if running:
        await asyncio.wait(running)


async def _answer(model: ModelThread, handler: InferenceHandler, work: Work) -> None:
    model.begin([work])
    answering = whole_answers(handler, [work.request])
    model.finish([work], await await_answer(answering, [work.request], model.config.timeout))
