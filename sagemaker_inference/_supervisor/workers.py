"""The workers of a deployment: starting, watching, replacing and ending them.

A worker that dies or hangs is replaced at once, and what it was working on gets an answer from
here. Dying again and again ends the deployment, since nobody is helped by an endless circle.
"""

from __future__ import annotations

import signal
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple

from sagemaker_inference._ipc.messages import UNHEALTHY
from sagemaker_inference._ipc.slots import RUNNING
from sagemaker_inference._log import get_logger
from sagemaker_inference._os import resources
from sagemaker_inference._os.child_process import ChildProcess, adopt_orphans, describe_exit
from sagemaker_inference._supervisor import lost_requests
from sagemaker_inference._supervisor.outcome import Outcome
from sagemaker_inference._supervisor.worker_handle import (
    FAILED,
    FORKED,
    LOADED,
    ForkPipes,
    WorkerHandle,
    spawn,
)
from sagemaker_inference._supervisor.worker_records import ModelRecord
from sagemaker_inference._worker.zygote import request_copy

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference._ipc.messages import Report
    from sagemaker_inference._os.event_loop import EventLoop
    from sagemaker_inference._supervisor.connections import Connections
    from sagemaker_inference._supervisor.outcome import WorkersOwner
    from sagemaker_inference._supervisor.settings import Settings

logger = get_logger()

_EARLY_DEATHS: Final = 5
_EARLY_SECONDS: Final = 60.0
_REARM_SECONDS: Final = 0.1
# A worker that could not be started is tried again after so long.
_RETRY_SECONDS: Final = 1.0
# One that is one too many ends between two requests, for which it is looked at so often.
_IDLE_POLL_SECONDS: Final = 0.02
_NOT_STARTED: Final = "its process could not be started"


class _Scaling(NamedTuple):
    before: int
    on_done: Callable[[Outcome], None]


class Workers:
    """All workers of a deployment.

    Args:
        settings: what they serve.
        loop: calls back when one of them has something to say.
        connections: what they work on.
        owner: hears what becomes of them.
        record: keeps what is counted of them.
    """

    def __init__(
        self,
        settings: Settings,
        loop: EventLoop,
        connections: Connections,
        owner: WorkersOwner,
        record: ModelRecord | None = None,
    ) -> None:
        self._settings = settings
        self._loop = loop
        self._connections = connections
        self._owner = owner
        self._record = record or ModelRecord()
        self._target = settings.workers
        self._workers: list[WorkerHandle] = []
        self._zygote: WorkerHandle | None = None
        self._being_forked: dict[int, ForkPipes] = {}
        self._were_all_loaded = False
        self._is_stopping = False
        self._scaling: _Scaling | None = None
        self._early_deaths = 0
        self._oom_kills = resources.out_of_memory_kills()

    def start(self) -> None:
        """Start all; with ``preload``, the zygote that they are forked from."""
        if self._settings.config.preload:
            adopt_orphans()
            self._start_zygote()
            return
        self._start_missing()

    @property
    def all_loaded(self) -> bool:
        """Whether every worker can answer."""
        return len([w for w in self._workers if w.is_loaded and not w.is_ending]) >= self._target

    @property
    def count(self) -> int:
        """How many processes there are now."""
        return len(self._all())

    @property
    def target(self) -> int:
        """How many workers there are to be."""
        return self._target

    @property
    def processes(self) -> list[WorkerHandle]:
        """All that there are now, the zygote too."""
        return self._all()

    @property
    def handles(self) -> list[WorkerHandle]:
        """Those that there are now, but for those that are ending."""
        return [worker for worker in self._workers if not worker.is_ending]

    def _all(self) -> list[WorkerHandle]:
        return [*self._workers, *([self._zygote] if self._zygote else [])]

    def pass_on(self, slot: int) -> None:
        """Give a new connection to every worker that can answer."""
        for worker in self._workers:
            if worker.is_loaded:
                self._pass_on(slot, worker)

    def _pass_on(self, slot: int, worker: WorkerHandle) -> None:
        try:
            self._connections.pass_on(slot, worker.control)
        except OSError:  # it is gone, which is about to be noticed, or it hangs
            worker.kill()

    # Looking after them.

    def reap(self) -> None:
        """Notice those that have ended."""
        if self._zygote is not None:
            code = self._zygote.child.reap()
            if code is not None:
                self._on_zygote_death(self._zygote, code)
        for worker in list(self._workers):
            code = worker.child.reap()
            if code is not None:
                self._on_death(worker, code)

    def check_time_limits(self) -> None:
        """End those that load or predict for too long."""
        for worker in self._all():
            if worker.is_overdue or worker.is_ending:
                continue
            if worker.is_loaded or worker.stage == UNHEALTHY:
                self._check_predictions(worker)
            elif monotonic() - worker.started > self._settings.config.startup_timeout:
                logger.error(
                    "the model did not load within %g s. Raise SAGEMAKER_STARTUP_TIMEOUT "
                    "(seconds), or load less.",
                    self._settings.config.startup_timeout,
                )
                self._end_overdue(worker)

    def _check_predictions(self, worker: WorkerHandle) -> None:
        limit = self._settings.config.timeout + worker.patience
        for _, record in self._connections.held_by(worker.child.pid):
            if record.state == RUNNING and monotonic() - record.since > limit:
                logger.error(
                    "request %s has run for more than %g s: its model process %d is replaced. "
                    "Raise SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS, or predict faster.",
                    record.request_id,
                    self._settings.config.timeout,
                    worker.child.pid,
                )
                self._end_overdue(worker)
                return

    def _end_overdue(self, worker: WorkerHandle) -> None:
        worker.is_overdue = True
        worker.kill()

    # Ending them.

    def stop(self) -> None:
        """Have all of them finish what they work on; those that still load are killed."""
        self._is_stopping = True
        self._connections.disarm()
        self._connections.stop()
        for worker in self._all():
            worker.is_ending = True
            if worker is self._zygote or not worker.is_loaded:
                worker.kill()
        self._finish_scaling(Outcome("it is being unloaded", is_unloaded=True))
        self._tell_when_stopped()

    def kill(self) -> None:
        """Kill those that are left; what they were working on is answered from here."""
        for worker in self._all():
            worker.kill()

    def end_all(self) -> None:
        """Kill all of them and wait for their end."""
        workers = self._all()
        self._workers, self._zygote = [], None
        for worker in workers:
            worker.child.kill_group()
        for worker in workers:
            worker.child.wait()
            self._let_go(worker)
        self._forget_forks()

    def _tell_when_stopped(self) -> None:
        if self._is_stopping and not self.count:
            self._forget_forks()
            self._owner.on_all_stopped()

    @property
    def is_scaling(self) -> bool:
        """Whether their number is being changed."""
        return self._scaling is not None

    def scale(self, count: int, seconds: float, on_done: Callable[[Outcome], None]) -> None:
        """Change how many there are; no other such change is going on.

        Args:
            count: how many there are to be, 1 or more.
            seconds: how long those that are too many may go on with their requests.
            on_done: gets the outcome; where it is a failure there are as many as before.
        """
        self._scaling = _Scaling(self._target, on_done)
        self._target = count
        deadline = monotonic() + seconds
        for worker in self._workers:
            if worker.index >= count:
                self._end_when_idle(worker, deadline)
        self._start_missing()
        self._check_scaling()

    def _end_when_idle(self, worker: WorkerHandle, deadline: float) -> None:
        worker.is_ending = True
        if worker not in self._workers:
            return
        if self._connections.held_by(worker.child.pid) and monotonic() < deadline:
            self._loop.after(_IDLE_POLL_SECONDS, lambda: self._end_when_idle(worker, deadline))
        else:
            worker.kill()

    def _check_scaling(self) -> None:
        if len(self._workers) == self._target and self.all_loaded:
            self._finish_scaling(Outcome())

    def _finish_scaling(self, outcome: Outcome) -> None:
        scaling, self._scaling = self._scaling, None
        if scaling is not None:
            scaling.on_done(outcome)

    # Starting them.

    def _start_missing(self) -> None:
        present = {w.index for w in self._workers if not w.is_ending} | self._being_forked.keys()
        for index in range(self._target):
            if index not in present and not self._is_stopping:
                self._start_one(index)

    def _start_one(self, index: int) -> None:
        try:
            if self._settings.config.preload:
                self._fork_one(index)
            else:
                self._workers.append(self._watched(spawn(self._settings, self._connections, index)))
        except OSError as error:
            self._on_not_started(error)

    def _fork_one(self, index: int) -> None:
        if self._zygote is None or not self._zygote.is_loaded:
            return  # copies for all missing places follow when the zygote has loaded
        pipes = self._being_forked[index] = ForkPipes(
            has_metrics=bool(self._settings.config.metrics)
        )
        try:
            request_copy(self._zygote.control, index, pipes.theirs)
        except OSError:  # it is gone, which is about to be noticed, or it hangs
            self._zygote.kill()
        pipes.close_theirs()

    def _start_zygote(self) -> None:
        try:
            zygote = spawn(self._settings, self._connections, 0, is_zygote=True)
            self._zygote = self._watched(zygote)
        except OSError as error:
            self._on_not_started(error)

    def _on_not_started(self, error: OSError) -> None:
        logger.error("a model process could not be started: %s", error)
        if not self._were_all_loaded:
            self._owner.on_failed(Outcome(_NOT_STARTED))
        elif self._scaling is not None:
            self._take_back(self._scaling, Outcome(_NOT_STARTED))
        else:
            self._loop.after(_RETRY_SECONDS, self._start_what_is_missing)

    def _start_what_is_missing(self) -> None:
        if self._settings.config.preload and self._zygote is None and not self._is_stopping:
            self._start_zygote()
        self._start_missing()

    def _watched(self, worker: WorkerHandle) -> WorkerHandle:
        for relay in worker.child.relays:
            self._loop.watch_relay(relay)
        self._loop.watch(worker.control.fileno(), lambda: self._on_report(worker))
        return worker

    # What they report.

    def _on_report(self, worker: WorkerHandle) -> None:
        report = worker.next_report(self._loop)
        if report is not None:
            self._hear(worker, report)

    def _hear(self, worker: WorkerHandle, report: Report) -> None:
        if report.stage == FORKED:
            pipes = self._being_forked.pop(report.index)
            child = ChildProcess(report.pid, pipes.sources)
            worker = WorkerHandle(report.index, child, pipes.control, pipes.area)
            self._workers.append(self._watched(worker))
            return
        worker.stage, worker.patience = report.stage, report.patience
        if report.stage == FAILED:
            worker.failure = report  # its death follows
        elif report.stage != LOADED or worker.is_ending:
            return
        elif worker is self._zygote:
            self._record.load_seconds = monotonic() - worker.started
            self._start_missing()
        else:
            if self._zygote is None:
                self._record.load_seconds = monotonic() - worker.started
            for slot in self._connections:
                self._pass_on(slot, worker)
            if self.all_loaded:
                self._were_all_loaded = True
                self._owner.on_all_loaded(report)
                self._check_scaling()

    # How they end.

    def _let_go(self, worker: WorkerHandle) -> None:
        """Forget a process that has ended, once its last words are heard."""
        while (report := worker.next_report(self._loop)) is not None:
            self._hear(worker, report)
        worker.close(self._loop)
        self._record.bury(worker.area)
        worker.area = None

    def _forget_forks(self) -> None:
        for pipes in self._being_forked.values():
            pipes.close()
        self._being_forked.clear()

    def _on_zygote_death(self, zygote: WorkerHandle, code: int) -> None:
        self._let_go(zygote)
        self._zygote = None
        self._forget_forks()
        if self._is_stopping:
            self._tell_when_stopped()
        elif not self._were_all_loaded:
            self._owner.on_failed(_outcome_of(zygote, code, out_of_memory=False))
        else:
            zygote.log_death(code)
            if not self._dies_again_and_again(code, is_early=not zygote.is_loaded):
                self._start_zygote()

    def _on_death(self, worker: WorkerHandle, code: int) -> None:
        self._let_go(worker)
        self._workers.remove(worker)
        kills, self._oom_kills = self._oom_kills, resources.out_of_memory_kills()
        is_kill = code == -signal.SIGKILL and not (worker.is_overdue or worker.is_ending)
        out_of_memory = is_kill and self._oom_kills > kills
        lost = lost_requests.answer(
            worker,
            self._connections,
            self._settings.config.timeout,
            self._owner.close_connection,
            out_of_memory=out_of_memory,
        )
        # A worker that died right after it was handed a connection has not said so in the table.
        self._loop.after(_REARM_SECONDS, self._connections.rearm_idle)
        if self._is_stopping:
            self._tell_when_stopped()
        elif worker.is_ending:
            self._check_scaling()
        elif not self._were_all_loaded:
            self._owner.on_failed(_outcome_of(worker, code, out_of_memory=out_of_memory))
        elif self._scaling is not None and worker.index >= self._scaling.before:
            outcome = _outcome_of(worker, code, out_of_memory=out_of_memory)
            self._take_back(self._scaling, outcome)
        else:
            worker.log_death(code, out_of_memory=out_of_memory, lost=lost)
            reason = "timeout" if worker.is_overdue else "died"
            reason = UNHEALTHY if worker.stage == UNHEALTHY else reason
            self._record.restarts["out_of_memory" if out_of_memory else reason] += 1
            self._replace(worker, code)

    def _replace(self, worker: WorkerHandle, code: int) -> None:
        table = self._connections.table
        is_early = monotonic() - worker.started < _EARLY_SECONDS and not table.answered(
            worker.index
        )
        if not self._dies_again_and_again(code, is_early=is_early):
            table.reset_answered(worker.index)
            self._start_one(worker.index)

    def _take_back(self, scaling: _Scaling, outcome: Outcome) -> None:
        """Let those go that were to be added: one of them could not load."""
        self._target = scaling.before
        for worker in self._workers:
            if worker.index >= self._target:
                worker.is_ending = True
                worker.kill()
        self._finish_scaling(outcome)

    def _dies_again_and_again(self, code: int, *, is_early: bool) -> bool:
        self._early_deaths = self._early_deaths + 1 if is_early else 0
        if self._early_deaths < _EARLY_DEATHS:
            return False
        cause = (
            f"the model process died {self._early_deaths} times within a minute of starting, "
            f"before it answered anything; the last time it {describe_exit(code)}"
        )
        logger.error("%s. Stopping.", cause)
        self._owner.on_failed(Outcome(cause))
        return True


def _outcome_of(worker: WorkerHandle, code: int, *, out_of_memory: bool) -> Outcome:
    cause = worker.describe_failure(code, out_of_memory=out_of_memory)
    is_memory = worker.failure is not None and worker.failure.out_of_memory
    return Outcome(cause, out_of_memory or is_memory)
