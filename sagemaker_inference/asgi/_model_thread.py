"""The thread that has the model: it imports the program, loads, answers and cleans up.

It is to a program what the main thread of a worker is: nothing else calls its blocking handlers,
and async ones run in an event loop of this thread, from the load to the end.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from time import monotonic
from typing import TYPE_CHECKING, Final

from sagemaker_inference._errors import ErrorCode, PredictionError, ServiceUnavailableError
from sagemaker_inference._http import pings
from sagemaker_inference._http.error_response import error_response
from sagemaker_inference._http.sendable import sendable
from sagemaker_inference._inference.batch_window import AT_ONCE, fill, window_for
from sagemaker_inference._inference.inference_handler import run_without_loop
from sagemaker_inference._inference.program import load_model
from sagemaker_inference._inference.streams import whole_answers
from sagemaker_inference._log import get_logger
from sagemaker_inference._worker.health_checks import HealthChecks
from sagemaker_inference._worker.request_metrics import RequestMetrics
from sagemaker_inference.asgi._inbox import Inbox, Work

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagemaker_inference._config import Config
    from sagemaker_inference._errors import InferenceError
    from sagemaker_inference._http.messages import Request, Response
    from sagemaker_inference._http.pings import Phase
    from sagemaker_inference._inference.inference_handler import InferenceHandler
    from sagemaker_inference.asgi._source import Source

logger = get_logger()

_UNHEALTHY: Final = "/ping answers 503 until it succeeds"
_STOPPING: Final = "The server is stopping. Send the request again later."
_ENDED: Final = "the program has ended the thread that has the model; see the log"


class ModelThread:
    """A program, from its import to its end, in a thread.

    Args:
        source: the program.
        model_dir: the folder of the model.
        config: what the environment says.

    Attributes:
        loaded: the program, when its model is loaded; or why it cannot be.
        ended: done when the program has cleaned up.
        phase, since: what is going on before that, and since when.
        load_seconds: how long it took to load; 0 before.
        inbox: requests that wait for the program.
    """

    def __init__(self, source: Source, model_dir: str, config: Config) -> None:
        self.loaded: Future[InferenceHandler] = Future()
        self.ended: Future[None] = Future()
        for future in (self.loaded, self.ended):
            # Who stops waiting for it must not cancel it: others may wait for it, too.
            future.set_running_or_notify_cancel()
        self.phase: Phase = "importing"
        self.since = pings.now()
        self.load_seconds = 0.0
        self.config = config
        self._source = source
        self._model_dir = model_dir
        self.inbox = Inbox()
        self._waiting: set[Work] = set()
        self._running: set[Work] = set()
        self._lock = threading.Lock()
        self._checks: HealthChecks | None = None
        self._has_failed = False
        self._is_over = False
        # Where nobody ends it, as where a client has no lifespan, it must not keep the process.
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)

    def start(self) -> None:
        """Start it."""
        self._thread.start()

    def close(self) -> None:
        """Have it answer what it has got and end; see `ended`."""
        self.inbox.close()

    @property
    def is_loaded(self) -> bool:
        """Whether it can answer, or could once."""
        return self.loaded.done() and self.loaded.exception() is None

    @property
    def problem(self) -> str:
        """Why it cannot answer though it has loaded the model; "" where it can."""
        if self._has_failed:
            return _ENDED
        is_unhealthy = self._checks is not None and self._checks.has_failed
        return "the program's health check has failed; see the log" if is_unhealthy else ""

    @property
    def running(self) -> int:
        """How many requests the program has got and not answered."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """How many requests wait for the program."""
        return len(self._waiting)

    def submit(self, request: Request) -> Work:
        """Have a request answered."""
        work = Work(request)
        self._waiting.add(work)
        work.answer.add_done_callback(lambda _: self._waiting.discard(work))
        self.inbox.add(work)
        if self._is_over:
            self._give_up()
        return work

    def _run(self) -> None:
        try:
            began = monotonic()
            handler = self._load()
            self.load_seconds = monotonic() - began
        except BaseException as error:  # noqa: BLE001 - whoever waits for it gets it
            self.loaded.set_exception(error)
            self.ended.set_result(None)
            return
        self._metrics = RequestMetrics()
        self._checks = HealthChecks(handler, lambda: None, _UNHEALTHY)
        self.loaded.set_result(handler)
        try:
            self._serve(handler, self._checks)
        except BaseException:
            logger.exception(_ENDED)
            self._has_failed = True
        self._is_over = True
        self._give_up()
        handler.close()
        self.ended.set_result(None)

    def _load(self) -> InferenceHandler:
        handler = self._source.assembled(self.config)
        self._enter("loading")
        handler.on_warmup = lambda: self._enter("warming up")
        load_model(handler, self._model_dir, program=self._source.program)
        return handler

    def _enter(self, phase: Phase) -> None:
        self.phase, self.since = phase, pings.now()

    def _serve(self, handler: InferenceHandler, checks: HealthChecks) -> None:
        concurrency = handler.concurrency
        if concurrency.is_async:
            # A program that awaits nothing never pays for asyncio.
            from sagemaker_inference.asgi import _awaiting

            handler.run(_awaiting.serve(self, handler, checks))
        elif concurrency.threads > 1:
            with ThreadPoolExecutor(concurrency.threads, "predictor") as pool:
                while not self.inbox.is_closed:
                    works, _ = self.take(checks.wait, 1)
                    for work in works:
                        pool.submit(self._answer, handler, [work])
                    checks.fail()
        else:
            self._serve_batches(handler, checks)

    def _serve_batches(self, handler: InferenceHandler, checks: HealthChecks) -> None:
        window = window_for(handler.concurrency)
        are_batches = window.size > 1
        while not self.inbox.is_closed:
            has_idle_work = are_batches and handler.has_idle_work
            asked = monotonic()
            works, now = self.take(0.0 if has_idle_work else checks.wait, window.size)
            if works and are_batches:
                window.open(len(works), at_once=now - asked < AT_ONCE)
                fill(works, window, now, self.take, lambda: self.inbox.is_closed)
            if works:
                seconds = self._answer(handler, works)
                window.close(len(works), seconds)
            elif has_idle_work:
                handler.use_idle_time()
            checks.fail()

    def take(self, patience: float, room: int) -> tuple[list[Work], float]:
        """Take requests that somebody waits for; see `Inbox.take`."""
        works, now = self.inbox.take(patience, room)
        self._waiting.difference_update(works)
        return [work for work in works if work.begin()], now

    def _answer(self, handler: InferenceHandler, works: Sequence[Work]) -> float:
        """Answer requests; returns how long the program predicted, in seconds."""
        self.begin(works)
        try:
            responses = run_without_loop(whole_answers(handler, [work.request for work in works]))
        except BaseException as error:
            logger.exception("requests got no answer")
            responses = [_failure(work, _died(type(error).__name__)) for work in works]
        self.finish(works, responses)
        return responses[0].predict_seconds

    def begin(self, works: Sequence[Work]) -> None:
        """Note that the program works on requests."""
        with self._lock:
            self._running.update(works)

    def finish(self, works: Sequence[Work], responses: Sequence[Response]) -> None:
        """Pass the answers on."""
        limit = self.config.response_limit
        answers = [
            sendable(work.request, response, limit)
            for work, response in zip(works, responses, strict=True)
        ]
        with self._lock:
            self._running.difference_update(works)
            if len(works) > 1:
                self._metrics.batch(len(works))
            for work, response in zip(works, answers, strict=True):
                self._metrics.record(response, (work.began or work.arrived) - work.arrived)
        for work, response in zip(works, answers, strict=True):
            work.answer.set_result(response)

    def _give_up(self) -> None:
        """Answer what nothing can answer any more."""
        error: InferenceError = ServiceUnavailableError(_STOPPING)
        if self._has_failed:
            error = _died(_ENDED)
        while len(self.inbox):
            for work in self.take(0.0, 1 << 30)[0]:
                work.answer.set_result(_failure(work, error))


def _died(why: str) -> InferenceError:
    return PredictionError(f"Nothing can answer: {why}.", code=ErrorCode.PROCESS_DIED.value)


def _failure(work: Work, error: InferenceError) -> Response:
    return error_response(error, work.request.id, work.request.accept)
