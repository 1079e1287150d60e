"""Faults on demand."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import httpx
import pytest
from botocore.exceptions import ClientError
from support.emulated import SmallContainer, emulated, until

from sagemaker_inference._emulator.faults import Reading, worker_pids

if TYPE_CHECKING:
    from pathlib import Path

    from support.emulated import Emulated

# A supervisor with a process that looks like a worker.
SUPERVISOR = """
import subprocess, sys
code = "import time; time.sleep(60)"
worker = subprocess.Popen([sys.executable, "-c", code, "sagemaker_inference._worker.main"])
print(worker.pid, flush=True)
worker.wait()
"""


def ask(emulator: Emulated, fault: str) -> httpx.Response:
    return httpx.post(f"{emulator.url}/_emulator/{fault}", timeout=30)


@pytest.mark.rule("fault-kill-worker")
def test_a_worker_is_killed_on_demand() -> None:
    command = [sys.executable, "-c", SUPERVISOR]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process,
        emulated(process=process) as emulator,
    ):
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        answer = ask(emulator, "kill-worker")
        assert (answer.status_code, answer.json()) == (202, {"pid": pid})
        # Its supervisor ends with it.
        assert process.wait(30) == 0
        answer = ask(emulator, "kill-worker")
        assert "has no worker" in answer.json()["Message"]


@pytest.mark.rule("fault-sigterm")
def test_the_container_is_stopped_on_demand() -> None:
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(command) as process, emulated(process=process) as emulator:
        assert ask(emulator, "sigterm").json() == {"pid": process.pid}
        assert process.wait(30) == -signal.SIGTERM


def test_processes_of_somebody_else_are_left_alone() -> None:
    with emulated() as emulator:
        for fault in ("sigterm", "kill-worker"):
            answer = ask(emulator, fault)
            assert answer.status_code == 400
            assert "has not started the container" in answer.json()["Message"]


def test_a_process_that_ends_meanwhile_is_no_worker(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    for pid, parent in ((2, 1), (3, 9)):
        folder = tmp_path / str(pid)
        folder.mkdir()
        (folder / "stat").write_text(f"{pid} (a b) S {parent} 0")
        (folder / "cmdline").write_bytes(b"python\x00sagemaker_inference._worker.main")
    assert worker_pids(1, tmp_path) == [2]


@pytest.mark.rule("fault-hang-up")
def test_the_platform_hangs_up_on_demand() -> None:
    with emulated(reading=Reading(hang_up_after=3)) as emulator:
        assert emulator.invoke(b"123")["Body"].read() == b"123"
        with pytest.raises(ClientError, match="could not load the entire response body"):
            emulator.invoke(b"1234")


@pytest.mark.rule("fault-slow-client")
def test_the_platform_reads_slowly_on_demand() -> None:
    container = SmallContainer()
    with emulated(container, reading=Reading(pause=0.3)) as emulator:
        began = time.monotonic()
        assert emulator.invoke(b"1")["Body"].read() == b"1"
        assert time.monotonic() - began >= 0.3
        until(lambda: container.asked)
