"""Fixtures for tests of the supervisor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.fake_front_end import Bench
from support.model_bench import ModelBench
from support.watched_worker import WatchedWorker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def models(tmp_path: Path) -> Iterator[ModelBench]:
    """Many models, without any yet."""
    one = ModelBench(tmp_path)
    yield one
    one.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A front end that has said hello."""
    one = Bench(tmp_path)
    one.process.start()
    one.send("hello", pid=1)
    yield one
    one.close()


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[WatchedWorker]:
    """A worker that has nothing to do yet."""
    one = WatchedWorker(monkeypatch)
    yield one
    one.connections.dispose()
    for sock in one.front:
        sock.close()
