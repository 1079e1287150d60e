"""SDKs of SageMaker are led to an emulator in front of an example."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.documents import ROOT
from support.emulated import Emulated, emulated, served

from sagemaker_inference import asgi

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.emulated import SmallContainer


@pytest.fixture(scope="session", autouse=True)
def credentials() -> Iterator[None]:
    """Nobody's, since signatures are not checked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "none")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "none")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        # No look-ups of other credentials, and no telemetry.
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield


@pytest.fixture(scope="module")
def iris_behind() -> Iterator[Emulated]:
    """An emulator in front of the example, for the tests of a file."""
    application = asgi.app(ROOT / "examples" / "iris" / "inference.py")
    with served(application) as url, emulated(url=url) as running:
        yield running


@pytest.fixture(scope="module")
def echo_behind() -> Iterator[Emulated]:
    """An emulator in front of a container that answers with what it is asked, for a file."""
    with emulated() as running:
        yield running


@pytest.fixture
def iris(iris_behind: Emulated, monkeypatch: pytest.MonkeyPatch) -> Emulated:
    """The emulator in front of the example, to which clients are led."""
    lead(iris_behind, monkeypatch)
    return iris_behind


@pytest.fixture
def echo(echo_behind: Emulated, monkeypatch: pytest.MonkeyPatch) -> SmallContainer:
    """A container that answers with what it is asked, behind the emulator for clients."""
    lead(echo_behind, monkeypatch)
    return echo_behind.container


def lead(running: Emulated, patch: pytest.MonkeyPatch) -> None:
    """Have clients that boto3 makes take the emulator for SageMaker."""
    for service in ("SAGEMAKER", "SAGEMAKER_RUNTIME"):
        patch.setenv(f"AWS_ENDPOINT_URL_{service}", running.url)
