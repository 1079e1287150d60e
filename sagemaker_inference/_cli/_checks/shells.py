"""Shells between an ENTRYPOINT and the server, which pass no signals on."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHELLS: Final = frozenset(("ash", "bash", "dash", "ksh", "sh", "zsh"))
# Current releases run the last command of a -c in place of themselves, but not one of a pipe.
_REPLACED: Final = frozenset(("bash", "ksh", "zsh"))
_PIPE: Final = re.compile(r"(?<!\|)\|(?!\|)|&\s*$")
# They run what follows them. Not dumb-init, whose signals reach every process.
_RUNNERS: Final = frozenset(("catatonit", "env", "tini"))
_TO_ALL: Final = "-g"
_COMMAND: Final = re.compile(r"-[a-z]*c")
# Not a redirection of the shell itself, and not in a comment.
_EXEC: Final = re.compile(r"^(?:[^#\n]|(?<=\S)#)*\bexec\s+(?![0-9&]*[<>])", re.MULTILINE)
_TRAP: Final = re.compile(r"^[^#\n]*\btrap\s.*\b(?:SIG)?(?:TERM|15)\b", re.MULTILINE)


class Shell(NamedTuple):
    """What a shell runs: a command, or a script.

    Attributes:
        command: what follows `-c`; "" for a script.
        script: the path of the script in the image; "" for a command.
        may_replace: whether the shell may run the command in place of itself, without `exec`.
        arguments: those of the script.
    """

    command: str = ""
    script: str = ""
    may_replace: bool = False
    arguments: Sequence[str] = ()


def shell_of(words: Sequence[str]) -> Shell | None:
    """The shell that the exec form of an ENTRYPOINT starts; None if there is none."""
    rest = without_runners(words)
    if not rest or signals_all(words):
        return None
    if not is_shell(rest[0]):
        is_script = rest[0].endswith(".sh")
        return Shell(script=rest[0], arguments=rest[1:]) if is_script else None
    for index, word in enumerate(rest[1:-1], 1):
        if _COMMAND.fullmatch(word):
            command = rest[index + 1]
            may_replace = _name(rest[0]) in _REPLACED and not _PIPE.search(command)
            return Shell(command=command, may_replace=may_replace)
    at = next((at for at, word in enumerate(rest[1:], 1) if not word.startswith("-")), 0)
    return Shell(script=rest[at], arguments=rest[at + 1 :]) if at else None


def is_shell(path: str) -> bool:
    """Whether an executable is a shell."""
    return _name(path) in _SHELLS


def signals_all(words: Sequence[str]) -> bool:
    """Whether `tini` passes signals on to all processes."""
    rest = without_runners(words)
    return _TO_ALL in words[: len(words) - len(rest)]


def without_runners(words: Sequence[str]) -> list[str]:
    """The command that programs such as `tini` run."""
    rest = list(words)
    while rest and (rest[0][:1] == "-" or "=" in rest[0] or _name(rest[0]) in _RUNNERS):
        rest.pop(0)
    return rest


def passes_signals(text: str) -> bool:
    """Whether a command or a script runs a program by `exec`, or waits for SIGTERM itself."""
    return bool(_EXEC.search(text) or _TRAP.search(text))


def _name(word: str) -> str:
    return PurePosixPath(word).name
