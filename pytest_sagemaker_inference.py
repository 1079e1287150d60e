"""Fixtures of pytest for programs of sagemaker-inference.

A module beside the package, so that a run of tests that uses no fixture imports nothing of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sagemaker_inference.testing import ServerProcess, TestClient


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what pytest's configuration may say."""
    parser.addini(
        "sagemaker_program",
        "what the fixtures sagemaker_endpoint and sagemaker_server serve: a file in the folder of "
        "the tests or above it",
        default="inference.py",
    )
    parser.addini(
        "sagemaker_model_dir",
        "the folder of its model; by default where serve() looks for it",
        default="",
    )


@pytest.fixture(scope="module")
def sagemaker_program(request: pytest.FixtureRequest) -> Path:
    """The program's file: what pytest's configuration says, unless a test overrides this.

    It is looked for in the folder of the tests, then in those above it.
    """
    name = str(request.config.getini("sagemaker_program"))
    folder = request.path.parent
    for place in (folder, *folder.parents):
        if (place / name).is_file():
            return place / name
        if place == request.config.rootpath:
            break
    message = (
        f"there is no {name} in {folder}, nor above it: set sagemaker_program in pytest's "
        "configuration"
    )
    pytest.fail(message, pytrace=False)


@pytest.fixture(scope="module")
def sagemaker_model_dir(pytestconfig: pytest.Config) -> Path | None:
    """The folder of its model, or None: as `sagemaker_program`, but below pytest's root."""
    folder = str(pytestconfig.getini("sagemaker_model_dir"))
    return pytestconfig.rootpath / folder if folder else None


@pytest.fixture(scope="module")
def sagemaker_endpoint(
    sagemaker_program: Path, sagemaker_model_dir: Path | None, request: pytest.FixtureRequest
) -> Iterator[TestClient]:
    """The program in this process: a `TestClient`, once for each file of tests."""
    from sagemaker_inference.testing import TestClient

    client = TestClient(sagemaker_program, model_dir=sagemaker_model_dir)
    client.__enter__()
    yield client
    client.__exit__(_interruption(request.session), None, None)


@pytest.fixture(scope="module")
def sagemaker_server(
    sagemaker_program: Path, sagemaker_model_dir: Path | None, request: pytest.FixtureRequest
) -> Iterator[ServerProcess]:
    """The program behind the real server: a `ServerProcess`, once for each file of tests."""
    from sagemaker_inference.testing import ServerProcess

    server = ServerProcess(sagemaker_program, model_dir=sagemaker_model_dir)
    server.__enter__()
    yield server
    server.__exit__(_interruption(request.session), None, None)


def _interruption(session: pytest.Session) -> type[BaseException] | None:
    """What a fixture never hears of: that Ctrl-C ends the tests, and somebody waits for that."""
    return KeyboardInterrupt if session.exitstatus == pytest.ExitCode.INTERRUPTED else None
