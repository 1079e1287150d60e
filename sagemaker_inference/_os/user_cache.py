"""The folder for what this package can make again, in the user's cache folder.

What lies there may be code. It is used only where nobody but this user can have put it there.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

_NAME: Final = "sagemaker-inference"


def find_folder() -> Path | None:
    """The folder, if it exists and belongs to this user alone."""
    path = _path()
    return path if path is not None and is_private(path) and path.is_dir() else None


def make_folder() -> Path | None:
    """The folder, made if need be; None where it cannot be made or belongs to others."""
    path = _path()
    if path is None:
        return None
    try:
        # Not in the home of another user, whose variables `sudo` may have kept.
        if not path.exists() and _nearest(path).stat().st_uid == os.geteuid():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.mkdir(mode=0o700, exist_ok=True)
    except OSError:
        return None
    return find_folder()


def is_private(path: Path) -> bool:
    """Whether something belongs to this user, and nobody else may write to it."""
    try:
        status = path.lstat()
    except OSError:
        return False
    if stat.S_ISLNK(status.st_mode) or status.st_uid != os.geteuid():
        return False
    return not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _path() -> Path | None:
    """Where it is: XDG Base Directory Specification, which ignores relative paths."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if base.is_absolute():
        return base / _NAME
    try:
        home = Path.home()
    except RuntimeError:  # a user that the system does not know
        return None
    return home / ".cache" / _NAME if home.is_absolute() else None


def _nearest(path: Path) -> Path:
    """The nearest folder above that exists."""
    return next(parent for parent in path.parents if parent.exists())
