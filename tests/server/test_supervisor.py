"""The supervisor in this process, with its limits made short."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import textwrap
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from made import settings

from sagemaker_inference._ipc.slots import MAX_SLOTS
from sagemaker_inference._program.location import Program
from sagemaker_inference._supervisor import supervisor
from sagemaker_inference._supervisor.supervisor import Supervisor
from tests.server.conftest import ECHO, free_port, send

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.java


@pytest.fixture
def supervise(tmp_path: Path) -> Callable[..., Supervisor]:
    def make(source: str = ECHO) -> Supervisor:
        path = tmp_path / "inference.py"
        path.write_text(textwrap.dedent(source))
        return Supervisor(
            settings(
                program=Program.from_file(str(path)), model_dir=str(tmp_path), port=free_port()
            )
        )

    return make


def while_serving(one: Supervisor, act: Callable[[], None]) -> int:
    """Run a supervisor; once it serves, act in a thread; the exit code."""

    def wait() -> None:
        deadline = time.monotonic() + 30
        while not one._is_serving and time.monotonic() < deadline:
            time.sleep(0.02)
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        return one.run()
    finally:
        thread.join()


def stop() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_load_that_outlasts_the_front_ends_patience_starts_it_again(
    supervise: Callable[..., Supervisor],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(supervisor, "_FRONT_END_PATIENCE", 4.0)
    caplog.set_level("INFO", logger="sagemaker-inference")
    slow = ECHO.replace("return None", "import time; time.sleep(6)")
    one = supervise(slow)

    def act() -> None:
        assert send(one._settings.port, "[1]").json == [1]
        stop()

    assert while_serving(one, act) == 0
    assert "the front end stops waiting" in caplog.text


def test_a_front_end_that_never_opens_its_port_ends_the_start(
    supervise: Callable[..., Supervisor],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(supervisor, "_FRONT_END_PATIENCE", 2.0)
    monkeypatch.setattr(supervisor, "_is_open", lambda _host, _port: False)
    assert supervise().run() == 1
    assert "did not open its port" in caplog.text


def test_a_request_that_outlasts_the_stop_is_cut_off(
    supervise: Callable[..., Supervisor],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(supervisor, "DRAIN_SECONDS", 0.5)
    monkeypatch.setattr(supervisor, "STOP_SECONDS", 1.0)
    one = supervise(ECHO.replace("return data", "import time; time.sleep(20)"))

    def act() -> None:
        pending = threading.Thread(target=try_to_send, args=(one._settings.port,))
        pending.start()
        time.sleep(0.5)
        stop()
        pending.join()

    began = time.monotonic()
    assert while_serving(one, act) == 0
    assert time.monotonic() - began < 15
    assert "did not stop within 1 s" in caplog.text


def try_to_send(port: int) -> None:
    with contextlib.suppress(OSError):
        send(port, "[1]")


def test_more_connections_than_slots_are_refused_and_serving_goes_on(
    supervise: Callable[..., Supervisor], caplog: pytest.LogCaptureFixture
) -> None:
    one = supervise()

    def act() -> None:
        path = str(Path(one._folder.path, "backend.sock"))
        strangers = []
        for _ in range(MAX_SLOTS):
            strangers.append(socket.socket(socket.AF_UNIX))
            strangers[-1].connect(path)
        deadline = time.monotonic() + 10
        while "more than" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.02)
        assert send(one._settings.port, "[1]").json == [1]
        for sock in strangers:
            sock.close()
        stop()

    assert while_serving(one, act) == 0
    assert f"more than {MAX_SLOTS} connections" in caplog.text
