"""Several requests at the same time in one process: async handlers, or threads."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from math import inf

# Looked up before the program is imported: gevent replaces it in its module.
from select import POLLIN, poll
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, cast

from sagemaker_inference._inference.awaiting import await_answer
from sagemaker_inference._inference.batch_window import window_for
from sagemaker_inference._log import get_logger
from sagemaker_inference._worker.calls import answers_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from sagemaker_inference._http.messages import Response
    from sagemaker_inference._inference.inference_handler import InferenceHandler
    from sagemaker_inference._program.concurrency import Concurrency
    from sagemaker_inference._worker.async_senders import AsyncStreams
    from sagemaker_inference._worker.loop import Loop
    from sagemaker_inference._worker.work import Work

logger = get_logger()

# So often, a loop shows the supervisor that no call blocks it; a few microseconds each time.
_BEAT_SECONDS: Final = 0.25
# After so long, a WebSocket that was left to other workers is handed out again.
_LEFT_SECONDS: Final = 0.02


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

    if loop.servable.concurrency.max_batch_size > 1:
        await _Batches(loop, streams).serve()
    else:
        await _serve(loop, concurrency, in_loop)


async def _serve(
    loop: Loop, concurrency: int, answer: Callable[[Work, float], Awaitable[list[Response]]]
) -> None:
    await _Requests(loop, concurrency, answer).serve()


async def _begin(loop: Loop, work: Work, taken: float) -> list[Response]:
    # A coroutine that blocks may have run since.
    work.waited += monotonic() - taken
    return await loop.servable.answer(work.requests)


class _Tasks(ABC):
    """Has what arrives answered by tasks, until the server stops."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._asyncio_loop = asyncio.get_running_loop()
        self._running: set[asyncio.Task[None]] = set()
        self._is_listening = False
        # Until all that run are answered: for a request that has to run alone, or since one does.
        self._waits_for_all = False
        # Nothing runs, and nothing had come when that was looked for: what comes has just come.
        self._is_resting = False
        self._stopped = asyncio.Event()
        self._fault: BaseException | None = None

    async def serve(self) -> None:
        """Serve until the server stops and what runs is answered.

        A fault outside the handlers ends the worker, as it does where requests come one by one:
        what runs beside it is answered first, and its own connection ends with the process.
        """
        self._listen()
        self._beat()
        self._check_later()
        await self._stopped.wait()
        if self._running:
            await asyncio.wait(self._running)
        if self._fault is not None:
            raise self._fault

    @property
    def _busy(self) -> int:
        """How many requests run; WebSockets have places of their own, and stay for long."""
        return len(self._running) - self._loop.sockets.used

    @property
    def _unanswered(self) -> int:
        """How many requests run that another worker could still answer; streams may last."""
        return self._busy - len(self._loop.streams.limits.begun)

    def _beat(self) -> None:
        self._loop.beat()
        if self._waits_for_all and not self._unanswered:
            self._go_on()
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
            self._is_resting = not self._busy

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
        self._loop.hand_out_left()
        self._asyncio_loop.remove_reader(self._loop.epoll.fileno())
        self._stopped.set()

    def _listen(self) -> None:
        if not self._is_listening:
            self._is_listening = True
            self._asyncio_loop.add_reader(self._loop.epoll.fileno(), self._look)

    def _go_on(self) -> None:
        """Take requests again."""
        if not self._loop.stopping and self._has_room:
            self._listen()

    @property
    def _has_room(self) -> bool:
        """Whether one more could run."""
        return True

    @abstractmethod
    def _look(self) -> None:
        """Take what has arrived."""

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._asyncio_loop.create_task(coroutine)
        self._running.add(task)
        task.add_done_callback(self._finished)
        self._is_resting = False

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        try:
            task.result()
        except (Exception, asyncio.CancelledError) as fault:  # noqa: BLE001 - raised by `serve`
            self._fault = fault
            self._leave()
        if not (self._waits_for_all and self._unanswered):
            self._go_on()
        if not self._busy:
            self._rest_soon()


class _Requests(_Tasks):
    """One task per message, as many as ``concurrency`` at a time."""

    def __init__(
        self,
        loop: Loop,
        concurrency: int,
        answer: Callable[[Work, float], Awaitable[list[Response]]],
    ) -> None:
        super().__init__(loop)
        self._concurrency = concurrency
        self._answer = answer
        # How many were taken whose tasks have not run yet.
        self._unbegun = 0
        self._news = poll()
        self._news.register(loop.epoll.fileno(), POLLIN)
        loop.streams.limits.has_newcomers = self._has_newcomers

    def _has_newcomers(self) -> bool:
        """Whether requests have come that have not begun; takes those that there is room for."""
        if self._is_listening and not self._unbegun and self._news.poll(0):
            self._look()
        return self._unbegun > 0

    @property
    def _has_room(self) -> bool:
        return self._busy < self._concurrency

    def _look(self) -> None:
        loop, free = self._loop, self._concurrency - self._busy
        ready, now = loop.epoll.poll(0, free), monotonic()
        at_once = not self._is_resting
        for work in loop.take(ready, now, at_once=at_once, is_busy=bool(self._unanswered)):
            self._unbegun += 1
            self._start(self._serve_one(work, now))
        if loop.sockets.has_left:
            self._asyncio_loop.call_later(_LEFT_SECONDS, loop.hand_out_left)
        self._waits_for_all = loop.is_alone or loop.has_deferred
        # With every place taken, what is ready stays ready: looking again would spin.
        if loop.stopping or self._waits_for_all or not self._has_room:
            self._is_listening = False
            self._asyncio_loop.remove_reader(loop.epoll.fileno())
        if loop.stopping:
            self._stopped.set()

    async def _serve_one(self, work: Work | None, taken: float) -> None:
        self._unbegun -= 1
        while work is not None:
            work = self._loop.finish(work, await self._answer(work, taken))
            taken = monotonic()


class _Batches(_Tasks):
    """One batch at a time, in a task of its own, and its window in the event loop."""

    def __init__(self, loop: Loop, streams: AsyncStreams) -> None:
        super().__init__(loop)
        self._streams = streams
        self._window = window_for(loop.servable.concurrency)
        self._batch: list[Work] = []
        self._opened = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def _leave(self) -> None:
        super()._leave()
        self._begin()

    def _look(self) -> None:
        loop, window = self._loop, self._window
        ready, now = loop.epoll.poll(0, window.size - len(self._batch)), monotonic()
        at_once = not self._is_resting
        works = loop.take(ready, now, at_once=at_once, is_busy=bool(self._batch))
        if works and not self._batch:
            window.open(len(works), at_once=at_once)
            self._opened = now
        self._batch += works
        if loop.stopping:
            self._leave()
            return
        patience = 0.0
        if not (loop.is_alone or loop.has_deferred or loop.calls.is_urgent(self._batch)):
            patience = window.patience(len(self._batch), now - self._opened)
        if not patience:
            self._begin()
        elif self._timer is None:
            self._timer = self._asyncio_loop.call_later(patience, self._begin)

    def _begin(self) -> None:
        """Have the batch predicted, if there is one; the next one is taken afterwards."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batch, self._batch = self._batch, []
        if batch:
            self._is_listening = False
            self._asyncio_loop.remove_reader(self._loop.epoll.fileno())
            self._start(self._serve_batch(batch, monotonic()))

    async def _serve_batch(self, works: list[Work], taken: float) -> None:
        loop, window = self._loop, self._window
        while works:
            followers: list[Work] = []
            seconds = 0.0
            for call in loop.calls.of(works):
                more, predicting = await self._answer_call(call, taken)
                followers += more
                seconds += predicting
            if loop.calls.are_by_path:
                window.close(len(works), seconds)
            works, taken = followers, monotonic()

    async def _answer_call(self, works: list[Work], taken: float) -> tuple[list[Work], float]:
        """Answer requests; returns what came behind them, and how long they were predicted."""
        loop = self._loop
        loop.batch = works
        now = monotonic()
        for work in works:
            work.waited += now - taken
        requests = [request for work in works for request in work.requests]
        answering = loop.servable.answer(requests)
        responses = await await_answer(answering, requests, loop.timeout)
        loop.note_batch(responses, self._window, closes=not loop.calls.are_by_path)
        seconds = responses[0].predict_seconds
        answers = answers_of(works, responses)
        followers = await asyncio.gather(*(self._send(*answer) for answer in answers))
        loop.batch = []
        return [work for work in followers if work is not None], seconds

    async def _send(self, work: Work, responses: list[Response]) -> Work | None:
        await self._streams.send(work, responses)
        return self._loop.finish(work, responses)
