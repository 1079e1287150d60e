"""The workers of a deployment: starting, watching, replacing and ending them.

A worker that dies or hangs is replaced, and what it was working on gets an answer from here or from
another worker. While any worker answers, those that cannot be replaced are tried again, less and
less often; a deployment without a single one that does, for as long as a model may take to load,
ends. ``docs/supervision.md`` has all states.
"""

from __future__ import annotations

import signal
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Final

from sagemaker_inference import _variables
from sagemaker_inference._ipc.messages import UNFORKABLE, UNHEALTHY
from sagemaker_inference._log import get_logger
from sagemaker_inference._os import resources
from sagemaker_inference._os.child_process import ChildProcess, adopt_orphans
from sagemaker_inference._supervisor import lost_requests
from sagemaker_inference._supervisor.outcome import FEWER, UNLOADING, Outcome
from sagemaker_inference._supervisor.pulse import Pulse
from sagemaker_inference._supervisor.restarts import Restarts
from sagemaker_inference._supervisor.scaling import Scaling, dismiss
from sagemaker_inference._supervisor.time_limits import (
    Ability,
    WaitingRequests,
    does_not_fork,
    overdue,
    unable,
)
from sagemaker_inference._supervisor.worker_handle import (
    FORKED,
    LOADED,
    STUCK,
    TOO_LATE,
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
    from sagemaker_inference._os.output import Outputs
    from sagemaker_inference._supervisor.connections import Connections
    from sagemaker_inference._supervisor.outcome import WorkersOwner
    from sagemaker_inference._supervisor.settings import Settings

logger = get_logger()

# A worker that has lived for so long had started well, and so had one that took a request.
_WELL_SECONDS: Final = 60.0
_REARM_SECONDS: Final = 0.1
_ZYGOTE: Final = -1
# How long workers that were to be added may go on with their requests where others cannot load.
_TAKE_BACK_SECONDS: Final = 5.0
_NOT_STARTED: Final = "its worker could not be started"


class Workers:
    """All workers of a deployment.

    Args:
        settings: what they serve.
        loop: calls back when one of them has something to say.
        connections: what they work on.
        outputs: where they write.
        owner: hears what becomes of them.
        record: keeps what is counted of them.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what they share with others
        self,
        settings: Settings,
        loop: EventLoop,
        connections: Connections,
        outputs: Outputs,
        owner: WorkersOwner,
        record: ModelRecord | None = None,
    ) -> None:
        self._settings = settings
        self._loop = loop
        self._connections = connections
        self._targets = outputs.out, outputs.err
        self._owner = owner
        self._record = record or ModelRecord()
        self._spawn = partial(spawn, settings, connections, outputs, self._record)
        self._target = settings.workers
        self._workers: list[WorkerHandle] = []
        self._zygote: WorkerHandle | None = None
        self._being_forked: dict[int, ForkPipes] = {}
        self._forks = settings.config.preload
        self._were_all_loaded = False
        self._is_stopping = False
        self._scaling = Scaling()
        self._restarts = Restarts(loop)
        self._ability = Ability(connections.table)
        self.last_death = ""  # how the last one that died had ended
        self._waiting_requests = WaitingRequests(
            connections, settings.config, owner.close_connection
        )
        self._oom_kills = resources.out_of_memory_kills()

    def start(self) -> None:
        """Start all; with ``preload``, the zygote that they are forked from."""
        if self._forks:
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
        return len(self.processes)

    @property
    def target(self) -> int:
        """How many workers there are to be."""
        return self._target

    @property
    def processes(self) -> list[WorkerHandle]:
        """All that there are now, the zygote too."""
        return self._workers + ([self._zygote] if self._zygote else [])

    @property
    def handles(self) -> list[WorkerHandle]:
        """Those that there are now, but for those that are ending."""
        return [worker for worker in self._workers if not worker.is_ending]

    def pass_on(self, slot: int) -> None:
        """Give a new connection to every worker that can answer."""
        for worker in self._workers:
            if worker.is_loaded:
                worker.pass_on(slot, self._connections, self._loop)

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
        """End those that take too long or are stuck; to be called once a second."""
        self._check_workers()
        self._waiting_requests.check()
        if not (self._is_stopping or self._check_ability()):
            self._check_zygote()

    def _check_workers(self) -> None:
        for worker in self.processes:
            is_zygote = worker is self._zygote and worker.is_loaded
            if worker.is_overdue or worker.is_ending or is_zygote:
                continue
            if worker.is_loaded or worker.stage == UNHEALTHY:
                late = overdue(worker, self._connections, self._settings.config)
                if late is not None:
                    logger.error("%s", late.reason)
                    worker.guilty = late.guilty
                    self._waiting_requests.extend()
                    worker.end_for(TOO_LATE if late.is_late else STUCK)
            elif monotonic() - worker.started > self._settings.config.startup_timeout:
                logger.error(
                    "the model did not load within %g s. Raise SAGEMAKER_STARTUP_TIMEOUT "
                    "(seconds), or load less.",
                    self._settings.config.startup_timeout,
                )
                worker.end_for(TOO_LATE)

    def _check_ability(self) -> bool:
        """End the deployment where no worker has been able to answer for long; whether it has."""
        limit = self._settings.config.startup_timeout
        if self._ability.unable_for(self.handles, has_begun=self._were_all_loaded) <= limit:
            return False
        cause = unable(limit, self.last_death)
        logger.error("%s. Stopping.", cause)
        self._owner.on_failed(Outcome(cause))
        return True

    def _check_zygote(self) -> None:
        if self._zygote and does_not_fork(self._being_forked.values()):
            logger.error("zygote %d does not fork and is replaced", self._zygote.child.pid)
            self._zygote.end_for(STUCK)

    # Ending them.

    def stop(self, cause: str) -> None:
        """Have all finish what they work on, for a cause that clients get; kill those that load."""
        self._is_stopping = True
        self._connections.disarm()
        self._connections.stop()
        for worker in self.processes:
            worker.ends_for = cause
            if worker is self._zygote or not worker.is_loaded:
                worker.kill()
        self._scaling.finish(Outcome(cause, is_unloaded=cause == UNLOADING))
        self._tell_when_stopped()

    def kill(self) -> None:
        """Kill those that are left; what they were working on is answered from here."""
        for worker in self.processes:
            worker.kill()

    def end_all(self) -> None:
        """Kill all of them and wait for their end."""
        self._is_stopping = True
        workers = self.processes
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
        return self._scaling.is_going_on

    def scale(self, count: int, seconds: float, on_done: Callable[[Outcome], None]) -> None:
        """Change how many there are; no other such change is going on.

        Args:
            count: how many there are to be, 1 or more.
            seconds: how long those that are too many may go on with their requests.
            on_done: gets the outcome; where it is a failure there are as many as before.
        """
        self._scaling.begin(self._target, on_done)
        self._target = count
        for worker in self._workers:
            if worker.index >= count:
                dismiss(worker, self._connections.table, self._loop, seconds)
        self._start_missing()
        self._check_scaling()

    def _check_scaling(self) -> None:
        if len(self._workers) == self._target and self.all_loaded:
            self._scaling.finish(Outcome())

    # Starting them.

    def _start_missing(self) -> None:
        present = {w.index for w in self._workers if not w.is_ending} | self._being_forked.keys()
        for index in range(self._target):
            if not (index in present or self._restarts.is_waiting(index) or self._is_stopping):
                self._start_one(index)

    def _restart(self) -> None:
        if self._forks and self._zygote is None and not self._is_stopping:
            if self._restarts.is_waiting(_ZYGOTE):
                return
            self._start_zygote()
        self._start_missing()

    def _start_one(self, index: int) -> None:
        try:
            if self._forks:
                self._fork_one(index)
            else:
                self._workers.append(self._watched(self._spawn(index)))
        except OSError as error:
            self._on_not_started(index, error)

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
            self._zygote = self._watched(self._spawn(0, is_zygote=True))
        except OSError as error:
            self._on_not_started(_ZYGOTE, error)

    def _on_not_started(self, index: int, error: OSError) -> None:
        self.last_death = f"could not be started: {error}"
        logger.error("a worker could not be started: %s", error)
        if not self._were_all_loaded:
            self._owner.on_failed(Outcome(_NOT_STARTED))
        elif self._scaling.is_going_on:
            self._take_back(Outcome(_NOT_STARTED))
        else:
            self._restarts.add(index, self._restart, is_at_once=False)

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
            child = ChildProcess(report.pid, pipes.sources, self._targets)
            pulse = Pulse(self._connections.table, report.index)
            worker = WorkerHandle(report.index, child, pipes.control, pulse, pipes.area)
            self._workers.append(self._watched(worker))
            return
        if report.stage == UNFORKABLE:
            self._stop_forking(worker, report.cause)
            return
        worker.take_note(report)
        if report.stage != LOADED or worker.is_ending:
            return
        if worker is self._zygote:
            self._record.load_seconds = monotonic() - worker.started
            self._start_missing()
        else:
            if self._zygote is None:
                self._record.load_seconds = monotonic() - worker.started
            for slot in self._connections:
                worker.pass_on(slot, self._connections, self._loop)
            if self.all_loaded:
                self._were_all_loaded = True
                self._owner.on_all_loaded(report)
                self._check_scaling()

    def _stop_forking(self, zygote: WorkerHandle, reason: str) -> None:
        """Go on without forks: a zygote that cannot be forked becomes the first worker."""
        logger.warning(
            "%s: no workers are forked, since %s. Each worker loads the model itself, and needs "
            "the memory for it. A loader and a warm-up that await nothing and start no threads, so "
            "that do not predict, can be preloaded; else unset the variable.",
            _variables.PRELOAD.name,
            reason,
        )
        self._forks, self._zygote, zygote.is_zygote = False, None, False
        if any(worker.index == zygote.index for worker in self.handles):
            zygote.ends_for = FEWER  # a copy of an earlier one is there
            zygote.kill()
        self._workers.append(zygote)
        self._start_missing()

    # How they end.

    def _let_go(self, worker: WorkerHandle) -> None:
        """Forget a process that has ended, once its last words are heard."""
        while (report := worker.next_report(self._loop)) is not None:
            self._hear(worker, report)
        worker.close(self._loop)
        self._record.bury(worker.area, worker.child.pid)
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
            self._owner.on_failed(zygote.outcome(code, out_of_memory=False))
        else:
            zygote.log_death(code)
            self.last_death = zygote.describe_death(code, out_of_memory=False)
            self._restarts.add(_ZYGOTE, self._restart, had_started_well=zygote.is_loaded)

    def _on_death(self, worker: WorkerHandle, code: int) -> None:
        self._let_go(worker)
        self._workers.remove(worker)
        kills, self._oom_kills = self._oom_kills, resources.out_of_memory_kills()
        is_kill = code == -signal.SIGKILL and not (worker.is_overdue or worker.is_ending)
        out_of_memory = is_kill and self._oom_kills > kills
        lost = lost_requests.answer(
            worker,
            self._connections,
            self._record,
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
            self._owner.on_failed(worker.outcome(code, out_of_memory=out_of_memory))
        elif self._scaling.adds(worker.index):
            self._take_back(worker.outcome(code, out_of_memory=out_of_memory))
        else:
            worker.log_death(code, out_of_memory=out_of_memory, lost=lost)
            self.last_death = worker.describe_death(code, out_of_memory=out_of_memory)
            self._record.restarts[worker.restart_reason(out_of_memory=out_of_memory)] += 1
            self._replace(worker, has_worked=bool(lost))

    def _replace(self, worker: WorkerHandle, *, has_worked: bool) -> None:
        table = self._connections.table
        is_old = monotonic() - worker.started > _WELL_SECONDS
        had_started_well = has_worked or is_old or table.answered(worker.index) > 0
        table.reset_answered(worker.index)
        self._waiting_requests.extend()
        self._restarts.add(worker.index, self._restart, had_started_well=had_started_well)

    def _take_back(self, outcome: Outcome) -> None:
        """Let those go that were to be added: one of them could not load."""
        self._target = self._scaling.before
        for worker in self._workers:
            if worker.index >= self._target:
                dismiss(worker, self._connections.table, self._loop, _TAKE_BACK_SECONDS)
        self._scaling.finish(outcome)
