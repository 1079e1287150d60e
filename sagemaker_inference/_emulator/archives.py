"""Archives of models, which may come from anywhere: what they hold stays in its folder."""

from __future__ import annotations

import platform
import tarfile
import zlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

# What a broken archive raises, besides the file system. gzip does not hide the errors of zlib.
_BROKEN: Final = (tarfile.TarError, EOFError, zlib.error)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a model.tar.gz.

    Args:
        archive: the file.
        folder: where to; it exists.

    Raises:
        OSError: the archive cannot be read or written to the folder.
        ValueError: it is not an archive of gzip and tar, or has a member that leads elsewhere.
    """
    try:
        with tarfile.open(archive, "r:gz") as opened:
            if hasattr(tarfile, "data_filter"):
                opened.extractall(folder, filter="data")
            else:
                # Python 3.10 before .12, and 3.11 before .4.
                _check_members(opened, folder)
                opened.extractall(folder)  # noqa: S202 - checked
    except _BROKEN as error:
        raise ValueError(str(error)) from error


def _check_members(archive: tarfile.TarFile, folder: Path) -> None:
    """Refuse all but files and folders within the folder: links may lead out of it."""
    root = folder.resolve()
    for member in archive:
        is_inside = (root / member.name).resolve().is_relative_to(root)
        if not (is_inside and (member.isreg() or member.isdir())):
            message = (
                f"{member.name!r} is a link or lies outside of the archive's folder, which Python "
                f"{platform.python_version()} does not unpack safely: use 3.10.12, 3.11.4 or later"
            )
            raise tarfile.ExtractError(message)
        # Not those of another user's programs.
        member.mode &= 0o777
