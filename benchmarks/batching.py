"""Batches in alternating turns, beside mosec and a commit: ``python -m benchmarks batching``.

Wanted is what a server makes of many clients: how full batches are, what that gives in requests/s,
and what a lone client pays for it. Where a processor idles while the model's call runs, clients and
front end use it; so numbers of machines with few cores say nothing about others.
"""

from __future__ import annotations

import contextlib
import statistics
import struct
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from benchmarks import environments, load
from benchmarks.contender import CONTENDERS, OURS
from benchmarks.processes import Server, ServerError
from benchmarks.versus import worktree
from benchmarks.works import Work, WrongAnswerError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

MOSEC: Final = "mosec"
# As contenders/task.py writes it.
_COUNTS: Final = struct.Struct("=qq")
# Enough for a median of requests at random, at 20 in a second.
_LEAST_PACED_SECONDS: Final = 6.0
_RATE: Final = 20.0
# The most requests of a call.
_LARGEST: Final = 64
_FULL: Final = 0.85


@dataclass(frozen=True)
class Load:
    """A work, and how it is sent.

    Attributes:
        work: the work; as many clients as it has connections send one request after the other.
        rate: requests per second at random instead; 0 for none.
        is_own: whether only this project is measured, to compare with itself.
    """

    work: Work
    rate: float = 0.0
    is_own: bool = False

    @property
    def name(self) -> str:
        """Its name on the command line."""
        return self.work.name


def _closed(mode: str, title: str, *counts: int) -> list[Load]:
    return [
        Load(Work(f"{mode}-{count}", f"{title}, {count}", connections=count, mode=mode))
        for count in counts
    ]


LOADS: Final = (
    *_closed("fixed", "5 ms a batch", 1, 16, 64, 256),
    Load(Work("fixed-random", "5 ms a batch, 20/s at random", mode="fixed"), _RATE),
    Load(Work("single-1", "5 ms, no batches, 1", connections=1, mode="single"), is_own=True),
    Load(
        Work("single-random", "5 ms, no batches, 20/s at random", mode="single"),
        _RATE,
        is_own=True,
    ),
    *_closed("by-row", "0.1 ms a request", 1, 16, 64, 256),
    *_closed("holding", "5 ms of Python a batch", 1, 16, 64),
    *_closed("batched", "10 ms a batch of 32", 32),
)
NAMES: Final = tuple(each.name for each in LOADS)


class Goal(NamedTuple):
    """What is wanted of this checkout.

    Attributes:
        load: the name of a load.
        measure: "rate", "p50_ms", "p99_ms", "batch" or "errors".
        other: whom it is compared with: a side, or another load of this checkout; or a number.
        factor: of the other's value; the least for rates and batches, the most for the others.
    """

    load: str
    measure: str
    other: str | float
    factor: float = 1.0


def goals(commit: str) -> list[Goal]:
    """The goals; with a commit, those that compare with it too."""
    found = [
        *(
            Goal(f"fixed-{count}", "batch", float(min(count, _LARGEST)), _FULL)
            for count in (16, 64, 256)
        ),
        *(Goal(f"fixed-{count}", "rate", MOSEC, 1.2) for count in (16, 64, 256)),
        *(Goal(f"fixed-{count}", "errors", 0.0) for count in (16, 64, 256)),
        Goal("fixed-1", "p50_ms", "single-1", 1.02),
        *(Goal(f"by-row-{count}", "rate", MOSEC, 1.1) for count in (16, 64, 256)),
        Goal("fixed-random", "p50_ms", "single-random", 1.05),
        Goal("batched-32", "rate", MOSEC),
        Goal("batched-32", "p99_ms", MOSEC),
    ]
    if commit:
        names = [each.name for each in LOADS if each.work.mode in {"by-row", "holding"}]
        found += [Goal(name, "rate", commit) for name in names]
    return found


# By load and side, what was found in each turn.
Measures = dict[str, dict[str, list[dict[str, float]]]]


@dataclass(frozen=True)
class Batching:
    """What to measure, and how.

    Attributes:
        commit: a commit to compare with, or "".
        contenders: who else.
        names: of loads.
        turns: how often each side has its turn.
        seconds: how long each load is measured.
        warmup: seconds of load before the first load of a server.
        environ: what servers are told besides their mode.
        loads: those that there are.
        measures: what was found.
        failures: by side, why it was not measured to the end.
    """

    commit: str
    contenders: tuple[str, ...]
    names: tuple[str, ...]
    turns: int
    seconds: float
    warmup: float
    environ: Mapping[str, str] = field(default_factory=dict)
    loads: Sequence[Load] = LOADS
    measures: Measures = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def run(self, cache: Path, say: Callable[[str], None]) -> None:
        """Measure all sides.

        Args:
            cache: where environments are kept.
            say: reports progress.
        """
        sides = self._prepare(cache)
        chosen = [each for each in self.loads if each.name in self.names]
        for number in range(self.turns):
            for mode in dict.fromkeys(each.work.mode for each in chosen):
                # Alternating, so that what the machine does meanwhile meets all.
                for side in list(sides) if number % 2 == 0 else list(reversed(sides)):
                    is_own = side in {OURS, self.commit}
                    loads = [
                        each
                        for each in chosen
                        if each.work.mode == mode and (is_own or not each.is_own)
                    ]
                    if not loads or side in self.failures:
                        continue
                    say(f"turn {number + 1} of {self.turns}: {side}, {mode}")
                    try:
                        self._turn(side, sides[side], loads, say)
                    except (ServerError, WrongAnswerError, load.LoadError) as error:
                        self.failures[side] = str(error)

    def _prepare(self, cache: Path) -> dict[str, Path]:
        sides = {}
        for name in self.contenders:
            try:
                sides[name] = environments.prepare(CONTENDERS[name], cache)
            except environments.InstallError as error:
                self.failures[name] = f"cannot be installed: {error}"
        if self.commit:
            with (
                tempfile.TemporaryDirectory() as folder,
                worktree(self.commit, Path(folder, "commit")) as tree,
            ):
                sides[self.commit] = environments.prepare_checkout(cache / "versus-commit", tree)
        return sides

    def _turn(self, side: str, python: Path, loads: list[Load], say: Callable[[str], None]) -> None:
        contender, first = CONTENDERS.get(side, CONTENDERS[OURS]), loads[0].work
        with contextlib.closing(Server(contender, python, first.mode, self.environ)) as server:
            server.await_first_answer(first)
            load.full_speed(server, max((each.work for each in loads), key=_clients), self.warmup)
            for each in loads:
                server.check(each.work)
                found = self._measured(server, each)
                self.measures.setdefault(each.name, {}).setdefault(side, []).append(found)
                # At once: a machine that is lent for a while may be gone before the table is made.
                say(f"{side}, {each.name}: {found['rate']:,.0f}/s, batches of {found['batch']:.1f}")

    def _measured(self, server: Server, each: Load) -> dict[str, float]:
        if each.rate:
            seconds = max(self.seconds, _LEAST_PACED_SECONDS)
            before = counts(server.folder)
            found = load.paced(server, each.work, each.rate, seconds)
            found["rate"] = found["requests"] / seconds
        else:
            load.full_speed(server, each.work, 1)
            before = counts(server.folder)
            found = load.full_speed(server, each.work, self.seconds)
            found["cpu"] = sum(found.pop("cpu_us").values())
        calls, requests = (
            now - then for now, then in zip(counts(server.folder), before, strict=True)
        )
        return {**found, "batch": requests / calls if calls else 1.0}


def _clients(work: Work) -> int:
    return work.connections


def counts(folder: Path) -> tuple[int, int]:
    """How often the model of a server was called, and with how many requests; zeros for none."""
    try:
        calls, requests = _COUNTS.unpack((folder / "counts").read_bytes())
    except FileNotFoundError:
        return 0, 0
    return calls, requests


def table(measures: Measures, loads: Sequence[Load] = LOADS) -> str:
    """What was found as Markdown: medians of the turns."""
    lines = [
        "| | | requests/s | batch | p50 ms | p99 ms | CPU µs/request | refused |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    titles = {each.name: each.work.title for each in loads}
    for name, sides in measures.items():
        for side, turns in sides.items():
            rate, batch, p50, p99, cpu = (
                median(turns, key) for key in ("rate", "batch", "p50_ms", "p99_ms", "cpu")
            )
            refused = sum(turn["errors"] for turn in turns)
            lines.append(
                f"| {titles[name]} | {side} | {rate:,.0f} | {batch:.1f} | {p50:.2f} | {p99:.2f} "
                f"| {f'{cpu:.0f}' if cpu else ''} | {refused:.0f} |"
            )
    return "\n".join(lines) + "\n"


def median(turns: list[dict[str, float]], measure: str) -> float:
    """The median of a measure; 0 where it was not taken."""
    return statistics.median(turn.get(measure, 0.0) for turn in turns)


def verdicts(measures: Measures, wanted: list[Goal], loads: Sequence[Load] = LOADS) -> str:
    """The goals that were measured, as Markdown."""
    lines = ["| goal | is | wanted | |", "| --- | ---: | ---: | --- |"]
    titles = {each.name: each.work.title for each in loads}
    for name, measure, other, factor in wanted:
        sides = measures.get(name, {})
        if OURS not in sides:
            continue
        ours = median(sides[OURS], measure)
        if isinstance(other, float):
            theirs, words = other, ""
        elif other in sides:
            theirs, words = median(sides[other], measure), f" of {other}"
        elif OURS in measures.get(other, {}):
            theirs, words = median(measures[other][OURS], measure), f" of {titles[other]}"
        else:
            continue
        limit = theirs * factor
        is_reached = ours >= limit if measure in {"rate", "batch"} else ours <= limit
        sign = "≥" if measure in {"rate", "batch"} else "≤"
        lines.append(
            f"| {titles[name]}: {measure.removesuffix('_ms')}{words and f' × {factor:g}{words}'} "
            f"| {ours:,.2f} | {sign} {limit:,.2f} | {'yes' if is_reached else 'NO'} |"
        )
    return "\n".join(lines) + "\n"
