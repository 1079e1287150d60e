"""A temporary directory that does not outlive its process for long, even one that is killed."""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

_LOCK: Final = "lock"
_UNLOCKED: Final = "lock.new"


class LockedFolder:
    """A directory that only this user can enter, locked until it is closed.

    A new one removes the unlocked ones that killed processes have left behind. Windows has no such
    locks: there, nothing is removed.

    Args:
        prefix: what its name begins with; those with the same are swept.
        parent: where it is created; None for the usual place.

    Attributes:
        path: the path of the directory.

    Raises:
        OSError: it cannot be created.
    """

    def __init__(self, prefix: str, parent: str | None = None) -> None:
        parent = parent or tempfile.gettempdir()
        locks = _locks()
        sweep(prefix, parent)
        self.path = tempfile.mkdtemp(prefix=prefix, dir=parent)
        self._lock = os.open(Path(self.path, _UNLOCKED), os.O_RDWR | os.O_CREAT, 0o600)
        if locks is not None:
            locks.flock(self._lock, locks.LOCK_EX)
            # Under its name, it has never been unlocked: others may be sweeping.
            Path(self.path, _UNLOCKED).rename(Path(self.path, _LOCK))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the directory and its contents."""
        # Before it is unlocked, or another process would remove it at the same time.
        _remove_with_lock(self.path)
        os.close(self._lock)
        # On Windows, a file that is open cannot be removed.
        _remove_with_lock(self.path)


def _locks() -> Any:
    """The module of POSIX's locks; None where there is none."""
    try:
        return importlib.import_module("fcntl")
    except ImportError:
        return None


def sweep(prefix: str, parent: str | None = None) -> None:
    """Remove the folders that killed processes have left behind.

    Args:
        prefix: what their names begin with.
        parent: where they are; None for the usual place.
    """
    locks = _locks()
    found = Path(parent or tempfile.gettempdir()).glob(f"{prefix}*")
    for folder in found if locks is not None else ():
        # OSError: another user's, locked, or just created or removed.
        with contextlib.suppress(OSError):
            if folder.stat().st_uid == os.geteuid():
                _remove_if_unlocked(locks, folder)


def _remove_if_unlocked(locks: Any, folder: Path) -> None:
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
    try:
        locks.flock(lock, locks.LOCK_EX | locks.LOCK_NB)
        _remove_with_lock(folder)
    finally:
        os.close(lock)


def _remove_with_lock(folder: str | Path) -> None:
    """Remove a locked folder, its lock last: without one, nobody would sweep what is left."""
    locks = {_LOCK, _UNLOCKED}
    with contextlib.suppress(OSError):  # it is gone already
        for path in Path(folder).iterdir():
            if path.name not in locks:
                remove(path)
        if locks.issuperset(path.name for path in Path(folder).iterdir()):
            remove(folder)


def remove(path: str | Path) -> None:
    """Remove a file, or a folder with its contents, as far as this user can.

    What lies in a folder that is read-only cannot be removed except by root.
    """
    with contextlib.suppress(OSError):
        if Path(path).is_symlink() or not Path(path).is_dir():
            Path(path).unlink()
            return
        shutil.rmtree(path, ignore_errors=True)
        if Path(path).exists():
            _make_writable(path)
            shutil.rmtree(path, ignore_errors=True)


def _make_writable(folder: str | Path) -> None:
    with contextlib.suppress(OSError):  # another user's
        Path(folder).chmod(0o700)
        for entry in os.scandir(folder):
            # What a link leads to is not ours.
            if entry.is_dir(follow_symlinks=False):
                _make_writable(entry.path)
