"""Metrics as log lines in CloudWatch's embedded metric format.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sagemaker_inference.metrics._exposition import Family

SECONDS: Final = 60.0
_NAMESPACE: Final = "SageMakerInference"
# Of one document.
_MOST_METRICS: Final = 100

_Labels = tuple[tuple[str, str], ...]


class EmbeddedMetrics:
    """Writes metrics as lines: counters and histograms by what has come since the last lines.

    Args:
        read: all metrics as they are now.
        write: writes text to the log.
    """

    def __init__(
        self, read: Callable[[], Iterable[Family]], write: Callable[[str], object]
    ) -> None:
        self._read = read
        self._write = write
        self._before: dict[tuple[str, _Labels], float] = {}

    def write(self, *, has_gauges: bool = True) -> None:
        """Write the lines of now, with or without what things are at the moment."""
        for document in self.documents(int(time.time() * 1000), has_gauges=has_gauges):
            self._write(json.dumps(document) + "\n")

    def documents(self, milliseconds: int, *, has_gauges: bool = True) -> Iterator[dict[str, Any]]:
        """The documents of now, one or more for each set of labels."""
        by_labels: dict[_Labels, dict[str, tuple[str, float]]] = {}
        for family in self._read():
            if family.kind == "gauge" and not has_gauges:
                continue
            for labels, values in family.series.items():
                numbers = by_labels.setdefault(labels, {})
                for name, unit, value in self._numbers(family, labels, values):
                    # CloudWatch takes nothing else, and JSON has nothing else.
                    if math.isfinite(value):
                        numbers[name] = unit, value
        for labels, numbers in by_labels.items():
            names = list(numbers)
            for start in range(0, len(names), _MOST_METRICS):
                some = {name: numbers[name] for name in names[start : start + _MOST_METRICS]}
                yield _document(milliseconds, dict(labels), some)

    def _numbers(
        self, family: Family, labels: _Labels, values: list[float]
    ) -> Iterator[tuple[str, str, float]]:
        if family.kind == "gauge":
            yield family.name, _unit(family.name), values[0]
        elif family.kind == "counter":
            yield family.name, _unit(family.name), self._since(family.name, labels, values[0])
        else:
            count, total = f"{family.name}_count", f"{family.name}_sum"
            yield count, "Count", self._since(count, labels, sum(values[:-1]))
            yield total, _unit(family.name), self._since(total, labels, values[-1])

    def _since(self, name: str, labels: _Labels, value: float) -> float:
        before = self._before.get((name, labels), 0.0)
        self._before[name, labels] = value
        return value - before if value >= before else value


def _unit(name: str) -> str:
    if name.endswith("_seconds"):
        return "Seconds"
    return "Bytes" if name.endswith("_bytes") else "Count"


def _document(
    milliseconds: int, labels: dict[str, str], numbers: dict[str, tuple[str, float]]
) -> dict[str, Any]:
    directive = {
        "Namespace": _NAMESPACE,
        "Dimensions": [list(labels)],
        "Metrics": [{"Name": name, "Unit": unit} for name, (unit, _) in numbers.items()],
    }
    return {
        "_aws": {"Timestamp": milliseconds, "CloudWatchMetrics": [directive]},
        **labels,
        **{name: value for name, (_, value) in numbers.items()},
    }
