"""What an ENTRYPOINT runs, with what SageMaker adds to it."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from sagemaker_inference._cli._checks import shells
from sagemaker_inference._cli._checks.expansion import RefusedError, expanded, split
from sagemaker_inference._cli._checks.instructions import words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sagemaker_inference._cli._checks.instructions import Instruction
    from sagemaker_inference._cli._checks.target import Target

# The command, and the module that `python -m` runs.
_OURS: Final = ("sagemaker-inference", "sagemaker_inference")
SERVE: Final = "serve"
# They begin programs of their own, which nothing here knows.
_UNKNOWN: Final = ("ray",)
_PYTHON: Final = re.compile(r"python(?:\d+(?:\.\d+)*)?t?")
# Options of Python that have an argument.
_WITH_VALUE: Final = ("-W", "-X")
_MODULE: Final = "-m"
_VARIABLE: Final = re.compile(r"\$(?:[A-Za-z_]|\{[A-Za-z_])")
# What only a shell knows: arguments, the output of commands, patterns and other commands.
_OF_SHELL: Final = re.compile(r"[$`*?;&|<>()#]")
_DUMB_INIT: Final = "dumb-init"


class Command(NamedTuple):
    """A command.

    Attributes:
        words: its words, the first of which is an executable; without runners such as tini.
        is_exec: whether SageMaker's `serve` is added, as it is without a shell.
    """

    words: Sequence[str]
    is_exec: bool

    @property
    def text(self) -> str:
        """As it is run."""
        return " ".join([*self.words, *([SERVE] * self.is_exec)])

    @property
    def of_ours(self) -> list[str] | None:
        """What our command line gets; None for another command."""
        found = self._behind_ours()
        return None if found is None else [*found, *([SERVE] * self.is_exec)]

    def _behind_ours(self) -> list[str] | None:
        first, *rest = self.words
        if _name(first) in _OURS:
            return rest
        at, is_module = _python(self.words)
        return list(self.words[at + 1 :]) if is_module and self.words[at] in _OURS else None

    @property
    def file(self) -> str:
        """The file that Python runs; "" for something else."""
        at, is_module = _python(self.words)
        return "" if is_module or not at else self.words[at]


class Served(NamedTuple):
    """What `serve` is asked for.

    Attributes:
        file: the program; "" for that of the model's folder.
        host, port: where to listen; "" for what variables say.
    """

    file: str = ""
    host: str = ""
    port: str = ""


def place_in(target: Target, line: int = 0) -> str:
    """The Dockerfile, with a line of it."""
    assert target.dockerfile is not None  # noqa: S101 - the rule needs it
    path = target.label(target.dockerfile)
    return f"{path}, line {line}" if line else path


def entrypoint_of(target: Target) -> Instruction | None:
    """The ENTRYPOINT of an image; None without one."""
    found = target.image.find("ENTRYPOINT")
    # An empty one takes away that of the base image.
    return found[-1] if found and words(found[-1].value) != [] else None


def unset_in(value: str) -> str:
    """The word of an exec form that names a variable, which nothing sets there; or ""."""
    form = words(value) or []
    if shells.shell_of(form) or "-c" in form:
        return ""
    return next((word for word in form if _VARIABLE.search(word)), "")


def command(value: str, variables: Mapping[str, str]) -> Command | None:
    """What an ENTRYPOINT runs; None where that is not known, as of a script.

    Args:
        value: the ENTRYPOINT.
        variables: those of the image.
    """
    form = words(value)
    shell = shells.shell_of(form) if form else None
    if form is not None and shell is None:
        return _of(form, is_exec=True)
    text = shell.command if shell else value
    # What a shell runs last, in place of itself.
    parts = split(text.rpartition("&&")[2].strip().removeprefix("exec "))
    try:
        found = [expanded(part, variables) for part in parts]
    except RefusedError:
        return None
    # A value may be set when the container is run.
    if "\n" in text or not all(found) or _OF_SHELL.search("".join(found)):
        return None
    return _of(found, is_exec=False)


def _of(found: Sequence[str], *, is_exec: bool) -> Command | None:
    rest = shells.without_runners(found)
    if rest and _name(rest[0]) == _DUMB_INIT:
        rest = shells.without_runners(rest[1:])
    return Command(rest, is_exec) if rest else None


def served(rest: Sequence[str]) -> Served | None:
    """What our command line is asked to serve; None where it is another server.

    Args:
        rest: its arguments.

    Raises:
        UsageError: it serves nothing; the message says why.
    """
    from sagemaker_inference._cli import serve
    from sagemaker_inference._cli._group import COMMANDS

    name, *more = rest or [""]
    if name in _UNKNOWN:
        return None
    if name not in COMMANDS:
        message = (
            f"there is no command {name}" if name[:1] not in ("", "-") else "it has no command"
        )
        raise click.UsageError(message)
    if name != SERVE:
        message = f"{name} is not what serves in a container"
        raise click.UsageError(message)
    if "-h" in more or "--help" in more:
        message = "it prints its help"
        raise click.UsageError(message)
    values = serve.command.make_context(SERVE, more).params
    file = serve.program_named(values["file"], values["last"])
    if file is None and values["has_docs"]:
        message = "--docs describes FILE: name it"
        raise click.UsageError(message)
    return Served(file or "", values["host"] or "", values["port"] or "")


def _python(found: Sequence[str]) -> tuple[int, bool]:
    """Where the words of a command have what Python runs, or 0; and whether it is a module."""
    if not _PYTHON.fullmatch(_name(found[0])):
        return 0, False
    at = 1
    while at < len(found) and found[at].startswith("-"):
        if found[at] == _MODULE:
            return (at + 1, True) if at + 1 < len(found) else (0, False)
        if found[at] in ("-c", "-"):
            return 0, False
        at += 1 + (found[at] in _WITH_VALUE)
    return (at, False) if at < len(found) else (0, False)


def _name(word: str) -> str:
    return PurePosixPath(word).name
