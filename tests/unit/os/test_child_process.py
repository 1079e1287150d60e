import fcntl
import os
import signal
import sys
import time
from collections import deque

import pytest

from sagemaker_inference._os import child_process
from sagemaker_inference._os.child_process import (
    UNKNOWN_EXIT,
    ChildProcess,
    describe_exit,
)
from sagemaker_inference._os.interpreter import python_command
from sagemaker_inference._os.output import Output


@pytest.fixture
def target():
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 1 << 20)
    output = Output(writer)
    yield reader, output
    output.close()
    os.close(reader)
    os.close(writer)


def spawned(code, targets):
    child = ChildProcess.spawn([sys.executable, "-c", code], env=dict(os.environ), targets=targets)
    child.wait()
    return child


def test_lines_are_passed_on_whole_and_the_last_are_remembered(target):
    reader, writer = target
    code = "import sys; [print(i) for i in range(30)]; sys.stdout.write('no end')"
    child = spawned(code, (writer, None))
    assert child.relays[0].pump() is False
    child.relays[0].close()
    child.relays[1].close()
    lines = os.read(reader, 10_000).decode().splitlines()
    assert lines == [*map(str, range(30)), "no end"]
    assert list(child.tail)[-1] == "no end"
    assert len(child.tail) == 20


def test_a_part_of_a_line_waits_for_its_end(target):
    reader, writer = target
    pipe = os.pipe()
    child = ChildProcess(os.getpid(), (pipe[0], os.dup(pipe[0])), (writer, None))
    os.write(pipe[1], b"one\ntw")
    assert child.relays[0].pump()
    assert os.read(reader, 100) == b"one\n"
    os.write(pipe[1], b"o\n")
    assert child.relays[0].pump()
    assert os.read(reader, 100) == b"two\n"
    os.close(pipe[1])
    for relay in child.relays:
        relay.close()


def test_a_line_without_end_is_passed_on_in_pieces(target):
    reader, writer = target
    pipe = os.pipe()
    child = ChildProcess(os.getpid(), (pipe[0], os.dup(pipe[0])), (writer, None))
    for _ in range(2):
        os.write(pipe[1], b"x" * 40_000)
        child.relays[0].pump()
    assert os.read(reader, 1) == b"x"
    os.close(pipe[1])
    for relay in child.relays:
        relay.close()


def test_a_log_that_nobody_reads_stops_nobody():
    reader, writer = os.pipe()
    os.close(reader)
    handler = signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    output = Output(writer)
    child = spawned("print('gone')", (output, output))
    for relay in child.relays:
        relay.close()
    output.close()
    signal.signal(signal.SIGPIPE, handler)
    os.close(writer)
    assert list(child.tail) == ["gone"]


def test_a_child_that_somebody_else_has_reaped_has_ended():
    child = ChildProcess.spawn([sys.executable, "-c", ""], env={}, targets=(None, None))
    os.waitpid(child.pid, 0)
    assert child.reap() == child.wait() == UNKNOWN_EXIT
    child.signal(signal.SIGKILL)
    child.kill_group()
    for relay in child.relays:
        relay.close()


def test_a_child_is_not_waited_for():
    child = ChildProcess.spawn(["sleep", "60"], env=dict(os.environ), targets=(None, None))
    assert child.reap() is None
    child.signal(signal.SIGTERM)
    deadline = time.monotonic() + 10
    while child.reap() is None:
        assert time.monotonic() < deadline
    assert child.reap() == -signal.SIGTERM
    for relay in child.relays:
        relay.close()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (3, "ended with exit code 3"),
        (-11, "was killed by SIGSEGV"),
        (-99, "was killed by signal 99"),
        (UNKNOWN_EXIT, "ended"),
    ],
)
def test_an_exit_code_is_told_in_words(code, words):
    assert describe_exit(code) == words


def test_the_working_directory_shadows_nothing(tmp_path, monkeypatch, target):
    (tmp_path / "json.py").write_text("raise SystemExit('shadowed')")
    command = python_command("sagemaker_inference.__main__", "--help")
    reader, writer = target
    monkeypatch.chdir(tmp_path)
    child = ChildProcess.spawn(command, env=dict(os.environ), targets=(writer, writer))
    child.wait()
    for relay in child.relays:
        relay.close()
    assert b"shadowed" not in os.read(reader, 10_000)


def test_what_cannot_be_started_leaves_nothing_open():
    before = os.listdir("/proc/self/fd")  # noqa: PTH208 - names are enough
    with pytest.raises(FileNotFoundError):
        ChildProcess.spawn(["/no/such/program"], env={})
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208 - names are enough


def test_a_child_that_writes_without_end_leaves_others_their_turn():
    child = ChildProcess.spawn(["/usr/bin/yes"], env={})
    assert child.relays[0].pump()
    child.signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    for relay in child.relays:
        relay.close()


def test_a_child_that_does_not_end_is_waited_for_so_long_only():
    child = ChildProcess.spawn([sys.executable, "-c", "import time; time.sleep(600)"], env={})
    os.kill(child.pid, signal.SIGSTOP)
    assert child.wait(0.05) == UNKNOWN_EXIT
    child.kill_group()
    assert child.wait() == -signal.SIGKILL
    for relay in child.relays:
        relay.close()


def test_whether_a_child_is_stopped():
    # A name that looks like the end of a name, and a state.
    code = (
        "import ctypes, time; ctypes.CDLL(None).prctl(15, b'x) T 1'); "
        "print('there', flush=True); time.sleep(600)"
    )
    child = ChildProcess.spawn([sys.executable, "-c", code], env={})
    while not child.tail:
        child.relays[0].pump()
    assert not child.is_stopped
    os.kill(child.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED)
    assert child.is_stopped
    child.kill_group()
    assert child.wait() == -signal.SIGKILL
    assert not child.is_stopped
    for relay in child.relays:
        relay.close()


def test_what_is_there_is_passed_on_in_turns(target, monkeypatch):
    reader, output = target
    monkeypatch.setattr(child_process, "_LONGEST_LINE", 4)
    source, writer = os.pipe()
    relay = child_process.Relay(source, output, deque())
    os.write(writer, b"abc\n" * 20)
    assert relay.pump()
    assert os.read(reader, 1000) == b"abc\n" * 16
    assert relay.pump()
    assert os.read(reader, 1000) == b"abc\n" * 4
    os.close(writer)
    assert not relay.pump()
    relay.close()
