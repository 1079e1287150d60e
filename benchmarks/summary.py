"""Medians, spreads and goals, from what was measured."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from benchmarks.contender import ALL, CONTENDERS, OURS
from benchmarks.paced import KEPT_UP
from benchmarks.works import ITEMS, JSON_SMALL, MANY, MODELS, RATES, STREAM_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PLAIN: Final = JSON_SMALL.mode
_MODEL_MB: Final = 500.0


class Spread(NamedTuple):
    """The median of what was measured, and its least and largest.

    A latency is infinite where a contender did not keep up with the requests.
    """

    median: float
    low: float
    high: float


# Measure -> contender -> spread.
Summary = dict[str, dict[str, Spread]]


def spread(values: Sequence[float]) -> Spread:
    """The spread of some values, at least one."""
    return Spread(statistics.median(values), min(values), max(values))


def summarise(turns: Iterable[dict[str, Any]]) -> Summary:
    """All measures of all contenders, over the rounds."""
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    errors: dict[str, float] = defaultdict(float)
    for turn in turns:
        name = turn["contender"]
        for measure, value in _measures(turn):
            values[measure, name].append(value)
        others = turn.get("others_half_load", {})
        for other, found in others.items():
            values["half p99 of ours", other].append(_latency(found, 99))
        half = turn.get("half_load", {})
        paced = (half, *others.values(), *turn.get("rates", {}).values())
        for found in (*turn.get("loads", {}).values(), *paced):
            errors[name] += found.get("errors", 0)
    summary: Summary = defaultdict(dict)
    for (measure, name), found in values.items():
        summary[measure][name] = spread(found)
    for name, count in errors.items():
        summary["errors"][name] = spread([count])
    return dict(summary)


def _measures(turn: dict[str, Any]) -> Iterable[tuple[str, float]]:
    if "loaded_mb" in turn:
        yield "large", turn["loaded_mb"]["pss"]
        return
    if "idle_mb" in turn:
        yield "idle", turn["idle_mb"]
        return
    for work, found in turn["loads"].items():
        yield f"rate {work}", found["rate"]
        yield f"p50 {work}", found["p50_ms"]
        yield f"p99 {work}", found["p99_ms"]
        yield "foreign", found.get("foreign", 0.0)
        cpu = found["cpu_us"]
        yield f"cpu {work}", sum(cpu.values())
        for kind in ("java", "python", "other"):
            yield f"{kind} {work}", cpu.get(kind, 0.0)
        if work in STREAM_NAMES:
            yield f"items {work}", found["rate"] * len(ITEMS)
            yield f"cpu per item {work}", sum(cpu.values()) / len(ITEMS)
            yield f"first {work}", found["first_ms"]
            yield f"last first {work}", found["last_first_ms"]
    if turn["mode"] == MANY:
        yield "many start", turn["start_seconds"]
        yield "many pss", turn["pss_mb"]
    if turn["mode"] != PLAIN:
        return
    yield "start", turn["start_seconds"]
    yield "pss", turn["rest_mb"]["pss"]
    yield "rss", turn["rest_mb"]["rss"]
    yield "peak", turn["peak_mb"]
    if "half_load" in turn:
        yield "half rate", turn["half_load"]["rate"]
        yield "half p50", _latency(turn["half_load"], 50)
        yield "half p99", _latency(turn["half_load"], 99)
    for name, found in turn.get("rates", {}).items():
        yield f"p50 {name}", _latency(found, 50)
        yield f"p99 {name}", _latency(found, 99)


def _latency(found: dict[str, Any], share: int) -> float:
    # Results of older runs do not have these counts.
    kept_up = found.get("in_time", 0) >= KEPT_UP * found.get("asked", 0)
    return float(found[f"p{share}_ms"]) if kept_up else math.inf


class Goal(NamedTuple):
    """A goal: ours against another's, or against a number.

    Attributes:
        words: what is measured.
        measure: its name in the summary.
        other: a contender, another measure of ours, or a number to stay below.
        factor: how many times better ours must be.
        less_is_better: what better means.
        ours: where ours was measured as the other was, the measure that has it under its name.
    """

    words: str
    measure: str
    other: str | float
    factor: float = 1.0
    less_is_better: bool = False
    ours: str = ""


_MANY: Final = f"many-{MODELS}"
_OTHERS: Final = [name for name in ALL if name != OURS]
GOALS: Final = (
    Goal("JSON 1×4, requests/s", "rate json-small", "aws", 4),
    Goal("JSON 1×4, requests/s", "rate json-small", "mosec"),
    Goal("JSON 1×4, requests/s", "rate json-small", "fastapi", 1.5),
    Goal("JSON 1,000×4, requests/s", "rate json-large", "aws", 8),
    Goal("JSON 1,000×4, requests/s", "rate json-large", "mosec", 1.5),
    Goal("CSV 1,000×4, requests/s", "rate csv-large", "aws", 20),
    Goal("NPY 4 MB, requests/s", "rate npy-4mb", "mms", 0.9),
    *(
        Goal("p99, each at half of its load", "half p99", name, less_is_better=True)
        for name in _OTHERS
    ),
    *(
        Goal(
            "p99, ours too at half of theirs",
            "half p99",
            name,
            less_is_better=True,
            ours="half p99 of ours",
        )
        for name in _OTHERS
    ),
    *(
        Goal(f"p99 at {rate:,}/s", f"p99 {name}", other, less_is_better=True)
        for name, rate in RATES.items()
        for other in _OTHERS
    ),
    Goal(f"{MODELS} models in one server, requests/s", f"rate {_MANY}", "aws", 4),
    Goal(f"{MODELS} models in one server, requests/s", f"rate {_MANY}", "mlserver"),
    Goal("start to first answer", "start", "aws", 1.7, less_is_better=True),
    Goal("start to first answer", "start", "bentoml", 1, less_is_better=True),
    Goal("start to first answer", "start", "litserve", 1, less_is_better=True),
    *(
        Goal("memory at rest (PSS)", "pss", name, 1, less_is_better=True)
        for name in ("aws", "bentoml", "litserve", "ray")
    ),
)
ENGINE_GOALS: Final = (
    Goal("JSON 1×4, CPU µs/request in Python", "python json-small", 90.0, 1, less_is_better=True),
    Goal("10 ms a call, 32 connections, batched", "rate batched-32", "rate slow-32", 12),
    Goal("the same, p99 in ms", "p99 batched-32", 60.0, 1, less_is_better=True),
    # The rest of the server is small against the model; a second copy would show as 500 MB.
    Goal(
        "a 500 MB model with 4 slots, MB of PSS", "large", 1.5 * _MODEL_MB, 1, less_is_better=True
    ),
    Goal("start to first answer", "start", "aws", 1 / 0.6, less_is_better=True),
    Goal("memory at rest (RSS)", "rss", "aws", 1 / 0.6, less_is_better=True),
    Goal("memory at rest (PSS)", "pss", "aws", 1 / 0.6, less_is_better=True),
)


_STREAMING: Final = [
    each.name for each in CONTENDERS.values() if each.streams and each.name != OURS
]
STREAM_GOALS: Final = (
    *(Goal("32 streams, items/s", "items stream-32", name, 2) for name in _STREAMING),
    *(
        Goal("32 streams, ms to the first item", "first stream-32", name, less_is_better=True)
        for name in _STREAMING
    ),
    *(
        Goal("the same, of the last stream", "last first stream-32", name, less_is_better=True)
        for name in _STREAMING
    ),
    Goal("1,000 open streams, MB", "idle", 50.0, less_is_better=True),
)


class Verdict(NamedTuple):
    """A goal, and by what factor ours is better than what it is compared with."""

    goal: Goal
    ours: float
    theirs: float
    factor: float

    @property
    def is_reached(self) -> bool:
        """Whether that is enough."""
        return self.factor >= self.goal.factor


def verdicts(summary: Summary, goals: Iterable[Goal]) -> list[Verdict]:
    """The goals for which there are measurements; none against who did not keep up."""
    found = []
    for goal in goals:
        measured = summary.get(goal.measure, {})
        place, name = (goal.ours, str(goal.other)) if goal.ours else (goal.measure, OURS)
        if name not in summary.get(place, {}):
            continue
        ours = summary[place][name].median
        if isinstance(goal.other, float):
            theirs = goal.other
        else:
            other = measured.get(goal.other) or summary.get(goal.other, {}).get(OURS)
            if other is None:
                continue
            theirs = other.median
        if math.isinf(theirs):
            continue
        factor = theirs / ours if goal.less_is_better else ours / theirs
        found.append(Verdict(goal, ours, theirs, factor))
    return found
