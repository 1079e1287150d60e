"""Fixtures for the tests of workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.stream_bench import Gate

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.close()
