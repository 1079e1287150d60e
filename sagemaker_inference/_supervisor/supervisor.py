"""Owns the models and the front end: starts them, watches them, ends them.

One process with one thread and one loop; no user code is ever imported here. What it promises:

- `/ping` is 503 until every model is loaded; a load that fails ends everything, with exit code 1;
- a worker that dies or hangs is replaced, and what it was working on gets an answer;
- whatever ends, ends all: no process is left behind.

With many models, which are loaded over HTTP, `/ping` is 200 at once, and what becomes of one of
them is no concern of the others.
"""

from __future__ import annotations

import contextlib
import signal
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from sagemaker_inference import _variables
from sagemaker_inference._errors import StartError
from sagemaker_inference._http import execution_parameters
from sagemaker_inference._ipc import slots
from sagemaker_inference._ipc.messages import MODEL_NAME
from sagemaker_inference._log import escaped, get_logger, logging_to
from sagemaker_inference._os import resources
from sagemaker_inference._os.background import BackgroundProcess
from sagemaker_inference._os.event_loop import EventLoop
from sagemaker_inference._os.orphans import OrphanReaper
from sagemaker_inference._os.output import LogStream, Outputs
from sagemaker_inference._os.runtime_dir import PrivateFolder
from sagemaker_inference._os.signals import STOPPING, Signals, signal_name
from sagemaker_inference._program import location
from sagemaker_inference._program.paths import INVOCATIONS, OPENAI_MODELS
from sagemaker_inference._program.paths import OPENAPI as OPENAPI_PATH
from sagemaker_inference._supervisor import emf, metrics, serving_line
from sagemaker_inference._supervisor.deployment import Surroundings
from sagemaker_inference._supervisor.emf import EmbeddedMetrics
from sagemaker_inference._supervisor.execution_parameters import ExecutionParameters
from sagemaker_inference._supervisor.front_end import FrontEndProcess
from sagemaker_inference._supervisor.health import Health
from sagemaker_inference._supervisor.installer import Installer
from sagemaker_inference._supervisor.management import Management
from sagemaker_inference._supervisor.model_repository import Model, ModelRepository
from sagemaker_inference._supervisor.openai_models import OpenAIModels
from sagemaker_inference._supervisor.openapi import OpenAPI
from sagemaker_inference._supervisor.port import check_port
from sagemaker_inference._supervisor.slot_pool import SlotPool
from sagemaker_inference._supervisor.worker_records import Records

if TYPE_CHECKING:
    from sagemaker_inference._frontends.base import FrontEnd
    from sagemaker_inference._supervisor.front_end import Request
    from sagemaker_inference._supervisor.outcome import Outcome
    from sagemaker_inference._supervisor.settings import Settings

logger = get_logger()

# SageMaker kills a container 30 s after SIGTERM: requests get most of that, the rest is for us.
DRAIN_SECONDS: Final = 20.0
STOP_SECONDS: Final = 22.5
# For whoever reads the log slowly to read its end.
LAST_LINES_SECONDS: Final = 1.0
# For a front end that still has answers to pass on when its time is over.
_LAST_ANSWERS_SECONDS: Final = 0.2
_TICK_SECONDS: Final = 1.0
_BACKGROUND_SECONDS: Final = 10.0
_ROUTES: Final = (INVOCATIONS, f"/models/{MODEL_NAME}/invoke", f"/predictions/{MODEL_NAME}")
_WITH_PAGE: Final = ("prometheus", "both")
_OK, _FAILED = 0, 1


class Supervisor:
    """Runs a server until it is told to stop or can't go on.

    Args:
        settings: what to serve.
        front_end: what serves HTTP.
        reap_strangers: whether to reap processes that others left behind, as pid 1 must.
    """

    def __init__(
        self, settings: Settings, front_end: FrontEnd, *, reap_strangers: bool = False
    ) -> None:
        self._settings = settings
        self._front_end_kind = front_end
        # Children of this program's other code are not ours to reap.
        self._orphans = OrphanReaper() if reap_strangers else None
        self._exit_code: int | None = None
        self._is_serving = False
        self._is_port_open = False
        self._line = ""
        self._stop_began = 0.0
        self._background: BackgroundProcess | None = None
        self._is_forced = False
        self._lines: EmbeddedMetrics | None = None

    def run(self) -> int:
        """Serve; returns the exit code.

        Raises:
            StartError: the server could not start; nothing is left running.
        """
        settings = self._settings
        if not (settings.config.multi_model or Path(settings.model_dir).is_dir()):
            message = (
                f"the model directory {settings.model_dir} does not exist. Create it, or set "
                f"{_variables.BASE_DIR.name} or serve(__name__, model_dir=...)."
            )
            raise StartError(message)
        check_port(settings.host, settings.config.port)
        resources.raise_descriptor_limit(slots.LEAST_DESCRIPTORS)
        with contextlib.ExitStack() as stack:
            self._folder = PrivateFolder()
            stack.callback(self._folder.close)
            self._loop = EventLoop()
            stack.callback(self._loop.close)
            slots.reserve(range(slots.count()))
            self._outputs = Outputs(self._loop)
            stack.callback(self._close_outputs)
            stack.enter_context(logging_to(LogStream(self._outputs.err)))
            try:
                return self._run()
            except OSError as error:
                if self._is_serving:
                    raise
                message = (
                    f"the server cannot start: {error}. The system has refused it a file, a "
                    "process or memory: raise that limit (ulimit -a), or free some."
                )
                raise StartError(message) from error

    def _close_outputs(self) -> None:
        self._outputs.close(0.0 if self._is_forced else LAST_LINES_SECONDS)

    def _run(self) -> int:
        settings, outputs = self._settings, self._outputs
        self._front_end = FrontEndProcess(
            self._front_end_kind, self._loop, self._folder.path, outputs, self
        )
        is_asked_for = settings.config.metrics in _WITH_PAGE
        self._records = Records(
            lambda name: self._repository.find(name) is not None,
            str(Path(self._folder.path, "prometheus")) if is_asked_for else "",
        )
        surroundings = Surroundings(
            self._loop, self._front_end, self._folder.path, SlotPool(), self._records, outputs
        )
        self._repository = ModelRepository(surroundings, self)
        self._installer = Installer(self._loop, self._folder.path, outputs, self._on_installed)
        self._health = Health(
            self._repository, self._front_end, has_many=settings.config.multi_model
        )
        signals = Signals(self._loop, self._on_signal)
        try:
            self._front_end.start()
            self._serve_metrics()
            if not settings.config.multi_model:
                self._serve_execution_parameters()
                self._openai_models = OpenAIModels(self._front_end, settings.model_name)
                self._openapi = OpenAPI(self._front_end, settings.openapi)
                self._openapi.offer()
            if settings.config.ping_while_loading:
                self._open()
            if settings.requirements:
                self._health.is_installing = True
                self._installer.start(settings.requirements)
            else:
                self._serve()
            self._loop.every(_TICK_SECONDS, self._tick)
            while self._exit_code is None:
                self._loop.turn()
                if self._is_port_open and not settings.config.multi_model:
                    self._health.check()
            if self._exit_code != _OK:
                self._write_metrics()  # before a good end, they are written
        finally:
            self._end_all()
            signals.close()
        return self._exit_code

    def _serve_metrics(self) -> None:
        self._metrics = metrics.Metrics(
            self._loop,
            self._repository,
            self._front_end,
            self._records,
            lambda: self._health.state,
            has_many=self._settings.config.multi_model,
        )
        if self._settings.config.metrics in _WITH_PAGE:
            self._front_end.ask([metrics.PATH], metrics.PATH)
        if self._settings.config.metrics in ("emf", "both"):
            self._lines = EmbeddedMetrics(
                self._metrics.families, LogStream(self._outputs.err).write
            )
            self._loop.every(emf.SECONDS, lambda: self._metrics.collect(self._write_metrics))

    def _write_metrics(self, *, has_gauges: bool = True) -> None:
        """Write what has come since the last lines, where metrics are lines."""
        if self._lines is not None:
            self._lines.write(has_gauges=has_gauges)

    def _end_with_metrics(self, *, has_gauges: bool = True) -> None:
        """End well, when the last lines are written."""

        def end() -> None:
            self._write_metrics(has_gauges=has_gauges)
            self._exit_code = _OK

        self._metrics.collect(end)

    def _on_installed(self, code: int) -> None:
        self._health.is_installing = False
        if code != _OK:
            self._exit_code = _FAILED
        elif self._exit_code is None:
            self._serve()

    def _serve(self) -> None:
        """Serve what there is to serve.

        Raises:
            StartError: there is no program.
        """
        settings = self._settings
        if settings.config.multi_model:
            self._serve_many()
            return
        if settings.program is None and not settings.handler_service:
            self._settings = replace(settings, program=location.find(settings.model_dir))
        self._serve_one()

    def _serve_execution_parameters(self) -> None:
        """Tell batch transform jobs what to send; jobs have one model."""

        def find() -> dict[str, Any] | None:
            model = self._repository.find(self._settings.model_name)
            deployment, report = (model.deployment, model.report) if model else (None, None)
            if not self._health.is_loaded or deployment is None or report is None:
                return None
            workers = deployment.workers.target
            config, reads_rows = self._settings.config, report.reads_rows
            return execution_parameters.parameters(
                config, workers, report.limit, reads_rows=reads_rows
            )

        self._execution_parameters = ExecutionParameters(self._front_end, find)
        self._front_end.ask([execution_parameters.PATH], execution_parameters.PATH)

    def _serve_one(self) -> None:
        model = Model(self._settings, _ROUTES, self._settings.model_dir)

        def on_done(outcome: Outcome) -> None:
            if outcome.cause:
                self._exit_code = _FAILED
            else:
                self._openai_models.offer(model.report.paths)
                self._be_ready(serving_line.of_one(self._settings, model.report))

        self._repository.load(model, on_done)

    def _serve_many(self) -> None:
        self._management = Management(self._settings, self._repository, self._front_end)
        self._be_ready(serving_line.of_many(self._settings))

    def _be_ready(self, line: str) -> None:
        """Say what is served, once the port is open."""
        self._line = line
        self._health.is_loaded = True
        if self._is_port_open:
            self._announce()
        elif not self._settings.config.ping_while_loading:
            self._open()

    def _open(self) -> None:
        """Have the front end open its port."""

        def on_opened(error: str) -> None:
            if error:
                logger.error("the front end could not open its port: %s", error)
                self._exit_code = _FAILED
                return
            self._is_port_open = True
            if self._line:
                self._announce()

        self._health.beat()
        self._front_end.open(on_opened, one_model=not self._settings.config.multi_model)

    def _announce(self) -> None:
        self._health.beat()
        self._is_serving = True
        logger.info("%s", self._line)
        self._loop.after(_BACKGROUND_SECONDS, self._start_background)

    def _on_signal(self, number: int) -> None:
        if number in STOPPING:
            self._on_stop(number)
            return
        if number != signal.SIGCHLD:
            logger.warning("%s is ignored: SIGTERM stops the server", signal_name(number))
            return
        self._repository.reap()
        self._front_end.reap()
        if self._background is not None:
            self._background.reap()
        self._installer.reap()
        self._reap_orphans()

    def _tick(self) -> None:
        self._health.beat()
        self._repository.check_time_limits()
        self._front_end.check_time_limits()
        self._reap_orphans()

    def _reap_orphans(self) -> None:
        if self._orphans is not None:
            self._orphans.reap()

    # What the front end does (front_end.FrontEndOwner).

    def on_front_end_failed(self, exit_code: int) -> None:
        """End with a failure."""
        self._exit_code = exit_code

    def on_request(self, request: Request) -> None:
        """Answer a request that the front end has asked about."""
        path = unquote(request.target.partition("?")[0])
        if path == metrics.PATH:
            self._metrics.handle(request)
        elif path == execution_parameters.PATH:
            self._execution_parameters.handle(request)
        elif path == OPENAI_MODELS:
            self._openai_models.handle(request)
        elif path == OPENAPI_PATH:
            self._openapi.handle(request)
        else:
            self._management.handle(request)

    # What the models do (model_repository.RepositoryOwner).

    def on_lost(self, name: str, outcome: Outcome) -> None:  # noqa: ARG002 - the log has it
        """End with a failure, unless there are others."""
        if self._settings.config.multi_model:
            logger.error("model %s could not be loaded or kept; the cause is above", escaped(name))
        else:
            self._exit_code = _FAILED

    def on_all_stopped(self) -> None:
        """End, once the front end has had the time to pass the last answers on."""
        # What workers were is gone with them: only what was counted is told.
        self._loop.after(_LAST_ANSWERS_SECONDS, lambda: self._end_with_metrics(has_gauges=False))

    # The end.

    def _on_stop(self, number: int) -> None:
        if not self._is_serving:
            if self._health.is_installing:
                logger.info("%s: stopping; the packages are not installed", signal_name(number))
            self._end_with_metrics()
        elif self._stop_began:
            self._is_forced = True
            self._exit_code = 128 + number
        else:
            self._stop_began = monotonic()
            logger.info("%s: answering what is in flight, then stopping", signal_name(number))
            self._write_metrics()
            self._repository.refuse_loads()
            self._front_end.drain(lambda _error: self._stop_models())
            self._loop.after(DRAIN_SECONDS, self._stop_models)
            self._loop.after(STOP_SECONDS, self._stop_waiting)

    def _stop_models(self) -> None:
        self._repository.stop()

    def _stop_waiting(self) -> None:
        logger.error(
            "%d worker(s) did not stop within %g s and are killed",
            self._repository.count,
            STOP_SECONDS,
        )
        self._repository.kill()

    def _start_background(self) -> None:
        launch = self._front_end_kind.background(self._folder.path)
        if launch is not None and not self._stop_began:
            self._background = BackgroundProcess(self._loop, *launch, delay=0)

    def _end_all(self) -> None:
        if self._background is not None:
            self._background.close()
        self._installer.close()
        self._repository.close()
        self._front_end.close()
