"""The real server as a process of a test."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.measurement import UNMEASURED

from sagemaker_inference import Registry, testing
from sagemaker_inference.errors import GenericInferenceToolkitError, StartError
from sagemaker_inference.testing import ServerProcess, _server_process

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference._program.location import Program

pytestmark = pytest.mark.java

SCRIPT = """
import os, time
def model_fn(path):
    return path
def predict_fn(data, model):
    if data.size == 3:
        time.sleep(60)
    return [os.getpid(), len(os.listdir(model))]
"""


def test_a_script_is_served_with_one_worker(
    program: Callable[..., Program], tmp_path: Path
) -> None:
    models = tmp_path / "models"
    models.mkdir()
    server = ServerProcess(program(SCRIPT).path, model_dir=models)
    assert (server.port, server.log) == (0, "")
    with server:
        answers = [server.invoke([1]).raise_for_status().json() for _ in range(4)]
        assert answers == [answers[0]] * 4
        assert answers[0][1] == 0
        with pytest.raises(GenericInferenceToolkitError, match="There is nothing at /nowhere"):
            server.request("GET", "/nowhere").raise_for_status()
        assert "GET /nowhere 404" in logged(server, "/nowhere")
    with pytest.raises(OSError, match=r"has been stopped, and ended with exit code 0$"):
        server.ping()
    assert server.log == ""


def test_a_server_is_started_and_stopped_once_at_a_time(program: Callable[..., Program]) -> None:
    stopped = "the server has been stopped, and ended with exit code 0$"
    server = ServerProcess(program(SCRIPT).path)
    with server:
        with pytest.raises(RuntimeError, match="the server is in use already: leave its `with`"):
            server.__enter__()
        assert server.terminate() == 0
        with pytest.raises(RuntimeError, match=stopped):
            server.terminate()
        with pytest.raises(ConnectionRefusedError, match=stopped):
            server.ping()
        assert "answering what is in flight" in server.log
    server.__exit__()
    with pytest.raises(RuntimeError, match=stopped):
        server.terminate()
    with server:
        assert server.ping().status_code == 200


def kill_front_end(server: ServerProcess) -> None:
    """End the server by something that happens to it."""
    process = server._process
    assert process is not None
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    (pid,) = [pid for pid in children if Path(f"/proc/{pid}/exe").readlink().name == "java"]
    os.kill(int(pid), signal.SIGKILL)
    process.wait(30)


@pytest.mark.parametrize("error", [None, KeyError])
def test_a_server_that_ends_by_itself_says_so(
    program: Callable[..., Program],
    caplog: pytest.LogCaptureFixture,
    error: type[Exception] | None,
) -> None:
    ended = r"(?s)the server ended with exit code 1 before it was stopped. The end of its log:.*\w"
    with suppress(KeyError), ServerProcess(program(SCRIPT).path) as server:
        kill_front_end(server)
        with pytest.raises(ConnectionRefusedError, match=ended):
            server.ping()
        if error is not None:
            raise error
    logged = [line for line in caplog.messages if "before it was stopped" in line]
    assert len(logged) == (error is None)


def test_the_exit_code_of_a_server_that_ended_by_itself_is_returned(
    program: Callable[..., Program],
) -> None:
    with ServerProcess(program(SCRIPT).path) as server:
        kill_front_end(server)
        assert server.terminate() == 1


def test_who_interrupts_the_end_of_a_server_leaves_none(
    program: Callable[..., Program], monkeypatch: pytest.MonkeyPatch
) -> None:
    wait = subprocess.Popen.wait
    with suppress(KeyboardInterrupt), ServerProcess(program(SCRIPT).path) as server:
        process = server._process
        assert process is not None

        def interrupted(*_: object) -> int:
            monkeypatch.setattr(subprocess.Popen, "wait", wait)
            raise KeyboardInterrupt

        monkeypatch.setattr(subprocess.Popen, "wait", interrupted)
        server.terminate()
    assert process.returncode in {0, 128 + signal.SIGTERM}


def logged(server: ServerProcess, text: str) -> str:
    deadline = time.monotonic() + 10
    while text not in server.log:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return server.log


def test_the_number_of_workers_is_what_the_variable_says(
    program: Callable[..., Program], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGEMAKER_MODEL_SERVER_WORKERS", "2")
    with ServerProcess(program(SCRIPT).path) as server:
        page = server.request("GET", "/metrics").text
    assert 'workers{state="ready"} 2' in page


def test_a_server_that_does_not_start_says_why(program: Callable[..., Program]) -> None:
    server = ServerProcess(program("def model_fn(path):\n    {}['key']\n").path)
    with pytest.raises(StartError, match=r"(?s)has ended with 1:.*KeyError: 'key'"), server:
        pass


@pytest.mark.parametrize(
    ("limit", "error"), [("_STOP_SECONDS", None), ("INTERRUPTED_SECONDS", KeyboardInterrupt)]
)
def test_a_server_that_does_not_stop_is_made_to(
    program: Callable[..., Program],
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
    error: type[BaseException] | None,
) -> None:
    monkeypatch.setattr(_server_process, limit, 2)
    with suppress(KeyboardInterrupt), ServerProcess(program(SCRIPT).path) as server:
        outcomes: list[int] = []

        def ask() -> None:
            try:
                outcomes.append(server.invoke([1, 2, 3]).status_code)
            except (OSError, http.client.HTTPException):
                outcomes.append(0)

        thread = threading.Thread(target=ask)
        thread.start()
        while "requests_running 1\n" not in server.request("GET", "/metrics").text:
            time.sleep(0.01)
        began = time.monotonic()
        if error is not None:
            raise error
    assert time.monotonic() - began < 15
    thread.join(20)
    # The front end may have the time to say that the server ends, or that the worker has ended.
    assert outcomes in ([0], [500], [503])


def test_a_server_that_is_stuck_is_killed(
    program: Callable[..., Program], monkeypatch: pytest.MonkeyPatch, temporary: Path
) -> None:
    monkeypatch.setattr(_server_process, "_STOP_SECONDS", 0.1)
    for name, value in UNMEASURED.items():
        monkeypatch.setenv(name, value)
    before = set(temporary.iterdir())
    with ServerProcess(program(SCRIPT).path) as server:
        process = server._process
        assert process is not None
        process.send_signal(signal.SIGSTOP)
    assert process.returncode == -signal.SIGKILL
    for left in set(temporary.iterdir()) - before:
        shutil.rmtree(left)


def test_a_registry_cannot_be_served(registry: Registry) -> None:
    with pytest.raises(StartError, match="a registry is in this process alone"):
        ServerProcess(registry)  # type: ignore[arg-type]


def test_it_needs_linux(program: Callable[..., Program], monkeypatch: pytest.MonkeyPatch) -> None:
    server = ServerProcess(program(SCRIPT).path)
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(StartError, match="the server needs Linux: use TestClient"), server:
        pass


def test_other_names_are_unknown() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Server'"):
        _ = testing.Server  # type: ignore[attr-defined]
    assert Path(testing.__file__).name == "__init__.py"
