"""Objects of S3, as files of a folder: ``s3://bucket/key`` is ``FOLDER/bucket/key``."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import unquote
from uuid import uuid4

_S3: Final = "s3://"
_FILE: Final = "file://"


class Storage:
    """Reads and writes objects.

    Args:
        folder: the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, location: str) -> Path:
        """The file of an object.

        Args:
            location: ``s3://bucket/key``, with the key as it is; or the URL of a file,
                ``file:///path``.

        Raises:
            ValueError: it is neither, or leads out of the folder.
        """
        if location.startswith(_FILE):
            _, slash, rest = location.removeprefix(_FILE).partition("/")
            path = unquote(slash + rest)
            # No file system has such a name.
            if "\0" in path:
                raise _not_a_location(location)
            return Path(path)
        if not location.removeprefix(_S3).partition("/")[2].strip("/"):
            raise _not_a_location(location)
        return self._within(location)

    def with_prefix(self, location: str) -> tuple[Path, list[Path]]:
        """The files of all objects whose location begins with a text.

        Args:
            location: ``s3://bucket``, or with more behind it.

        Returns:
            The folder that the text names, or that of its last slash; and the files.

        Raises:
            ValueError: it is not of S3, or leads out of the folder.
            OSError: the folder cannot be read.
        """
        root = self._within(location)
        if root.is_dir():
            return root, sorted(path for path in root.rglob("*") if path.is_file())
        # A key may begin with a part of a name; a bucket's name is whole.
        is_part = "/" in location.removeprefix(_S3) and not location.endswith("/")
        if not is_part or not root.parent.is_dir():
            return root, []
        found = (path for path in root.parent.rglob("*") if str(path).startswith(str(root)))
        return root.parent, sorted(path for path in found if path.is_file())

    def write(self, location: str, content: bytes) -> None:
        """Write an object; it appears whole.

        Raises:
            OSError: it cannot be written.
        """
        path = self.path(location)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Of no length that the file's own name adds to, and not that of another writer.
        unfinished = path.with_name(f".{uuid4().hex}.part")
        unfinished.write_bytes(content)
        unfinished.replace(path)

    def _within(self, location: str) -> Path:
        # Not urlsplit: a key may have ?, # and anything else in it, and nothing stands for another.
        bucket, _, key = location.removeprefix(_S3).partition("/")
        if not location.startswith(_S3) or not bucket:
            raise _not_a_location(location)
        root = self.folder.resolve()
        path = (root / bucket / key.lstrip("/")).resolve()
        if not path.is_relative_to(root):
            message = f"{location!r} leads out of {root}"
            raise ValueError(message)
        if ".." in key.split("/"):
            message = f"{location!r} leads out of a folder: to S3, '..' is a part of a name"
            raise ValueError(message)
        return path


def _not_a_location(location: str) -> ValueError:
    message = f"{location!r} is not s3://BUCKET/KEY (or file:///PATH)"
    return ValueError(message)
