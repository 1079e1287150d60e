"""Whether the server can answer: a function of a few facts, looked at again and again.

No state is kept but the facts, so that nothing latches: what is able to answer again is healthy
again.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple

from sagemaker_inference._http import pings

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference._http.pings import Phase, State
    from sagemaker_inference._supervisor.front_end import FrontEndProcess
    from sagemaker_inference._supervisor.model_repository import ModelRepository

# A worker that died is replaced within this time, if its model loads quickly; SageMaker takes
# the instance away only after a sustained failure.
CRITICAL_SECONDS: Final = 10.0

# A supervisor that is silent for so long cannot be trusted with its last report.
_VALID_SECONDS: Final = 5
_OK, _UNAVAILABLE = 200, 503

# What a worker has reported last, and so what it is doing.
_PHASES: Final[dict[str, Phase]] = {
    "": "importing",
    "assembled": "loading",
    "warming": "warming up",
    "loaded": "warming up",
}


class Facts(NamedTuple):
    """What health follows from.

    Attributes:
        is_loaded: whether what is to be served from the start has been able to answer.
        wanted: how many workers there are to be.
        able: how many of them can answer.
        unable_for: for how many seconds none has been able to answer, though some are wanted.
        has_many: whether models come and go, and each is its own concern.
    """

    is_loaded: bool
    wanted: int
    able: int
    unable_for: float
    has_many: bool = False


def judge(facts: Facts) -> State:
    """The state of the server."""
    if not facts.is_loaded:
        return "initializing"
    if facts.able >= facts.wanted:
        return "healthy"
    is_critical = not facts.able and facts.unable_for >= CRITICAL_SECONDS
    return "critical" if is_critical and not facts.has_many else "degraded"


class Health:
    """Looks at the facts, and has the front end answer ``/ping`` by them.

    Args:
        repository: the models.
        front_end: what answers pings.
        has_many: whether models come and go, and each is its own concern.
        clock: seconds, for tests.

    Attributes:
        is_installing: whether packages are being installed.
        is_loaded: whether what is to be served from the start has been able to answer.
    """

    def __init__(
        self,
        repository: ModelRepository,
        front_end: FrontEndProcess,
        *,
        has_many: bool,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._repository = repository
        self._front_end = front_end
        self._has_many = has_many
        self._clock = clock
        self._able_at = clock()
        self._phase: Phase | None = None
        self._since = ""
        self._pushed: tuple[int, str] | None = None
        self.is_installing = False
        self.is_loaded = False

    @property
    def facts(self) -> Facts:
        """What there is now."""
        now = self._clock()
        workers = [m.deployment.workers for m in self._repository.models if m.deployment]
        wanted = sum(some.target for some in workers)
        able = sum(handle.state == "ready" for some in workers for handle in some.handles)
        if able or not wanted:
            self._able_at = now
        return Facts(self.is_loaded, wanted, able, now - self._able_at, self._has_many)

    @property
    def state(self) -> State:
        """The state of the server."""
        return judge(self.facts)

    def check(self) -> None:
        """Have the front end answer as things are now, if that has changed."""
        answer = self._answer()
        if answer != self._pushed:
            self._push(answer)

    def beat(self) -> None:
        """As `check`, and show that the supervisor is alive."""
        self._push(self._answer())

    def _push(self, answer: tuple[int, str]) -> None:
        self._pushed = answer
        self._front_end.set_health(*answer, _VALID_SECONDS)

    def _answer(self) -> tuple[int, str]:
        state = self.state
        if state == "initializing":
            phase = self._phase_now()
            if phase != self._phase:
                self._phase, self._since = phase, pings.now()
            return _UNAVAILABLE, pings.initializing(phase, self._since)
        if state == "critical":
            return _UNAVAILABLE, pings.critical(self._cause())
        return _OK, ""

    def _cause(self) -> str:
        workers = [m.deployment.workers for m in self._repository.models if m.deployment]
        handles = [handle for some in workers for handle in some.handles]
        deaths = [some.last_death for some in workers if some.last_death]
        why = ""
        if handles and all(handle.pulse.is_stopped for handle in handles):
            why = ": all are stopped"
        elif deaths:
            why = f": the last one {deaths[-1]}"
        return f"no worker has been able to answer for {CRITICAL_SECONDS:g} s{why}; see the log"

    def _phase_now(self) -> Phase:
        if self.is_installing:
            return "installing"
        stages = {
            handle.stage
            for model in self._repository.models
            if model.deployment
            for handle in model.deployment.workers.processes
        }
        # As far as the last of them.
        for stage, phase in _PHASES.items():
            if stage in stages:
                return phase
        return "importing"
