"""The emulator with a small container, for the tests of one file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.emulated import SmallContainer, emulated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.emulated import Emulated


@pytest.fixture(scope="module")
def shared() -> Iterator[Emulated]:
    """An emulator for all tests of a file."""
    with emulated() as running:
        yield running


@pytest.fixture
def emulator(shared: Emulated) -> Iterator[Emulated]:
    """The file's emulator, with a container that has been asked nothing yet."""
    fresh = SmallContainer()
    for name in ("answer", "ping", "metrics", "talk"):
        setattr(shared.container, name, getattr(fresh, name))
    shared.container.asked.clear()
    yield shared
    shared.container.ping = fresh.ping
