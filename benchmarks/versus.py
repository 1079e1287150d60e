"""Two commits of this project side by side: ``python -m benchmarks versus COMMIT``.

Requests per second vary by a fifth on a shared machine; processor time per request, of all
processes of a server, varies by a few per cent from server to server, and less within one. So both
commits' servers are up at the same time and are measured in short turns, several pairs of servers
one after the other, and the median of the ratios within each pair of turns is what counts.
"""

from __future__ import annotations

import contextlib
import random
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks import environments, load
from benchmarks.contender import CONTENDERS, OURS
from benchmarks.processes import Server
from benchmarks.works import WORKS, first

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from benchmarks.works import Work

CHECKOUT: Final = "this checkout"
_REST_SECONDS: Final = 2.0
# Of each work on each server.
_TURNS: Final = 8
_START: Final = "start, s"
_MEMORY: Final = "memory at rest, MB"
# From here on, a number needs no decimals.
_LARGE: Final = 100


@dataclass(frozen=True)
class Comparison:
    """What to compare, and how.

    Attributes:
        commit: what to compare the checkout with; anything that ``git worktree add`` takes.
        works: names of works.
        pairs: how many pairs of servers are started, one of each commit.
        seconds: how long a turn is.
        warmup: seconds of load before the first turn of a work on a server.
        measures: by name and side, one value for each turn, or for each server.
    """

    commit: str
    works: Sequence[str]
    pairs: int
    seconds: float
    warmup: float
    measures: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def run(self, cache: Path, say: Callable[[str], None]) -> None:
        """Measure both.

        Args:
            cache: where environments are kept.
            say: reports progress.
        """
        with tempfile.TemporaryDirectory() as folder:
            with worktree(self.commit, Path(folder, "commit")) as tree:
                sides = {
                    self.commit: environments.prepare_checkout(cache / "versus-commit", tree),
                    CHECKOUT: environments.prepare_checkout(cache / "versus-checkout"),
                }
            chosen = [work for work in WORKS if work.name in self.works]
            for number in range(self.pairs):
                for mode in dict.fromkeys(work.mode for work in chosen):
                    say(f"servers {number + 1} of {self.pairs}: {mode}")
                    self._measure([work for work in chosen if work.mode == mode], mode, sides)

    def _measure(self, works: Sequence[Work], mode: str, sides: Mapping[str, Path]) -> None:
        """Measure works on one server of each side."""
        with contextlib.ExitStack() as stack:
            servers: dict[str, Server] = {}
            for side in _shuffled(sides):
                server = Server(CONTENDERS[OURS], sides[side], mode)
                servers[side] = stack.enter_context(contextlib.closing(server))
                server.await_first_answer(first(mode))
                self._note(_START, side, server.start_seconds)
            time.sleep(_REST_SECONDS)
            for side, server in servers.items():
                # Of pages that both share, such as Java's, each has half.
                self._note(_MEMORY, side, server.memory().pss)
            for work in works:
                for server in servers.values():
                    server.check(work)
                    load.full_speed(server, work, self.warmup)
            for _ in range(_TURNS):
                for work in works:
                    # At random, so that what the machine does meanwhile meets both.
                    for side in _shuffled(servers):
                        measured = load.full_speed(servers[side], work, self.seconds)
                        self._note(f"{work.title}, requests/s", side, measured["rate"])
                        cost = sum(measured["cpu_us"].values())
                        self._note(f"{work.title}, CPU µs/request", side, cost)

    def _note(self, measure: str, side: str, value: float) -> None:
        self.measures.setdefault(measure, {}).setdefault(side, []).append(value)


def _shuffled(names: Iterable[str]) -> list[str]:
    names = list(names)
    random.shuffle(names)
    return names


@contextlib.contextmanager
def worktree(commit: str, folder: Path) -> Iterator[Path]:
    """Check a commit out into a folder, within the block."""
    git = ["git", "-C", str(environments.CHECKOUT), "worktree"]
    subprocess.run([*git, "add", "--detach", "--quiet", str(folder), commit], check=True)
    try:
        yield folder
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], check=True)


def table(measures: dict[str, dict[str, list[float]]]) -> str:
    """The measures as a Markdown table: medians, each with its quartiles.

    Columns are the commit, the checkout, and the ratio of the checkout to the commit, of each pair
    of turns.
    """
    (commit,) = {side for sides in measures.values() for side in sides} - {CHECKOUT}
    lines = [f"| | {commit} | {CHECKOUT} | ratio | pairs |", "| --- | ---: | ---: | ---: | ---: |"]
    for measure, values in measures.items():
        pairs = list(zip(values[CHECKOUT], values[commit], strict=True))
        ratios = [ours / theirs for ours, theirs in pairs]
        cells = [_spread(values[commit]), _spread(values[CHECKOUT]), _spread(ratios, 3)]
        lines.append(f"| {measure} | {' | '.join(cells)} | {len(pairs)} |")
    return "\n".join(lines) + "\n"


def _spread(values: Sequence[float], decimals: int | None = None) -> str:
    lower, middle, upper = quartiles(values)
    return "{} ({}–{})".format(*(_number(each, decimals) for each in (middle, lower, upper)))


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Below a quarter, half and three quarters of the values: one value is all three."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    lower, middle, upper = statistics.quantiles(values, n=4, method="inclusive")
    return lower, middle, upper


def _number(value: float, decimals: int | None) -> str:
    if decimals is not None:
        return f"{value:.{decimals}f}"
    return f"{value:,.0f}" if value >= _LARGE else f"{value:.3g}"
