import contextlib
import multiprocessing
import os
import subprocess
import sys

import pytest

from sagemaker_inference._os import orphans
from sagemaker_inference._os.orphans import OrphanReaper

EXIT_3 = [sys.executable, "-c", "raise SystemExit(3)"]


def become_zombie(pid):
    """Wait until a child has exited, without reaping it."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


@pytest.fixture
def zombie():
    """A child that nobody waits for."""
    pid = os.posix_spawnp("true", ["true"], os.environ)
    become_zombie(pid)
    yield pid
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def test_a_zombie_that_is_old_enough_is_reaped(zombie, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(orphans.time, "monotonic", lambda: now[0])
    reaper = OrphanReaper(5)
    for seconds in (0, 4.9):
        now[0] = 100 + seconds
        reaper.reap()
        assert os.path.exists(f"/proc/{zombie}")  # noqa: PTH110
    now[0] = 105
    reaper.reap()
    with pytest.raises(ChildProcessError):
        os.waitpid(zombie, 0)


def test_a_zombie_that_somebody_waits_for_is_spared(zombie):
    OrphanReaper(0).reap([zombie])
    assert os.waitpid(zombie, 0) == (zombie, 0)


def test_exit_codes_of_other_code_stay():
    popen = subprocess.Popen(EXIT_3)
    context = multiprocessing.get_context("fork")
    process = context.Process(target=os._exit, args=(4,))
    process.start()
    for pid in (popen.pid, process.pid):
        become_zombie(pid)
    OrphanReaper(0).reap()
    process.join()
    assert (popen.wait(), process.exitcode) == (3, 4)


def test_exit_codes_of_children_without_an_object_stay_for_seconds():
    reaper = OrphanReaper()
    for _ in range(20):
        pid = os.posix_spawnp("false", ["false"], os.environ)
        become_zombie(pid)
        reaper.reap()
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1


def test_without_children_nothing_happens(monkeypatch):
    def none(*_arguments):
        raise ChildProcessError

    monkeypatch.setattr(orphans.os, "waitid", none)
    monkeypatch.setattr(orphans, "processes", pytest.fail)
    OrphanReaper(0).reap()


def test_one_that_is_reaped_elsewhere_meanwhile_is_no_error(zombie, monkeypatch):
    monkeypatch.setattr(orphans, "_claimed", lambda: {os.waitpid(zombie, 0)[1]})
    OrphanReaper(0).reap()


@pytest.mark.once
def test_process_1_of_a_container_reads_the_exit_codes_of_its_commands():
    # As start_model_server does in process 1: signals reap, commands run in a thread beside it.
    code = (
        "import signal, subprocess, sys\n"
        "from sagemaker_inference._os.orphans import OrphanReaper\n"
        "reaper = OrphanReaper()\n"
        "signal.signal(signal.SIGCHLD, lambda *_: reaper.reap())\n"
        "codes = {subprocess.run(['false']).returncode for _ in range(50)}\n"
        "print(codes)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "{1}\n"
