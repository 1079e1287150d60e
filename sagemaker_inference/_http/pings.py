"""What ``/ping`` answers while a server cannot serve: a line of JSON that says why."""

from __future__ import annotations

import json
import time
from typing import Final, Literal

State = Literal["healthy", "initializing", "degraded", "critical"]
STATES: Final[tuple[State, ...]] = ("healthy", "initializing", "degraded", "critical")

Phase = Literal["installing", "importing", "loading", "warming up"]


def initializing(phase: Phase, since: str) -> str:
    """The line while the model is not loaded.

    Args:
        phase: what is going on.
        since: when that began: see `now`.
    """
    return _line(status="initializing", phase=phase, since=since)


def critical(cause: str) -> str:
    """The line where nothing can answer any more."""
    return _line(status="critical", cause=cause)


def now() -> str:
    """The time, as these lines have it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _line(**fields: str) -> str:
    return json.dumps(fields) + "\n"
