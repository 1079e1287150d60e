"""Whether the server can answer: a function of a few facts, looked at again and again.

No state is kept but the facts, so that nothing latches: what is able to answer again is healthy
again.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

State = Literal["healthy", "initializing", "degraded", "critical"]
STATES: Final[tuple[State, ...]] = ("healthy", "initializing", "degraded", "critical")

# A worker that died is replaced within this time, if its model loads quickly; SageMaker takes
# the instance away only after a sustained failure.
CRITICAL_SECONDS: Final = 10.0


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
