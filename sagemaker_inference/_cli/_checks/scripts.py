"""Scripts that an ENTRYPOINT runs, and what they run in the end."""

from __future__ import annotations

import re
import shlex
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final, NamedTuple

from sagemaker_inference._cli._checks import entrypoint as entrypoints
from sagemaker_inference._cli._checks import shells
from sagemaker_inference._cli._checks.instructions import words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sagemaker_inference._cli._checks.entrypoint import Command
    from sagemaker_inference._cli._checks.shells import Shell
    from sagemaker_inference._cli._checks.target import Target

_INTERPRETER: Final = re.compile(r"#!\s*\S*?(?:/env\s+)?(\w+)(?=\s|$)")
# What may look at arguments, or run something else in place of the script, before its last line.
_MAY_END: Final = re.compile(
    r"\$\{?[\d@*#]|\b(?:shift|serve)\b|\bset\s+--|\bexec\s+(?![0-9&]*[<>])|<<"
)
# The last words of a block, whose commands depend on something.
_BLOCK_ENDS: Final = frozenset(("fi", "done", "esac", "}", ")", "wait"))
_MOVES: Final = re.compile(r"\b(?:cd|pushd)\b")
_ASSIGNED: Final = re.compile(r"(?:^|[;\s])([A-Za-z_]\w*)=", re.MULTILINE)
_ALL_ARGUMENTS: Final = re.compile(r'"\$[@*]"|"\$\{[@*]\}"|\$[@*]|\$\{[@*]\}')
_FIRST_ARGUMENT: Final = re.compile(r'"\$1"|"\$\{1\}"|\$1(?!\d)|\$\{1\}')


class Script(NamedTuple):
    """A script.

    Attributes:
        name: the file here, or the path in the image.
        text: what it says; None where it is not found here.
        arguments: what it gets, with what SageMaker adds.
    """

    name: str
    text: str | None
    arguments: Sequence[str]


def shell_of(target: Target, form: Sequence[str]) -> Shell | None:
    """As `shells.shell_of`, also for a script of any name, where it is found here."""
    shell = shells.shell_of(form)
    rest = shells.without_runners(form)
    if shell is not None or not rest or shells.signals_all(form):
        return shell
    found = text_of(target, rest[0])
    first = _INTERPRETER.match(found[1]) if found else None
    is_script = first is not None and shells.is_shell(first[1])
    return shells.Shell(script=rest[0], arguments=rest[1:]) if is_script else None


def text_of(target: Target, path: str) -> tuple[str, str] | None:
    """The name and the text of a script: a heredoc's, or that of a file here; None without."""
    text = target.image.written().get(PurePosixPath(path).name)
    if text is not None:
        return path, text
    file = target.file_in_image(path)
    if file is None:
        return None
    return target.label(file), file.read_text(encoding="utf-8", errors="replace")


def script_of(target: Target, value: str) -> Script | None:
    """The script that an ENTRYPOINT runs in its exec form; None where it runs none."""
    try:
        shell = shell_of(target, words(value) or [])
        if shell is None or not shell.script:
            return None
        name, text = text_of(target, shell.script) or (shell.script, None)
    except OSError:
        return None  # another rule says so
    return Script(name, text, (*shell.arguments, entrypoints.SERVE))


def command_of(target: Target, script: Script) -> tuple[int, Command] | None:
    """The line and the command that a script ends with; None where more decides than that."""
    *before, (number, last) = [(0, ""), *_lines(script.text or "")]
    above = "\n".join(line for _, line in before)
    if not last or _MAY_END.search(above) or last.split()[0] in _BLOCK_ENDS:
        return None
    arguments = [shlex.quote(one) for one in script.arguments]
    last = _ALL_ARGUMENTS.sub(lambda _: " ".join(arguments), last)
    last = _FIRST_ARGUMENT.sub(lambda _: arguments[0], last)
    set_ = set(_ASSIGNED.findall(above))
    variables = {name: text for name, text in target.image.variables.items() if name not in set_}
    found = entrypoints.command(last, variables)
    # Where a relative path begins is not known behind those.
    is_moved = found is not None and _MOVES.search(above) and found.file[:1] not in ("", "/")
    return None if found is None or is_moved else (number, found)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that say something, joined where they are continued, by number."""
    lines = enumerate(text.splitlines(), 1)
    for number, line in lines:
        while line.endswith("\\"):
            line = line[:-1] + next(lines, (0, ""))[1]  # noqa: PLW2901 - one line to the shell
        if (line := line.strip()) and not line.startswith("#"):
            yield number, line
