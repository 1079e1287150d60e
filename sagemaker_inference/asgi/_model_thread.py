"""The thread that has the model: it imports the program, loads, answers and cleans up.

It is to a program what the main thread of a worker is: nothing else calls its blocking handlers,
and async ones run in an event loop of this thread, from the load to the end.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from time import monotonic, time
from typing import TYPE_CHECKING, Final

from sagemaker_inference._errors import ErrorCode, PredictionError, ServiceUnavailableError
from sagemaker_inference._http import pings
from sagemaker_inference._http.error_response import error_response
from sagemaker_inference._http.sendable import problem_of_headers, sendable
from sagemaker_inference._inference.batch_window import AT_ONCE, fill, window_for
from sagemaker_inference._inference.inference_handler import run_without_loop
from sagemaker_inference._inference.paths import is_urgent, parts
from sagemaker_inference._inference.program import load_model
from sagemaker_inference._inference.streams import Stream
from sagemaker_inference._log import get_logger
from sagemaker_inference._worker.capture import STREAM_LIMIT, capture_for
from sagemaker_inference._worker.health_checks import HealthChecks
from sagemaker_inference._worker.request_metrics import RequestMetrics, StreamMetrics
from sagemaker_inference.asgi._inbox import Inbox, Work, path_of
from sagemaker_inference.asgi._relay import Relay, send_in_turn

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from sagemaker_inference._config import Config
    from sagemaker_inference._errors import InferenceError
    from sagemaker_inference._http.messages import Request, Response
    from sagemaker_inference._http.pings import Phase
    from sagemaker_inference._inference.inference_handler import InferenceHandler
    from sagemaker_inference._program.concurrency import Concurrency
    from sagemaker_inference.asgi._sockets import Talk
    from sagemaker_inference.asgi._source import Source

logger = get_logger()

_UNHEALTHY: Final = "/ping answers 503 until it succeeds"
_STOPPING: Final = "The server is stopping. Send the request again later."
_ENDED: Final = "the program has ended the thread that has the model; see the log"


class ModelThread:
    """A program, from its import to its end, in a thread.

    Args:
        source: the program.
        model_dir: the folder of the model; None leaves it to the program.
        config: what the environment says.
        gpu_id: the GPU of this process, or None.
        has_docs: whether the program is described.

    Attributes:
        loaded: the program, when its model is loaded; or why it cannot be.
        handler: the program; None before its model is loaded.
        ended: done when the program has cleaned up.
        phase, since: what is going on before that, and since when.
        load_seconds: how long it took to load; 0 before.
        loaded_at: when it was loaded, in seconds since 1970; 0 before.
        inbox: requests that wait for the program.
        has_docs: whether the program is described.
        document: its description, as OpenAPI in JSON; b"" before there is one.
        declared: how the program wants its requests, when it is loaded.
    """

    declared: Concurrency

    def __init__(
        self,
        source: Source,
        model_dir: str | os.PathLike[str] | None,
        config: Config,
        gpu_id: int | None = None,
        *,
        has_docs: bool = False,
    ) -> None:
        self.loaded: Future[InferenceHandler] = Future()
        self.handler: InferenceHandler | None = None
        self.ended: Future[None] = Future()
        for future in (self.loaded, self.ended):
            # Who stops waiting for it must not cancel it: others may wait for it, too.
            future.set_running_or_notify_cancel()
        self.phase: Phase = "importing"
        self.since = pings.now()
        self.load_seconds = self.loaded_at = 0.0
        self.config = config
        self.has_docs = has_docs
        self.document = b""
        self._source = source
        self._model_dir = model_dir
        self._gpu_id = gpu_id
        self.inbox = Inbox()
        self._waiting: set[Work] = set()
        self._running: set[Work] = set()
        self._talking: set[Work] = set()
        self._lock = threading.Lock()
        self._checks: HealthChecks | None = None
        self._stream_metrics: StreamMetrics | None = None
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
        return self.handler is not None

    @property
    def failure(self) -> str:
        """Why the program is not loaded, and will not be; "" where it is, or may be."""
        error = self.loaded.exception() if self.loaded.done() else None
        return "" if error is None else str(error) or type(error).__name__

    @property
    def problem(self) -> str:
        """Why it cannot answer, and loads no model now; "" where it can, or may soon."""
        if failure := self.failure:
            return failure
        if self._has_failed:
            return _ENDED
        late = sum(work.is_late for work in list(self._running))
        if late and late >= self.declared.threads:
            return f"the program is at work for longer than {self.config.timeout:g} s"
        is_unhealthy = self._checks is not None and self._checks.has_failed
        return "the program's health check has failed; see the log" if is_unhealthy else ""

    @property
    def activity(self) -> str:
        """What it is at, for messages."""
        if not self.loaded.done():
            return self.phase
        requests = self.running + self.waiting
        return f"{requests} request(s) in progress" if requests else "@on_shutdown"

    @property
    def running(self) -> int:
        """How many requests the program has got and not answered."""
        return len(self._running)

    @property
    def talking(self) -> int:
        """How many WebSockets are open, or wait for the program."""
        return len(self._talking)

    @property
    def waiting(self) -> int:
        """How many requests wait for the program."""
        return len(self._waiting)

    def submit(self, request: Request, talk: Talk | None = None) -> Work:
        """Have a request answered, or its WebSocket served."""
        work = Work(request, talk)
        self._waiting.add(work)
        if talk is not None:
            self._talking.add(work)
            work.answer.add_done_callback(lambda _: self._talking.discard(work))
        work.answer.add_done_callback(lambda _: self._waiting.discard(work))
        self.inbox.add(work)
        if self._is_over:
            self._give_up()
        return work

    def _run(self) -> None:
        try:
            began = monotonic()
            handler = self._load()
            self.load_seconds, self.loaded_at = monotonic() - began, time()
        except BaseException as error:  # noqa: BLE001 - whoever waits for it gets it
            self.loaded.set_exception(error)
            self.ended.set_result(None)
            return
        self._metrics = RequestMetrics()
        self._capture = capture_for(self.config)
        self._checks = HealthChecks(handler, lambda: None, _UNHEALTHY)
        self.handler = handler
        self.loaded.set_result(handler)
        try:
            self._serve(handler, self._checks)
        except BaseException:
            logger.exception(_ENDED)
            self._has_failed = True
        self._is_over = True
        self._give_up()
        if self._capture is not None:
            self._capture.close()
        handler.close()
        self.ended.set_result(None)

    def _load(self) -> InferenceHandler:
        model_dir = self._source.model_dir(self._model_dir)
        handler = self._source.assembled(self.config)
        if self.has_docs:
            self.document = self._source.described(handler)
        self._enter("loading")
        handler.on_warmup = lambda: self._enter("warming up")
        load_model(handler, model_dir, self._gpu_id, program=self._source.program)
        self.declared = handler.concurrency
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
        concurrency = handler.concurrency
        window, limits = window_for(concurrency), concurrency.batch_limits
        while not self.inbox.is_closed:
            if concurrency is not handler.concurrency:
                concurrency = handler.concurrency
                window, limits = window_for(concurrency), concurrency.batch_limits
            are_batches = window.size > 1
            has_idle_work = are_batches and handler.has_idle_work
            asked = monotonic()
            works, now = self.take(0.0 if has_idle_work else checks.wait, window.size)
            if works and are_batches:
                window.open(len(works), at_once=now - asked < AT_ONCE)
                if not (limits and is_urgent(works, path_of, limits)):
                    fill(works, window, now, self.take, lambda: self.inbox.is_closed)
            if works:
                calls = [works]
                if limits:
                    calls = parts(works, path_of, limits)
                seconds = [self._answer(handler, call) for call in calls]
                window.close(len(works), sum(seconds))
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
            responses = run_without_loop(handler.answer([work.request for work in works]))
        except BaseException as error:  # noqa: BLE001 - a thread of a pool says nothing of it
            responses = self.failures(works, error)
        seconds = responses[0].predict_seconds
        streams = self.finish(works, responses)
        if streams:
            send_in_turn(streams)
        return seconds

    @staticmethod
    def failures(works: Sequence[Work], error: BaseException) -> list[Response]:
        """The answers to requests that got none, for a fault that is not a handler's."""
        logger.error("requests got no answer", exc_info=error)
        return [_failure(work, _died(type(error).__name__)) for work in works]

    def begin(self, works: Sequence[Work]) -> None:
        """Note that the program works on requests."""
        with self._lock:
            self._running.update(works)

    def hang_up(self, work: Work, response: Response) -> None:
        """Note that a WebSocket is over."""
        with self._lock:
            self._running.discard(work)
        work.answer.set_result(response)

    def finish(self, works: Sequence[Work], responses: Sequence[Response]) -> list[Relay]:
        """Pass the answers on; returns those that are streams, which the caller sends."""
        streams: dict[Work, Relay] = {}
        answers = []
        copied = STREAM_LIMIT if self._capture is not None else 0
        for work, response in zip(works, responses, strict=True):
            if _is_open(response):
                on_end = partial(self._end_stream, work)
                streams[work] = Relay(response, self.config, on_end, copied)
                answers.append(response)
            else:
                answers.append(sendable(work.request, response, self.config.response_limit))
        with self._lock:
            self._running.difference_update(works)
            self._running.update(streams)
            if len(works) > 1:
                self._metrics.batch(len(works))
            for work, response in zip(works, answers, strict=True):
                self._metrics.record(response, (work.began or work.arrived) - work.arrived)
        for work, response in zip(works, answers, strict=True):
            work.answer.set_result(response)
            if self._capture is not None and work not in streams:
                self._capture.add(work.request, response)
        return list(streams.values())

    def _end_stream(self, work: Work, relay: Relay) -> None:
        with self._lock:
            self._running.discard(work)
            self._stream_metrics = self._stream_metrics or StreamMetrics()
            self._stream_metrics.record(relay.stream, relay.response)
        if self._capture is not None:
            self._capture.add(work.request, relay.response, relay.stream)

    def _give_up(self) -> None:
        """Answer what nothing can answer any more."""
        error: InferenceError = ServiceUnavailableError(_STOPPING)
        if self._has_failed:
            error = _died(_ENDED)
        while len(self.inbox):
            for work in self.take(0.0, 1 << 30)[0]:
                work.answer.set_result(_failure(work, error))


def _is_open(response: Response) -> bool:
    """Whether a response is a stream whose headers can be sent."""
    stream = response.body
    if not isinstance(stream, Stream):
        return False
    if problem_of_headers(response.headers) is None:
        return True
    # Nothing has gone out yet, and a failure is answered in its place.
    stream.end()
    response.body = b""
    return False


def _died(why: str) -> InferenceError:
    return PredictionError(f"Nothing can answer: {why}.", code=ErrorCode.PROCESS_DIED.value)


def _failure(work: Work, error: InferenceError) -> Response:
    request = work.request
    return error_response(error, request.id, request.accept, path=request.path)
