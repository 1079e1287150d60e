"""`invoke` of what is streamed: it is shown as it comes."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from support.one_answer import OneAnswer

from sagemaker_inference.__main__ import main

if TYPE_CHECKING:
    from pathlib import Path

ENDLESS = """
import itertools, time
from sagemaker_inference import model_loader, predictor

@model_loader
def load():
    return None

@predictor
def predict(data):
    try:
        for number in itertools.count():
            yield number
            time.sleep(0.01)
    finally:
        print("closed")
"""
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n"
LINES = HEAD % b"application/jsonlines"


@pytest.fixture
def request_file(tmp_path: Path) -> str:
    (tmp_path / "request.json").write_text("1")
    return str(tmp_path / "request.json")


class Screen(io.BytesIO):
    """Shows what is written, and lets the server go on."""

    def __init__(self) -> None:
        super().__init__()
        self.has_shown = threading.Event()

    def write(self, data: object) -> int:
        count = super().write(data)  # type: ignore[arg-type]
        self.has_shown.set()
        return count


def screen(monkeypatch: pytest.MonkeyPatch, *, is_terminal: bool) -> Screen:
    shown = Screen()
    stdout = io.TextIOWrapper(shown)
    monkeypatch.setattr(stdout, "isatty", lambda: is_terminal, raising=False)
    monkeypatch.setattr(sys, "stdout", stdout)
    return shown


def test_an_endless_stream_is_shown_until_it_is_interrupted(
    tmp_path: Path, request_file: str
) -> None:
    program = tmp_path / "inference.py"
    program.write_text(ENDLESS)
    command = [sys.executable, "-m", "sagemaker_inference", "invoke", str(program), request_file]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(3)] == [b"0\n", b"1\n", b"2\n"]
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert b"closed" in err
    assert b"Traceback" not in err


@pytest.mark.parametrize("is_terminal", [False, True])
def test_items_of_a_server_are_shown_as_they_come(
    request_file: str, monkeypatch: pytest.MonkeyPatch, *, is_terminal: bool
) -> None:
    shown = screen(monkeypatch, is_terminal=is_terminal)
    parts = (LINES + b"2\r\n1\n\r\n", b"1\r\n2\r\n0\r\n\r\n")
    with OneAnswer(*parts, until=[shown.has_shown]) as server:
        assert main(["invoke", server.url, request_file]) == 0
    assert shown.getvalue() == (b"1\n2\n" if is_terminal else b"1\n2")


def test_a_terminal_shows_what_has_one_form_at_its_end(
    request_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    shown = screen(monkeypatch, is_terminal=True)
    body = b"1\r\n1\r\n1\r\n2\r\n0\r\n\r\n"
    with OneAnswer(HEAD % b"application/zip" + body) as server:
        assert main(["invoke", server.url, request_file]) == 0
    assert b"application/zip, 2 bytes: write the body with --output FILE" in shown.getvalue()


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        (LINES + b"2\r\n1\n\r\n", b"1\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1", b""),
    ],
)
def test_a_stream_of_a_server_that_breaks_off_is_a_failure(
    request_file: str, answer: bytes, shown: bytes, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    with OneAnswer(answer) as server:
        assert main(["invoke", server.url, request_file]) == 1
    out, err = capfdbinary.readouterr()
    assert out == shown
    assert b"the stream broke off; the log says why" in err
