"""Finds the benchmark harness, which is not installed."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path


def find_benchmarks() -> None:
    """Let tests import ``benchmarks`` of the checkout."""
    # Not by sys.path: the checkout's package would go before the installed one, which is tested.
    folder = Path(__file__).parents[2] / "benchmarks"
    spec = importlib.util.spec_from_file_location(
        "benchmarks", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec
    sys.modules.setdefault("benchmarks", importlib.util.module_from_spec(spec))
