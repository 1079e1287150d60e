"""The files that count, as they were last seen: what a watch does not say of them.

Of a folder that is moved, a watch says only its name, and of a new one perhaps not what was written
into it at once. Of the target of a link, which may be anywhere, it says nothing.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Final

from watchfiles import Change

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sagemaker_inference._cli._dev.watching import Filter

    # When it was written, its size, and its inode: a file that takes its place has another one.
    Signature = tuple[int, int, int]
    Files = dict[str, Signature]

# How often the targets of links are looked at, and the share of the time that this may take.
_LOOK_SECONDS: Final = 0.4
_SHARE: Final = 20
# What a virtual environment has in its folder: thousands of sources that nobody edits.
_ENVIRONMENT: Final = "pyvenv.cfg"


class KnownFiles:
    """What counts, and when it was written; used by one thread at a time.

    Args:
        choice: which files count.
        roots: the folders that are watched.
    """

    def __init__(self, choice: Filter, roots: Iterable[Path]) -> None:
        self._choice = choice
        self._roots = [os.path.realpath(root) for root in roots]
        self._files: Files = {}
        # By link, what is behind it.
        self._links: dict[str, Files] = {}
        self._due = 0.0

    def update(self, changes: Iterable[tuple[Change, str]]) -> set[Path]:
        """The files that have changed.

        Args:
            changes: what a watch has reported; nothing, now and then, has links looked at.
        """
        found: set[Path] = set()
        for change, name in changes:
            path, counts = Path(name), self._choice(change, name)
            if counts:
                found.add(path)
            if path.is_dir() or path.is_symlink() or not (path.exists() or self._forget(name)):
                found |= self.look(path)
            elif counts:
                self._files.update(_seen(name))
        if found or monotonic() >= self._due:
            found |= self._look_at_links()
        return found

    def look(self, path: Path) -> set[Path]:
        """Look at a file, or at a folder and what is in it; returns what is not as before."""
        top = str(path)
        before = {name: self._files.pop(name) for name in _within(top, self._files)}
        for link in _within(top, self._links):
            before |= self._links.pop(link)
        now: Files = {}
        for name in self._walk(top):
            if os.path.islink(name):  # noqa: PTH114 - many of them
                self._links[name] = self._behind(name)
                now |= self._links[name]
            elif self._choice(Change.modified, name):
                seen = dict(_seen(name))
                self._files |= seen
                now |= seen
        return _differences(before, now)

    def _forget(self, name: str) -> bool:
        """Forget a file; returns whether it was known, and so no folder."""
        return self._files.pop(name, None) is not None

    def _look_at_links(self) -> set[Path]:
        began = monotonic()
        found: set[Path] = set()
        for link, before in self._links.items():
            now = self._behind(link)
            found |= _differences(before, now)
            self._links[link] = now
        ended = monotonic()
        self._due = ended + max(_LOOK_SECONDS, _SHARE * (ended - began))
        return found

    def _behind(self, link: str) -> Files:
        """The files that a link leads to."""
        if not self._choice.may_contain(link):
            return {}
        if not os.path.isdir(link):  # noqa: PTH112 - many of them
            return dict(_seen(link)) if self._choice(Change.modified, link) else {}
        target = os.path.realpath(link)
        if any(is_within(target, root) or is_within(root, target) for root in self._roots):
            # It is watched by its own name, or around what is.
            return dict(_seen(link))
        return {
            name: seen
            for path in self._walk(link + os.sep)
            if os.path.isdir(path) or self._choice(Change.modified, path)  # noqa: PTH112
            for name, seen in _seen(path)
        }

    def _walk(self, top: str) -> Iterator[str]:
        """Files, and links to anything, but nothing behind these."""
        if os.path.islink(top) or not os.path.isdir(top):  # noqa: PTH112, PTH114 - many of them
            yield top
            return
        for folder, names, files in os.walk(top):
            if _ENVIRONMENT in files or not self._choice.may_contain(folder):
                names.clear()
                continue
            paths = (os.path.join(folder, name) for name in names)  # noqa: PTH118 - as above
            yield from (path for path in paths if os.path.islink(path))  # noqa: PTH114 - as above
            yield from (os.path.join(folder, name) for name in files)  # noqa: PTH118 - as above


def _seen(name: str) -> Iterator[tuple[str, Signature]]:
    """A file as it is now, unless it has gone; of a folder, only which one it is."""
    try:
        status = os.stat(name)  # noqa: PTH116 - many of them
    except OSError:
        return
    is_folder = stat.S_ISDIR(status.st_mode)
    written, size = (0, 0) if is_folder else (status.st_mtime_ns, status.st_size)
    yield name, (written, size, status.st_ino)


def _differences(before: Files, now: Files) -> set[Path]:
    return {Path(name) for name, _ in before.items() ^ now.items()}


def is_within(path: str, folder: str) -> bool:
    """Whether a path is a folder, or that of something in it."""
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _within(top: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if is_within(name, top)]
