"""A deployment: one model's socket for the front end, its connections and its workers."""

from __future__ import annotations

import contextlib
import enum
import select
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from sagemaker_inference import _variables
from sagemaker_inference._ipc.slots import SlotTable
from sagemaker_inference._log import escaped, get_logger
from sagemaker_inference._program.paths import INVOCATIONS
from sagemaker_inference._supervisor.connections import Connections
from sagemaker_inference._supervisor.outcome import LOST, Outcome
from sagemaker_inference._supervisor.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagemaker_inference._ipc.messages import Report
    from sagemaker_inference._os.event_loop import EventLoop
    from sagemaker_inference._os.output import Outputs
    from sagemaker_inference._supervisor.front_end import FrontEndProcess
    from sagemaker_inference._supervisor.settings import Settings
    from sagemaker_inference._supervisor.slot_pool import SlotPool
    from sagemaker_inference._supervisor.worker_records import Records

logger = get_logger()

# The front end closes its connections when they are idle. Where requests wait that no worker will
# take, the supervisor closes them; the front end has so long to hear first that it is to refuse
# those, since that and the end of a connection come by different sockets.
_HEARD_SECONDS: Final = 0.25
# After which it is not waited for any more.
_RETIRED_SECONDS: Final = 2.0
# Slots are scarce where many models share them: a worker has so many fewer requests ahead, which is
# four connections for most, and programs that could use more leave some to others.
_LESS_AHEAD: Final = 4
_FAIR_SHARE: Final = 4
_NO_SLOT: Final = "no connection is left for it; unload others first"


class Stage(enum.Enum):
    """How far a deployment is."""

    LOADING = "loading"  # its workers load the model, or the front end connects
    SERVING = "serving"
    RETIRING = "retiring"  # it takes no more requests, and ends
    GONE = "gone"


class Surroundings(NamedTuple):
    """What all deployments of a supervisor share.

    Attributes:
        loop: calls back when something happens.
        front_end: what sends requests.
        folder: a private directory for sockets.
        pool: the slots of all deployments.
        records: what is counted of each model.
        outputs: where workers write.
    """

    loop: EventLoop
    front_end: FrontEndProcess
    folder: str
    pool: SlotPool
    records: Records
    outputs: Outputs


class DeploymentOwner(Protocol):
    """Who wants to know what becomes of a deployment."""

    def on_deployed(self, deployment: Deployment, report: Report) -> None:
        """Requests reach its workers."""
        ...

    def on_failed(self, deployment: Deployment, outcome: Outcome) -> None:
        """It could not be loaded or kept. It ends now, and `on_gone` follows."""
        ...

    def on_gone(self, deployment: Deployment) -> None:
        """Nothing of it is left."""
        ...


class Deployment:
    """One model that is being loaded, served or unloaded.

    Args:
        number: what the front end knows it by; no other one of this supervisor ever has it.
        settings: what its workers serve.
        routes: the paths, percent-decoded, whose requests it answers.
        surroundings: what it shares with others.
        owner: hears what becomes of it.

    Attributes:
        stage: how far it is.
        workers: those that answer.
        most_workers: how many of them there can be: each needs a connection to be of use.
    """

    def __init__(
        self,
        number: int,
        settings: Settings,
        routes: Sequence[str],
        surroundings: Surroundings,
        owner: DeploymentOwner,
    ) -> None:
        self.number = number
        self.stage = Stage.LOADING
        self._routes = routes
        self._loop, self._front_end, folder, self._pool, records, outputs = surroundings
        self._owner = owner
        self._path = str(Path(folder, f"{number}.sock"))
        self._is_one_of_many = settings.config.multi_model
        self._is_known = False  # to the front end
        self.most_workers = self._pool.size
        self._are_workers_gone = False
        self._is_short_of_slots = False
        self._connections = Connections(SlotTable(), self._pool, str(Path(folder, f"{number}-")))
        record = records.find(settings.model_name)
        self.workers = Workers(settings, self._loop, self._connections, outputs, self, record)
        self._wait_limit = settings.config.timeout
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    @property
    def busy(self) -> int:
        """How many requests its workers are at work on."""
        return self._connections.busy

    def start(self) -> None:
        """Start the workers; when all have loaded, the front end is told."""
        self._listener.setblocking(False)  # noqa: FBT003 - socket's own signature
        self._listener.bind(self._path)
        self._listener.listen(self._pool.size)
        self._loop.watch(self._listener.fileno(), self._accept)
        self.workers.start()

    # The front end's connections.

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                sock, _ = self._listener.accept()
                self._take(sock)

    def _take(self, sock: socket.socket) -> None:
        slot = self._connections.add(sock)
        if slot is None:
            if not self._is_short_of_slots:
                logger.error("the front end opened more than %d connections", self._pool.size)
            self._is_short_of_slots = True
            return
        self.workers.pass_on(slot)
        fd = self._connections.fd(slot)
        self._loop.watch(fd, lambda: self.close_connection(slot), select.EPOLLRDHUP)
        self._connections.arm(slot)

    def close_connection(self, slot: int) -> None:
        """Close a connection, which the front end may have closed before."""
        self._loop.unwatch(self._connections.fd(slot))
        self._connections.close(slot)

    # What its workers do (outcome.WorkersOwner).

    def on_all_loaded(self, report: Report) -> None:
        """Have the front end connect, unless it has."""
        if self._is_known or self.stage is not Stage.LOADING:
            return
        if self._is_one_of_many and (problem := self._unreachable(report)):
            self._fail(Outcome(problem))
            return
        count = self._connections_for(report)
        if not self._connections.reserve(count):
            logger.error("model %s: %s", escaped(self._routes[0]), _NO_SLOT)
            self._fail(Outcome(_NO_SLOT, out_of_memory=True))
            return
        self._is_known, self.most_workers = True, count

        def on_deployed(error: str) -> None:
            self._on_deployed(report, error)

        sockets = report.sockets
        if sockets and self._is_one_of_many:
            logger.warning(
                "model %s: its WebSockets are not served: SageMaker has none for many models",
                escaped(self._routes[0]),
            )
            sockets = ()
        self._front_end.deploy(
            self.number,
            self._path,
            count,
            self._routes_of(report),
            self._wait_limit,
            on_deployed,
            sockets,
            report.limit * self.workers.target,
        )

    def _routes_of(self, report: Report) -> list[str]:
        """The paths that its workers answer: where the model is invoked, and further ones."""
        further = [path for path in report.paths if path != INVOCATIONS]
        if self._is_one_of_many or not further:
            return [*self._routes]
        return [*(self._routes if INVOCATIONS in report.paths else ()), *further]

    def _unreachable(self, report: Report) -> str:
        """Why one of many models cannot be invoked: its name is in the path of each request."""
        further = ", ".join(path for path in report.paths if path != INVOCATIONS)
        if INVOCATIONS not in report.paths:
            return (
                f"its program answers {further} alone, and one of many models is invoked by "
                f"{self._routes[0]}; add @predictor without a path"
            )
        if further:
            logger.warning(
                "model %s: %s is not served, since one of many models is invoked by %s alone",
                escaped(self._routes[0]),
                further,
                escaped(self._routes[0]),
            )
        return ""

    def _connections_for(self, report: Report) -> int:
        """How many connections the front end is to open, of those that are still to be had."""
        slots, workers, free = report.slots, self.workers.target, self._pool.free
        wanted = self._front_end.connections_for(slots, workers)
        if self._is_one_of_many:
            fewer = self._front_end.connections_for(max(1, slots - _LESS_AHEAD), workers)
            wanted = max(workers, min(fewer, max(_FAIR_SHARE, free // 4)))
        elif self._front_end.connections_for(report.limit, workers) > free:
            logger.warning(
                "the workers could use %d connections, and %d can be had. Raise the limit of "
                "descriptors (ulimit -n), have fewer workers, or lower %s",
                wanted,
                free,
                _variables.MAX_CONCURRENCY.name,
            )
        return max(self._front_end.connections_for(1, 1), min(wanted, free, self._pool.size - 1))

    def _on_deployed(self, report: Report, error: str) -> None:
        if error or self._is_short_of_slots:
            self._is_known = not error
            cause = _NO_SLOT if self._is_short_of_slots else f"the front end has failed: {error}"
            self._fail(Outcome(cause, out_of_memory=self._is_short_of_slots))
            return
        self.stage = Stage.SERVING
        self._owner.on_deployed(self, report)

    def on_failed(self, outcome: Outcome) -> None:
        """End, since a worker cannot load, or since they die again and again."""
        if self.stage in (Stage.LOADING, Stage.SERVING):
            self._fail(outcome)

    def _fail(self, outcome: Outcome) -> None:
        # First, so that nobody takes it for one that can be used.
        self.stage = Stage.RETIRING
        self._owner.on_failed(self, outcome)
        self._end(0.0, LOST)

    # Its end.

    def retire(self, seconds: float | None, cause: str) -> None:
        """Take no more requests, let the workers finish and end them; `on_gone` follows.

        What a worker is at work on is answered. What waits, in the front end or for a worker to
        become free, gets 503.

        Args:
            seconds: when workers that are still at work are killed; None leaves that to the caller.
            cause: why, for clients whose requests are refused.
        """
        if self.stage in (Stage.LOADING, Stage.SERVING):
            self.stage = Stage.RETIRING
            self._end(seconds, cause)

    def _end(self, seconds: float | None, cause: str) -> None:
        self._close_listener()
        if self._is_known:
            self._front_end.retire(self.number, cause, lambda _error: self._on_retired())
        if seconds == 0:
            self._kill()
        elif seconds is not None:
            self._loop.after(seconds, self._kill)
        self.workers.stop(cause)

    def _kill(self) -> None:
        if self.stage is Stage.RETIRING:
            self.workers.kill()

    def on_all_stopped(self) -> None:
        """Close the connections, unless the front end does."""
        self._are_workers_gone = True
        if self._is_known:
            self._loop.after(_HEARD_SECONDS, self._close_connections)
            self._loop.after(_RETIRED_SECONDS, self._be_gone)
        else:
            self._be_gone()

    def _on_retired(self) -> None:
        self._is_known = False
        if self._are_workers_gone:
            self._be_gone()

    def _be_gone(self) -> None:
        if self.stage is Stage.RETIRING:
            self.stage = Stage.GONE
            self._close_connections()
            self._connections.dispose()
            self._owner.on_gone(self)

    def _close_connections(self) -> None:
        for slot in self._connections:
            self.close_connection(slot)

    def _close_listener(self) -> None:
        # Harmless where that is done: no other deployment ever has the path.
        self._loop.unwatch(self._listener.fileno())
        self._listener.close()
        Path(self._path).unlink(missing_ok=True)

    def close(self) -> None:
        """Kill and forget the workers and close everything, at once."""
        if self.stage is not Stage.GONE:
            self.stage = Stage.GONE
            self._close_listener()
            self.workers.end_all()
            self._close_connections()
            self._connections.dispose()
