"""Fixtures for tests of the supervisor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.model_bench import ModelBench

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def models(tmp_path: Path) -> Iterator[ModelBench]:
    """Many models, without any yet."""
    one = ModelBench(tmp_path)
    yield one
    one.close()
