import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from sagemaker_inference._errors import StartError
from sagemaker_inference._os import runtime_dir
from sagemaker_inference._os.runtime_dir import PrivateFolder

KILLED = """
import os, signal
from sagemaker_inference._os.runtime_dir import PrivateFolder
folder = PrivateFolder()
print(folder.path, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def parent(monkeypatch):
    folder = tempfile.mkdtemp(dir="/tmp")
    monkeypatch.setenv("TMPDIR", folder)
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield Path(folder)
    Path(folder).rmdir()  # fails where something is left


def test_only_its_user_can_enter_and_closing_removes_it():
    folder = PrivateFolder()
    assert Path(folder.path).stat().st_mode & 0o777 == 0o700
    folder.close()
    assert not Path(folder.path).exists()


def test_the_next_removes_what_a_killed_server_left_and_no_others():
    command = [sys.executable, "-c", KILLED]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    left = Path(done.stdout.strip())
    assert left.is_dir()
    first = PrivateFolder()
    assert not left.exists()
    second = PrivateFolder()
    assert Path(first.path).is_dir()
    first.close()
    second.close()


def test_a_folder_without_a_lock_is_somebody_elses(parent):
    other = parent / "sagemaker-inference-of-mine"
    other.mkdir()
    PrivateFolder().close()
    other.rmdir()


def test_another_users_folder_is_not_touched(parent, monkeypatch):
    other = parent / "sagemaker-inference-of-theirs"
    other.mkdir()
    (other / "lock").touch()
    monkeypatch.setattr(os, "geteuid", lambda: other.stat().st_uid + 1)
    PrivateFolder().close()
    assert (other / "lock").exists()
    (other / "lock").unlink()
    other.rmdir()


def test_a_parent_too_long_for_sockets_is_not_used(parent, monkeypatch):
    long = parent / ("x" * 60)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    monkeypatch.setattr(tempfile, "tempdir", None)
    folder = PrivateFolder()
    assert Path(folder.path).parent == parent.parent
    folder.close()
    long.rmdir()


def test_a_machine_without_a_temporary_directory_is_named(monkeypatch, tmp_path):
    def none():
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    with pytest.raises(StartError, match=r"No usable temporary directory found in .* in TMPDIR"):
        PrivateFolder()
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path / "none"))
    monkeypatch.setattr(runtime_dir, "_LONGEST_PARENT", 1000)
    with pytest.raises(StartError, match="none does not take one: No such file or directory"):
        PrivateFolder()
