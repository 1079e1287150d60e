"""The plot of the front page: few numbers beside those of others, for light and dark pages."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple
from xml.sax.saxutils import escape

from benchmarks.contender import CONTENDERS, OURS
from benchmarks.tables import number

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from benchmarks.summary import Spread, Summary


class _Theme(NamedTuple):
    text: str
    ours: str
    others: str


# By what a file's name ends with. Pages choose: an image cannot know what it stands on.
_THEMES: Final = {
    "peers": _Theme("#1f2328", "#0969da", "#c1c8cf"),
    "peers-dark": _Theme("#e6edf3", "#4493f8", "#4b535d"),
}
_PANELS: Final = {
    "JSON 1×4, requests/s": "rate json-small",
    "CSV 1,000×4, requests/s": "rate csv-large",
    "p99 at 1,000 requests/s, ms": "p99 rate-1000",
}
# It gives the same bytes again, and so is no server that one would choose.
_NO_PEER: Final = "mms"
# In pixels.
_NAMES_WIDTH: Final = 136
_PANEL_WIDTH: Final = 226
_BAR_WIDTH: Final = 150
_BAR_HEIGHT: Final = 15
_LINE: Final = 21
_HEAD: Final = 26


def draw(summary: Summary, folder: Path, name: str) -> list[Path]:
    """Draw what was measured of it, for light and for dark pages; returns the files."""
    panels = {title: summary[key] for title, key in _PANELS.items() if key in summary}
    files = []
    for what, theme in _THEMES.items() if panels else ():
        file = folder / f"{name}-{what}.svg"
        file.write_text("\n".join(_picture(panels, theme)) + "\n")
        files.append(file)
    return files


def _picture(panels: dict[str, dict[str, Spread]], theme: _Theme) -> Iterable[str]:
    measured = {each for found in panels.values() for each in found} - {_NO_PEER}
    names = [each for each in CONTENDERS if each in measured]
    width, height = _NAMES_WIDTH + len(panels) * _PANEL_WIDTH, _HEAD + len(names) * _LINE
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="system-ui, sans-serif" '
        f'font-size="12" fill="{theme.text}">'
    )
    for line, name in enumerate(names):
        weight = "bold" if name == OURS else "normal"
        look = f'text-anchor="end" font-weight="{weight}"'
        yield _text(_NAMES_WIDTH - 8, line, CONTENDERS[name].title, look)
    for column, (title, found) in enumerate(panels.items()):
        left = _NAMES_WIDTH + column * _PANEL_WIDTH
        yield _text(left, -1, title, 'font-weight="bold"')
        values = {each: found[each].median for each in names if each in found}
        longest = max((each for each in values.values() if math.isfinite(each)), default=1.0)
        for line, name in enumerate(names):
            if name in values:
                colour = theme.ours if name == OURS else theme.others
                yield from _bar(left, line, values[name], longest, colour)
    yield "</svg>"


def _bar(left: int, line: int, value: float, longest: float, colour: str) -> Iterable[str]:
    if math.isinf(value):
        yield _text(left, line, "cannot keep up", 'font-style="italic"')
        return
    length = max(1.0, value / longest * _BAR_WIDTH)
    top = _HEAD + line * _LINE
    yield (
        f'<rect x="{left}" y="{top}" width="{length:.1f}" height="{_BAR_HEIGHT}" rx="2" '
        f'fill="{colour}"/>'
    )
    yield _text(left + length + 5, line, number(value))


def _text(x: float, line: int, words: str, look: str = 'font-weight="normal"') -> str:
    y = _HEAD + line * _LINE + 12
    return f'<text x="{x:.1f}" y="{y}" {look}>{escape(words)}</text>'
