"""A program's own health check, in workers of each kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.server.conftest import Server

pytestmark = pytest.mark.java

PROGRAM = """
import os, pathlib
from sagemaker_inference import health_check, model_loader, predictor, serve

@model_loader
def load(model_dir):
    return os.getpid()

@health_check(interval=0.1)
def check(model):
    assert model == os.getpid()
    ill = pathlib.Path("ill")
    if not ill.exists():
        return None
    how = ill.read_text()
    ill.unlink()
    if how == "raise":
        raise RuntimeError("the GPU is gone")
    return False

@predictor{}
{}def predict(data, model):
    return model

serve(__name__)
"""
KINDS = {
    "one": ("", ""),
    "batch": ("(max_batch_size=4)", ""),
    "threads": ("(threads=2)", ""),
    "async": ("", "async "),
}


@pytest.mark.parametrize("how", ["raise", "return"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_that_is_not_healthy_is_replaced(
    serve: Callable[..., Server], tmp_path: Path, kind: str, how: str
) -> None:
    source = PROGRAM.format(*KINDS[kind])
    if kind == "batch":
        source = source.replace("return model\n\nserve", "return [model] * len(data)\n\nserve")
    server = serve(source)
    before = server.request(b"[1]").json
    other = tmp_path / "other"
    other.write_text(how)
    other.rename(tmp_path / "ill")  # while no request is there
    server.wait_for_log("this worker is replaced")
    server.wait_for_log("ended with exit code 1")
    after = server.request(b"[1]")
    assert after.status == 200
    assert after.json != before
    assert ("RuntimeError: the GPU is gone" in server.log) == (how == "raise")
    assert "the health check check (" in server.log
    page = server.request(method="GET", path="/metrics").body.decode()
    assert 'worker_restarts_total{reason="unhealthy"} 1' in page
    assert server.stop() == 0
