"""The end of a worker, in processes of its own."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from sagemaker_inference._worker import leaving

PROGRAM = """
import atexit, sys, threading, time
from sagemaker_inference._worker.leaving import leave_soon
atexit.register(lambda: print("at exit"))
{}
leave_soon(7, 0.2)
{}
sys.exit(7)
"""


@pytest.mark.parametrize(
    ("before", "after", "is_said"),
    [
        ("", "", False),
        ("threading.Thread(target=time.sleep, args=(60,), name='mine').start()", "", True),
        ("threading.Thread(target=time.sleep, args=(60,), daemon=True).start()", "", False),
        # The exit of the interpreter itself takes its time.
        ("", "time.sleep(0.5)", False),
    ],
)
def test_a_process_ends_with_its_code_and_calls_what_was_registered(
    before: str, after: str, *, is_said: bool
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(before, after)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert ended.returncode == 7, ended.stderr
    assert ended.stdout == "at exit\n"
    assert ("go on after the stop and are ended: mine" in ended.stderr) == is_said


def test_threads_that_go_on_end_with_the_process(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[object] = []
    monkeypatch.setattr("atexit._run_exitfuncs", lambda: calls.append("at exit"))
    monkeypatch.setattr("sys.stdout", SimpleNamespace(flush=lambda: calls.append("flush")))
    monkeypatch.setattr("os._exit", calls.append)
    goes_on = threading.Event()
    thread = threading.Thread(target=goes_on.wait, name="mine")
    thread.start()
    leaving._end(threading.current_thread(), 7, 0)
    goes_on.set()
    thread.join()
    assert calls == ["at exit", "flush", 7]
    # Other tests of this process may have left a pool of threads.
    said = r"go on after the stop and are ended: (.+, )?mine(, .+)?\. Stop them in @on_shutdown"
    assert re.search(said, caplog.text)
