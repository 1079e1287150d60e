"""Fixtures for the unit tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from many_models import Bench

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A supervisor's many models, without any yet."""
    one = Bench(tmp_path)
    yield one
    one.close()
