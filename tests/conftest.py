"""Fixtures for all tests."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from support.builders import request

from sagemaker_inference import Registry, default_registry
from sagemaker_inference._http.context import Context
from sagemaker_inference._program.location import Program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# For `--hypothesis-profile`. No limits of time: machines that run tests have other work, too.
_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("many", _PATIENT)
settings.register_profile("few", _PATIENT, max_examples=15)
settings.load_profile("many")


@pytest.fixture(autouse=True, scope="session")
def clean_environ() -> Iterator[None]:
    """No test sees a variable of the machine that it runs on."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            # The second is for this run of pytest, not for those that tests start.
            if name.startswith("SAGEMAKER_") or name == "PYTEST_ADDOPTS":
                patch.delenv(name)
        # Nor do tests' servers use or make class data, unless they are about that.
        patch.setenv("SAGEMAKER_CLASS_CACHE", "false")
        yield


@pytest.fixture(autouse=True, scope="module")
def forgotten_programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test file leaves a program imported to the next one, whose program has the same name."""
    yield
    written = str(tmp_path_factory.getbasetemp())
    sys.path[:] = [folder for folder in sys.path if not folder.startswith(written)]
    for name, module in list(sys.modules.items()):
        if str(vars(module).get("__file__")).startswith(written):
            del sys.modules[name]


@pytest.fixture(autouse=True, scope="session")
def heard_signals() -> None:
    """No test inherits ignored signals: what nohup starts does, and background jobs of a shell."""
    for number, default in (
        (signal.SIGHUP, signal.SIG_DFL),
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGQUIT, signal.SIG_DFL),
    ):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, default)


@pytest.fixture(autouse=True, scope="session")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The directory for temporary files of a run, and of all processes that it starts."""
    # pytest keeps what a failed test made: not here.
    tmp_path_factory.getbasetemp()
    # Not below pytest's: sockets are made in it, and their paths have at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="tests-"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        patch.setattr(tempfile, "tempdir", str(folder))
        yield folder
    left = list(folder.iterdir())
    shutil.rmtree(folder)
    assert left == [], "a test file has left these behind in the directory for temporary files"


@pytest.fixture(autouse=True)
def nothing_left(temporary: Path) -> Iterator[None]:
    """No test leaves a temporary file behind."""
    before = set(temporary.iterdir())
    yield
    # What a server has made is looked at when it ends: tests of a file may share one.
    left = sorted(set(temporary.iterdir()) - before - set(temporary.glob("server-*")))
    for path in left:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert left == [], "left behind in the directory for temporary files"


@pytest.fixture(autouse=True)
def untouched_default() -> Iterator[None]:
    """No test leaves anything in the registry that all programs of a process share."""
    assert default_registry.is_empty
    yield
    assert default_registry.is_empty, "use the fixture registry, or default_registry.isolated()"
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
        return Program.from_file(str(path))

    # A test of another way to import it may have left one.
    monkeypatch.delitem(sys.modules, "inference", raising=False)
    modules = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    with default_registry.isolated():
        yield write
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]
