"""Signals end commands: the first one in a limited time, the second one at once."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from sagemaker_inference.__main__ import main
from sagemaker_inference._cli import _signals

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROGRAM = """
import time
from sagemaker_inference import model_loader, on_shutdown, predictor

@model_loader
def load(model_dir):
    return None

@predictor(OPTIONS)
def predict(data, model):
    if data.sum() == 0:
        print("at work", flush=True)
        time.sleep(SECONDS)
    return data

@on_shutdown
def end(model):
    print("cleaned up", flush=True)
"""
CSV = ("--content-type", "text/csv")
WAIT = "is still at work (1 request(s) in progress): waiting for it for up to 5 s"
# What a command says whose first signal has waited in vain.
WAITED = "the program has not ended within 5 s"


class Running:
    """A command that is at work on a request.

    Attributes:
        log: what it has printed, when it has ended.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.log = ""
        assert process.stdout is not None
        self._output = process.stdout

    def wait_for(self, text: str) -> None:
        """Wait for a line."""
        while text not in (line := self._output.readline()):
            assert line, self.log
            self.log += line
        self.log += line

    def send(self, number: int) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def wait(self) -> tuple[int, float]:
        """The exit code, and how many seconds it took."""
        began = time.monotonic()
        code = self._process.wait(60)
        seconds = time.monotonic() - began
        self.log += self._output.read()
        return code, seconds


@contextmanager
def running(
    folder: Path, *words: str, options: str = "", seconds: float = 100, at_exit: str = ""
) -> Iterator[Running]:
    """Run a command in a folder that has a program and requests."""
    program = PROGRAM.replace("OPTIONS", options).replace("SECONDS", str(seconds))
    (folder / "inference.py").write_text(program + at_exit)
    (folder / "in").mkdir()
    (folder / "in" / "a.csv").write_text("0\n")

    def prepare() -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # A runner may have some ignored.
            signal.signal(number, signal.SIG_DFL)

    process = subprocess.Popen(
        [sys.executable, "-m", "sagemaker_inference", *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=prepare,  # noqa: PLW1509 - no threads
    )
    limit = threading.Timer(60, process.kill)
    with process:
        limit.start()
        try:
            yield Running(process)
        finally:
            limit.cancel()
            process.kill()


TRANSFORM = ("transform", "inference.py", "in", "out", *CSV)


@pytest.mark.parametrize(
    ("first", "second", "pause"),
    [
        ("SIGINT", "SIGINT", 0.5),
        ("SIGTERM", "SIGTERM", 0.5),
        ("SIGINT", "SIGTERM", 0.5),
        ("SIGHUP", "SIGINT", 0.5),
        # Two of a kind could come as one.
        ("SIGINT", "SIGTERM", 0.0),
    ],
)
def test_a_second_signal_ends_a_job_at_once(
    tmp_path: Path, first: str, second: str, pause: float
) -> None:
    with running(tmp_path, *TRANSFORM) as command:
        command.wait_for("at work")
        assert any("unfinished" in path.name for path in (tmp_path / "out").iterdir())
        command.send(signal.Signals[first])
        time.sleep(pause)
        command.send(signal.Signals[second])
        code, _ = command.wait()
    # Two that come together may be handled in either order.
    assert code in {128 + signal.Signals[one] for one in ((second,) if pause else (first, second))}
    assert WAITED not in command.log
    assert list((tmp_path / "out").iterdir()) == []
    assert "Traceback" not in command.log


@pytest.mark.parametrize("options", ["", "threads=2"])
def test_a_first_signal_waits_so_long_for_a_program_that_hangs(
    tmp_path: Path, options: str
) -> None:
    with running(tmp_path, *TRANSFORM, options=options) as command:
        command.wait_for("at work")
        command.send(signal.SIGINT)
        command.wait_for(WAIT)
        assert list((tmp_path / "out").iterdir()) == []
        code, seconds = command.wait()
    assert code == 130
    assert 3 < seconds < 20
    assert WAITED in command.log
    assert "cleaned up" not in command.log
    assert "Traceback" not in command.log


def test_a_first_signal_lets_a_program_clean_up(tmp_path: Path) -> None:
    at_exit = "\nimport atexit\natexit.register(print, 'at exit')\n"
    with running(tmp_path, *TRANSFORM, seconds=1.0, at_exit=at_exit) as command:
        command.wait_for("at work")
        command.send(signal.SIGTERM)
        code, _ = command.wait()
    assert code == 143
    assert command.log.index("cleaned up\n") < command.log.index("at exit\n")


@pytest.mark.parametrize(
    "words",
    [
        ("invoke", "inference.py", "in/a.csv"),
        ("replay", "captured.jsonl", "inference.py"),
    ],
)
def test_commands_with_the_program_in_their_process_end_alike(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    (tmp_path / "captured.jsonl").write_text(
        '{"captureData": {"endpointInput": {"observedContentType": "text/csv", "mode": "INPUT", '
        '"data": "0", "encoding": "CSV"}, "endpointOutput": {"observedContentType": "text/csv", '
        '"mode": "OUTPUT", "data": "0", "encoding": "CSV"}}, "eventMetadata": {"eventId": "1"}}\n'
    )
    with running(tmp_path, *words) as command:
        command.wait_for("at work")
        command.send(signal.SIGINT)
        command.wait_for(WAIT)
        command.send(signal.SIGINT)
        code, _ = command.wait()
    assert (code, WAITED in command.log) == (130, False)


def test_a_program_that_hangs_at_its_exit_is_left(tmp_path: Path) -> None:
    at_exit = "\nimport atexit\natexit.register(time.sleep, 100)\n"
    with running(tmp_path, *TRANSFORM, seconds=1.0, at_exit=at_exit) as command:
        command.wait_for("at work")
        command.send(signal.SIGINT)
        code, seconds = command.wait()
    assert (code, seconds < 20) == (130, True)


class _Exited(BaseException):
    pass


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The codes with which this process would have exited."""
    codes: list[int] = []

    def leave(code: int) -> None:
        codes.append(code)
        raise _Exited

    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    monkeypatch.setattr(_signals, "_CLEAN_UP_SECONDS", 0.05)
    return codes


@pytest.fixture
def untaken() -> Iterator[None]:
    """Nobody has taken the signals."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in numbers[1:]:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.usefixtures("untaken")
def test_a_second_signal_does_not_interrupt_what_cleans_up(exits: list[int]) -> None:
    ended = _signals.EndedBySignal()
    clean: list[bool] = []

    def clean_up() -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(10)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)
            clean.append(not exits)

    with ended, pytest.raises(KeyboardInterrupt):
        clean_up()
    assert clean == [True]
    assert ended.code == 143
    deadline = time.monotonic() + 20
    while not exits:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert exits == [143]


def test_a_signal_that_comes_before_the_first_one_is_handled_is_the_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ends: list[int] = []
    monkeypatch.setattr(_signals, "_exit_within", lambda _, code: ends.append(code))
    first = _signals.EndedBySignal()
    with pytest.raises(KeyboardInterrupt) as caught:
        first._interrupt(signal.SIGINT, None)
    at_work = caught.traceback[-1].frame.raw

    ended = _signals.EndedBySignal()
    ended._interrupt(signal.SIGTERM, at_work)
    assert ends == [143]
    with pytest.raises(KeyboardInterrupt):
        ended._interrupt(signal.SIGINT, None)


@pytest.mark.usefixtures("untaken")
def test_a_command_of_another_program_does_not_end_it(
    monkeypatch: pytest.MonkeyPatch, exits: list[int], tmp_path: Path
) -> None:
    def interrupt(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)

    monkeypatch.setattr("sagemaker_inference._cli.check._look", interrupt)
    assert main(["check", str(tmp_path)]) == 143
    assert exits == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_signal_ends_a_command_that_is_leaving(exits: list[int]) -> None:
    with pytest.raises(_Exited):
        _signals.end_now(signal.SIGTERM, None)
    assert exits == [143]


@pytest.mark.usefixtures("untaken")
def test_a_command_leaves_when_the_program_has_exited(
    monkeypatch: pytest.MonkeyPatch, exits: list[int]
) -> None:
    monkeypatch.setattr(atexit, "_run_exitfuncs", lambda: exits.append(0))
    monkeypatch.setattr(_signals, "_EXIT_SECONDS", 0.0)
    with pytest.raises(_Exited):
        _signals.leave(130)
    # Nothing would keep it for longer.
    deadline = time.monotonic() + 20
    while len(exits) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert sorted(exits) == [0, 130, 130]
    assert signal.getsignal(signal.SIGTERM) is _signals.end_now


@pytest.mark.usefixtures("untaken")
def test_an_ignored_signal_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with _signals.EndedBySignal():
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
