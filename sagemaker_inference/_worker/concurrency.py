"""Several requests at the same time in one process: async handlers, or threads."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, cast

from sagemaker_inference._errors import PredictionError, PredictionTimeoutError
from sagemaker_inference._http.error_response import error_response
from sagemaker_inference._log import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from sagemaker_inference._errors import InferenceError
    from sagemaker_inference._http.messages import Request, Response
    from sagemaker_inference._inference.inference_handler import InferenceHandler
    from sagemaker_inference._program.concurrency import Concurrency
    from sagemaker_inference._worker.loop import Loop
    from sagemaker_inference._worker.work import Work

logger = get_logger()

# So often, a loop shows the supervisor that no call blocks it; a few microseconds each time.
_BEAT_SECONDS: Final = 0.25


def serve(loop: Loop, concurrency: Concurrency) -> None:
    """Serve until the server stops, ``concurrency.limit`` messages at a time."""
    if concurrency.is_async:
        # Only programs with async handlers are; these may have opened something in their loop.
        handler = cast("InferenceHandler", loop.servable)
        handler.run(_serve_in_loop(loop, concurrency.limit))
        return
    with ThreadPoolExecutor(concurrency.threads, "predictor") as pool:

        async def in_thread(work: Work, _taken: float) -> list[Response]:
            running = asyncio.get_running_loop()
            return await running.run_in_executor(pool, _answer_here, loop, work)

        asyncio.run(_serve(loop, concurrency.limit, in_thread))


def _answer_here(loop: Loop, work: Work) -> list[Response]:
    responses = loop.answer_now(work.requests)
    loop.streams.send(work, responses)
    return responses


async def _serve_in_loop(loop: Loop, concurrency: int) -> None:
    # Not where answers are awaited without a worker: sockets of Linux are not everywhere.
    from sagemaker_inference._worker.async_senders import AsyncStreams

    streams = AsyncStreams(loop.streams)

    async def in_loop(work: Work, taken: float) -> list[Response]:
        answering = _begin(loop, work, taken)
        responses = await await_answer(answering, work.requests, loop.timeout)
        await streams.send(work, responses)
        return responses

    await _serve(loop, concurrency, in_loop)


async def _serve(
    loop: Loop, concurrency: int, answer: Callable[[Work, float], Awaitable[list[Response]]]
) -> None:
    await _Tasks(loop, concurrency, answer).serve()


def uncancel(task: Any) -> None:
    """Have a task that was cancelled go on, as if it never was."""
    # Before Python 3.11, tasks do not count.
    for _ in range(getattr(task, "cancelling", int)()):
        task.uncancel()


async def await_answer(
    answering: Coroutine[Any, Any, list[Response]], requests: Sequence[Request], timeout: float
) -> list[Response]:
    """Answer requests within a time limit, whatever the program does with its tasks.

    Args:
        answering: answers them.
        requests: the requests.
        timeout: the limit, in seconds; after it, the answers say so.
    """
    # In this task, as `asyncio.wait_for` does only from Python 3.12 on: what a generator opens
    # before its first item and closes after the last may belong to its task.
    task = cast("asyncio.Task[None]", asyncio.current_task())
    is_late = False

    def give_up() -> None:
        nonlocal is_late
        is_late = True
        task.cancel()

    timer = asyncio.get_running_loop().call_later(timeout, give_up)
    error: InferenceError
    try:
        return await answering
    except asyncio.CancelledError:
        ids = ", ".join(request.id for request in requests)
        if is_late:
            uncancel(task)
            logger.error("request %s was given up after %g s", ids, timeout)  # noqa: TRY400
            error = PredictionTimeoutError(f"No prediction within {timeout:g} s.")
        else:
            # Nobody else here cancels: user code did, or something that it awaits.
            logger.error("request %s was cancelled by the program", ids)  # noqa: TRY400
            error = PredictionError("The request was cancelled by the program that serves it.")
    finally:
        timer.cancel()
    return [error_response(error, request.id, request.accept) for request in requests]


async def _begin(loop: Loop, work: Work, taken: float) -> list[Response]:
    # A coroutine that blocks may have run since.
    work.waited += monotonic() - taken
    return await loop.servable.answer(work.requests)


class _Tasks:
    """One task per message, as many as ``concurrency`` at a time."""

    def __init__(
        self,
        loop: Loop,
        concurrency: int,
        answer: Callable[[Work, float], Awaitable[list[Response]]],
    ) -> None:
        self._loop = loop
        self._concurrency = concurrency
        self._answer = answer
        self._asyncio_loop = asyncio.get_running_loop()
        self._running: set[asyncio.Task[None]] = set()
        self._is_listening = False
        # Until nothing runs: for a request that has to run alone, or since one does.
        self._waits_for_all = False
        # Nothing runs, and nothing had come when that was looked for: what comes has just come.
        self._is_resting = False
        self._stopped = asyncio.Event()

    async def serve(self) -> None:
        """Serve until the server stops and what runs is answered."""
        self._listen()
        self._beat()
        self._check_later()
        await self._stopped.wait()
        if self._running:
            await asyncio.wait(self._running)

    def _beat(self) -> None:
        self._loop.beat()
        if self._loop.is_dismissed:
            self._leave()
        else:
            self._asyncio_loop.call_later(_BEAT_SECONDS, self._beat)
            self._rest_soon()

    def _rest_soon(self) -> None:
        """Note, once the event loop has looked for requests, whether any has come."""
        if self._is_listening:
            # The next turn begins with that look; its outcome is known in the one after.
            call_soon = self._asyncio_loop.call_soon
            call_soon(call_soon, self._rest, monotonic())

    def _rest(self, since: float) -> None:
        if self._is_listening:
            self._loop.note_quiet(since)
            self._is_resting = not self._running

    def _check_later(self) -> None:
        wait = self._loop.checks.wait
        if wait < inf:
            self._asyncio_loop.call_later(wait, self._check)

    def _check(self) -> None:
        if self._loop.stopping:
            return
        if self._loop.checks.fail():
            self._leave()
        else:
            self._check_later()

    def _leave(self) -> None:
        """Take no more requests; those that are running are still answered."""
        self._loop.stopping = True
        self._asyncio_loop.remove_reader(self._loop.epoll.fileno())
        self._stopped.set()

    def _listen(self) -> None:
        if not self._is_listening:
            self._is_listening = True
            self._asyncio_loop.add_reader(self._loop.epoll.fileno(), self._look)

    def _look(self) -> None:
        loop, free = self._loop, self._concurrency - len(self._running)
        ready, now = loop.epoll.poll(0, free), monotonic()
        at_once = not self._is_resting
        for work in loop.take(ready, now, at_once=at_once, is_busy=bool(self._running)):
            task = self._asyncio_loop.create_task(self._serve_one(work, now))
            self._running.add(task)
            task.add_done_callback(self._finished)
            self._is_resting = False
        self._waits_for_all = loop.is_alone or loop.has_deferred
        # With every place taken, what is ready stays ready: looking again would spin.
        if loop.stopping or self._waits_for_all or len(self._running) >= self._concurrency:
            self._is_listening = False
            self._asyncio_loop.remove_reader(loop.epoll.fileno())
        if loop.stopping:
            self._stopped.set()

    async def _serve_one(self, work: Work | None, taken: float) -> None:
        while work is not None:
            work = self._loop.finish(work, await self._answer(work, taken))
            taken = monotonic()

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not (self._loop.stopping or (self._waits_for_all and self._running)):
            self._listen()
        if not self._running:
            self._rest_soon()
        task.result()
