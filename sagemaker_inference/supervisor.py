"""Owns the model processes and the front end: starts them, watches them, ends them.

One process with one thread and one loop; no user code is ever imported here. What it promises:

- the port opens when every model is loaded; a load that fails ends everything, with exit code 1;
- a model process that dies or hangs is replaced, and what it was working on gets an answer;
- whatever ends, ends all: no process is left behind.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Final

from sagemaker_inference import environment, frontend, machine
from sagemaker_inference.backend.connections import Connections
from sagemaker_inference.backend.messages import ASSIGNMENT_ENV, Assignment, Report
from sagemaker_inference.backend.slots import MAX_SLOTS, RUNNING, SlotTable
from sagemaker_inference.backend.template import request_copy
from sagemaker_inference.child_process import ChildProcess, adopt_orphans, describe_exit
from sagemaker_inference.errors import (
    InferenceError,
    OutOfMemoryError,
    PredictionError,
    PredictionTimeoutError,
    StartError,
)
from sagemaker_inference.logging import configure_logger, get_logger
from sagemaker_inference.program import Program

logger = get_logger()

# SageMaker kills a container 30 s after SIGTERM: requests get most of that, the rest is for us.
DRAIN_SECONDS: Final = 20.0
STOP_SECONDS: Final = 24.0
# No request in work for so long means that none waits in the front end either.
_QUIET_SECONDS: Final = 0.25
# The front end gives up waiting for its back end after a minute.
_FRONT_END_PATIENCE: Final = 45.0
_EARLY_DEATHS: Final = 5
_EARLY_SECONDS: Final = 60.0
_TICK_SECONDS: Final = 1.0
_REARM_SECONDS: Final = 0.1
_PORT_POLL_SECONDS: Final = 0.02
_OK, _FAILED = 0, 1


@dataclass(frozen=True, slots=True)
class Settings:
    """What is served and how.

    Attributes:
        program: the user's program, or None where ``handler_service`` brings its own.
        handler_service: a handler service written for MMS, or "".
        model_dir: where the model is.
        host, port: what is served.
        workers: model processes.
        gpus: the GPU of each process in turn; empty for none.
        payload_limit: most bytes of a body.
        timeout: seconds a prediction may take.
        startup_timeout: seconds a model may take to load.
        vmargs: further arguments for Java.
        preload: whether the model is loaded once and the processes are forked from that.
        slots: connections per process where that is known before the program is imported here,
            else 0; the front end can then start at once.
    """

    program: Program | None
    handler_service: str
    model_dir: str
    host: str
    port: int
    workers: int
    gpus: list[str]
    payload_limit: int
    timeout: float
    startup_timeout: float
    vmargs: str
    preload: bool = False
    slots: int = 0

    def dump(self) -> str:
        """As text for a command line."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> Settings:
        """From text."""
        fields = json.loads(text)
        if fields["program"] is not None:
            fields["program"] = Program(**fields["program"])
        return cls(**fields)


class ModelProcess:
    """A model process, as the supervisor sees it.

    Attributes:
        index: its place among the workers, which decides its GPU.
        child: the process.
        control: the socket to it.
        stage: "" at first, then what its last `Report` said.
        started: when it was started, by the monotonic clock.
        overdue: whether it was killed because a request exceeded its time limit.
    """

    def __init__(self, index: int, child: ChildProcess, control: socket.socket) -> None:
        self.index = index
        self.child = child
        self.control = control
        self.stage = ""
        self.started = monotonic()
        self.overdue = False
        self.patience = 0.0


class Supervisor:
    """Runs a server until it is told to stop or can't go on.

    Args:
        settings: what to serve.
        reap_strangers: whether to reap processes that others left behind, as pid 1 must.
    """

    def __init__(self, settings: Settings, *, reap_strangers: bool = False) -> None:
        self._settings = settings
        self._reap_strangers = reap_strangers
        self._exit_code: int | None = None
        self._epoll = select.epoll()
        self._watched: dict[int, Callable[[int], None]] = {}
        self._timers: list[tuple[float, Callable[[], None]]] = []
        self._models: list[ModelProcess] = []
        self._template: ModelProcess | None = None
        self._being_forked: dict[int, tuple[socket.socket, tuple[int, int]]] = {}
        self._java: ChildProcess | None = None
        self._java_started = 0.0
        self._front_end: frontend.FrontEnd | None = None
        self._ready = -1
        self._report: Report | None = None
        self._early_deaths = 0
        self._serving = False
        self._stopping = False
        self._last_busy = 0.0
        self._oom_kills = machine.out_of_memory_kills()

    def run(self) -> int:
        """Serve; returns the exit code.

        Raises:
            StartError: the server could not start; nothing is left running.
        """
        settings = self._settings
        if not Path(settings.model_dir).is_dir():
            message = f"the model directory {settings.model_dir} does not exist. Create it, or set "
            raise StartError(message + "SAGEMAKER_BASE_DIR or serve(__name__, model_dir=...).")
        _check_port(settings.host, settings.port)
        java = frontend.find_java()
        frontend.find_jar()
        previous = self._catch_signals()
        folder = _private_folder()
        self._java_found, self._folder = java, folder
        self._connections = Connections(SlotTable())
        self._listen(folder)
        try:
            self._start_model_processes()
            if settings.slots:
                self._start_front_end(settings.slots)
            self._every(_TICK_SECONDS, self._tick)
            while self._exit_code is None:
                self._turn()
        finally:
            self._end_all()
            shutil.rmtree(folder, ignore_errors=True)
            self._restore_signals(previous)
        return self._exit_code

    # The loop.

    def _turn(self) -> None:
        now = monotonic()
        timeout = min((when - now for when, _ in self._timers), default=_TICK_SECONDS)
        for fd, events in self._epoll.poll(max(timeout, 0)):
            watcher = self._watched.get(fd)
            if watcher is not None:
                watcher(events)
        now = monotonic()
        due = [timer for timer in self._timers if timer[0] <= now]
        self._timers = [timer for timer in self._timers if timer[0] > now]
        for _, callback in due:
            callback()

    def _watch(self, fd: int, callback: Callable[[int], None], events: int = select.EPOLLIN) -> None:
        self._watched[fd] = callback
        self._epoll.register(fd, events)

    def _unwatch(self, fd: int) -> None:
        if self._watched.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def _after(self, seconds: float, callback: Callable[[], None]) -> None:
        self._timers.append((monotonic() + seconds, callback))

    def _every(self, seconds: float, callback: Callable[[], None]) -> None:
        def again() -> None:
            callback()
            self._after(seconds, again)

        self._after(seconds, again)

    # Signals.

    def _catch_signals(self) -> dict[int, object]:
        self._wake, waker = socket.socketpair()
        self._waker = waker
        for end in (self._wake, waker):
            end.setblocking(False)  # noqa: FBT003 - socket's own signature
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
        previous: dict[int, object] = {
            number: signal.signal(number, lambda _number, _frame: None) for number in numbers
        }
        self._previous_wakeup = signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        self._watch(self._wake.fileno(), self._on_signals)
        return previous

    def _restore_signals(self, previous: dict[int, object]) -> None:
        signal.set_wakeup_fd(self._previous_wakeup)
        for number, handler in previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._wake.close()
        self._waker.close()

    def _on_signals(self, _events: int) -> None:
        for number in self._wake.recv(256):
            if number == signal.SIGCHLD:
                self._reap()
            else:
                self._on_stop(number)

    def _reap(self) -> None:
        """Notice every child that has ended."""
        if self._template is not None:
            code = self._template.child.reap()
            if code is not None:
                self._on_template_death(self._template, code)
        for model in list(self._models):
            code = model.child.reap()
            if code is not None:
                self._on_model_death(model, code)
        if self._java is not None:
            code = self._java.reap()
            if code is not None:
                self._on_java_death(self._java, code)
        while self._reap_strangers:
            try:
                if os.waitpid(-1, os.WNOHANG)[0] == 0:
                    break
            except ChildProcessError:
                break

    # Model processes.

    def _start_model_processes(self) -> None:
        if self._settings.preload:
            adopt_orphans()
            self._template = self._spawn(0, is_template=True)
            return
        for index in range(self._settings.workers):
            self._start_model_process(index)

    def _start_model_process(self, index: int) -> None:
        if not self._settings.preload:
            self._models.append(self._spawn(index))
            return
        if self._template is None or self._template.stage != "loaded":
            return  # a copy of every index follows when the template has loaded
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        out, err = os.pipe(), os.pipe()
        request_copy(self._template.control, index, (theirs.fileno(), out[1], err[1]))
        theirs.close()
        os.close(out[1])
        os.close(err[1])
        self._being_forked[index] = control, (out[0], err[0])

    def _on_fork(self, report: Report) -> None:
        control, sources = self._being_forked.pop(report.index)
        model = ModelProcess(report.index, ChildProcess(report.pid, sources), control)
        self._models.append(model)
        self._watch_model(model)

    def _spawn(self, index: int, *, is_template: bool = False) -> ModelProcess:
        settings, connections = self._settings, self._connections
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        gpu = settings.gpus[index % len(settings.gpus)] if settings.gpus else None
        # Another number than 2: in the model process that one leads here, to be remembered.
        log_fd = os.dup(2)
        assignment = Assignment(
            program=settings.program,
            handler_service=settings.handler_service,
            model_dir=settings.model_dir,
            index=index,
            gpu_id=None if gpu is None else 0,
            control_fd=theirs.fileno(),
            epoll_fd=connections.epoll.fileno(),
            stop_fd=connections.stop_fd,
            table_fd=connections.table.fd,
            log_fd=log_fd,
            payload_limit=settings.payload_limit,
            timeout=settings.timeout,
            is_template=is_template,
        )
        env = {**os.environ, ASSIGNMENT_ENV: assignment.dump()}
        if gpu is not None:
            env["CUDA_VISIBLE_DEVICES"] = gpu
        env.setdefault("OMP_NUM_THREADS", self._threads())
        child = ChildProcess.spawn(
            [sys.executable, "-m", "sagemaker_inference.model_process"],
            env=env,
            pass_fds=(
                assignment.control_fd,
                assignment.epoll_fd,
                assignment.stop_fd,
                assignment.table_fd,
                log_fd,
            ),
        )
        theirs.close()
        os.close(log_fd)
        model = ModelProcess(index, child, control)
        self._watch_model(model)
        return model

    def _threads(self) -> str:
        """OMP_NUM_THREADS of a model process: its share of the processors."""
        share = max(1, machine.usable_cpus() // self._settings.workers)
        return os.environ.get("OMP_NUM_THREADS") or str(share)

    def _watch_model(self, model: ModelProcess) -> None:
        for relay in model.child.relays:
            self._watch_relay(relay)
        self._watch(model.control.fileno(), lambda _events: self._on_report(model))

    def _watch_relay(self, relay: object) -> None:
        def pump(_events: int) -> None:
            if not relay.pump():  # type: ignore[attr-defined]
                self._unwatch(relay.source)  # type: ignore[attr-defined]

        self._watch(relay.source, pump)  # type: ignore[attr-defined]

    def _on_report(self, model: ModelProcess) -> None:
        try:
            data = model.control.recv(65536)
        except ConnectionResetError:  # it ended with connections unread
            data = b""
        if not data:
            self._unwatch(model.control.fileno())
            return
        report = Report.read(data)
        if report.stage == "forked":
            self._on_fork(report)
            return
        model.stage, model.patience = report.stage, report.patience
        self._report = report
        if report.stage == "assembled":
            if self._java is None and not self._serving:
                self._start_front_end(report.slots)
            return
        if model is self._template:
            missing = set(range(self._settings.workers)) - {m.index for m in self._models}
            for index in sorted(missing):
                self._start_model_process(index)
            return
        for slot in self._connections:
            self._connections.pass_on(slot, model.control)
        if self._front_end is not None and self._all_loaded():
            if self._java is None:
                self._start_java()
            # The back end's stand-in reads one line; more are for a front end that starts it again.
            os.write(self._ready, b"\n" * 64)
            if not self._serving:
                self._await_port()

    def _all_loaded(self) -> bool:
        loaded = [model for model in self._models if model.stage == "loaded"]
        return len(loaded) == self._settings.workers

    def _on_template_death(self, template: ModelProcess, code: int) -> None:
        self._let_go(template)
        self._template = None
        if template.stage != "loaded" and not self._serving:
            if code != _FAILED:
                self._log_death(template, code, out_of_memory=False, lost=[])
            self._exit_code = _FAILED
            return
        self._log_death(template, code, out_of_memory=False, lost=[])
        for control, sources in self._being_forked.values():
            control.close()
            for source in sources:
                os.close(source)
        self._being_forked.clear()
        self._template = self._spawn(0, is_template=True)

    def _let_go(self, model: ModelProcess) -> None:
        """Forget a process that has ended, once its last lines are passed on."""
        self._unwatch(model.control.fileno())
        model.control.close()
        for relay in model.child.relays:
            self._unwatch(relay.source)
            relay.close()
        model.child.kill_group()

    def _on_model_death(self, model: ModelProcess, code: int) -> None:
        self._models.remove(model)
        self._let_go(model)
        kills, self._oom_kills = self._oom_kills, machine.out_of_memory_kills()
        out_of_memory = code == -signal.SIGKILL and self._oom_kills > kills
        lost = self._recover(model, out_of_memory=out_of_memory)
        if self._exit_code is not None:
            return
        if not self._connections.is_open:
            if not self._models:
                self._finish_stop()
            return
        if model.stage != "loaded" and not self._serving:
            # With this code the process has told its cause itself, as its last words.
            if code != _FAILED:
                self._log_death(model, code, out_of_memory=out_of_memory, lost=[])
            self._exit_code = _FAILED
            return
        self._log_death(model, code, out_of_memory=out_of_memory, lost=lost)
        answered = self._connections.table.answered(model.index)
        early = monotonic() - model.started < _EARLY_SECONDS and not answered
        self._early_deaths = self._early_deaths + 1 if early else 0
        if self._early_deaths >= _EARLY_DEATHS:
            logger.error(
                "the model process died %d times within a minute of starting, before it answered "
                "anything; the last time it %s. Stopping.",
                self._early_deaths,
                describe_exit(code),
            )
            self._exit_code = _FAILED
            return
        self._connections.table.reset_answered(model.index)
        self._start_model_process(model.index)

    def _recover(self, model: ModelProcess, *, out_of_memory: bool) -> list[str]:
        """Answer what a dead process was working on; returns the ids."""
        lost: list[str] = []
        for slot, record in self._connections.held_by(model.child.pid):
            error: InferenceError
            if model.overdue and monotonic() - record.since >= self._settings.timeout:
                error = PredictionTimeoutError(
                    f"No prediction within {self._settings.timeout:g} seconds."
                )
            elif out_of_memory:
                error = OutOfMemoryError("The model process ran out of memory on this request.")
            else:
                error = PredictionError(
                    "The model process died while this request was in work.", code="process_died"
                )
            if record.state == RUNNING:
                lost.append(f"{record.request_id} ({int(error.status)})")
            if not self._connections.answer(slot, record, error):
                self._unwatch_slot(slot)
        # A process that died right after it was handed a connection has not said so in the table.
        self._after(_REARM_SECONDS, self._connections.rearm_idle)
        return lost

    def _log_death(
        self, model: ModelProcess, code: int, *, out_of_memory: bool, lost: list[str]
    ) -> None:
        cause = " (the kernel ended it because memory ran out)" if out_of_memory else ""
        cause = " (a request exceeded its time limit)" if model.overdue else cause
        requests = f" It was working on: {', '.join(lost)}." if lost else ""
        words = "".join(f"\n    {line}" for line in model.child.tail)
        logger.error(
            "model process %d %s%s.%s Its last lines:%s",
            model.child.pid,
            describe_exit(code),
            cause,
            requests,
            words or " none",
        )

    # The front end.

    def _listen(self, folder: str) -> None:
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(Path(folder, "backend.sock")))
        self._listener.listen(MAX_SLOTS)
        self._listener.setblocking(False)  # noqa: FBT003 - socket's own signature
        self._watch(self._listener.fileno(), self._on_connection)

    def _start_front_end(self, slots: int) -> None:
        settings = self._settings
        connections = min(slots * settings.workers, MAX_SLOTS)
        # A request may wait for those that went before it; the front end must not lose patience
        # before the supervisor's own limit has struck for each of them.
        ahead = -(-connections // settings.workers)
        self._front_end = frontend.FrontEnd(
            java=self._java_found,
            folder=self._folder,
            host=settings.host,
            port=settings.port,
            connections=connections,
            payload_limit=settings.payload_limit,
            answer_timeout=int(settings.timeout * (ahead + 1) + 30),
            vmargs=settings.vmargs,
        )
        self._front_end.write()
        self._ready = os.open(self._front_end.ready_path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._start_java()

    def _start_java(self) -> None:
        if self._front_end is None:
            return
        self._java = ChildProcess.spawn(
            self._front_end.command(), env=self._front_end.environment(), targets=(None, 2)
        )
        self._java_started = monotonic()
        for relay in self._java.relays:
            self._watch_relay(relay)

    def _on_java_death(self, java: ChildProcess, code: int) -> None:
        self._java = None
        for relay in java.relays:
            self._unwatch(relay.source)
            relay.close()
        java.kill_group()
        if self._stopping or self._exit_code is not None:
            return
        words = "".join(f"\n    {line}" for line in java.tail)
        logger.error("the front end %s. Its last lines:%s", describe_exit(code), words or " none")
        self._exit_code = code if code > 0 else _FAILED

    def _on_connection(self, _events: int) -> None:
        try:
            sock, _ = self._listener.accept()
        except BlockingIOError:
            return
        slot = self._connections.add(sock)
        if slot is None:
            logger.error("the front end opened more than %d connections", MAX_SLOTS)
            return
        for model in self._models:
            if model.stage == "loaded":
                try:
                    self._connections.pass_on(slot, model.control)
                except OSError:
                    # It has not read for so long that its socket is full: it hangs.
                    model.child.signal(signal.SIGKILL)
        fd = self._connections.fd(slot)
        self._watch(fd, lambda _events: self._on_hang_up(slot, fd), select.EPOLLRDHUP)
        self._connections.arm(slot)

    def _on_hang_up(self, slot: int, fd: int) -> None:
        self._unwatch(fd)
        self._connections.close(slot)

    def _unwatch_slot(self, slot: int) -> None:
        fd = self._connections.fd(slot)
        if slot not in set(self._connections):
            self._watched.pop(fd, None)

    def _await_port(self) -> None:
        """Say that the server serves once it does: its port opens after it has connected to us."""
        settings = self._settings
        host = "127.0.0.1" if settings.host in ("0.0.0.0", "") else settings.host  # noqa: S104
        if self._serving or self._exit_code is not None:
            return
        try:
            socket.create_connection((host, settings.port), timeout=1).close()
        except OSError:
            is_open = False
        else:
            is_open = True
        if not (is_open and list(self._connections)):
            if is_open and monotonic() - self._java_started > _FRONT_END_PATIENCE:
                logger.error("the front end serves without the model. Its log is above.")
                self._exit_code = _FAILED
            self._after(_PORT_POLL_SECONDS, self._await_port)
            return
        self._serving = True
        name = settings.program.label if settings.program else settings.handler_service
        report = self._report or Report("loaded")
        url = f"http://{host}:{settings.port}"
        first = report.readable[0] if report.readable else "application/json"
        logger.info(
            "serving %s with the model in %s on %s (%d model process%s, OMP_NUM_THREADS=%s); "
            "reads %s; answers %s. Try: curl -H 'Content-Type: %s' --data-binary @FILE "
            "%s/invocations",
            name,
            settings.model_dir,
            url,
            settings.workers,
            "" if settings.workers == 1 else "es",
            self._threads(),
            ", ".join(report.readable) or "what the handler service reads",
            ", ".join(report.writable) or "what it writes",
            first,
            url,
        )

    # Time limits.

    def _tick(self) -> None:
        now, settings = monotonic(), self._settings
        for model in [*self._models, *([self._template] if self._template else [])]:
            if model.stage != "loaded":
                if now - model.started > settings.startup_timeout:
                    logger.error(
                        "the model did not load within %g s. Raise SAGEMAKER_STARTUP_TIMEOUT "
                        "(seconds), or load less.",
                        settings.startup_timeout,
                    )
                    model.child.signal(signal.SIGKILL)
                continue
            limit = settings.timeout + model.patience
            for slot, record in self._connections.held_by(model.child.pid):
                if record.state == RUNNING and now - record.since > limit and not model.overdue:
                    logger.error(
                        "request %s has run for more than %g s (slot %d): its model process %d is "
                        "replaced. Raise SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS, or predict faster.",
                        record.request_id,
                        settings.timeout,
                        slot,
                        model.child.pid,
                    )
                    model.overdue = True
                    model.child.signal(signal.SIGKILL)
        waits = self._java is not None and not self._serving
        loading = not self._all_loaded()
        if waits and loading and now - self._java_started > _FRONT_END_PATIENCE:
            # It would drop the model and serve without: it starts again when the model is there.
            java, self._java = self._java, None
            if java is not None:
                java.kill_group()
                for relay in java.relays:
                    self._unwatch(relay.source)
                    relay.close()
                java.reap()

    # The end.

    def _on_stop(self, number: int) -> None:
        if self._stopping or not self._serving:
            self._exit_code = _OK if not self._serving else 128 + number
            return
        self._stopping = True
        self._last_busy = self._stop_began = monotonic()
        logger.info("%s: answering what is in flight, then stopping", signal.Signals(number).name)
        self._drain()

    def _drain(self) -> None:
        now = monotonic()
        if self._connections.busy():
            self._last_busy = now
        if now - self._last_busy < _QUIET_SECONDS and now - self._stop_began < DRAIN_SECONDS:
            self._after(_QUIET_SECONDS / 5, self._drain)
            return
        self._connections.stop()
        self._after(max(0.0, STOP_SECONDS - (now - self._stop_began)), self._give_up_waiting)

    def _give_up_waiting(self) -> None:
        logger.error(
            "%d model process(es) did not stop within %g s and are killed",
            len(self._models),
            STOP_SECONDS,
        )
        self._exit_code = _OK

    def _finish_stop(self) -> None:
        self._exit_code = _OK

    def _end_all(self) -> None:
        if self._template is not None:
            self._models.append(self._template)
            self._template = None
        children = [model.child for model in self._models]
        if self._java is not None:
            children.append(self._java)
        for child in children:
            child.kill_group()
        for child in children:
            child.wait()
            for relay in child.relays:
                relay.close()
        for model in self._models:
            model.control.close()
        self._models, self._java = [], None
        self._reap()
        self._connections.dispose()
        self._listener.close()
        if self._ready >= 0:
            os.close(self._ready)
        self._epoll.close()


def _check_port(host: str, port: int) -> None:
    if not 0 < port <= environment.HIGHEST_PORT:
        message = (
            f"port {port} cannot be served: the front end takes 1 to {environment.HIGHEST_PORT}. "
            "Set SAGEMAKER_BIND_TO_PORT or serve(__name__, port=...)."
        )
        raise StartError(message)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            message = (
                f"port {port} on {host} cannot be served: {error.strerror}. Stop what uses it, or "
                "choose another with SAGEMAKER_BIND_TO_PORT or serve(__name__, port=...)."
            )
            raise StartError(message) from None


def _private_folder() -> str:
    """A directory that only this user can enter, with a path short enough for sockets in it."""
    for parent in (tempfile.gettempdir(), "/tmp"):  # noqa: S108 - mkdtemp makes a private one
        if len(parent) < 60:  # noqa: PLR2004 - sun_path has 108 bytes, and names follow
            return tempfile.mkdtemp(prefix="sagemaker-inference-", dir=parent)
    message = f"the temporary directory {tempfile.gettempdir()} has too long a path for sockets"
    raise StartError(message)


def main(argv: list[str]) -> int:
    """Run a supervisor whose settings are the first argument; returns its exit code."""
    configure_logger()
    try:
        return Supervisor(Settings.read(argv[1]), reap_strangers=True).run()
    except StartError as error:
        print(f"sagemaker-inference: error: {error}", file=sys.stderr)
        return _FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv))
