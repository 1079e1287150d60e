"""Folders of requests, within one of their process."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from sagemaker_inference._os import spool
from sagemaker_inference._os.runtime_dir import PrivateFolder


@pytest.fixture(autouse=True)
def folder(monkeypatch):
    # A server sweeps folders whose path is short enough for its sockets.
    with tempfile.TemporaryDirectory(prefix="spool-", dir="/tmp") as path:
        monkeypatch.setattr(tempfile, "tempdir", path)
        yield Path(path)


def test_nothing_is_made_before_it_is_needed(folder):
    folders = spool.Spool()
    folders.close()
    assert list(folder.iterdir()) == []


def test_each_request_has_a_folder_of_its_own(folder):
    folders = spool.Spool()
    one, two = folders.new_folder(), folders.new_folder()
    assert one != two
    assert one.stat().st_mode & 0o777 == 0o700
    spool.write(one / "a.txt", memoryview(b"abc"))
    assert (one / "a.txt").read_bytes() == b"abc"
    assert (one / "a.txt").stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        spool.write(one / "a.txt", b"")
    (one / "made.wav").touch()
    spool.remove(one)
    assert not one.exists()
    spool.remove(one)
    folders.close()
    assert list(folder.iterdir()) == []


def test_what_was_removed_under_a_server_is_made_again(folder):
    folders = spool.Spool()
    shutil.rmtree(folders.new_folder().parent)
    new = folders.new_folder()
    assert new.is_dir()
    assert folders.new_folder().parent == new.parent
    folders.close()
    assert list(folder.iterdir()) == []


PROGRAM = """
import sys, time
from sagemaker_inference._os.spool import Spool
folders = Spool()
print(folders.new_folder(), flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(
    "next_start", [lambda: spool.Spool().new_folder(), spool.Spool().sweep, PrivateFolder]
)
def test_the_next_start_removes_what_a_killed_process_has_left(folder, next_start):
    environment = {**os.environ, "TMPDIR": str(folder)}
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        left = Path(process.stdout.readline().strip())
        assert left.is_dir()
        next_start()
        assert left.is_dir()
        process.send_signal(signal.SIGKILL)
        process.wait()
    next_start()
    assert not left.exists()
