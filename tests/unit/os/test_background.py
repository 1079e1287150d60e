import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sagemaker_inference._os.background import BackgroundProcess
from sagemaker_inference._os.event_loop import EventLoop


@pytest.fixture
def loop():
    made = EventLoop()
    yield made
    made.close()


def until(loop, condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        loop.after(0.01, lambda: None)
        loop.turn()


def background(loop, code, delay=0.0, command=None):
    command = command or [sys.executable, "-c", code]
    return BackgroundProcess(loop, command, dict(os.environ), delay)


def alive(pid):
    try:
        return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_it_starts_after_its_delay_and_ends_by_itself(loop, tmp_path, capfd):
    done = tmp_path / "done"
    code = f"print('x' * 200_000); open({str(done)!r}, 'w')"
    process = background(loop, code, delay=0.05)
    process.reap()
    assert not process.is_running
    until(loop, lambda: process.is_running)
    process.reap()

    def ended():
        process.reap()
        return not process.is_running

    until(loop, ended)
    assert done.exists()
    assert capfd.readouterr() == ("", "")
    process.reap()
    process.close()


def test_closing_kills_it_and_what_it_has_started_at_once(loop, tmp_path):
    pids = tmp_path / "pids"
    code = f"""
import os, signal, subprocess, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "60"])
open({str(pids)!r}, "w").write(f"{{os.getpid()}} {{child.pid}}\\n")
time.sleep(60)
"""
    process = background(loop, code)
    until(loop, lambda: pids.exists() and pids.read_text().endswith("\n"))
    before = time.monotonic()
    process.close()
    assert time.monotonic() - before < 1
    both = [int(word) for word in pids.read_text().split()]
    until(loop, lambda: not any(alive(pid) for pid in both))
    assert not process.is_running


def test_what_is_closed_before_its_time_never_starts(loop):
    process = background(loop, "", delay=0.01)
    process.close()
    late = []
    loop.after(0.03, lambda: late.append(1))
    until(loop, lambda: late)
    assert not process.is_running


def test_a_command_that_cannot_be_started_is_let_be(loop):
    process = background(loop, "", command=["/nowhere/java"])
    late = []
    loop.after(0.03, lambda: late.append(1))
    until(loop, lambda: late)
    assert not process.is_running


def test_it_dies_with_the_process_that_started_it(loop, tmp_path):
    pid_file = tmp_path / "pid"
    code = f"""
import os, time
open({str(pid_file)!r}, "w").write(f"{{os.getpid()}}\\n")
time.sleep(60)
"""
    starter = f"""
import os, sys, time
from sagemaker_inference._os.background import BackgroundProcess
from sagemaker_inference._os.event_loop import EventLoop
loop = EventLoop()
BackgroundProcess(loop, [sys.executable, "-c", {code!r}], dict(os.environ), 0)
while True:
    loop.turn()
"""
    process = subprocess.Popen([sys.executable, "-c", starter])
    until(loop, lambda: pid_file.exists() and pid_file.read_text().endswith("\n"))
    process.kill()
    process.wait()
    until(loop, lambda: not alive(int(pid_file.read_text())))
