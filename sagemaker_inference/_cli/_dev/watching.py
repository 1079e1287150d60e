"""Which changes of files are reloads: of the program's sources, and of the model."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import anyio
from anyio import to_thread
from watchfiles import DefaultFilter, awatch

from sagemaker_inference._cli._dev.known_files import KnownFiles, is_within

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence

    from watchfiles import Change

# Of the folder of a program: what it is imported from.
_SOURCES: Final = (".py", ".pyi")
# What is beside a program and is not a model, by the endings of names. There are more formats of
# models than a list could have, and one that is missing here costs a load, not an old answer.
_OTHERS: Final = frozenset(
    (
        *(".arrow", ".avro", ".csv", ".db", ".feather", ".jsonl", ".ndjson", ".parquet"),
        *(".sqlite", ".sqlite3", ".tsv", ".xlsx"),
        *(".htm", ".html", ".ipynb", ".md", ".pdf", ".rst"),
        *(".bmp", ".gif", ".jpeg", ".jpg", ".mp3", ".mp4", ".png", ".svg", ".wav", ".webp"),
        *(".diff", ".lock", ".out", ".part", ".patch", ".pid", ".sh", ".tmp"),
    )
)
# The same by what their names begin with, up to the first dot.
_OTHER_NAMES: Final = frozenset(
    (
        *("compose", "docker-compose", "dockerfile", "environment", "license", "makefile"),
        *("notice", "pyproject", "readme", "requirements", "setup", "tox"),
        *("log", "out", "output", "prediction", "predictions", "request", "response"),
        *("result", "results"),
    )
)
_PACKED: Final = frozenset((".bz2", ".gz", ".lz4", ".xz", ".zst"))
_LOGS: Final = r"(?i)\.log$"
# Milliseconds: an editor writes a file in several steps.
_QUIET: Final = 50
# As well: how often folders that were replaced, and targets of links, are looked at.
_LOOK: Final = 500


class Folders(NamedTuple):
    """What is watched.

    Attributes:
        program: the folder of the program, of which sources count.
        model: the folder of the model, of which everything counts; but where the program is in it,
            beside the program, not what has the name of something else.
        others: folders of which everything counts.
        ignored: folders of which nothing does.
        file: the program's file, where a link may lead to another one.
    """

    program: Path
    model: Path
    others: Sequence[Path] = ()
    ignored: Sequence[Path] = ()
    file: Path | None = None

    def resolved(self) -> Folders:
        """The same folders, as changes name them."""
        others, ignored = ([_resolved(path) for path in paths] for paths in self[2:4])
        return Folders(_resolved(self.program), _resolved(self.model), others, ignored, self.file)

    @property
    def roots(self) -> list[Path]:
        """Those that are watched: one within another one is watched by it."""
        every = [self.program, self.model, *self.others]
        tops = (one for one in every if not any(other in one.parents for other in every))
        return list(dict.fromkeys(tops))


class Filter(DefaultFilter):
    """Lets pass what a reload is for.

    Args:
        folders: what is watched, resolved.
    """

    def __init__(self, folders: Folders) -> None:
        super().__init__(ignore_entity_patterns=[*self.ignore_entity_patterns, _LOGS])
        # As text: a folder may have tens of thousands of files.
        self._program = str(folders.program)
        self._model = str(folders.model)
        self._others = [str(folder) for folder in folders.others]
        self._ignored = [str(folder) for folder in folders.ignored]
        self._is_shared = is_within(self._program, self._model)

    def __call__(self, change: Change, path: str) -> bool:
        """Whether a change is a reason to load the program again."""
        if any(is_within(path, folder) for folder in self._ignored):
            return False
        counts = any(self._passes(change, path, folder) for folder in self._reasons(path))
        return counts and not _is_our_output(path)

    def may_contain(self, folder: str) -> bool:
        """Whether files of a folder, which is within one that is watched, may count."""
        if any(is_within(folder, one) for one in self._ignored):
            return False
        tops = (self._program, self._model, *self._others)
        return any(
            not any(
                part.startswith(".") or part in self.ignore_dirs for part in _below(folder, top)
            )
            for top in tops
            if is_within(folder, top)
        )

    def _reasons(self, path: str) -> Iterator[str]:
        """The folders for which a file counts."""
        is_beside = is_within(path, self._program)
        if is_beside and (
            path.endswith(_SOURCES) or (self._is_shared and _may_be_model(os.path.basename(path)))  # noqa: PTH119 - as above
        ):
            yield self._program
        if is_within(path, self._model) and not (is_beside and self._is_shared):
            yield self._model
        yield from (folder for folder in self._others if is_within(path, folder))

    def _passes(self, change: Change, path: str, folder: str) -> bool:
        # The folder itself may be in a hidden one, or in one whose files never count.
        below = _below(path, folder)
        is_hidden = any(part.startswith(".") for part in below)
        return not is_hidden and super().__call__(change, os.sep.join(below))  # noqa: PTH118 - as above


async def changes(
    find: Callable[[], Folders], stop: anyio.Event, begun: anyio.Event | None = None
) -> AsyncIterator[list[Path]]:
    """The files that have changed, whenever some have.

    Args:
        find: what is to be watched, resolved; asked now and then, since links may lead elsewhere.
        stop: ends it.
        begun: set when no change is missed any more.
    """
    folders = await to_thread.run_sync(find)
    known = await to_thread.run_sync(_known, folders)
    if begun is not None:
        begun.set()
    while not stop.is_set():
        watched = _identities(folders.roots)
        present = [root for root, identity in zip(folders.roots, watched, strict=True) if identity]
        # What has changed before the watch began.
        missed = True
        async with contextlib.aclosing(_reports(present, stop)) as reports:
            async for report in reports:
                found = await to_thread.run_sync(known.update, report)
                if missed:
                    found |= await to_thread.run_sync(_look, known, folders.roots)
                    missed = False
                now = await to_thread.run_sync(find)
                if now != folders:
                    found |= _moved(folders, now)
                    folders = now
                    known = await to_thread.run_sync(_known, folders)
                if found:
                    yield sorted(found)
                if _identities(folders.roots) != watched:
                    break


async def _reports(
    roots: Sequence[Path], stop: anyio.Event
) -> AsyncGenerator[set[tuple[Change, str]], None]:
    """What a watch says of folders, which may be nothing; it ends when one of them has gone."""
    watch = awatch(
        *roots,
        # Not the choice: it cannot judge a folder, of which there may be no more than the name.
        watch_filter=None,
        step=_QUIET,
        stop_event=stop,
        rust_timeout=_LOOK,
        yield_on_timeout=True,
        ignore_permission_denied=True,
    )
    try:
        async with contextlib.aclosing(watch):
            async for report in watch:
                yield report
    except FileNotFoundError:
        # It went while the watch began.
        await anyio.sleep(_LOOK / 1000)


def _known(folders: Folders) -> KnownFiles:
    known = KnownFiles(Filter(folders), folders.roots)
    _look(known, folders.roots)
    return known


def _moved(before: Folders, now: Folders) -> set[Path]:
    """Where links lead that have led elsewhere."""
    paths = [{*folders.roots, folders.program, folders.model} for folders in (before, now)]
    return (paths[1] - paths[0]) or {now.file or now.program}


def _look(known: KnownFiles, roots: Sequence[Path]) -> set[Path]:
    return set().union(*(known.look(root) for root in roots))


def _identities(roots: Sequence[Path]) -> list[tuple[Path, int, int] | None]:
    """Which folders these are: one that takes the place of another has to be watched anew."""
    found: list[tuple[Path, int, int] | None] = []
    for root in roots:
        try:
            status = root.stat()
        except OSError:
            found.append(None)
        else:
            found.append((root, status.st_dev, status.st_ino))
    return found


def _resolved(path: Path) -> Path:
    # Not Path.resolve, which raises for links that lead to each other.
    return Path(os.path.realpath(path))


def _below(path: str, folder: str) -> list[str]:
    """The names that lead from a folder to what is in it."""
    return path[len(folder) :].lstrip(os.sep).split(os.sep)  # noqa: PTH206 - many of them


def _is_our_output(path: str) -> bool:
    """Whether a file is where this command logs: each load would be a reason for the next."""
    try:
        found = os.stat(path)  # noqa: PTH116 - many of them
        ours = [os.fstat(number) for number in (1, 2)]
    except OSError:
        return False
    return any(os.path.samestat(found, one) for one in ours)


def _may_be_model(name: str) -> bool:
    stem, *endings = name.lower().split(".")
    while endings and f".{endings[-1]}" in _PACKED:
        endings.pop()
    return stem not in _OTHER_NAMES and not (endings and f".{endings[-1]}" in _OTHERS)
