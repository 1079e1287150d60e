"""Runs the contenders in turns and keeps what was measured."""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from benchmarks import load
from benchmarks.contender import OURS
from benchmarks.processes import Server, ServerError
from benchmarks.works import HALF_LOAD, JSON_SMALL, WORKS, Work, WrongAnswerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from benchmarks.contender import Contender

# A server that has just answered its first request may still be tidying up.
_REST_SECONDS: Final = 2.0
LARGE: Final = "large"
_SLOTS: Final = 4


@dataclass(frozen=True)
class Plan:
    """What to measure.

    Attributes:
        works: names of works, and "half-load"; `LARGE` too measures one large model.
        rounds: how often each contender has its turn.
        seconds: how long a work is measured.
        warmup: how long a new server is used before it is measured; a fourth of that at each work.
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
        step: is told what comes next, and counts it.
    """

    def __init__(
        self,
        plan: Plan,
        pythons: Iterable[tuple[Contender, Path]],
        say: Callable[[str], None],
        step: Callable[[str], None],
    ) -> None:
        self._plan = plan
        self._say = say
        self._step = step
        self._entries = [
            (contender, python, mode)
            for mode in plan.modes
            for contender, python in pythons
            if plan.has_turn(contender, mode)
        ]
        self.turns: list[dict[str, Any]] = []
        self.failures: dict[str, str] = {}

    @property
    def steps(self) -> int:
        """How often `step` will be called, unless something fails."""
        return len(self._entries) * (1 + self._plan.rounds)

    def run(self) -> None:
        """See that all answer rightly, then measure them in turns."""
        for entry in self._entries:
            self._attempt(self._qualify, *entry)
        for number in range(1, self._plan.rounds + 1):
            for contender, python, mode in self._entries:
                turn = self._attempt(self._turn, contender, python, mode)
                if turn is not None:
                    self.turns.append({"contender": contender.name, "round": number, **turn})
        # Who once answered wrongly was perhaps quick because of it.
        self.turns = [turn for turn in self.turns if _key(turn) not in self.failures]

    def _attempt(
        self, act: Callable[..., dict[str, Any]], contender: Contender, python: Path, mode: str
    ) -> dict[str, Any] | None:
        key = f"{contender.name} ({mode})"
        self._step(key)
        if key in self.failures:
            return None
        try:
            with contextlib.closing(Server(contender, python, mode)) as server:
                try:
                    return act(server, contender, mode)
                except (WrongAnswerError, OSError, http.client.HTTPException) as error:
                    message = f"DISQUALIFIED: {error}\nIts log:\n{server.tail()}"
                    raise ServerError(message) from error
        except (ServerError, load.LoadError) as error:
            self.failures[key] = str(error)
            self._say(f"!!! {key}: {error}")
            return None

    def _qualify(self, server: Server, contender: Contender, mode: str) -> dict[str, Any]:
        server.await_first_answer()
        for work in self._plan.of(contender, mode) or [JSON_SMALL]:
            server.check(work)
        return {}

    def _turn(self, server: Server, contender: Contender, mode: str) -> dict[str, Any]:
        plan = self._plan
        server.await_first_answer()
        time.sleep(_REST_SECONDS)
        rest = server.memory()
        turn: dict[str, Any] = {
            "mode": mode,
            "start_seconds": server.start_seconds,
            "rest_mb": {"pss": rest.pss, "rss": rest.rss},
        }
        if mode == LARGE:
            return {**turn, "loaded_mb": _memory_in_use(server)}
        works = plan.of(contender, mode)
        first = JSON_SMALL if mode == JSON_SMALL.mode else works[0]
        if works or HALF_LOAD in plan.works:
            load.full_speed(server, first, plan.warmup)
        loads = {}
        for work in works:
            if work is not first:
                load.full_speed(server, work, plan.warmup / 4)
            loads[work.name] = load.full_speed(server, work, plan.seconds)
        if HALF_LOAD in plan.works and mode == JSON_SMALL.mode:
            whole = loads.get(JSON_SMALL.name) or load.full_speed(server, JSON_SMALL, plan.seconds)
            turn["half_load"] = load.paced(server, JSON_SMALL, whole["rate"] / 2, plan.seconds)
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


def describe(plan: Plan) -> dict[str, Any]:
    """The plan as it stands in the results."""
    return asdict(plan)
