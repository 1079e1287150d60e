"""A worker as the supervisor sees it: its process, its control socket and what it last reported."""

from __future__ import annotations

import os
import signal
import socket
from time import monotonic
from typing import TYPE_CHECKING, Final, Literal

from sagemaker_inference._ipc.messages import (
    ASSIGNMENT_ENV,
    LONGEST_REPORT,
    UNHEALTHY,
    Assignment,
    Report,
)
from sagemaker_inference._log import get_logger
from sagemaker_inference._os import resources
from sagemaker_inference._os.child_process import (
    ChildProcess,
    describe_exit,
    starters_python_path,
)
from sagemaker_inference._os.interpreter import python_command
from sagemaker_inference._supervisor.outcome import Outcome
from sagemaker_inference._supervisor.pulse import Pulse
from sagemaker_inference._supervisor.worker_records import WorkerArea

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagemaker_inference._os.event_loop import EventLoop
    from sagemaker_inference._os.output import Outputs
    from sagemaker_inference._supervisor.connections import Connections
    from sagemaker_inference._supervisor.settings import Settings
    from sagemaker_inference._supervisor.worker_records import ModelRecord

logger = get_logger()

LOADED: Final = "loaded"
FAILED: Final = "failed"
FORKED: Final = "forked"
# What it was killed for.
TOO_LATE: Final = "it took longer than its time limit"
STUCK: Final = "it was stuck"

_UNSENT_SECONDS: Final = 0.05

_OUT_OF_MEMORY: Final = "out_of_memory"
_TIMEOUT: Final = "timeout"
_DIED: Final = "died"
# Why workers are replaced.
REASONS: Final = (_DIED, _OUT_OF_MEMORY, _TIMEOUT, UNHEALTHY)

State = Literal["starting", "loading", "ready", "stuck", "ending"]
STATES: Final[tuple[State, ...]] = ("starting", "loading", "ready", "stuck", "ending")


class WorkerHandle:
    """A worker, or the zygote that workers are forked from.

    Attributes:
        index: its place among the workers, which decides its GPU.
        child: the process.
        control: the socket to it.
        stage: "" at first, then what its last `Report` said.
        loaded_at: when it said that it can answer, by the monotonic clock.
        failure: what it reported when it could not load.
        started: when it was started, by the monotonic clock.
        patience: seconds beyond the time limit in which it ends a request by itself.
        limit: how many requests it handles at the same time.
        pulse: whether its loop goes round.
        killed_for: what it was killed for before its time: it exceeded a time limit, or is stuck.
        guilty: the slots of the requests that it was killed for.
        ends_for: why it is to end, and not to be replaced; "" where it is not.
        area: the metrics that it writes, or None.
        is_zygote: whether workers are forked from it, and it is none itself.
    """

    def __init__(  # noqa: PLR0913 - what it is made of
        self,
        index: int,
        child: ChildProcess,
        control: socket.socket,
        pulse: Pulse,
        area: WorkerArea | None = None,
        *,
        is_zygote: bool = False,
    ) -> None:
        self.index = index
        self.child = child
        self.control = control
        self.stage = ""
        self.failure: Report | None = None
        self.started = self.loaded_at = monotonic()
        self.patience = 0.0
        self.limit = 1
        self.pulse = pulse
        self.guilty: frozenset[int] = frozenset()
        self.killed_for = ""
        self.ends_for = ""
        self.area = area
        self.is_zygote = is_zygote
        # Slots of connections for which its socket had no room yet.
        self._unsent: list[int] = []
        self._is_closed = False

    @property
    def name(self) -> str:
        """What metrics call it."""
        return "zygote" if self.is_zygote else f"worker-{self.index}"

    @property
    def state(self) -> State:
        """What it is doing, in a word."""
        if self.is_overdue or self.pulse.is_stopped:
            return "stuck"
        if self.is_ending or self.stage == UNHEALTHY:
            return "ending"
        return "ready" if self.is_loaded else "loading" if self.stage else "starting"

    @property
    def is_overdue(self) -> bool:
        """Whether it was killed because it exceeded a time limit, or was stuck."""
        return bool(self.killed_for)

    @property
    def is_ending(self) -> bool:
        """Whether it is to end, and not to be replaced."""
        return bool(self.ends_for)

    @property
    def is_loaded(self) -> bool:
        """Whether it can answer requests."""
        return self.stage == LOADED

    def next_report(self, loop: EventLoop) -> Report | None:
        """What it has reported, if anything; never waits."""
        try:
            data = self.control.recv(LONGEST_REPORT, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except ConnectionResetError:  # it ended with connections unread
            data = b""
        if not data:
            loop.unwatch(self.control.fileno())
            return None
        return Report.read(data)

    def take_note(self, report: Report) -> None:
        """Remember what it has reported."""
        self.stage, self.patience = report.stage, report.patience
        if report.stage == LOADED:
            self.loaded_at, self.limit = monotonic(), report.limit
            self.pulse.begin()
        elif report.stage == FAILED:
            self.failure = report  # its death follows

    def pass_on(self, slot: int, connections: Connections, loop: EventLoop) -> None:
        """Send it a connection, now or when its socket has room for it."""
        self._unsent.append(slot)
        if len(self._unsent) == 1:
            self._send_unsent(connections, loop)

    def _send_unsent(self, connections: Connections, loop: EventLoop) -> None:
        open_slots = set(connections)
        try:
            while self._unsent and not self._is_closed:
                if self._unsent[0] in open_slots:
                    connections.pass_on(self._unsent[0], self.control)
                del self._unsent[0]
        except BlockingIOError:  # it reads when it has no request, or takes one
            loop.after(_UNSENT_SECONDS, lambda: self._send_unsent(connections, loop))
        except OSError:  # it is gone, which is about to be noticed
            self.kill()

    def kill(self) -> None:
        """Kill the process; its death is noticed later."""
        self.child.signal(signal.SIGKILL)

    def end_for(self, cause: str) -> None:
        """Kill the process before its time, for a cause that its obituary names."""
        self.killed_for = cause
        self.kill()

    def close(self, loop: EventLoop) -> None:
        """Give back what belongs to a process that has ended, and end what it has started."""
        loop.unwatch(self.control.fileno())
        self.control.close()
        self._is_closed = True
        for relay in self.child.relays:
            loop.unwatch(relay.source)
            relay.close()
        self.child.kill_group()

    def describe_death(self, code: int, *, out_of_memory: bool) -> str:
        """How it ended: "was killed by SIGKILL (it took longer than its time limit)"."""
        cause = " (the kernel ended it because memory ran out)" if out_of_memory else ""
        cause = f" ({self.killed_for})" if self.killed_for else cause
        return describe_exit(code) + cause

    def restart_reason(self, *, out_of_memory: bool) -> str:
        """Why it is replaced, in a word."""
        if out_of_memory:
            return _OUT_OF_MEMORY
        if self.stage == UNHEALTHY:
            return UNHEALTHY
        return _TIMEOUT if self.is_overdue else _DIED

    def log_death(
        self, code: int, *, out_of_memory: bool = False, lost: Sequence[str] = ()
    ) -> None:
        """Say how it ended, with its last lines and the requests that it was working on."""
        self._say_last_words()
        requests = f" It was working on: {', '.join(lost)}." if lost else ""
        words = "".join(f"\n    {line}" for line in self.child.tail)
        logger.error(
            "worker %d %s%s.%s Its last lines:%s",
            self.child.pid,
            self.describe_death(code, out_of_memory=out_of_memory),
            "" if self.stage in {LOADED, UNHEALTHY} else " before it had loaded the model",
            requests,
            words or " none",
        )

    def outcome(self, code: int, *, out_of_memory: bool) -> Outcome:
        """Why it has not loaded; its death is logged where it has not said so itself."""
        self._say_last_words()
        if self.failure is not None:
            return Outcome(self.failure.cause, out_of_memory or self.failure.out_of_memory)
        self.log_death(code, out_of_memory=out_of_memory)
        last = f": {self.child.tail[-1]}" if self.child.tail else ""
        cause = f"its worker {self.describe_death(code, out_of_memory=out_of_memory)}{last}"
        return Outcome(cause, out_of_memory)

    def _say_last_words(self) -> None:
        if self.failure is not None and self.failure.words:
            self.child.say(self.failure.words)


class ForkPipes:
    """The control socket and the output of a worker that the zygote is going to fork.

    Attributes:
        control: our end of the socket.
        sources: our ends of its standard output and standard error.
        area: the metrics that it will write, or None.
        theirs: descriptors of the socket's other end, of its standard output and standard error,
            and of its metrics.
        asked: when the zygote was asked, by the monotonic clock.
    """

    def __init__(self, *, has_metrics: bool = True) -> None:
        self.asked = monotonic()
        self.control, theirs = _control_pair()
        out, err = os.pipe(), os.pipe()
        self.sources = out[0], err[0]
        self.area = WorkerArea() if has_metrics else None
        shared = () if self.area is None else (self.area.take_fd(),)
        self.theirs = theirs.detach(), out[1], err[1], *shared

    def close_theirs(self) -> None:
        """Close what has been sent to the zygote."""
        for fd in self.theirs:
            os.close(fd)

    def close(self) -> None:
        """Close our ends: nothing was forked."""
        self.control.close()
        for source in self.sources:
            os.close(source)
        if self.area is not None:
            self.area.close()


def spawn(  # noqa: PLR0913 - all that it has to do with
    settings: Settings,
    connections: Connections,
    outputs: Outputs,
    record: ModelRecord,
    index: int,
    *,
    is_zygote: bool = False,
) -> WorkerHandle:
    """Start a worker.

    Args:
        settings: what it serves.
        connections: what it works on.
        outputs: where it writes.
        record: keeps what is counted of it.
        index: its place among the workers.
        is_zygote: whether it only loads the model, and workers are forked from it.

    Raises:
        OSError: there are no processes, descriptors or memory left, or the settings are too long
            for an environment variable.
    """
    gpu = settings.gpus[index % len(settings.gpus)] if settings.gpus else None
    control, theirs = _control_pair()
    area = WorkerArea() if settings.config.metrics else None
    metrics_fd = -1 if area is None else area.take_fd()
    try:
        assignment = Assignment(
            program=settings.program,
            handler_service=settings.handler_service,
            model_name=settings.model_name,
            model_dir=settings.model_dir,
            index=index,
            gpu_id=0 if settings.gpus else None,
            control_fd=theirs.fileno(),
            epoll_fd=connections.epoll.fileno(),
            stop_fd=connections.stop_fd,
            table_fd=connections.table.fd,
            journal_fd=connections.journal.fd,
            log_fd=outputs.access_fd,
            config=settings.config,
            is_zygote=is_zygote,
            path=settings.path,
            metrics_fd=metrics_fd,
            sessions=connections.sessions,
        )
        child = ChildProcess.spawn(
            python_command("sagemaker_inference._worker.main"),
            env={**_environment(settings, assignment, gpu), **record.program.environment},
            pass_fds=assignment.fds,
            targets=(outputs.out, outputs.err),
        )
    except OSError:
        control.close()
        if area is not None:
            area.close()
        raise
    finally:
        theirs.close()
        if metrics_fd >= 0:
            os.close(metrics_fd)
    pulse = Pulse(connections.table, index)
    return WorkerHandle(index, child, control, pulse, area, is_zygote=is_zygote)


def _environment(settings: Settings, assignment: Assignment, gpu: str | None) -> dict[str, str]:
    env = {
        **os.environ,
        ASSIGNMENT_ENV: assignment.dump(),
        "OMP_NUM_THREADS": resources.threads(settings.workers),
    }
    if gpu is not None:
        env["CUDA_VISIBLE_DEVICES"] = gpu
    if settings.handler_service:
        env["PYTHONPATH"] = starters_python_path()
    return env


def _control_pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
