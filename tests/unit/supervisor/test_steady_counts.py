"""Counters that do not go down by rounding."""

from __future__ import annotations

from sagemaker_inference._supervisor.steady_counts import SteadyCounts
from sagemaker_inference.metrics._exposition import Family

MORE, LESS = 24.000000000000007, 24.000000000000004


def page(counts: SteadyCounts, value: float, kind: str = "counter") -> float:
    family = Family("f", kind, "F.", (1.0,) if kind == "histogram" else ())
    family.add({"a": "b"}, [3.0, 0.0, value] if kind == "histogram" else [value], family.buckets)
    counts.settle_all([family])
    [values] = family.series.values()
    return values[-1]


def test_a_sum_that_is_rounded_otherwise_is_the_one_before() -> None:
    for kind in ("counter", "histogram"):
        counts = SteadyCounts()
        assert [page(counts, value, kind) for value in (MORE, LESS, 25.0)] == [MORE, MORE, 25.0]


def test_a_fall_that_is_no_rounding_is_told() -> None:
    counts = SteadyCounts()
    assert [page(counts, value) for value in (MORE, 23.9, 0.0)] == [MORE, 23.9, 0.0]
    assert [page(counts, value, "histogram") for value in (-1.0, -2.0)] == [-1.0, -2.0]
    assert [page(counts, value, "gauge") for value in (MORE, LESS)] == [MORE, LESS]


def test_what_a_page_does_not_have_is_forgotten() -> None:
    counts = SteadyCounts()
    page(counts, MORE)
    counts.settle_all([])
    assert page(counts, LESS) == LESS
