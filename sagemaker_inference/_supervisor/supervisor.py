"""Owns the model processes and the front end: starts them, watches them, ends them.

One process with one thread and one loop; no user code is ever imported here. What it promises:

- the port opens when every model is loaded; a load that fails ends everything, with exit code 1;
- a model process that dies or hangs is replaced, and what it was working on gets an answer;
- whatever ends, ends all: no process is left behind.
"""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference import _config
from sagemaker_inference._errors import StartError
from sagemaker_inference._frontends.mms import launcher
from sagemaker_inference._frontends.mms.jar import class_path
from sagemaker_inference._frontends.mms.java import find_java
from sagemaker_inference._ipc.messages import DEFAULT_HANDLER
from sagemaker_inference._ipc.slots import MAX_SLOTS, reserve
from sagemaker_inference._log import configure_logger, get_logger, last_word
from sagemaker_inference._os import resources
from sagemaker_inference._os.child_process import ChildProcess, describe_exit
from sagemaker_inference._os.event_loop import EventLoop
from sagemaker_inference._os.runtime_dir import PrivateFolder
from sagemaker_inference._supervisor.deployment import ServedModel
from sagemaker_inference._supervisor.model_repository import MultiModel
from sagemaker_inference._supervisor.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagemaker_inference._ipc.messages import Report

logger = get_logger()

# SageMaker kills a container 30 s after SIGTERM: requests get most of that, the rest is for us.
DRAIN_SECONDS: Final = 20.0
STOP_SECONDS: Final = 24.0
# No request in work for so long means that none waits in the front end either.
_QUIET_SECONDS: Final = 0.25
# The front end gives up waiting for its back end after a minute.
_FRONT_END_PATIENCE: Final = 45.0
_LAST_ANSWERS_SECONDS: Final = 0.2
_TICK_SECONDS: Final = 1.0
_PORT_POLL_SECONDS: Final = 0.02
# The line that says what is served must stay readable.
_NAMED_TYPES: Final = 3
_OK, _FAILED = 0, 1


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
        self._front_end: launcher.FrontEnd | None = None
        self._java: ChildProcess | None = None
        self._java_started = 0.0
        self._ready_fd = -1
        self._is_serving = False
        self._stop_began = 0.0
        self._last_busy = 0.0

    def run(self) -> int:
        """Serve; returns the exit code.

        Raises:
            StartError: the server could not start; nothing is left running.
        """
        settings = self._settings
        if not (settings.multi_model or Path(settings.model_dir).is_dir()):
            message = (
                f"the model directory {settings.model_dir} does not exist. Create it, or set "
                f"{_config.BASE_DIR.name} or serve(__name__, model_dir=...)."
            )
            raise StartError(message)
        _check_port(settings.host, settings.port)
        self._java_found = find_java()
        class_path()
        self._folder = PrivateFolder()
        self._loop = EventLoop()
        reserve()
        self._served = self._serve()
        self._listener = self._listen()
        signals = _Signals(self._loop, self._on_signal)
        try:
            if settings.slots:
                self._start_front_end(settings.slots)
            self._served.start()
            self._loop.every(_TICK_SECONDS, self._tick)
            while self._exit_code is None:
                self._loop.turn()
        finally:
            self._end_all()
            signals.close()
            self._loop.close()
        return self._exit_code

    def _on_signal(self, number: int) -> None:
        if number != signal.SIGCHLD:
            self._on_stop(number)
            return
        self._served.reap()
        if self._java is not None:
            code = self._java.reap()
            if code is not None:
                self._on_java_death(self._java, code)
        if self._reap_strangers:
            _reap_strangers()

    # What the model processes report (model_processes.Owner).

    def on_assembled(self, report: Report) -> None:
        """Start the front end beside the loading model, unless it runs."""
        if self._front_end is None:
            self._start_front_end(report.slots)

    def on_all_loaded(self, report: Report) -> None:
        """Let the front end open its port."""
        if self._java is None and self._front_end is not None:
            self._start_java(self._front_end)
        # The back end's stand-in reads one line; more are for a front end that starts it again.
        os.write(self._ready_fd, b"\n" * 64)
        if not self._is_serving:
            self._await_port(report)

    def on_failed(self, cause: str, *, out_of_memory: bool) -> None:  # noqa: ARG002 - the log says it
        """End with a failure."""
        self._exit_code = _FAILED

    def on_all_stopped(self) -> None:
        """End, once the front end has had the time to pass the last answers on."""

        def end() -> None:
            self._exit_code = _OK

        self._loop.after(_LAST_ANSWERS_SECONDS, end)

    # The front end.

    def _serve(self) -> ServedModel | MultiModel:
        if self._settings.multi_model:
            return MultiModel(self._settings, self._loop, self, self._folder.path)
        return ServedModel(self._settings, self._loop, self)

    def _listen(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(Path(self._folder.path, launcher.SOCKET_NAME)))
        listener.listen(MAX_SLOTS)
        listener.setblocking(False)  # noqa: FBT003 - socket's own signature
        self._loop.watch(listener.fileno(), self._on_connection)
        return listener

    def _start_front_end(self, slots: int) -> None:
        settings = self._settings
        # One more is the front end's own, for what its other paths are asked.
        connections = min(slots * settings.workers, MAX_SLOTS - 1)
        # A request may wait for those that went before it; the front end must not lose patience
        # before the supervisor's own limit has struck for each of them.
        ahead = -(-connections // settings.workers)
        answer_timeout = settings.timeout * (ahead + 1)
        if settings.multi_model:  # loading is one of the things that it waits for
            answer_timeout = max(answer_timeout, settings.startup_timeout)
        self._front_end = launcher.FrontEnd(
            java=self._java_found,
            folder=self._folder.path,
            host=settings.host,
            port=settings.port,
            connections=connections,
            payload_limit=settings.payload_limit,
            answer_timeout=int(answer_timeout + 30),
            vmargs=settings.vmargs,
            multi_model=settings.multi_model,
            handler=settings.handler_service or DEFAULT_HANDLER,
            processes=settings.workers,
        )
        self._front_end.write()
        flags = os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC
        self._ready_fd = os.open(self._front_end.ready_path, flags)
        self._start_java(self._front_end)

    def _start_java(self, front_end: launcher.FrontEnd) -> None:
        self._java_started = monotonic()
        self._java = ChildProcess.spawn(
            front_end.command(), env=front_end.environment(), targets=(None, 2)
        )
        for relay in self._java.relays:
            self._loop.watch_relay(relay)

    def _end_java(self) -> None:
        java, self._java = self._java, None
        if java is None:
            return
        java.kill_group()
        java.wait()
        for relay in java.relays:
            self._loop.unwatch(relay.source)
            relay.close()

    def _on_java_death(self, java: ChildProcess, code: int) -> None:
        self._end_java()
        words = "".join(f"\n    {line}" for line in java.tail)
        given = self._settings.vmargs
        hint = f" {_config.VMARGS.name} is {given!r}." if given else ""
        logger.error(
            "the front end %s.%s Its last lines:%s", describe_exit(code), hint, words or " none"
        )
        self._exit_code = code if code > 0 else _FAILED

    def _on_connection(self) -> None:
        sock, _ = self._listener.accept()
        self._served.accept(sock)

    def _await_port(self, report: Report) -> None:
        """Say what is served once the port is open and the back end connected."""
        settings = self._settings
        host, java = launcher.client_host(settings.host), self._java
        if java is None or not (_is_open(host, settings.port) and self._served.is_connected):
            self._loop.after(_PORT_POLL_SECONDS, lambda: self._await_port(report))
            return
        self._is_serving = True
        url = f"http://{host}:{settings.port}"
        if settings.multi_model:
            logger.info(
                "serving models on %s as they are loaded. Try: curl -X POST "
                "'%s/models?model_name=NAME&url=/DIRECTORY'",
                url,
                url,
            )
            return
        logger.info(
            "serving %s with the model in %s on %s (%d model process%s, OMP_NUM_THREADS=%s); "
            "reads %s; answers %s. Try: curl -H 'Content-Type: %s' --data-binary @FILE "
            "%s/invocations",
            settings.program.label if settings.program else settings.handler_service,
            settings.model_dir,
            url,
            settings.workers,
            "" if settings.workers == 1 else "es",
            resources.threads(settings.workers),
            _first(report.readable) or "what the program reads",
            _first(report.writable) or "what the program writes",
            report.readable[0] if report.readable else "application/json",
            url,
        )

    def _tick(self) -> None:
        self._served.check_time_limits()
        waits = self._java is not None and not self._is_serving
        if waits and monotonic() - self._java_started > _FRONT_END_PATIENCE:
            if self._served.all_loaded:
                logger.error("the front end did not open its port. Its log is above.")
                self._exit_code = _FAILED
            # It would drop the model and serve without: it starts again when the model is there.
            logger.info("the front end stops waiting; it starts again when the model is loaded")
            self._end_java()

    # The end.

    def _on_stop(self, number: int) -> None:
        if not self._is_serving:
            self._exit_code = _OK
        elif self._stop_began:
            self._exit_code = 128 + number
        else:
            self._stop_began = self._last_busy = monotonic()
            name = signal.Signals(number).name
            logger.info("%s: answering what is in flight, then stopping", name)
            self._drain()

    def _drain(self) -> None:
        now = monotonic()
        if self._served.is_busy():
            self._last_busy = now
        if now - self._last_busy < _QUIET_SECONDS and now - self._stop_began < DRAIN_SECONDS:
            self._loop.after(_QUIET_SECONDS / 5, self._drain)
            return
        self._served.stop()
        self._loop.after(max(0.0, STOP_SECONDS - (now - self._stop_began)), self._stop_waiting)

    def _stop_waiting(self) -> None:
        logger.error(
            "%d model process(es) did not stop within %g s and are killed",
            self._served.count,
            STOP_SECONDS,
        )
        self._served.kill()

    def _end_all(self) -> None:
        self._served.close()
        self._end_java()
        self._loop.unwatch(self._listener.fileno())
        self._listener.close()
        if self._ready_fd >= 0:
            os.close(self._ready_fd)
        if self._reap_strangers:
            _reap_strangers()
        self._folder.close()


class _Signals:
    """Hands signals to the loop, and puts the process's own handlers back afterwards."""

    def __init__(self, loop: EventLoop, callback: Any) -> None:
        self._reader, self._writer = socket.socketpair()
        for end in (self._reader, self._writer):
            end.setblocking(False)  # noqa: FBT003 - socket's own signature
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
        self._handlers = {number: signal.signal(number, _ignore) for number in numbers}
        self._wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)

        def read() -> None:
            for number in self._reader.recv(256):
                callback(number)

        loop.watch(self._reader.fileno(), read)

    def close(self) -> None:
        """Put everything back."""
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._reader.close()
        self._writer.close()


def _first(names: Sequence[str]) -> str:
    more = len(names) - _NAMED_TYPES
    named = ", ".join(names[:_NAMED_TYPES])
    return f"{named} and {more} more" if more > 0 else named


def _ignore(_number: int, _frame: object) -> None:
    """A signal's number reaches the loop through the wake-up descriptor."""


def _reap_strangers() -> None:
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return
        except ChildProcessError:
            return


def _is_open(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def _check_port(host: str, port: int) -> None:
    if not 0 < port <= _config.HIGHEST_PORT:
        message = (
            f"port {port} cannot be served: the front end takes 1 to {_config.HIGHEST_PORT}. "
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


def main(argv: list[str]) -> int:
    """Run a supervisor whose settings are the first argument; returns its exit code."""
    configure_logger()
    try:
        return Supervisor(Settings.read(argv[1]), reap_strangers=True).run()
    except StartError as error:
        last_word(error)
        return _FAILED
