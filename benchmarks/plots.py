"""The results as plots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks import peers
from benchmarks.contender import CONTENDERS, OURS
from benchmarks.works import WORKS

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from benchmarks.summary import Spread, Summary

_OURS_COLOUR: Final = "#1f77b4"
_OTHER_COLOUR: Final = "#b0b7bf"


def draw(summary: Summary, folder: Path, name: str) -> list[Path]:
    """Draw what was measured; returns the files."""
    # Text stays text, and the same numbers give the same file.
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "benchmark"})
    plain = [work for work in WORKS if work.mode == "plain" and not work.is_ping]
    rates = {work.title: f"rate {work.name}" for work in plain}
    slow = {work.title: f"rate {work.name}" for work in WORKS if work.mode in {"slow", "batched"}}
    small = {
        "p99 at half load, ms": "half p99",
        "first answer, s": "start",
        "memory at rest, PSS MB": "pss",
    }
    figures = {"requests": rates, "batching": slow, "footprint": small}
    files = []
    for what, measures in figures.items():
        shown = {title: summary[key] for title, key in measures.items() if key in summary}
        if shown:
            unit = "less is better" if what == "footprint" else "requests/s"
            file = folder / f"{name}-{what}.svg"
            _bars(shown, unit, file)
            files.append(file)
    return files + peers.draw(summary, folder, name)


def _bars(panels: dict[str, dict[str, Spread]], unit: str, file: Path) -> None:
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    height = 0.6 + 0.28 * max(map(len, panels.values()))
    figure = Figure(figsize=(4.2 * columns, height * lines), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False)
    for axes, (title, found) in zip(grid.flat, panels.items(), strict=False):
        _panel(axes, f"{title} ({unit})", found)
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_axis_off()
    figure.savefig(file, metadata={"Date": None})


def _panel(axes: Axes, title: str, found: dict[str, Spread]) -> None:
    names = [name for name in CONTENDERS if name in found]
    spreads = [found[name] for name in names]
    axes.barh(
        [CONTENDERS[name].title for name in names],
        [each.median for each in spreads],
        xerr=[
            [each.median - each.low for each in spreads],
            [each.high - each.median for each in spreads],
        ],
        color=[_OURS_COLOUR if name == OURS else _OTHER_COLOUR for name in names],
        error_kw={"elinewidth": 0.8},
    )
    axes.invert_yaxis()
    axes.set_title(title, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
