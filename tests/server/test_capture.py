"""Data capture by the real server: what is captured, and what no accident of it costs."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import resource
import signal
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.models import Models

    from tests.server.conftest import Server

pytestmark = pytest.mark.java

PROGRAM = """
    import os, random
    from sagemaker_inference import model_loader, predictor, serve

    @model_loader
    def load(model_dir):
        return None

    @predictor
    def predict(data, model):
        random.seed(7)
        if hasattr(data, "shape") and data.ndim:
            data += 1
            return data
        if data == "fail":
            raise KeyError(data)
        if data == "stream":
            return iter([1, 2])
        if data == "pid":
            return os.getpid()
        if data == "die":
            os.kill(os.getpid(), 9)
        return data

    serve(__name__)
"""


def captured(folder: Path) -> list[dict[str, Any]]:
    paths = sorted(folder.rglob("*.jsonl"))
    return [json.loads(text) for path in paths for text in path.read_bytes().splitlines()]


def pairs(folder: Path) -> list[tuple[str, str]]:
    """What was sent, and the answer."""
    data = [item["captureData"] for item in captured(folder)]
    return sorted((item["endpointInput"]["data"], item["endpointOutput"]["data"]) for item in data)


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_is_answered_is_captured_whichever_worker_dies(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    folder = tmp_path / "capture"
    env = {"SAGEMAKER_CAPTURE": str(folder), "SAGEMAKER_PRELOAD": "true"}
    server = serve(PROGRAM, workers=2, env=env)
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(20_000))
    sent = buffer.getvalue()
    reply = server.request(sent, {"Content-Type": "application/x-npy", "Accept": "text/csv"})
    assert reply.body.startswith(b"1.0")
    assert [server.request(json.dumps(word)).status for word in ("fail", "die")] == [500, 500]
    # A stream, whose worker is killed when it is captured.
    assert server.request('"stream"').body == b"1\n2\n"
    pid = server.request('"pid"').json
    wait_for(lambda: len(captured(folder)) == 3)
    os.kill(pid, signal.SIGKILL)
    assert all(reply.status == 200 for reply in server.all_at_once([b"4"] * 8))
    server.wait_workers(2, other_than=[pid])
    assert [server.request(b"5").status for _ in range(4)] == [200] * 4
    assert server.stop() == 0
    found = pairs(folder)
    assert found[:4] == [('"pid"', str(pid)), ('"stream"', "1\n2\n"), ("4", "4"), ("4", "4")]
    assert found[2:-1] == [("4", "4")] * 8 + [("5", "5")] * 4
    assert found[-1][0] == base64.b64encode(sent).decode()
    ids = {item["eventMetadata"]["eventId"] for item in captured(folder)}
    assert len(ids) == 15
    assert reply.headers["x-request-id"] in ids


def test_a_full_disk_costs_no_request(serve: Callable[..., Server], tmp_path: Path) -> None:
    folder = tmp_path / "capture"
    server = serve(PROGRAM, env={"SAGEMAKER_CAPTURE": str(folder)})
    pid = server.request('"pid"').json
    wait_for(lambda: len(captured(folder)) == 1)
    _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    large = json.dumps("x" * 3000)
    assert [server.request(large).status for _ in range(4)] == [200] * 4
    server.wait_for_log(" not captured: [Errno 27] File too large")
    assert len(captured(folder)) == 1
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, most))
    assert server.request(b"6").json == 6
    assert server.stop() == 0
    found = pairs(folder)
    # Those that had not been tried yet when there was room again are there, too.
    assert [pair for pair in found if pair[0] != large] == [('"pid"', str(pid)), ("6", "6")]
    lost = re.findall(r"SAGEMAKER_CAPTURE: (\d+) requests? not captured", server.log)
    assert sum(map(int, lost)) == 6 - len(found)


def test_a_folder_that_cannot_be_written_costs_no_request(serve: Callable[..., Server]) -> None:
    server = serve(PROGRAM, env={"SAGEMAKER_CAPTURE": "/sys/capture"})
    assert [server.request(b"4").status for _ in range(4)] == [200] * 4
    server.wait_for_log("SAGEMAKER_CAPTURE: ")
    assert " not captured: [Errno" in server.log
    assert server.stop() == 0


def test_each_of_many_models_has_a_folder(many: Callable[..., Models], tmp_path: Path) -> None:
    models = many(SAGEMAKER_CAPTURE=str(tmp_path / "capture"))
    for name in ("iris", "wine"):
        assert models.load(name, models.write(name)).status == 200
        assert models.invoke(name).status == 200
    assert models.server.stop() == 0
    assert len(captured(tmp_path / "capture" / "iris")) == 1
    assert len(captured(tmp_path / "capture" / "wine")) == 1
