"""Two commits of this project in alternating turns: ``python -m benchmarks versus COMMIT``.

Requests per second vary by a fifth on a shared machine; processor time per request, of all
processes of a server, varies by a few per cent. So both are reported, as medians of the turns with
their spread, and as the median of the ratios within each pair of turns.
"""

from __future__ import annotations

import contextlib
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
    from collections.abc import Callable, Iterator, Sequence

CHECKOUT: Final = "this checkout"
_REST_SECONDS: Final = 2.0
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
        turns: how many pairs of turns.
        seconds: how long each work is measured.
        warmup: seconds of load before the first work of a turn.
        measures: by name and side, one value for each turn.
    """

    commit: str
    works: Sequence[str]
    turns: int
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
            for number in range(self.turns):
                # Alternating, so that what the machine does meanwhile meets both.
                for side in list(sides) if number % 2 == 0 else list(reversed(sides)):
                    say(f"turn {number + 1} of {self.turns}: {side}")
                    self._turn(side, sides[side])

    def _turn(self, side: str, python: Path) -> None:
        chosen = [work for work in WORKS if work.name in self.works]
        for mode in dict.fromkeys(work.mode for work in chosen):
            works = [work for work in chosen if work.mode == mode]
            with contextlib.closing(Server(CONTENDERS[OURS], python, mode)) as server:
                server.await_first_answer(first(mode))
                self._note(_START, side, server.start_seconds)
                time.sleep(_REST_SECONDS)
                self._note(_MEMORY, side, server.memory().pss)
                load.full_speed(server, works[0], self.warmup)
                for work in works:
                    server.check(work)
                    load.full_speed(server, work, 1)
                    measured = load.full_speed(server, work, self.seconds)
                    self._note(f"{work.title}, requests/s", side, measured["rate"])
                    cost = sum(measured["cpu_us"].values())
                    self._note(f"{work.title}, CPU µs/request", side, cost)

    def _note(self, measure: str, side: str, value: float) -> None:
        self.measures.setdefault(measure, {}).setdefault(side, []).append(value)


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
    """The measures as a Markdown table: medians with their spread, and the median of the ratios."""
    sides = list(next(iter(measures.values())))
    lines = [f"| | {' | '.join(sides)} | ratio |", "| --- | ---: | ---: | ---: |"]
    for measure, values in measures.items():
        pairs = zip(values[CHECKOUT], values[sides[0]], strict=True)
        ratios = sorted(ours / theirs for ours, theirs in pairs)
        cells = [_spread(values[side]) for side in sides]
        ratio = f"{statistics.median(ratios):.3f} ({ratios[0]:.3f}–{ratios[-1]:.3f})"
        lines.append(f"| {measure} | {' | '.join(cells)} | {ratio} |")
    return "\n".join(lines) + "\n"


def _spread(values: Sequence[float]) -> str:
    middle, least, most = (
        f"{value:,.0f}" if value >= _LARGE else f"{value:.3g}"
        for value in (statistics.median(values), min(values), max(values))
    )
    return f"{middle} ({least}–{most})"
