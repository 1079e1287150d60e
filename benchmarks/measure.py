"""Runs the contenders in turns and keeps what was measured."""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import shlex
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from benchmarks import load, streams
from benchmarks.contender import OURS
from benchmarks.processes import Server, ServerError
from benchmarks.works import (
    HALF_LOAD,
    JSON_SMALL,
    RATES,
    STREAM,
    WORKS,
    Kind,
    Work,
    WrongAnswerError,
    first,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from benchmarks.contender import Contender

# A server that has just answered its first request may still be tidying up.
_REST_SECONDS: Final = 2.0
# What a turn takes besides: a start to the first answer, checks and a stop. Mean of all contenders.
_START_AND_STOP_SECONDS: Final = 5.0
# What the first items of streams take, see streams.py.
_FIRST_ITEMS_SECONDS: Final = 4.0
# Only streams that have come to their end count, and the slowest take as long for 32 of them.
_LEAST_STREAM_SECONDS: Final = 4.0
# At 1,000 requests/s, 20 of them are slower than the p99.
_LEAST_PACED_SECONDS: Final = 2.0
LARGE: Final = "large"
IDLE: Final = "idle"
# Modes that only we are measured in.
_OWN: Final[tuple[str, ...]] = (LARGE, IDLE)
# Those whose model takes 10 ms, which are most of the answer.
_MODEL_MODES: Final = ("slow", "batched")
_SLOTS: Final = 4


@dataclass(frozen=True)
class Plan:
    """What to measure.

    Attributes:
        works: names of works, "half-load" and `RATES`; `LARGE` too measures one large model, and
            `IDLE` open streams.
        rounds: how often each contender has its turn.
        seconds: how long a work is measured; streams, and works at a given rate, at least as long
            as they need.
        warmup: how long a new server is used before it is measured; an eighth of that at each
            further kind of work, and half of it where the model's 10 ms are most of the answer.
    """

    works: tuple[str, ...]
    rounds: int
    seconds: float
    warmup: float

    @property
    def modes(self) -> list[str]:
        """The servers to start, in order."""
        modes = [work.mode for work in WORKS if work.name in self.works]
        plain = [JSON_SMALL.mode] if self.paced(JSON_SMALL.mode) else []
        own = [mode for mode in _OWN if mode in self.works]
        return list(dict.fromkeys(plain + modes + own))

    def of(self, contender: Contender, mode: str) -> list[Work]:
        """The works of a contender's turn."""
        return [
            work
            for work in WORKS
            if work.name in self.works and work.mode == mode and contender.takes(work)
        ]

    def paced(self, mode: str) -> list[str]:
        """The works with which a turn in a mode ends: those at a given rate."""
        if mode != JSON_SMALL.mode:
            return []
        return [name for name in (HALF_LOAD, *RATES) if name in self.works]

    def warmups(self, contender: Contender, mode: str) -> dict[Kind, tuple[Work, float]]:
        """What a server is warmed up with for each kind of work, and for how long."""
        paced = [JSON_SMALL] if self.paced(mode) else []
        # Of the works of a kind the last: that with the most connections.
        last = {work.kind: work for work in (*self.of(contender, mode), *paced)}
        whole = self.warmup / 2 if mode in _MODEL_MODES else self.warmup
        return {
            kind: (work, self.warmup / 8 if number else whole)
            for number, (kind, work) in enumerate(last.items())
        }

    def seconds_of(self, work: Work) -> float:
        """How long a work is measured."""
        return max(self.seconds, _LEAST_STREAM_SECONDS) if work.is_stream else self.seconds

    @property
    def paced_seconds(self) -> float:
        """How long a work at a given rate is measured."""
        return max(self.seconds, _LEAST_PACED_SECONDS)

    def turn_seconds(self, contender: Contender, mode: str) -> float:
        """What a contender's turn takes, more or less."""
        measured = sum(load.whole(self.seconds_of(work)) for work in self.of(contender, mode))
        paced = len(self.paced(mode)) * self.paced_seconds
        warmup = sum(load.whole(each) for _, each in self.warmups(contender, mode).values())
        rest = {JSON_SMALL.mode: _REST_SECONDS, STREAM: _FIRST_ITEMS_SECONDS}.get(mode, 0.0)
        return _START_AND_STOP_SECONDS + rest + warmup + measured + paced

    def in_turn(self, contenders: Iterable[Contender], mode: str) -> list[Contender]:
        """Who takes part in a mode, in order: with half loads ours is last, and is given each."""
        found = [contender for contender in contenders if self.has_turn(contender, mode)]
        if HALF_LOAD in self.paced(mode):
            found.sort(key=lambda contender: contender.name == OURS)
        return found

    def has_turn(self, contender: Contender, mode: str) -> bool:
        """Whether a contender takes part in a mode."""
        if mode in _OWN:
            return contender.name == OURS
        return bool(self.of(contender, mode)) or mode == JSON_SMALL.mode


class Run:
    """One run of the benchmark.

    Args:
        plan: what to measure.
        pythons: the contenders and the Python of each one's environment.
        say: tells what goes wrong.
        step: is told what comes next, and how many seconds it will take.
    """

    def __init__(
        self,
        plan: Plan,
        pythons: Iterable[tuple[Contender, Path]],
        say: Callable[[str], None],
        step: Callable[[str, float], None],
    ) -> None:
        self._plan = plan
        self._say = say
        self._step = step
        python_of = dict(pythons)
        self._entries = [
            (contender, python_of[contender], mode)
            for mode in plan.modes
            for contender in plan.in_turn(python_of, mode)
        ]
        # What each of the others was given as half of its load in this round.
        self._half_loads: dict[str, float] = {}
        self.turns: list[dict[str, Any]] = []
        self.failures: dict[str, str] = {}

    @property
    def seconds(self) -> float:
        """What the run takes, more or less."""
        plan = self._plan
        turns = (plan.turn_seconds(contender, mode) for contender, _, mode in self._entries)
        halves = (each.name for each, _, mode in self._entries if HALF_LOAD in plan.paced(mode))
        others = {*halves} - {OURS}
        return (sum(turns) + len(others) * plan.paced_seconds) * plan.rounds

    def run(self) -> None:
        """Measure all in turns."""
        for number in range(1, self._plan.rounds + 1):
            self._half_loads.clear()
            for contender, python, mode in self._entries:
                seconds = self._plan.turn_seconds(contender, mode)
                self._step(f"round {number}: {contender.name} ({mode})", seconds)
                turn = self._attempt(contender, python, mode)
                if turn is not None:
                    self.turns.append({"contender": contender.name, "round": number, **turn})
        # Who once answered wrongly was perhaps quick because of it.
        self.turns = [turn for turn in self.turns if _key(turn) not in self.failures]

    def _attempt(self, contender: Contender, python: Path, mode: str) -> dict[str, Any] | None:
        key = f"{contender.name} ({mode})"
        if key in self.failures:
            return None
        try:
            with contextlib.closing(Server(contender, python, mode)) as server:
                try:
                    return self._turn(server, contender, mode)
                except (WrongAnswerError, OSError, http.client.HTTPException) as error:
                    message = f"DISQUALIFIED: {error}\nIts log:\n{server.tail()}"
                    raise ServerError(message) from error
        except (ServerError, load.LoadError) as error:
            self.failures[key] = str(error)
            self._say(f"!!! {key}: {error}")
            return None

    def _turn(self, server: Server, contender: Contender, mode: str) -> dict[str, Any]:
        plan = self._plan
        works = plan.of(contender, mode) or [JSON_SMALL]
        server.await_first_answer(first(mode))
        turn: dict[str, Any] = {"mode": mode, "start_seconds": server.start_seconds}
        if mode in _OWN:
            return turn | _own_measures(server, mode)
        if mode == JSON_SMALL.mode:
            time.sleep(_REST_SECONDS)
            rest = server.memory()
            turn["rest_mb"] = {"pss": rest.pss, "rss": rest.rss}
        # Before and after: who answers wrongly is not to be measured.
        for work in works:
            server.check(work)
        loads = {}
        warmups = plan.warmups(contender, mode)
        for work in plan.of(contender, mode):
            if work.kind in warmups:
                load.full_speed(server, *warmups.pop(work.kind))
            loads[work.name] = _measured(server, work, plan.seconds_of(work))
        if plan.paced(mode):
            for work, seconds in warmups.values():
                load.full_speed(server, work, seconds)
            turn |= self._paced(server, contender, loads.get(JSON_SMALL.name))
        for work in works:
            server.check(work)
        memory = server.memory()
        return {**turn, "loads": loads, "peak_mb": memory.peak, "pss_mb": memory.pss}

    def _paced(
        self, server: Server, contender: Contender, whole: dict[str, Any] | None
    ) -> dict[str, Any]:
        seconds = self._plan.paced_seconds
        wanted = self._plan.paced(JSON_SMALL.mode)
        turn: dict[str, Any] = {}
        if HALF_LOAD in wanted:
            half = (whole or load.full_speed(server, JSON_SMALL, seconds))["rate"] / 2
            turn["half_load"] = load.paced(server, JSON_SMALL, half, seconds)
            if contender.name == OURS:
                turn["others_half_load"] = {
                    name: load.paced(server, JSON_SMALL, rate, seconds)
                    for name, rate in self._half_loads.items()
                }
            else:
                self._half_loads[contender.name] = half
        turn["rates"] = {
            name: load.paced(server, JSON_SMALL, rate, seconds)
            for name, rate in RATES.items()
            if name in wanted
        }
        return turn


def _measured(server: Server, work: Work, seconds: float) -> dict[str, Any]:
    found = load.full_speed(server, work, seconds)
    return found | streams.first_items(server, work) if work.is_stream else found


def _own_measures(server: Server, mode: str) -> dict[str, Any]:
    if mode == LARGE:
        return {"loaded_mb": _memory_in_use(server)}
    return {"idle_mb": streams.idle_megabytes(server)}


def _memory_in_use(server: Server) -> dict[str, float]:
    """Memory after as many requests at a time as there are slots have used the model."""
    with concurrent.futures.ThreadPoolExecutor(_SLOTS) as pool:
        for done in [pool.submit(server.check, JSON_SMALL) for _ in range(10 * _SLOTS)]:
            done.result()
    memory = server.memory()
    return {"pss": memory.pss, "rss": memory.rss}


def _key(turn: dict[str, Any]) -> str:
    return f"{turn['contender']} ({turn['mode']})"


def command(words: Iterable[str]) -> str:
    """The command of a run as others can repeat it: where its files were is left out."""
    kept = []
    rest = iter(words)
    for word in rest:
        name, mark, _ = word.partition("=")
        if name not in ("--cache", "--results"):
            kept.append(word)
        elif not mark:
            next(rest, None)
    return shlex.join(["python", "-m", "benchmarks", *kept])


def describe(plan: Plan) -> dict[str, Any]:
    """The plan as it stands in the results."""
    return asdict(plan)
