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
from support.builders import settings
from support.ports import free_port

from sagemaker_inference._ipc import slots
from sagemaker_inference._program.location import Program
from sagemaker_inference._supervisor import front_end, main, supervisor
from sagemaker_inference._supervisor.supervisor import Supervisor
from tests.server.conftest import ECHO, send

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.java


@pytest.fixture
def supervise(tmp_path: Path) -> Callable[..., Supervisor]:
    def make(source: str = ECHO) -> Supervisor:
        path = tmp_path / "inference.py"
        path.write_text(textwrap.dedent(source))
        told = settings(
            program=Program.from_file(str(path)), model_dir=str(tmp_path), port=free_port()
        )
        return Supervisor(told, main.front_end(told))

    return make


def while_serving(one: Supervisor, act: Callable[[], None]) -> int:
    """Run a supervisor; once it serves, act in a thread; the exit code."""

    def wait() -> None:
        deadline = time.monotonic() + 30
        while not one._is_serving and time.monotonic() < deadline:
            time.sleep(0.02)
        try:
            act()
        except BaseException:
            stop()  # or it would serve for ever
            raise

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        return one.run()
    finally:
        thread.join()


def stop() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_load_may_outlast_the_patience_with_the_front_end(
    supervise: Callable[..., Supervisor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front_end, "PATIENCE_SECONDS", 4.0)
    one = supervise(ECHO.replace("return None", "import time; time.sleep(6)"))

    def act() -> None:
        assert send(one._settings.config.port, "[1]").json == [1]
        stop()

    assert while_serving(one, act) == 0


def test_a_request_that_outlasts_the_stop_is_cut_off(
    supervise: Callable[..., Supervisor],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(supervisor, "DRAIN_SECONDS", 0.5)
    monkeypatch.setattr(supervisor, "STOP_SECONDS", 1.0)
    one = supervise(ECHO.replace("return data", "import time; time.sleep(20)"))

    def act() -> None:
        pending = threading.Thread(target=try_to_send, args=(one._settings.config.port,))
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
    supervise: Callable[..., Supervisor],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(slots, "count", lambda: 64)
    one = supervise()

    def act() -> None:
        path = str(Path(one._folder.path, "1.sock"))
        strangers = []
        for _ in range(slots.count()):
            strangers.append(socket.socket(socket.AF_UNIX))
            strangers[-1].connect(path)
        deadline = time.monotonic() + 10
        while "more than" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.02)
        assert send(one._settings.config.port, "[1]").json == [1]
        for sock in strangers:
            sock.close()
        stop()

    assert while_serving(one, act) == 0
    assert f"more than {slots.count()} connections" in caplog.text
