"""``sagemaker-inference dev`` where there is no Linux: with the ASGI application."""

from __future__ import annotations

import logging
import os
import socket
import sys
from typing import TYPE_CHECKING

import httpx
import pytest
from support.developed import PROGRAM, developed
from support.laptops import HIDE
from support.ports import free_port

from sagemaker_inference.__main__ import main
from sagemaker_inference._cli._dev import serving
from sagemaker_inference._cli._dev.located import Located
from sagemaker_inference._cli._dev.servers import (
    InProcessServer,
    RealServer,
    Server,
    kind_for_this_machine,
)
from sagemaker_inference.asgi._source import source_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def untouched_log() -> Iterator[None]:
    """What the command does to the log of this process does not outlive its test."""
    logger = logging.getLogger("sagemaker_inference._cli._dev")
    before = logger.handlers[:], logger.level, logger.propagate
    yield
    logger.handlers[:], logger.level, logger.propagate = before
    logging.getLogger("uvicorn.error").removeFilter(serving._is_a_fault)


def test_a_program_is_edited_without_what_only_linux_has(tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    # On macOS, urllib has a module of macOS.
    (hidden / "sitecustomize.py").write_text(f"import urllib.request\n{HIDE}")
    path = ":".join([str(hidden), *filter(None, sys.path)])
    page = free_port()
    with developed(tmp_path, "--console", str(page), PYTHONPATH=path) as running:
        said = "by the ASGI application, in place of the real server, which needs Linux\n"
        assert running.setup == f"inference.py is served at {running.url} {said}"
        running.until(running.is_up)
        assert running.invoke([1]).json() == [1]
        state = httpx.get(f"http://127.0.0.1:{page}/api/state", trust_env=False).json()
        assert state["kind"] in said
        assert state["requests"][0]["status"] == 200
        # An error has its traceback.
        running.edit("return data", "return data / 0")
        running.until(lambda: running.invoke().status_code == 500)
        error = running.invoke().json()["error"]
        assert error["code"] == "prediction_failed"
        assert "line 11, in predict\n    return data / 0\n" in error["traceback"]
        assert error["traceback"].endswith("ZeroDivisionError: division by zero\n")
        # What cannot be imported does not answer.
        running.edit("return data / 0", "return data +")
        running.wait_for("is not loaded, and the program before it goes on answering: ")
        assert running.invoke().status_code == 500
        running.edit("return data +", "return [data, model]")
        running.until(lambda: running.invoke().status_code == 200)
        assert running.invoke(2).json() == [2, 1]
        assert running.stop() == 0
    log = "".join(running.log)
    assert "inference.py, line 11" in log
    assert "SyntaxError" in log
    assert log.count("inference.py: loaded again in ") == 2


def test_a_server_that_is_not_released_imports_nothing(tmp_path: Path) -> None:
    program = tmp_path / "inference.py"
    program.write_text("raise SystemExit('imported')")
    server = InProcessServer(Located(source_of(program), str(tmp_path)), "http://a", print)
    assert server.poll() is None
    server.terminate()
    server.close()
    assert server.poll() == 0
    assert list(server.lines) == []


def test_an_interrupt_of_the_terminal_does_not_reach_a_server(tmp_path: Path) -> None:
    program = tmp_path / "inference.py"
    program.write_text(PROGRAM)
    server = InProcessServer(Located(source_of(program), str(tmp_path)), "http://a", print)
    assert os.getpgid(server._process.pid) == server._process.pid
    server.terminate()
    server.close()


def test_a_server_that_has_ended_cannot_be_released(tmp_path: Path) -> None:
    program = tmp_path / "inference.py"
    program.write_text(PROGRAM)
    server = InProcessServer(Located(source_of(program), str(tmp_path)), "http://a", print)
    server.kill()
    while server.poll() is None:
        """Until it has ended."""
    server.release()
    server.close()


def test_a_server_that_does_not_end_is_killed(tmp_path: Path) -> None:
    program = tmp_path / "inference.py"
    program.write_text("import time\nprint('asleep', flush=True)\ntime.sleep(60)")
    lines: list[str] = []
    server = InProcessServer(Located(source_of(program), str(tmp_path)), "http://a", lines.append)
    server.release()
    while not lines:
        assert server.poll() is None
    server.kill()
    server.close()
    assert server.poll() != 0


def test_the_real_server_is_for_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds: list[type[Server]] = []
    for name in ("linux", "darwin", "win32"):
        monkeypatch.setattr(sys, "platform", name)
        kinds.append(kind_for_this_machine())
    assert kinds == [RealServer, InProcessServer, InProcessServer]


def test_a_port_that_is_taken_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = tmp_path / "inference.py"
    program.write_text(PROGRAM)
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        port = taken.getsockname()[1]
        assert main(["dev", str(program), "--port", str(port)]) == 1
    said = capsys.readouterr().err
    assert f"port {port} of 127.0.0.1 cannot be used" in said
    assert "choose another with --port" in said
    assert main(["dev", str(program), "--host", "no.such.host.invalid"]) == 1
    assert "no.such.host.invalid is not an IPv4 address or name" in capsys.readouterr().err


def test_a_command_that_was_stopped_has_ended_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "inference.py"
    program.write_text(PROGRAM)
    monkeypatch.setattr(serving.anyio, "run", lambda *_: 0)
    monkeypatch.setattr(serving.Reloader, "prepare", lambda _: None)
    port = str(free_port())
    assert main(["dev", str(program), "--port", port, "--console", "off"]) == 0
    assert f"http://127.0.0.1:{port}" in capsys.readouterr().out


def test_a_port_of_the_console_that_is_taken_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "inference.py"
    program.write_text(PROGRAM)
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        port = str(taken.getsockname()[1])
        assert main(["dev", str(program), "--port", str(free_port()), "--console", port]) == 1
    said = capsys.readouterr().err
    assert f"port {port} of 127.0.0.1 cannot be used" in said
    assert "choose another with --console" in said


@pytest.mark.parametrize(
    ("variables", "words", "code", "said"),
    [
        ({}, ["missing.py"], 2, "File 'missing.py' does not exist"),
        ({}, ["--port", "0"], 2, "Invalid value for '--port'"),
        ({}, ["--host", ""], 2, "'--host': it is empty: write 127.0.0.1 for this machine"),
        ({}, ["--console", "0"], 2, "'0' is not a port: write a number up to 65535, or off"),
        ({}, ["--console", "on"], 2, "'on' is not a port"),
        ({"SAGEMAKER_MULTI_MODEL": "true"}, [], 1, "SAGEMAKER_MULTI_MODEL is set"),
        ({"SAGEMAKER_MODEL_SERVER_WORKERS": "x"}, [], 1, "SAGEMAKER_MODEL_SERVER_WORKERS='x'"),
    ],
)
def test_what_cannot_be_served_is_said_in_one_line(
    variables: dict[str, str],
    words: list[str],
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inference.py").write_text(PROGRAM)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert main(["dev", *words]) == code
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_only_a_response_without_an_end_is_left_out_of_the_log():
    def line(message):
        return logging.LogRecord("uvicorn.error", logging.ERROR, "", 0, message, (), None)

    assert serving._is_a_fault(line("Exception in ASGI application"))
    assert not serving._is_a_fault(line("ASGI callable returned without completing response."))
