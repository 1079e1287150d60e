"""The model processes of a server: starting, watching and replacing them.

A process that dies or hangs is replaced at once, and what it was working on gets an answer from
here. Dying again and again ends the server, since nobody is helped by an endless circle.
"""

from __future__ import annotations

import json
import os
import signal
import socket
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol

from sagemaker_inference._errors import (
    ErrorCode,
    InferenceError,
    OutOfMemoryError,
    PredictionError,
    PredictionTimeoutError,
)
from sagemaker_inference._ipc.fds import send_fds
from sagemaker_inference._ipc.messages import ASSIGNMENT_ENV, Assignment, Report
from sagemaker_inference._ipc.slots import RUNNING
from sagemaker_inference._log import get_logger
from sagemaker_inference._os import resources
from sagemaker_inference._os.child_process import (
    UNKNOWN_EXIT,
    AdoptedProcess,
    ChildProcess,
    adopt_orphans,
    describe_exit,
    python_command,
    starters_python_path,
)
from sagemaker_inference._worker.zygote import request_copy

if TYPE_CHECKING:
    from sagemaker_inference._os.event_loop import EventLoop
    from sagemaker_inference._supervisor.connections import Connections
    from sagemaker_inference._supervisor.settings import Settings

logger = get_logger()

_LOADED: Final = "loaded"
_FAILED: Final = "failed"
_EARLY_DEATHS: Final = 5
_EARLY_SECONDS: Final = 60.0
_REARM_SECONDS: Final = 0.1


class Owner(Protocol):
    """Who wants to know what becomes of the model processes."""

    def on_assembled(self, report: Report) -> None:
        """The program has been imported and is complete; the model is being loaded."""

    def on_all_loaded(self, report: Report) -> None:
        """Every model process can answer; called again after a replacement has loaded."""

    def on_failed(self, cause: str, *, out_of_memory: bool) -> None:
        """There is no point in going on; the log says why at length, ``cause`` in a line."""

    def on_all_stopped(self) -> None:
        """Every model process has stopped as it was told to."""


class ModelProcess:
    """A model process, as seen from here.

    Attributes:
        index: its place among the workers, which decides its GPU.
        child: the process.
        control: the socket to it.
        stage: "" at first, then what its last `Report` said.
        failure: what it reported when it could not load.
        started: when it was started, by the monotonic clock.
        patience: seconds beyond the time limit in which it ends a request by itself.
        overdue: whether it was killed because a request exceeded its time limit.
    """

    def __init__(self, index: int, child: ChildProcess, control: socket.socket) -> None:
        self.index = index
        self.child = child
        self.control = control
        self.stage = ""
        self.failure: Report | None = None
        self.started = monotonic()
        self.patience = 0.0
        self.overdue = False


class _Wires:
    """The control socket and the output of a process that is not started by a call from here.

    Attributes:
        control: our end of the socket.
        sources: our ends of its standard output and standard error.
        theirs: descriptors of the socket's other end, of its standard output and standard error.
    """

    def __init__(self) -> None:
        self.control, theirs = _control_pair()
        out, err = os.pipe(), os.pipe()
        self.sources = out[0], err[0]
        self.theirs = theirs.detach(), out[1], err[1]

    def close_theirs(self) -> None:
        """Close what has been sent."""
        for fd in self.theirs:
            os.close(fd)


class ModelProcesses:
    """All of them.

    Args:
        settings: what they serve.
        loop: calls back when one of them has something to say.
        connections: what they work on.
        owner: hears what becomes of them.
    """

    def __init__(
        self, settings: Settings, loop: EventLoop, connections: Connections, owner: Owner
    ) -> None:
        self._settings = settings
        self._loop = loop
        self._connections = connections
        self._owner = owner
        self._models: list[ModelProcess] = []
        self._template: ModelProcess | None = None
        self._being_forked: dict[int, tuple[socket.socket, tuple[int, int]]] = {}
        self._were_all_loaded = False
        self._early_deaths = 0
        self._oom_kills = resources.out_of_memory_kills()

    def start(self) -> None:
        """Start all; with ``preload``, the template they are copied from."""
        if self._settings.preload:
            adopt_orphans()
            self._template = self._spawn(0, is_template=True)
            return
        for index in range(self._settings.workers):
            self._start_one(index)

    def start_with(self, pid: int, link: socket.socket) -> None:
        """Start all but the first: that is a process which another one has started.

        Args:
            pid: that process.
            link: where it waits for its assignment: a text and descriptors.

        Raises:
            OSError: it is gone.
        """
        wires = _Wires()
        assignment = self._assignment(0, wires.theirs[0], 2)
        text = json.dumps([assignment.dump(), self._gpu(0)])
        try:
            send_fds(link, text.encode(), (*assignment.fds, *wires.theirs[1:]))
        finally:
            wires.close_theirs()
            child = AdoptedProcess(pid, wires.sources)
            self._models.append(self._watched(ModelProcess(0, child, wires.control)))
        for index in range(1, self._settings.workers):
            self._start_one(index)

    @property
    def all_loaded(self) -> bool:
        """Whether every process can answer."""
        loaded = [model for model in self._models if model.stage == _LOADED]
        return len(loaded) == self._settings.workers

    @property
    def count(self) -> int:
        """How many there are now."""
        return len(self._models)

    def pass_on(self, slot: int) -> None:
        """Give a new connection to every process that can answer."""
        for model in self._models:
            if model.stage == _LOADED:
                self._pass_on(slot, model)

    def reap(self) -> None:
        """Notice those that have ended."""
        if self._template is not None:
            code = self._template.child.reap()
            if code is not None:
                self._on_template_death(self._template, code)
        for model in list(self._models):
            code = model.child.reap()
            if code is not None:
                self._on_death(model, code)

    def check_time_limits(self) -> None:
        """End those that load or predict for too long."""
        now, settings = monotonic(), self._settings
        for model in [*self._models, *([self._template] if self._template else [])]:
            if model.overdue:
                continue
            if model.stage != _LOADED:
                if now - model.started > settings.startup_timeout:
                    logger.error(
                        "the model did not load within %g s. Raise SAGEMAKER_STARTUP_TIMEOUT "
                        "(seconds), or load less.",
                        settings.startup_timeout,
                    )
                    self._end_overdue(model)
                continue
            limit = settings.timeout + model.patience
            for _, record in self._connections.held_by(model.child.pid):
                if record.state == RUNNING and now - record.since > limit:
                    logger.error(
                        "request %s has run for more than %g s: its model process %d is replaced. "
                        "Raise SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS, or predict faster.",
                        record.request_id,
                        settings.timeout,
                        model.child.pid,
                    )
                    self._end_overdue(model)
                    break

    def kill_all(self) -> None:
        """Kill those that answer; what they were working on is answered from here."""
        for model in self._models:
            model.child.signal(signal.SIGKILL)

    def end_all(self) -> None:
        """Kill and forget all of them."""
        models = [*self._models, *([self._template] if self._template else [])]
        self._models, self._template = [], None
        for model in models:
            model.child.kill_group()
        for model in models:
            model.child.wait()
            self._let_go(model)
        self._forget_forks()

    def _pass_on(self, slot: int, model: ModelProcess) -> None:
        try:
            self._connections.pass_on(slot, model.control)
        except OSError:  # it is gone, which is about to be noticed, or it hangs
            model.child.signal(signal.SIGKILL)

    # Starting.

    def _start_one(self, index: int) -> None:
        if not self._settings.preload:
            self._models.append(self._spawn(index))
            return
        if self._template is None or self._template.stage != _LOADED:
            return  # copies for all missing places follow when the template has loaded
        wires = _Wires()
        self._being_forked[index] = wires.control, wires.sources
        try:
            request_copy(self._template.control, index, wires.theirs)
        except OSError:  # it is gone, which is about to be noticed, or it hangs
            self._template.child.signal(signal.SIGKILL)
        wires.close_theirs()

    def _spawn(self, index: int, *, is_template: bool = False) -> ModelProcess:
        control, theirs = _control_pair()
        gpu = self._gpu(index)
        # Another number than 2: in the model process that one leads here, to be remembered.
        log_fd = os.dup(2)
        assignment = self._assignment(index, theirs.fileno(), log_fd, is_template=is_template)
        env = {
            **os.environ,
            ASSIGNMENT_ENV: assignment.dump(),
            "OMP_NUM_THREADS": resources.threads(self._settings.workers),
            **({} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu}),
        }
        if self._settings.handler_service:
            env["PYTHONPATH"] = starters_python_path()

        child = ChildProcess.spawn(
            python_command("sagemaker_inference._worker.main"),
            env=env,
            pass_fds=assignment.fds,
        )
        theirs.close()
        os.close(log_fd)
        return self._watched(ModelProcess(index, child, control))

    def _gpu(self, index: int) -> str | None:
        gpus = self._settings.gpus
        return gpus[index % len(gpus)] if gpus else None

    def _assignment(
        self, index: int, control_fd: int, log_fd: int, *, is_template: bool = False
    ) -> Assignment:
        settings, connections = self._settings, self._connections
        return Assignment(
            program=settings.program,
            handler_service=settings.handler_service,
            model_dir=settings.model_dir,
            index=index,
            gpu_id=0 if settings.gpus else None,
            control_fd=control_fd,
            epoll_fd=connections.epoll.fileno(),
            stop_fd=connections.stop_fd,
            table_fd=connections.table.fd,
            log_fd=log_fd,
            payload_limit=settings.payload_limit,
            timeout=settings.timeout,
            is_template=is_template,
            path=settings.path,
        )

    def _watched(self, model: ModelProcess) -> ModelProcess:
        for relay in model.child.relays:
            self._loop.watch_relay(relay)
        self._loop.watch(model.control.fileno(), lambda: self._on_report(model))
        return model

    # What they say.

    def _on_report(self, model: ModelProcess) -> None:
        report = self._next_report(model)
        if report is not None:
            self._hear(model, report)

    def _next_report(self, model: ModelProcess) -> Report | None:
        try:
            data = model.control.recv(65536, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except ConnectionResetError:  # it ended with connections unread
            data = b""
        if not data:
            self._loop.unwatch(model.control.fileno())
            return None
        return Report.read(data)

    def _hear(self, model: ModelProcess, report: Report) -> None:
        if report.stage == "forked":
            control, sources = self._being_forked.pop(report.index)
            child = ChildProcess(report.pid, sources)
            self._models.append(self._watched(ModelProcess(report.index, child, control)))
            return
        model.stage, model.patience = report.stage, report.patience
        if report.stage == _FAILED:
            model.failure = report  # its death follows
        elif report.stage != _LOADED:
            self._owner.on_assembled(report)
        elif model is self._template:
            missing = set(range(self._settings.workers)) - {m.index for m in self._models}
            for index in sorted(missing):
                self._start_one(index)
        else:
            for slot in self._connections:
                self._pass_on(slot, model)
            if self.all_loaded:
                self._were_all_loaded = True
                self._owner.on_all_loaded(report)

    # How they end.

    def _end_overdue(self, model: ModelProcess) -> None:
        model.overdue = True
        model.child.signal(signal.SIGKILL)

    def _let_go(self, model: ModelProcess) -> None:
        """Forget a process that has ended, once its last words are heard."""
        while (report := self._next_report(model)) is not None:
            self._hear(model, report)
        self._loop.unwatch(model.control.fileno())
        model.control.close()
        for relay in model.child.relays:
            self._loop.unwatch(relay.source)
            relay.close()
        model.child.kill_group()

    def _forget_forks(self) -> None:
        for control, sources in self._being_forked.values():
            control.close()
            for source in sources:
                os.close(source)
        self._being_forked.clear()

    def _on_template_death(self, template: ModelProcess, code: int) -> None:
        self._let_go(template)
        self._template = None
        if not self._were_all_loaded:
            self._fail_start(template, code, out_of_memory=False)
            return
        _log_death(template, code)
        self._forget_forks()
        if not self._dies_again_and_again(code, is_early=template.stage != _LOADED):
            self._template = self._spawn(0, is_template=True)

    def _on_death(self, model: ModelProcess, code: int) -> None:
        self._let_go(model)
        self._models.remove(model)
        kills, self._oom_kills = self._oom_kills, resources.out_of_memory_kills()
        # Of a process that another one has started, the code is not known.
        is_kill = code in (-signal.SIGKILL, UNKNOWN_EXIT)
        out_of_memory = is_kill and self._oom_kills > kills
        lost = self._answer_for(model, out_of_memory=out_of_memory)
        if not self._connections.is_open:
            if not self._models:
                self._owner.on_all_stopped()
            return
        if not self._were_all_loaded:
            self._fail_start(model, code, out_of_memory=out_of_memory)
            return
        _log_death(model, code, out_of_memory=out_of_memory, lost=lost)
        table = self._connections.table
        is_early = monotonic() - model.started < _EARLY_SECONDS and not table.answered(model.index)
        if not self._dies_again_and_again(code, is_early=is_early):
            table.reset_answered(model.index)
            self._start_one(model.index)

    def _dies_again_and_again(self, code: int, *, is_early: bool) -> bool:
        self._early_deaths = self._early_deaths + 1 if is_early else 0
        if self._early_deaths < _EARLY_DEATHS:
            return False
        cause = (
            f"the model process died {self._early_deaths} times within a minute of starting, "
            f"before it answered anything; the last time it {describe_exit(code)}"
        )
        logger.error("%s. Stopping.", cause)
        self._owner.on_failed(cause, out_of_memory=False)
        return True

    def _fail_start(self, model: ModelProcess, code: int, *, out_of_memory: bool) -> None:
        failure = model.failure
        if failure is None:
            _log_death(model, code, out_of_memory=out_of_memory)
            last = f": {model.child.tail[-1]}" if model.child.tail else ""
            cause = f"its process {_describe_death(model, code, out_of_memory=out_of_memory)}{last}"
            failure = Report(_FAILED, cause=cause)
        out_of_memory = out_of_memory or failure.out_of_memory
        self._owner.on_failed(failure.cause, out_of_memory=out_of_memory)

    def _answer_for(self, model: ModelProcess, *, out_of_memory: bool) -> list[str]:
        """Answer what a dead process was working on; returns ids and statuses."""
        lost: list[str] = []
        timeout = self._settings.timeout
        for slot, record in self._connections.held_by(model.child.pid):
            error: InferenceError
            if model.overdue and monotonic() - record.since >= timeout:
                error = PredictionTimeoutError(f"No prediction within {timeout:g} s.")
            elif out_of_memory:
                error = OutOfMemoryError("The model process ran out of memory on this request.")
            else:
                error = PredictionError(
                    "The model process died while this request was in progress.",
                    code=ErrorCode.PROCESS_DIED.value,
                )
            if record.state == RUNNING:
                lost.append(f"{record.request_id} ({int(error.status)})")
            if not self._connections.answer(slot, record, error):
                self._loop.unwatch(self._connections.fd(slot))
                self._connections.close(slot)
        # A process that died right after it was handed a connection has not said so in the table.
        self._loop.after(_REARM_SECONDS, self._connections.rearm_idle)
        return lost


def _control_pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def _log_death(
    model: ModelProcess, code: int, *, out_of_memory: bool = False, lost: list[str] | None = None
) -> None:
    requests = f" It was working on: {', '.join(lost)}." if lost else ""
    words = "".join(f"\n    {line}" for line in model.child.tail)
    logger.error(
        "model process %d %s.%s Its last lines:%s",
        model.child.pid,
        _describe_death(model, code, out_of_memory=out_of_memory),
        requests,
        words or " none",
    )


def _describe_death(model: ModelProcess, code: int, *, out_of_memory: bool) -> str:
    cause = " (the kernel ended it because memory ran out)" if out_of_memory else ""
    cause = " (it took longer than its time limit)" if model.overdue else cause
    return describe_exit(code) + cause
