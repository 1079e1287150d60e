"""Counters that do not go down by a rounding error.

The sum of fractions depends on their order, and that changes when a worker is replaced. Prometheus
takes any fall for a restart, and adds the whole number once more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from sagemaker_inference.metrics._exposition import Family

# Of a number, far more than sums of thousands of workers are rounded by.
_ROUNDED: Final = 1e-9


class SteadyCounts:
    """The numbers that were given last, those of one page."""

    def __init__(self) -> None:
        self._last: dict[Hashable, float] = {}
        self._given: dict[Hashable, float] = {}

    def begin(self) -> None:
        """Begin a page; what it does not have is forgotten with the next one."""
        self._last, self._given = self._given, {}

    def settle(self, key: Hashable, value: float) -> float:
        """What to give for a number: the one before, where the new one is less by rounding.

        Args:
            key: what it is the number of.
            value: what it is now.
        """
        last = self._last.get(key, value)
        given = last if 0 < last - value <= last * _ROUNDED else value
        self._given[key] = given
        return given

    def settle_all(self, families: Iterable[Family]) -> None:
        """Settle all that only grows, of a page; a histogram's counts are whole numbers."""
        self.begin()
        for family in families:
            if family.kind != "gauge":
                for labels, values in family.series.items():
                    values[-1] = self.settle((family.name, labels), values[-1])
