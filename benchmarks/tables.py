"""The results as Markdown."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from benchmarks.contender import CONTENDERS, Contender
from benchmarks.paced import KEPT_UP
from benchmarks.summary import Goal, Spread, Summary, verdicts
from benchmarks.works import MODELS, RATES, WORKS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SECTION: Final = "## Results"
_NEXT: Final = "## What is compared\n"
_CANNOT: Final = "cannot"
_LATENCIES: Final = [
    (f"{percentile} at {rate:,}/s", f"{percentile} {name}")
    for name, rate in RATES.items()
    for percentile in ("p50", "p99")
]
_HALF: Final = [
    ("requests/s", "half rate"),
    ("p50", "half p50"),
    ("p99", "half p99"),
    ("p99 of this project at as many requests/s", "half p99 of ours"),
]
_MANY: Final = [
    ("one model, requests/s", "rate json-small"),
    (f"{MODELS} models, requests/s", f"rate many-{MODELS}"),
    ("one model, CPU µs", "cpu json-small"),
    (f"{MODELS} models, CPU µs", f"cpu many-{MODELS}"),
    (f"{MODELS} models loaded, s", "many start"),
    (f"{MODELS} models, PSS MB", "many pss"),
]
_STREAMS: Final = [
    ("items/s", "items stream-32"),
    ("CPU µs per item", "cpu per item stream-32"),
    ("first item, ms", "first stream-32"),
    ("first item of the last stream, ms", "last first stream-32"),
    ("1,000 open streams, PSS MB", "idle"),
]


def markdown(results: dict[str, Any], summary: Summary, goals: Iterable[Goal]) -> str:
    """The whole report."""
    pieces = ["# Benchmark", _how(results)]
    names = [name for name in CONTENDERS if name in results["contenders"]]
    plain = [work for work in WORKS if work.mode == "plain"]
    slow = [work for work in WORKS if work.mode in {"slow", "batched"}]
    sections: list[tuple[str, list[tuple[str, str]]]] = [
        ("Requests/s", [(work.title, f"rate {work.name}") for work in plain]),
        ("The same, p50 in ms", [(work.title, f"p50 {work.name}") for work in plain]),
        (
            "CPU µs per request, all processes of a contender",
            [(work.title, f"cpu {work.name}") for work in plain],
        ),
        (
            "CPU µs per request for JSON 1×4, by kind of process",
            [(kind, f"{kind} json-small") for kind in ("java", "python", "other")],
        ),
        (
            "A predictor of 10 ms a call, requests/s at 1, 8 and 32 connections",
            [(work.title, f"rate {work.name}") for work in slow],
        ),
        ("The same, p99 in ms", [(work.title, f"p99 {work.name}") for work in slow]),
        ("Latency of JSON 1×4 at the same requests/s for all, ms", _LATENCIES),
        ("Latency of JSON 1×4 at half of the contender's own requests/s, ms", _HALF),
        (f"{MODELS} models in one server, JSON 1×4", _many(summary)),
        (
            "Start, memory, errors",
            [
                ("first answer, s", "start"),
                ("at rest, PSS MB", "pss"),
                ("at rest, RSS MB", "rss"),
                ("peak, MB", "peak"),
                ("errors", "errors"),
                ("cores taken by others meanwhile", "foreign"),
            ],
        ),
        ("One model of 500 MB, 4 slots, PSS MB", [("MB", "large")]),
        ("32 streams of 200 items of 20 bytes", _STREAMS),
    ]
    for title, columns in sections:
        shown = [(head, measure) for head, measure in columns if measure in summary]
        if shown:
            pieces += [f"## {title}", _section(results, names, shown, summary)]
    if judged := _judged(summary, goals):
        pieces += ["## Goals", judged]
    if results["failures"]:
        pieces.append("## Not measured")
        pieces += [
            f"**{key}**\n\n```text\n{reason}\n```" for key, reason in results["failures"].items()
        ]
    return "\n\n".join(pieces) + "\n"


def readme(results: dict[str, Any], summary: Summary, goals: Iterable[Goal], plot: str) -> str:
    """The section of benchmarks/README.md, with a plot at this path."""
    names = [name for name in CONTENDERS if name in results["contenders"]]
    works = [work for work in WORKS if work.mode == "plain" and not work.is_ping]
    slow = [work for work in WORKS if work.name in {"slow-32", "batched-1", "batched-32"}]
    sections: list[tuple[str, list[tuple[str, str]]]] = [
        (
            "Requests/s, start and memory at rest:",
            [
                *((work.title, f"rate {work.name}") for work in works),
                ("first answer, s", "start"),
                ("PSS MB", "pss"),
            ],
        ),
        ("Latency of JSON 1×4 at the same requests/s for all, ms:", _LATENCIES),
        ("Latency of JSON 1×4 at half of the contender's own requests/s, ms:", _HALF),
        (
            "A model of 10 ms a call, without and with batching, requests/s:",
            [(work.title, f"rate {work.name}") for work in slow],
        ),
        ("32 streams of 200 items of 20 bytes:", _STREAMS),
        (f"{MODELS} models in one server, JSON 1×4:", _many(summary)),
    ]
    pieces = [SECTION, _how(results), f"![Requests per second of each server]({plot})"]
    for words, columns in sections:
        shown = [(head, measure) for head, measure in columns if measure in summary]
        if shown:
            pieces += [words, _section(results, names, shown, summary)]
    pieces += ["What was wanted:", _judged(summary, goals)]
    return "\n\n".join(pieces) + "\n"


def with_section(text: str, section: str) -> str:
    """The README with its section replaced, or put before what is compared if there is none."""
    before, mark, rest = text.partition(f"{SECTION}\n")
    if mark:
        _, head, after = rest.partition("\n## ")
        return before + section + (head + after if head else "")
    before, head, after = text.partition(_NEXT)
    return f"{before}{section}\n{head}{after}"


def _how(results: dict[str, Any]) -> str:
    """When, where and how it was measured."""
    about = results["about"]
    plan = results["plan"]
    return (
        f"{about['date']}, {about['cpu']}, {about['cores']} cores, kernel {about['kernel']}, "
        f"Python {about['python']}, Java {about['java']}: `{about['command']}`. Medians of "
        f"{plan['rounds']} rounds of {plan['seconds']:g} s (least–largest); one worker "
        "each; 4 connections unless said otherwise."
    )


def _judged(summary: Summary, goals: Iterable[Goal]) -> str:
    """The goals as a table; empty if nothing of them was measured."""
    judged = [
        [
            goal.words,
            _opponent(goal),
            number(ours),
            number(theirs),
            f"{factor:.2f} ×",
            f"{goal.factor:.2f} ×",
            "reached" if factor >= goal.factor else "**missed**",
        ]
        for goal, ours, theirs, factor in verdicts(summary, goals)
    ]
    heads = ["goal", "against", "ours", "theirs", "better by", "wanted", ""]
    return table(heads, judged) if judged else ""


def _opponent(goal: Goal) -> str:
    if isinstance(goal.other, float):
        return "a limit"
    contender = CONTENDERS.get(goal.other)
    return contender.title if contender else goal.other


def _many(summary: Summary) -> list[tuple[str, str]]:
    """One model is shown beside many only."""
    return _MANY if f"rate many-{MODELS}" in summary else []


def _section(
    results: dict[str, Any], names: list[str], columns: list[tuple[str, str]], summary: Summary
) -> str:
    rows = []
    for name in names:
        cells = [summary[measure].get(name) for _, measure in columns]
        if any(cells):
            title = label(CONTENDERS[name], results["contenders"][name])
            rows.append([title, *(cell(value) for value in cells)])
    found = table(["", *(head for head, _ in columns)], rows)
    if _CANNOT not in found:
        return found
    return f"{found}\n\n{_CANNOT}: fewer than {KEPT_UP:.0%} of the requests were answered in time."


def label(contender: Contender, versions: dict[str, str]) -> str:
    """A contender with its version."""
    return f"{contender.title} {versions.get(contender.package, '')}".strip()


def cell(value: Spread | None) -> str:
    """A spread as a cell; contenders without a measurement get a dash."""
    if value is None:
        return "–"
    if value.low == value.high:
        return number(value.median)
    return f"{number(value.median)} ({number(value.low)}–{number(value.high)})"


def number(value: float) -> str:
    """A number with the digits that mean something; infinite latencies have none."""
    if math.isinf(value):
        return _CANNOT
    if value >= 100 or value == int(value):  # noqa: PLR2004 - three digits are enough
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"  # noqa: PLR2004 - the same


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, all columns but the first aligned to the right."""
    lines = [list(heads), ["---", *["---:"] * (len(heads) - 1)], *map(list, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
