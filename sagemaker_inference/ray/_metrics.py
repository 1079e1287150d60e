"""What a program counts, in Ray's metrics."""

from __future__ import annotations

import math
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from sagemaker_inference.metrics._exposition import families
from sagemaker_inference.metrics._instruments import STATE
from sagemaker_inference.ray._library import needed

if TYPE_CHECKING:
    from sagemaker_inference.metrics._exposition import Family


class Mirror:
    """Passes on what this process has counted.

    Counters and gauges are what they are. A histogram becomes the gauges that Prometheus has for
    one (``..._bucket`` with ``le``, ``..._sum``, ``..._count``), since Ray's takes observations,
    and these have been made.
    """

    def __init__(self) -> None:
        self._metrics: dict[str, Any] = {}
        self._counted: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}

    def update(self) -> None:
        """Pass on what has changed since the last time."""
        for family in families([STATE.area.read()]):
            for labels, values in family.series.items():
                if family.kind == "counter":
                    self._count(family, labels, values[0])
                elif family.kind == "gauge":
                    self._set(family, family.name, labels, values[0])
                else:
                    bounds = family.bounds.get(labels, family.buckets)
                    self._histogram(family, labels, values, bounds)

    def _count(self, family: Family, labels: tuple[tuple[str, str], ...], value: float) -> None:
        more = value - self._counted.get((family.name, labels), 0.0)
        if more > 0:
            self._counted[family.name, labels] = value
            self._metric("Counter", family, family.name, labels).inc(more, dict(labels))

    def _set(
        self, family: Family, name: str, labels: tuple[tuple[str, str], ...], value: float
    ) -> None:
        self._metric("Gauge", family, name, labels).set(value, dict(labels))

    def _histogram(
        self,
        family: Family,
        labels: tuple[tuple[str, str], ...],
        values: list[float],
        bounds: tuple[float, ...],
    ) -> None:
        counts = list(accumulate(values[:-1]))
        for bound, count in zip((*bounds, math.inf), counts, strict=True):
            le = "+Inf" if math.isinf(bound) else f"{bound:g}"
            self._set(family, f"{family.name}_bucket", (*labels, ("le", le)), count)
        self._set(family, f"{family.name}_count", labels, counts[-1])
        self._set(family, f"{family.name}_sum", labels, values[-1])

    def _metric(
        self, kind: str, family: Family, name: str, labels: tuple[tuple[str, str], ...]
    ) -> Any:
        metric = self._metrics.get(name)
        if metric is None:
            metrics = needed("ray.serve.metrics")
            keys = tuple(label for label, _ in labels)
            metric = self._metrics[name] = getattr(metrics, kind)(
                name, description=family.help, tag_keys=keys
            )
        return metric
