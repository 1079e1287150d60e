"""Which workers take too long, and which requests nobody takes."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple

from sagemaker_inference._ipc import slots
from sagemaker_inference._log import get_logger
from sagemaker_inference._supervisor.connections import STALLED_SECONDS
from sagemaker_inference._supervisor.health import CRITICAL_SECONDS
from sagemaker_inference._variables import STARTUP_TIMEOUT, STREAM_IDLE_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sagemaker_inference._config import Config
    from sagemaker_inference._ipc.slots import Slot, SlotTable
    from sagemaker_inference._supervisor.connections import Connections
    from sagemaker_inference._supervisor.worker_handle import ForkPipes, WorkerHandle

logger = get_logger()

# How long a worker without a request may stand still. Half of the time limit, so that its successor
# answers a request that waits in time; programs are granted a few seconds in which a thread of
# theirs keeps Python's lock, and no more than half of SageMaker's 60.
_LEAST_STILL_SECONDS: Final = 5.0
_MOST_STILL_SECONDS: Final = 30.0
# One that is stopped is replaced once `/ping` has said that no other is able either.
_STOPPED_SECONDS: Final = CRITICAL_SECONDS + 2
# A loop that leaves a mark each second runs if it was seen to leave one lately.
_LATELY_SECONDS: Final = 2.5
# A zygote forks in milliseconds.
_FORK_SECONDS: Final = 30.0
# A request that was taken before is not given up sooner: it may wait for its worker's successor to
# load the model. SageMaker waits no longer.
_REPEAT_SECONDS: Final = 60.0
# One that has loaded is taken for able when it has answered, or has lived on for so long.
_ABLE_SECONDS: Final = 5.0


class Overdue(NamedTuple):
    """A worker that is to be replaced.

    Attributes:
        reason: why, as a sentence for the log.
        guilty: the slots of the requests that have exceeded the time limit themselves.
        is_late: whether a request took too long; else the worker is stuck.
    """

    reason: str
    guilty: frozenset[int] = frozenset()
    is_late: bool = False


def stuck_after(timeout: float) -> float:
    """Seconds without a mark after which a worker counts as stuck.

    Args:
        timeout: the time limit of a prediction.
    """
    return min(max(timeout / 2, _LEAST_STILL_SECONDS), _MOST_STILL_SECONDS)


def overdue(worker: WorkerHandle, connections: Connections, config: Config) -> Overdue | None:
    """Whether a worker that has loaded exceeds a time limit, or is stuck.

    A worker within the time limit of a request is able, whatever its pulse is: a call may keep
    Python's lock for as long as a request may take.

    Args:
        worker: the worker.
        connections: those of its deployment.
        config: the time limit of a prediction, and what sets it.
    """
    timeout = config.timeout
    pulse = worker.pulse
    pulse.look(is_stopped=worker.child.is_stopped)
    now = monotonic()
    held = connections.held_by(worker.child.pid)
    running = {slot: record for slot, record in held if record.state == slots.RUNNING}
    streaming = {slot: record for slot, record in held if record.state in slots.BEGUN}
    late = {slot: record for slot, record in running.items() if now - record.since > timeout}
    # Where its loop runs, it ends an async request by itself.
    runs = pulse.still_for < min(_LATELY_SECONDS, timeout / 2)
    patience = worker.patience if runs else 0.0
    if any(now - record.since > timeout + patience for record in late.values()):
        guilty = _guilty(late, {**running, **streaming}, runs=runs)
        return Overdue(_late(late, worker, config), guilty, is_late=True)
    # Of a worker whose loop runs, an async stream is broken off by itself, as above.
    quiet_limit = config.stream_idle_timeout + patience
    quiet = {slot: it for slot, it in streaming.items() if now - it.since > quiet_limit}
    if quiet:
        return Overdue(_quiet(quiet, worker, config), frozenset(quiet), is_late=True)
    if pulse.is_stopped:
        # Whatever it works on: its time limit may be an hour.
        return _stopped(worker) if pulse.stopped_for >= _STOPPED_SECONDS else None
    longest = max(stuck_after(timeout), STALLED_SECONDS if held else 0.0)
    if not (running or streaming) and pulse.still_for > longest:
        return Overdue(
            f"worker {worker.child.pid} has not been able to take a request for "
            f"{pulse.still_for:.0f} s and is replaced. It is stopped, or a thread of the program "
            "keeps Python's lock: let such code release it, or run in a process of its own.",
        )
    return None


def _stopped(worker: WorkerHandle) -> Overdue:
    return Overdue(
        f"worker {worker.child.pid} has been stopped for {worker.pulse.stopped_for:.0f} s, as by "
        "SIGSTOP, and is replaced. If you mean to look at it, take it out of service first."
    )


def _guilty(late: dict[int, Slot], running: dict[int, Slot], *, runs: bool) -> frozenset[int]:
    """Those to blame; empty where it may be any of several.

    Where the loop stands still, one of those that run keeps the others from being answered. It
    need not be late itself: a batch has waited for those that came last, which are late last.
    """
    first_tries = [slot for slot, record in running.items() if not record.tries]
    if runs or len(first_tries) <= 1:
        return frozenset(late)
    return frozenset(late.keys() - set(first_tries))


def _late(late: dict[int, Slot], worker: WorkerHandle, config: Config) -> str:
    ids = ", ".join(record.request_id for record in late.values())
    return (
        f"request{'s' if len(late) > 1 else ''} {ids} {'have' if len(late) > 1 else 'has'} run for "
        f"more than {config.timeout:g} s: {'their' if len(late) > 1 else 'its'} worker "
        f"{worker.child.pid} is replaced. Raise {config.timeout_name}, or predict faster."
    )


def _quiet(quiet: dict[int, Slot], worker: WorkerHandle, config: Config) -> str:
    ids = ", ".join(record.request_id for record in quiet.values())
    return (
        f"no item of the stream{'s' if len(quiet) > 1 else ''} {ids} has come for more than "
        f"{config.stream_idle_timeout:g} s: worker {worker.child.pid} is replaced. Raise "
        f"{STREAM_IDLE_TIMEOUT.name}, or yield more often."
    )


class Ability:
    """How long a deployment has been without a worker that is able to answer.

    Args:
        table: the shared records.
    """

    def __init__(self, table: SlotTable) -> None:
        self._table = table
        self._last_able = monotonic()

    def unable_for(self, workers: Sequence[WorkerHandle], *, has_begun: bool = True) -> float:
        """Look at the workers that there are; seconds since one of them was able.

        Args:
            workers: the workers.
            has_begun: whether all of them have loaded once; nothing is counted before.
        """
        now = monotonic()
        if not has_begun or any(self._is_able(worker, now) for worker in workers):
            self._last_able = now
        return now - self._last_able

    def _is_able(self, worker: WorkerHandle, now: float) -> bool:
        if not worker.is_loaded:
            return False
        # One that loads only to die is not able.
        return self._table.answered(worker.index) > 0 or now - worker.loaded_at > _ABLE_SECONDS


def unable(limit: float, last_death: str) -> str:
    """Why a deployment ends that no worker has been able to answer for.

    Args:
        limit: for how long, in seconds.
        last_death: how the last worker ended, or "".
    """
    return (
        f"no worker has been able to answer for {limit:g} s "
        f"({STARTUP_TIMEOUT.name}); the last one {last_death or 'still loads'}"
    )


def does_not_fork(forks: Iterable[ForkPipes]) -> bool:
    """Whether a zygote has not made what it was asked for: it is stopped, or keeps Python's lock.

    Args:
        forks: what it was asked for.
    """
    now = monotonic()
    return any(now - pipes.asked > _FORK_SECONDS for pipes in forks)


class _Waiting(NamedTuple):
    record: Slot
    since: float
    is_extended: bool


class WaitingRequests:
    """Requests that the front end has sent, and that no worker takes.

    Args:
        connections: those of the deployment.
        config: how long one may wait, and what sets that and the number of workers.
        close: closes the connection of a slot; the front end answers for itself.
    """

    def __init__(
        self, connections: Connections, config: Config, close: Callable[[int], None]
    ) -> None:
        self._connections = connections
        self._config = config
        self._close = close
        self._waiting: dict[int, _Waiting] = {}

    def extend(self) -> None:
        """Grant those that wait their time once more, since a worker was just replaced."""
        now = monotonic()
        self._waiting = {
            slot: waiting if waiting.is_extended else _Waiting(waiting.record, now, True)  # noqa: FBT003 - a record's field
            for slot, waiting in self._waiting.items()
        }

    def check(self) -> None:
        """Give up those that have waited for too long."""
        now = monotonic()
        before, self._waiting = self._waiting, {}
        repeats = self._connections.repeats()
        for slot, record in self._connections.waiting():
            known = before.get(slot)
            # A record that has changed is that of another request.
            if known is None or known.record != record:
                known = _Waiting(record, now, is_extended=False)
            if repeats and record.state == slots.AGAIN:
                # It waits for others like it, each of which has a time limit of its own.
                known = known._replace(since=now)
            self._waiting[slot] = known
        self._give_up(
            [slot for slot, waiting in self._waiting.items() if self._is_late(waiting, now)]
        )

    def _is_late(self, waiting: _Waiting, now: float) -> bool:
        timeout = self._config.timeout
        is_repeat = waiting.record.state == slots.AGAIN
        limit = max(timeout, _REPEAT_SECONDS) if is_repeat else timeout
        return now - waiting.since > limit

    def _give_up(self, late: Sequence[int]) -> None:
        if not late:
            return
        logger.error(
            "%d request(s) waited for more than %g s and no worker took them: 504. Predict "
            "faster, or raise %s or %s.",
            len(late),
            self._config.timeout,
            self._config.workers_name,
            self._config.timeout_name,
        )
        for slot in late:
            del self._waiting[slot]
            self._close(slot)
