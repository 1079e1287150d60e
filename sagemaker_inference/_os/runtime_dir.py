"""A temporary directory of a server's own, for sockets and what the front end writes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

_PREFIX: Final = "sagemaker-inference-"
_LOCK: Final = "lock"
# sun_path has 108 bytes (unix(7)), and "/sagemaker-inference-xxxxxxxx/management.sock" follows.
_LONGEST_PARENT: Final = 60


class PrivateFolder:
    """A directory that only this user can enter, with a path short enough for sockets in it.

    It is locked while its server lives; the next one removes those that a server left behind
    which was killed.

    Attributes:
        path: where it is.
    """

    def __init__(self) -> None:
        usual = tempfile.gettempdir()
        parent = usual if len(usual) <= _LONGEST_PARENT else "/tmp"  # noqa: S108 - mkdtemp: private
        _sweep(parent)
        self.path = tempfile.mkdtemp(prefix=_PREFIX, dir=parent)
        self._lock = os.open(Path(self.path, _LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def close(self) -> None:
        """Remove it, with what is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def _sweep(parent: str) -> None:
    for folder in Path(parent).glob(f"{_PREFIX}*"):
        # Another user's, one that is in use, or one that has just been made or removed.
        with contextlib.suppress(OSError):
            if folder.stat().st_uid == os.geteuid():
                _remove_if_left(folder)


def _remove_if_left(folder: Path) -> None:
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)
