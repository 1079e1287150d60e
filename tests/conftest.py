"""Fixtures for all tests."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest
from made import request

from sagemaker_inference import Registry, default_registry
from sagemaker_inference.program import Program
from sagemaker_inference.requests import Context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def clean_environ(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees a variable of the machine that it runs on."""
    for name in list(os.environ):
        if name.startswith("SAGEMAKER_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def untouched_default() -> Iterator[None]:
    """No test leaves anything in the registry that all programs of a process share."""
    assert default_registry._found == []
    yield
    assert default_registry._found == [], "use the fixture registry, or default_registry.isolated()"
    assert default_registry._closed_by is None


@pytest.fixture
def registry() -> Registry:
    """A registry of the test's own."""
    return Registry()


@pytest.fixture
def context() -> Context:
    """What handlers are given beside a small JSON request."""
    return Context("/models/iris", None, request(b"[1]", "application/json"))


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Program]]:
    """Write a program: ``program("from sagemaker_inference import ...", "inference.py")``.

    The default registry is isolated, and what the program imports is forgotten again.
    """

    def write(source: str, name: str = "inference.py") -> Program:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
        return Program.of_file(str(path))

    modules = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    with default_registry.isolated():
        yield write
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]
