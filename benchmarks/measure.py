"""Runs the contenders in turns and keeps what was measured."""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import shlex
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from benchmarks import load
from benchmarks.contender import OURS
from benchmarks.processes import Server, ServerError
from benchmarks.works import HALF_LOAD, JSON_SMALL, WORKS, Kind, Work, WrongAnswerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from benchmarks.contender import Contender

# A server that has just answered its first request may still be tidying up.
_REST_SECONDS: Final = 2.0
# What a turn takes besides: a start to the first answer, checks and a stop. Mean of all contenders.
_START_AND_STOP_SECONDS: Final = 5.0
LARGE: Final = "large"
_SLOTS: Final = 4


@dataclass(frozen=True)
class Plan:
    """What to measure.

    Attributes:
        works: names of works, and "half-load"; `LARGE` too measures one large model.
        rounds: how often each contender has its turn.
        seconds: how long a work is measured.
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
        plain = [JSON_SMALL.mode] if HALF_LOAD in self.works else []
        large = [LARGE] if LARGE in self.works else []
        return list(dict.fromkeys(plain + modes + large))

    def of(self, contender: Contender, mode: str) -> list[Work]:
        """The works of a contender's turn."""
        return [
            work
            for work in WORKS
            if work.name in self.works and work.mode == mode and contender.takes(work)
        ]

    def has_half_load(self, mode: str) -> bool:
        """Whether a turn in a mode ends with half load."""
        return HALF_LOAD in self.works and mode == JSON_SMALL.mode

    def warmups(self, contender: Contender, mode: str) -> dict[Kind, tuple[Work, float]]:
        """What a server is warmed up with for each kind of work, and for how long."""
        half = [JSON_SMALL] if self.has_half_load(mode) else []
        # Of the works of a kind the last: that with the most connections.
        last = {work.kind: work for work in (*self.of(contender, mode), *half)}
        first = self.warmup if mode == JSON_SMALL.mode else self.warmup / 2
        return {
            kind: (work, self.warmup / 8 if number else first)
            for number, (kind, work) in enumerate(last.items())
        }

    def turn_seconds(self, contender: Contender, mode: str) -> float:
        """What a contender's turn takes, more or less."""
        count = len(self.of(contender, mode)) + self.has_half_load(mode)
        warmup = sum(load.whole(each) for _, each in self.warmups(contender, mode).values())
        rest = _REST_SECONDS if mode == JSON_SMALL.mode else 0
        return _START_AND_STOP_SECONDS + rest + warmup + count * load.whole(self.seconds)

    def in_turn(self, contenders: Iterable[Contender], mode: str) -> list[Contender]:
        """Who takes part in a mode, in order: with half loads ours is last, and is given each."""
        found = [contender for contender in contenders if self.has_turn(contender, mode)]
        if self.has_half_load(mode):
            found.sort(key=lambda contender: contender.name == OURS)
        return found

    def has_turn(self, contender: Contender, mode: str) -> bool:
        """Whether a contender takes part in a mode."""
        if mode == LARGE:
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
        others = {each.name for each, _, mode in self._entries if plan.has_half_load(mode)} - {OURS}
        return (sum(turns) + len(others) * load.whole(plan.seconds)) * plan.rounds

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
        server.await_first_answer()
        turn: dict[str, Any] = {"mode": mode, "start_seconds": server.start_seconds}
        if mode == LARGE:
            return {**turn, "loaded_mb": _memory_in_use(server)}
        if mode == JSON_SMALL.mode:
            time.sleep(_REST_SECONDS)
            rest = server.memory()
            turn["rest_mb"] = {"pss": rest.pss, "rss": rest.rss}
        works = plan.of(contender, mode)
        # Before and after: who answers wrongly is not to be measured.
        for work in works or [JSON_SMALL]:
            server.check(work)
        loads = {}
        warmups = plan.warmups(contender, mode)
        for work in works:
            if work.kind in warmups:
                load.full_speed(server, *warmups.pop(work.kind))
            loads[work.name] = load.full_speed(server, work, plan.seconds)
        if plan.has_half_load(mode):
            for work, seconds in warmups.values():
                load.full_speed(server, work, seconds)
            whole = loads.get(JSON_SMALL.name) or load.full_speed(server, JSON_SMALL, plan.seconds)
            half = whole["rate"] / 2
            turn["half_load"] = load.paced(server, JSON_SMALL, half, plan.seconds)
            if contender.name == OURS:
                turn["others_half_load"] = {
                    name: load.paced(server, JSON_SMALL, rate, plan.seconds)
                    for name, rate in self._half_loads.items()
                }
            else:
                self._half_loads[contender.name] = half
        for work in works or [JSON_SMALL]:
            server.check(work)
        return {**turn, "loads": loads, "peak_mb": server.memory().peak}


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
