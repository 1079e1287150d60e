"""The files of a folder, which stands for a prefix of S3."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import click

from sagemaker_inference._cli._command import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_HIDDEN: Final = "hidden files"
_CIRCLE: Final = "links to folders above them"
_OTHER: Final = "files of other kinds, such as pipes"


def files_below(folder: Path) -> list[Path]:
    """The files of a folder and its sub-folders, links to others included; what is not is said.

    Args:
        folder: the folder.

    Raises:
        CommandError: a link is broken, or a folder cannot be read.
    """
    left_out: Counter[str] = Counter()
    found = list(_walk(folder, (folder.resolve(),), left_out))
    for what, count in left_out.items():
        click.echo(f"{folder}: left out {what}: {count}", err=True)
    return found


def _walk(
    folder: Path, above: Sequence[Path], left_out: Counter[str], *, is_hidden: bool = False
) -> Iterator[Path]:
    """The files below a folder.

    Args:
        folder: the folder.
        above: where it and the folders that lead to it are.
        left_out: counts what is left out.
        is_hidden: whether a folder that leads to it is hidden.
    """
    for path in _entries(folder):
        hides = is_hidden or path.name.startswith(".")
        if path.is_dir():
            place = path.resolve()
            if place in above:
                left_out[_CIRCLE] += 1
            else:
                yield from _walk(path, (*above, place), left_out, is_hidden=hides)
        elif hides:
            left_out[_HIDDEN] += 1
        elif path.is_file():
            yield path
        elif path.is_symlink() and not path.exists():
            target = path.readlink()
            message = f"{path} is a broken link: there is no {target}. Remove or replace it."
            raise CommandError(message)
        else:
            left_out[_OTHER] += 1


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        message = f"{folder} cannot be read: {error.strerror}"
        raise CommandError(message) from None
