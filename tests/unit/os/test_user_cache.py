import os
from pathlib import Path

import pytest

from sagemaker_inference._os import user_cache


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The user's cache folder, which does not exist yet; returns ours in it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "sagemaker-inference"


def test_it_is_made_for_this_user_alone(cache):
    assert user_cache.find_folder() is None
    assert not cache.exists()
    assert user_cache.make_folder() == cache
    assert cache.stat().st_mode & 0o777 == 0o700
    assert user_cache.make_folder() == user_cache.find_folder() == cache


@pytest.mark.parametrize("base", ["", "relative/path"])
def test_it_is_in_the_home_without_a_variable(monkeypatch, tmp_path, base):
    monkeypatch.setenv("XDG_CACHE_HOME", base)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_cache.make_folder() == tmp_path / ".cache" / "sagemaker-inference"


def test_a_user_without_a_home_has_none(monkeypatch):
    def fail():
        raise RuntimeError

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", fail)
    assert user_cache.find_folder() is None
    assert user_cache.make_folder() is None
    monkeypatch.setattr(Path, "home", lambda: Path("relative"))
    assert user_cache.make_folder() is None


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_a_folder_that_others_may_write_to_is_not_used(cache, mode):
    user_cache.make_folder()
    cache.chmod(mode)
    assert user_cache.find_folder() is None
    assert user_cache.make_folder() is None


def test_a_folder_of_another_user_is_not_used(cache, monkeypatch):
    user_cache.make_folder()
    another = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: another)
    assert user_cache.find_folder() is None


def test_a_link_and_a_file_are_not_used(cache, tmp_path):
    cache.parent.mkdir()
    cache.symlink_to(tmp_path)
    assert user_cache.make_folder() is None
    cache.unlink()
    cache.touch(mode=0o600)
    assert user_cache.make_folder() is None


def test_nothing_is_made_in_the_home_of_another_user(cache, monkeypatch):
    another = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: another)
    assert user_cache.make_folder() is None
    assert not cache.parent.exists()


def test_a_home_that_cannot_be_written_is_left_alone(cache, monkeypatch):
    def fail(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", fail)
    assert user_cache.make_folder() is None
