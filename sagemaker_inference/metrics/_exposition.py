"""Prometheus' text format of what the areas of several processes hold.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sagemaker_inference.metrics._cells import Described

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_OF_DISTRIBUTION: Final = ("_bucket", "_sum", "_count")
_SUFFIXES: Final = {
    "counter": ("_total",),
    "histogram": _OF_DISTRIBUTION,
    "summary": _OF_DISTRIBUTION[1:],
}
_Labels = tuple[tuple[str, str], ...]


def exposed_names(name: str, kind: str) -> frozenset[str]:
    """All names that the page has of a metric: no other one may have any of them."""
    suffixes = _SUFFIXES.get(kind, ())
    return frozenset({name, *(name + suffix for suffix in suffixes)})


@dataclass
class Family:
    """A metric, with the numbers of each set of labels.

    Attributes:
        name, kind, help: as exposed; a counter's name without ``_total``.
        buckets: a histogram's upper bounds.
        over_workers: how gauges of several processes become one.
        series: the numbers, by labels.
        bounds: the upper bounds of a series whose buckets are others than the family's.
    """

    name: str
    kind: str
    help: str
    buckets: tuple[float, ...] = ()
    over_workers: str = "sum"
    series: dict[_Labels, list[float]] = field(default_factory=dict)
    bounds: dict[_Labels, tuple[float, ...]] = field(default_factory=dict)

    def add(
        self, labels: Mapping[str, str], values: list[float], buckets: tuple[float, ...] = ()
    ) -> None:
        """Merge the numbers of one thread of one process.

        Where a program was changed and loaded again with other buckets, the first ones stay.
        """
        key = tuple(labels.items())
        if key not in self.series and buckets != self.buckets:
            self.bounds[key] = buckets
        if buckets != self.bounds.get(key, self.buckets):
            return
        old = self.series.get(key)
        if old is None:
            self.series[key] = list(values)
        elif self.kind == "gauge":
            self.series[key] = self._merged(old, values)
        else:
            self.series[key] = [one + other for one, other in zip(old, values, strict=True)]

    def merge(self, other: Family) -> None:
        """Add the numbers of other processes."""
        for labels, values in other.series.items():
            self.add(dict(labels), values, other.bounds.get(labels, other.buckets))

    def _merged(self, old: list[float], new: list[float]) -> list[float]:
        if self.over_workers == "sum":
            return [old[0] + new[0], max(old[1], new[1])]
        if self.over_workers == "max":
            return [max(old[0], new[0]), max(old[1], new[1])]
        return max(old, new, key=lambda values: values[1])


def families(processes: Iterable[Iterable[Described]]) -> list[Family]:
    """The metrics of several processes, added up, in the order in which they were first seen.

    Of a gauge that several threads of a process set, the last one counts before processes are
    added up.
    """
    found: dict[str, Family] = {}
    for process in processes:
        last: dict[tuple[str, _Labels], tuple[dict[str, str], list[float]]] = {}
        for about, values in process:
            family = found.get(about["name"])
            if family is None:
                family = found[about["name"]] = _family(about)
            if family.kind != about["kind"]:
                continue  # a program that was changed and loaded again beside the old one
            labels = about["labels"]
            if family.kind != "gauge":
                family.add(labels, values, tuple(about.get("buckets", ())))
                continue
            key = family.name, tuple(labels.items())
            if key not in last or values[1] >= last[key][1][1]:
                last[key] = labels, values
        for (name, _), (labels, values) in last.items():
            found[name].add(labels, values)
    return list(found.values())


def _family(about: dict[str, Any]) -> Family:
    return Family(
        about["name"],
        about["kind"],
        about["help"],
        tuple(about.get("buckets", ())),
        about.get("over_workers", "sum"),
    )


def text(exposed: Iterable[Family]) -> str:
    """Families as Prometheus reads them."""
    lines: list[str] = []
    for family in exposed:
        name = f"{family.name}_total" if family.kind == "counter" else family.name
        lines += [f"# HELP {name} {_escaped_help(family.help)}", f"# TYPE {name} {family.kind}"]
        for labels, values in family.series.items():
            if family.kind == "histogram":
                bounds = family.bounds.get(labels, family.buckets)
                lines += _histogram(name, labels, values, bounds)
            else:
                lines.append(f"{name}{_labels(labels)} {_number(values[0])}")
    # What programs say of their metrics may have halves of characters, which no encoding has.
    return "".join(f"{line}\n" for line in lines).encode(errors="replace").decode()


def _histogram(
    name: str, labels: _Labels, values: list[float], buckets: tuple[float, ...]
) -> list[str]:
    lines, below = [], 0.0
    for bound, count in zip((*buckets, math.inf), values, strict=False):
        below += count
        bounded = _labels((*labels, ("le", _number(bound))))
        lines.append(f"{name}_bucket{bounded} {_number(below)}")
    lines.append(f"{name}_sum{_labels(labels)} {_number(values[-1])}")
    lines.append(f"{name}_count{_labels(labels)} {_number(below)}")
    return lines


def _labels(labels: _Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _escaped_help(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n")


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if math.isnan(value):
        return "NaN"
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)
