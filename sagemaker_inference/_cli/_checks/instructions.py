"""An instruction of a Dockerfile, and its words.

https://docs.docker.com/reference/dockerfile/
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sagemaker_inference._cli._checks.expansion import WORDS, RefusedError, expanded, split
from sagemaker_inference._cli._checks.rules import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

# Not every space of Unicode, which docker takes as part of a word.
SPACE: Final = re.compile(r"[\t\v\f\r ]+")
COMMENT_FIX: Final = "A comment is a line of its own: write it above the instruction."
# IMAGE AS NAME
_NAMED_STAGE: Final = 3
_STAGE: Final = re.compile(r"[a-z][-a-z0-9_.]*")
_FLAG: Final = "--"
# They take words, as a list of JSON or without.
_LISTS: Final = ("ADD", "COPY", "VOLUME")


class Heredoc(NamedTuple):
    """Lines that follow an instruction.

    Attributes:
        name: how their end is named.
        text: the lines.
        is_expanded: whether COPY and ADD expand variables in them.
    """

    name: str
    text: str
    is_expanded: bool


class Instruction(NamedTuple):
    """An instruction.

    Attributes:
        line: where it begins in the file.
        name: its name, in capitals.
        flags: its flags, without their quotes.
        value: what follows these.
        escape: what takes the meaning of a character, as the file's directive says.
        heredocs: the lines that follow it.
    """

    line: int
    name: str
    flags: tuple[str, ...]
    value: str
    escape: str = "\\"
    heredocs: tuple[Heredoc, ...] = ()

    @property
    def script(self) -> str:
        """What a RUN runs: its command, with its heredocs."""
        return "\n".join((self.value, *(one.text for one in self.heredocs)))

    @property
    def parts(self) -> list[str]:
        """What is between spaces, or in a list of JSON where there may be one."""
        found = words(self.value) if self.name in _LISTS else None
        return SPACE.split(self.value) if found is None else found

    def flag(self, name: str) -> str:
        """The value of a flag; "" if it has none."""
        values = (one.partition("=")[2] for one in self.flags if one.startswith(f"--{name}="))
        return next(values, "")


def instruction_of(line: int, text: str, escape: str) -> Instruction:
    """Take an instruction apart; `text` has its lines, joined."""
    name, _, rest = SPACE.sub(" ", text, count=1).partition(" ")
    flags, value = _flags(rest, escape)
    return Instruction(line, name.upper(), flags, value, escape)


def _flags(text: str, escape: str) -> tuple[tuple[str, ...], str]:
    flags: list[str] = []
    end = 0
    for word in WORDS[escape].finditer(text):
        if not word[0].startswith(_FLAG):
            break
        end = word.end()
        if word[0] == _FLAG:
            break
        flags.append(re.sub(rf"{re.escape(escape)}(.)|['\"]", r"\1", word[0]))
    return tuple(flags), text[end:].strip()


def json_list(value: str) -> list[Any] | None:
    """The list of JSON that a value is; None if it is something else."""
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):  # the second where it is nested deep
        return None
    return found if isinstance(found, list) else None


def words(value: str) -> list[str] | None:
    """The words of the exec form of an instruction; None for the shell form."""
    found = json_list(value)
    is_form = found is not None and all(isinstance(word, str) for word in found)
    return found if is_form else None


def from_(instruction: Instruction) -> tuple[str, str]:
    """The image that a stage begins from, as it is written, and the name of the stage, or "".

    Raises:
        RefusedError: it is of another form.
    """
    parts = SPACE.split(instruction.value)
    what = f"docker does not know what FROM {instruction.value} means"
    if len(parts) == 1:
        return parts[0], ""
    if len(parts) != _NAMED_STAGE or parts[1].lower() != "as":
        fix = COMMENT_FIX if "#" in parts else "Write FROM IMAGE, or FROM IMAGE AS NAME."
        raise RefusedError(what, fix)
    if not _STAGE.fullmatch(parts[2].lower()):
        what = f"{parts[2]!r} cannot be the name of a stage"
        raise RefusedError(what, "Begin it with a letter, and go on with letters, digits, - _ or .")
    return parts[0], parts[2]


def arguments(
    instruction: Instruction, variables: Mapping[str, str], top: Mapping[str, str] | None = None
) -> dict[str, str]:
    """What ARG sets, by name.

    Args:
        instruction: the ARG.
        variables: those that are set.
        top: what is set before the first stage, for those without a value.
    """
    found: dict[str, str] = {}
    for word in split(instruction.value, instruction.escape):
        name, equals, text = word.partition("=")
        if equals:
            found[name] = expanded(text, variables, instruction.escape)
        elif top and name in top:
            found[name] = top[name]
    return found


def pairs(instruction: Instruction, variables: Mapping[str, str]) -> dict[str, str]:
    """What ENV or LABEL sets, by name.

    Args:
        instruction: the ENV or LABEL.
        variables: those that are set.

    Raises:
        RefusedError: one has no value, or no name.
    """
    escape = instruction.escape
    return {
        expanded(key, variables, escape): expanded(text, variables, escape)
        for key, text in _named(instruction)
    }


def _named(instruction: Instruction) -> list[tuple[str, str]]:
    found = split(instruction.value, instruction.escape)
    if "=" not in found[0]:
        # The old form, of one name and its value.
        name, *text = SPACE.split(instruction.value, maxsplit=1)
        if not text:
            what = f"{name} has no value"
            raise RefusedError(what, f"Write: {instruction.name} {name}=value")
        return [(name, text[0])]
    for word in found:
        if "=" not in word:
            fix = f"Write {word}=value, or quotes around a value with spaces."
            what = f"{quoted(word)} has no value, in {quoted(instruction.value)}"
            raise RefusedError(what, COMMENT_FIX if word.startswith("#") else fix)
        if word.startswith("="):
            what = f"{quoted(word)} has no name, in {quoted(instruction.value)}"
            raise RefusedError(what, "Write NAME=value, without a space before the =.")
    return [(name, text) for name, _, text in (word.partition("=") for word in found)]
