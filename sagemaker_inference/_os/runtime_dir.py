"""The temporary directory of a server, for its sockets and the files of the front end."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

from sagemaker_inference._errors import StartError

_PREFIX: Final = "sagemaker-inference-"
_LOCK: Final = "lock"
# sun_path has 108 bytes (unix(7)); "/sagemaker-inference-xxxxxxxx/management.sock" is appended.
_LONGEST_PARENT: Final = 60


class PrivateFolder:
    """A directory that only this user can enter, with a path short enough for sockets in it.

    It is locked while its server runs. A new server removes the unlocked ones that killed servers
    have left behind.

    Attributes:
        path: the path of the directory.
    """

    def __init__(self) -> None:
        try:
            usual = tempfile.gettempdir()
        except FileNotFoundError as error:
            message = (
                f"the server needs a directory for its sockets: {error.strerror}. Make one of them "
                "writable, or name another in TMPDIR."
            )
            raise StartError(message) from None
        parent = usual if len(usual) <= _LONGEST_PARENT else "/tmp"  # noqa: S108 - mkdtemp: private
        _sweep(parent)
        try:
            self.path = tempfile.mkdtemp(prefix=_PREFIX, dir=parent)
        except OSError as error:
            message = (
                f"the server needs a directory for its sockets, and {parent} does not take one: "
                f"{error.strerror}. Make it writable, or name another in TMPDIR."
            )
            raise StartError(message) from None
        self._lock = os.open(Path(self.path, _LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def close(self) -> None:
        """Remove the directory and its contents."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def _sweep(parent: str) -> None:
    for folder in Path(parent).glob(f"{_PREFIX}*"):
        # OSError: another user's, locked, or just created or removed.
        with contextlib.suppress(OSError):
            if folder.stat().st_uid == os.geteuid():
                _remove_if_unlocked(folder)


def _remove_if_unlocked(folder: Path) -> None:
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)
