"""``/ping`` over the life of a server."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.server.conftest import send

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.server.conftest import Reply, Server

pytestmark = pytest.mark.java

# What it waits for are files, which a test makes.
PROGRAM = """
import os, pathlib, time
from sagemaker_inference import model_loader, predictor, serve, warmup

def wait(name):
    while not pathlib.Path(name).exists():
        time.sleep(0.02)

if __name__ != "__main__":
    wait("import")

@model_loader
def load(model_dir):
    wait("load")
    if pathlib.Path("fail").exists():
        raise ValueError("broken")
    return None

@warmup
def warm():
    wait("warm")

@predictor
def predict(data, model):
    return data

serve(__name__)
"""


SLEEPS = """
import ctypes, time
from sagemaker_inference import model_loader, predictor, serve

@model_loader
def load(model_dir):
    return None

@predictor
def predict(data, model):
    print("sleeping", flush=True)
    time.sleep(data)
    return data

serve(__name__)
"""


def ping(server: Server) -> Reply | None:
    """The answer to a ping; None while the port is closed."""
    with contextlib.suppress(ConnectionRefusedError):
        return send(server.port, method="GET", path="/ping", timeout=20)
    return None


def wait_for(server: Server, status: int, *words: str) -> Reply:
    deadline = time.monotonic() + 60
    while True:
        reply = ping(server)
        if reply and reply.status == status and all(word in str(reply.body) for word in words):
            return reply
        assert time.monotonic() < deadline, (reply, server.log)
        time.sleep(0.02)


def test_a_ping_says_how_far_the_start_is(start: Callable[..., Server], tmp_path: Path) -> None:
    server = start(PROGRAM)
    reply = wait_for(server, 503, '"initializing"', '"phase": "importing"', '"since": "2')
    assert reply.headers["content-type"] == "application/json"
    early = server.request(b"[1]")
    assert (early.status, early.headers["retry-after"]) == (503, "5")
    assert server.request(method="GET", path="/execution-parameters").status == 503
    metrics = server.request(method="GET", path="/metrics")
    assert b'sagemaker_endpoint_health{state="initializing"} 1' in metrics.body
    (tmp_path / "import").touch()
    wait_for(server, 503, '"phase": "loading"')
    assert "serving" not in server.log
    (tmp_path / "load").touch()
    wait_for(server, 503, '"phase": "warming up"')
    (tmp_path / "warm").touch()
    assert wait_for(server, 200).body == b""
    server.wait_ready()
    for method in ("GET", "HEAD", "POST"):
        reply = server.request(method=method, path="/ping")
        assert (reply.status, reply.body) == (200, b"")
    assert server.request(b"[1]").status == 200
    told = server.request(method="GET", path="/execution-parameters").json
    assert told == {"MaxConcurrentTransforms": 1, "MaxPayloadInMB": 6}


def test_a_load_that_fails_still_ends_the_server(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    server = start(PROGRAM)
    (tmp_path / "import").touch()
    (tmp_path / "fail").touch()
    wait_for(server, 503, '"phase": "loading"')
    (tmp_path / "load").touch()
    assert server.wait_end() == 1
    assert "ValueError: broken" in server.log


def test_the_port_can_stay_closed_until_the_model_is_loaded(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    code = PROGRAM.replace('wait("load")', 'print("loads"); wait("load")')
    server = start(code, env={"SAGEMAKER_PING_WHILE_LOADING": "false"})
    (tmp_path / "import").touch()
    server.wait_for_log("loads")
    assert ping(server) is None
    (tmp_path / "load").touch()
    (tmp_path / "warm").touch()
    server.wait_ready()
    reply = ping(server)
    assert reply is not None
    assert reply.status == 200


def test_a_server_that_replaces_a_worker_is_healthy_enough(serve: Callable[..., Server]) -> None:
    server = serve(workers=2)
    os.kill(server.pids("_worker.main")[0], signal.SIGKILL)
    server.wait_for_log("was killed by SIGKILL")
    assert server.request(method="GET", path="/ping").status == 200


@pytest.mark.parametrize("is_working", [False, True])
def test_workers_that_are_stopped_are_critical_and_replaced_afterwards(
    serve: Callable[..., Server], *, is_working: bool
) -> None:
    server = serve(SLEEPS)
    [worker] = server.pids("_worker.main")
    with ThreadPoolExecutor() as pool:
        if is_working:
            # Far from its time limit.
            waiting = pool.submit(server.request, "50")
            server.wait_for_log("sleeping")
        os.kill(worker, signal.SIGSTOP)
        reply = wait_for(server, 503, "no worker has been able to answer for 10 s: all are stopped")
        assert reply.json["status"] == "critical"
        assert server.pids("_worker.main") == [worker]
        wait_for(server, 200)
        assert server.pids("_worker.main") != [worker]
        if is_working:
            assert waiting.result().json["error"]["code"] == "process_died"
    assert "has been stopped for 12 s" in server.log


def test_a_worker_that_keeps_pythons_lock_within_its_time_limit_is_healthy(
    serve: Callable[..., Server],
) -> None:
    server = serve(SLEEPS.replace("time.sleep", "ctypes.PyDLL(None).sleep"))
    pings = []
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(server.request, "15")
        while not waiting.done():
            pings.append(server.request(method="GET", path="/ping").status)
            time.sleep(0.1)
    assert waiting.result().json == 15
    assert set(pings) == {200}
    assert len(pings) > 50


def test_a_supervisor_that_is_silent_is_not_trusted(serve: Callable[..., Server]) -> None:
    server = serve()
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        reply = wait_for(server, 503, "the supervisor has been silent for 5 s")
        assert reply.json["status"] == "critical"
        assert server.request(b"[1]").status == 200
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
    wait_for(server, 200)


def test_packages_are_installed_while_pings_are_answered(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    code = tmp_path / "opt" / "model" / "code"
    code.mkdir(parents=True)
    os.mkfifo(code / "requirements.txt")  # which pip waits for
    (code / "inference.py").write_text(
        "def model_fn(model_dir):\n    return 1\n\ndef predict_fn(data, model):\n    return data\n"
    )
    server = start(
        arguments=("-m", "sagemaker_inference", "serve"),
        env={"SAGEMAKER_BASE_DIR": str(tmp_path / "opt")},
        name="unused.py",
    )
    wait_for(server, 503, '"phase": "installing"')
    assert server.pids("_worker.main") == []
    (code / "requirements.txt").write_text("# nothing\n")
    wait_for(server, 200)
    server.wait_ready()
    assert server.stop() == 0


def test_many_models_are_healthy_without_any(serve: Callable[..., Server]) -> None:
    server = serve(
        arguments=("-m", "sagemaker_inference", "serve"), env={"SAGEMAKER_MULTI_MODEL": "true"}
    )
    reply = server.request(method="GET", path="/ping")
    assert (reply.status, reply.body) == (200, b"")
