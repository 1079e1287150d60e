"""What the commands have in common: help with examples, extras, errors in one line."""

from __future__ import annotations

import math
import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAM: Final = "sagemaker-inference"


# Of each command, and not of the group alone: click keeps the option of whoever asks first.
CONTEXT: Final = {"help_option_names": ["-h", "--help"]}


class Command(click.Command):
    """A command whose help ends with examples.

    Args:
        examples: command lines, without the program's name.
    """

    def __init__(self, *arguments: Any, examples: Sequence[str] = (), **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.context_settings = {**CONTEXT}
        self.examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, as lines to copy."""
        del ctx
        with formatter.section("Examples"):
            for line in self.examples:
                # Not write_text, which would wrap them.
                formatter.write(f"{'':{formatter.current_indent}}{PROGRAM} {line}\n")


class OutputFile(click.Path):
    """A file that a command writes at its end: what is wrong with it is said before the work."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, writable=True, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Read a path."""
        if names_folder(str(value)):
            self.fail(f"{str(value)!r} names a folder: name a file.", param, ctx)
        path = Path(str(super().convert(value, param, ctx)))
        check_folder_of(path)
        return path


def names_folder(text: str) -> bool:
    """Whether a path is written as that of a folder, which `Path` does not keep."""
    return text.endswith(tuple(filter(None, (os.sep, os.altsep))))


def check_folder_of(path: Path) -> None:
    """Refuse a file in a folder that does not exist.

    Raises:
        UsageError: it cannot be written.
    """
    if not path.parent.is_dir():
        message = f"there is no folder {path.parent} for {path.name}: create it first"
        raise click.UsageError(message)


class FiniteNumber(click.FloatRange):
    """A number that one can compute with: neither "nan" nor "inf"."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read a number."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


class CommandError(click.ClickException):
    """A command cannot do what it is asked for; the message says why, and the fix."""


def needed(module: str, *, extra: str = "dev") -> Any:
    """Import a library of an extra.

    Args:
        module: the library, or a module of one.
        extra: the extra that brings it.

    Raises:
        CommandError: it is not installed; the message names the extra.
    """
    try:
        return import_module(module)
    except ImportError:
        library = module.partition(".")[0]
        message = (
            f"this command needs {library}, which is not installed. Run: "
            f"pip install '{PROGRAM}[{extra}]'"
        )
        raise CommandError(message) from None
