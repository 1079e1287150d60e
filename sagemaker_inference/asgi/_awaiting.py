"""Async programs: requests, or one batch, run in the event loop of the model's thread."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING

from sagemaker_inference._inference.awaiting import await_answer
from sagemaker_inference._inference.batch_window import window_for
from sagemaker_inference._inference.paths import is_urgent, parts
from sagemaker_inference.asgi._inbox import path_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagemaker_inference._inference.inference_handler import InferenceHandler
    from sagemaker_inference._worker.health_checks import HealthChecks
    from sagemaker_inference.asgi._inbox import Work
    from sagemaker_inference.asgi._model_thread import ModelThread
    from sagemaker_inference.asgi._relay import Relay
    from sagemaker_inference.asgi._sockets import Talk


async def serve(model: ModelThread, handler: InferenceHandler, checks: HealthChecks) -> None:
    """Answer what the thread gets, until it is to end and all is answered.

    Args:
        model: the thread.
        handler: the program.
        checks: its health check.
    """
    if model.declared.max_batch_size > 1:
        await _Batches(model, handler, checks).serve()
    else:
        await _serve_requests(model, handler, checks)


async def _serve_requests(
    model: ModelThread, handler: InferenceHandler, checks: HealthChecks
) -> None:
    loop = asyncio.get_running_loop()
    has_news = asyncio.Event()
    model.inbox.watch(lambda: loop.call_soon_threadsafe(has_news.set))
    running: set[asyncio.Task[None]] = set()
    talks: set[Talk] = set()
    while not model.inbox.is_closed:
        has_news.clear()
        # WebSockets have places of their own, of which no more are asked for than there are.
        room = handler.concurrency.limit - (len(running) - len(talks))
        works = model.take(0.0, room)[0] if room else []
        for work in works:
            if work.talk is not None:
                talks.add(work.talk)
                task = loop.create_task(_talk(model, handler, work, work.talk, talks))
            else:
                task = loop.create_task(_answer(model, handler, work))
            running.add(task)
            task.add_done_callback(running.discard)
            task.add_done_callback(lambda _: has_news.set())
        if not works and not model.inbox.is_closed:
            with suppress(asyncio.TimeoutError):
                patience = None if checks.wait == inf else checks.wait
                await asyncio.wait_for(has_news.wait(), patience)
        checks.fail()
    for talk in talks:
        talk.stop()
    if running:
        await asyncio.wait(running)


async def _answer(model: ModelThread, handler: InferenceHandler, work: Work) -> None:
    _, streams = await _predict(model, handler, [work])
    # In this task: what a generator opens may belong to it.
    for relay in streams:
        await relay.send()


async def _predict(
    model: ModelThread, handler: InferenceHandler, works: Sequence[Work]
) -> tuple[float, list[Relay]]:
    """Have the program predict; returns for how many seconds it did, and what is to be sent."""
    model.begin(works)
    requests = [work.request for work in works]
    try:
        responses = await await_answer(handler.answer(requests), requests, model.config.timeout)
    except Exception as error:  # noqa: BLE001 - this package's own, and nobody else hears of it
        responses = model.failures(works, error)
    return responses[0].predict_seconds, model.finish(works, responses)


async def _talk(
    model: ModelThread, handler: InferenceHandler, work: Work, talk: Talk, talks: set[Talk]
) -> None:
    model.begin([work])
    try:
        response = await talk.run(handler, model.config.timeout)
    finally:
        talks.discard(talk)
    model.hang_up(work, response)


class _Batches:
    """One batch at a time, in a task of its own; a program with WebSockets takes none.

    Args:
        model: the thread.
        handler: the program.
        checks: its health check.
    """

    def __init__(self, model: ModelThread, handler: InferenceHandler, checks: HealthChecks) -> None:
        self._model = model
        self._handler = handler
        self._checks = checks
        self._loop = asyncio.get_running_loop()
        self._has_news = asyncio.Event()
        self._concurrency = handler.concurrency
        self._window = window_for(self._concurrency)
        self._checking: asyncio.TimerHandle | None = None

    async def serve(self) -> None:
        """Answer what the thread gets, until it is to end."""
        inbox = self._model.inbox
        inbox.watch(lambda: self._loop.call_soon_threadsafe(self._has_news.set))
        self._check_later()
        # Whether what comes was there when the batch before had been answered.
        at_once = True
        while not inbox.is_closed:
            if self._concurrency is not self._handler.concurrency:
                self._concurrency = self._handler.concurrency
                self._window = window_for(self._concurrency)
            works, now = self._take(self._window.size)
            if works:
                self._window.open(len(works), at_once=at_once)
                await self._fill(works, now)
                # Whatever the program does to the task that calls it, it is not this one.
                await asyncio.wait({self._loop.create_task(self._answer(works))})
            elif not inbox.is_closed:
                await self._has_news.wait()
            at_once = bool(works)
        if self._checking is not None:
            self._checking.cancel()

    def _take(self, room: int) -> tuple[list[Work], float]:
        self._has_news.clear()
        return self._model.take(0.0, room)

    async def _fill(self, works: list[Work], opened: float) -> None:
        """Add what arrives while the window of a batch is open."""
        limits = self._concurrency.batch_limits
        now = opened
        while not (self._model.inbox.is_closed or (limits and is_urgent(works, path_of, limits))):
            patience = self._window.patience(len(works), now - opened)
            if not patience:
                return
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._has_news.wait(), patience)
            more, now = self._take(self._window.size - len(works))
            works += more

    async def _answer(self, works: list[Work]) -> None:
        limits = self._concurrency.batch_limits
        seconds = 0.0
        for call in parts(works, path_of, limits) if limits else [works]:
            predicting, streams = await _predict(self._model, self._handler, call)
            seconds += predicting
            await asyncio.gather(*(relay.send() for relay in streams))
        self._window.close(len(works), seconds)

    def _check_later(self) -> None:
        if self._checks.wait < inf:
            self._checking = self._loop.call_later(self._checks.wait, self._check)

    def _check(self) -> None:
        self._checks.fail()
        self._check_later()
