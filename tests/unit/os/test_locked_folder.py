import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from sagemaker_inference._os import locked_folder
from sagemaker_inference._os.locked_folder import LockedFolder, remove

NOBODY = 65534
PREFIX = "sagemaker-test-"
KILLED = """
import os, signal, sys
from sagemaker_inference._os.locked_folder import LockedFolder
folder = LockedFolder("sagemaker-test-", sys.argv[1])
print(folder.path, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def names(parent):
    return sorted(path.name for path in parent.iterdir())


def test_what_a_killed_process_has_left_is_removed_by_the_next(tmp_path):
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    left = Path(done.stdout.strip())
    (left / "deeper").mkdir()
    (left / "deeper" / "file").write_text("1")
    with LockedFolder("sagemaker-other-", str(tmp_path)):
        assert left.is_dir()
    with (
        LockedFolder(PREFIX, str(tmp_path)) as first,
        LockedFolder(PREFIX, str(tmp_path)) as second,
    ):
        assert names(tmp_path) == sorted(Path(one.path).name for one in (first, second))
    assert names(tmp_path) == []


def test_the_usual_place_is_that_of_temporary_files(tmp_path, monkeypatch):
    monkeypatch.setattr(locked_folder.tempfile, "tempdir", str(tmp_path))
    with LockedFolder(PREFIX) as folder:
        assert Path(folder.path).parent == tmp_path


@pytest.mark.parametrize("name", ["lock.new", "other"])
def test_a_folder_that_is_being_created_is_left_alone(tmp_path, name):
    other = tmp_path / f"{PREFIX}1"
    other.mkdir()
    (other / name).touch()
    LockedFolder(PREFIX, str(tmp_path)).close()
    assert names(tmp_path) == [other.name]


def test_a_link_is_not_followed(tmp_path):
    target = tmp_path / "mine"
    target.mkdir()
    (target / "lock").touch()
    (tmp_path / f"{PREFIX}1").symlink_to(target)
    LockedFolder(PREFIX, str(tmp_path)).close()
    assert (target / "lock").exists()


def test_without_locks_nothing_is_removed(tmp_path, monkeypatch):
    other = tmp_path / f"{PREFIX}1"
    other.mkdir()
    (other / "lock").touch()
    # Windows has no fcntl.
    monkeypatch.setitem(sys.modules, "fcntl", None)
    folder = LockedFolder(PREFIX, str(tmp_path))
    assert os.path.isdir(folder.path)  # noqa: PTH112 - text
    folder.close()
    assert names(tmp_path) == [other.name]


@pytest.fixture
def parent_of_nobody():
    """A folder in which this process is not root, whom a mode does not hinder."""
    with tempfile.TemporaryDirectory(dir="/tmp") as path:
        if os.geteuid() != 0:
            yield Path(path)
            return
        os.chown(path, NOBODY, -1)
        os.seteuid(NOBODY)
        try:
            yield Path(path)
        finally:
            os.seteuid(0)


def test_a_folder_that_is_read_only_is_removed(parent_of_nobody):
    elsewhere = parent_of_nobody / "elsewhere"
    elsewhere.mkdir(0o500)
    with LockedFolder(PREFIX, str(parent_of_nobody)) as folder:
        for parts in (("one", "two"), ("three",)):
            deeper = Path(folder.path, *parts)
            deeper.mkdir(parents=True)
            (deeper / "file").write_text("1")
            (deeper / "link").symlink_to(elsewhere)
            deeper.chmod(0o500)
        Path(folder.path, "one").chmod(0)
        Path(folder.path, "link").symlink_to(elsewhere)
        remove(Path(folder.path, "three"))
        assert names(Path(folder.path)) == ["link", "lock", "one"]
    assert names(parent_of_nobody) == ["elsewhere"]
    assert elsewhere.stat().st_mode & 0o777 == 0o500


def test_what_cannot_be_removed_is_tried_again_by_the_next(parent_of_nobody, monkeypatch):
    folder = LockedFolder(PREFIX, str(parent_of_nobody))
    others = Path(folder.path, "others")
    others.mkdir()
    (others / "file").touch()
    others.chmod(0o500)
    with monkeypatch.context() as context:
        # As for a folder of another user.
        context.setattr(locked_folder, "_make_writable", lambda folder: None)
        folder.close()
    assert names(Path(folder.path)) == ["lock", "others"]
    LockedFolder(PREFIX, str(parent_of_nobody)).close()
    assert names(parent_of_nobody) == []


def test_what_is_gone_is_removed_already(tmp_path):
    folder = LockedFolder(PREFIX, str(tmp_path))
    shutil.rmtree(folder.path)
    folder.close()
    remove(folder.path)
    assert names(tmp_path) == []
