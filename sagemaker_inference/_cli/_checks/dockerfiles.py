"""The language of Dockerfiles: lines, directives and heredocs.

https://docs.docker.com/reference/dockerfile/
"""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from sagemaker_inference._cli._checks.expansion import RefusedError, expanded
from sagemaker_inference._cli._checks.instructions import Heredoc, instruction_of, words
from sagemaker_inference._cli._checks.refusals import check
from sagemaker_inference._cli._checks.rules import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sagemaker_inference._cli._checks.instructions import Instruction

_HEREDOCS: Final = ("RUN", "COPY", "ADD")
# A word in which a heredoc may be, where escapes are those of shells; spaces may follow its <<.
_WORD: Final = re.compile(
    r"""(?:\\.?|'[^']*'|"(?:\\.|[^"\\])*"|<<[\t\r ]*|[^\s'"\\])+""", re.DOTALL
)
_HEREDOC: Final = re.compile(r"\d*<<(-?)\s*([^<]*)")
_LITERAL: Final = re.compile(r"['\"\s]")
_QUOTES: Final = re.compile(r"\\(.)|['\"]")
_DIRECTIVE: Final = re.compile(r"#\s*(check|escape|syntax)\s*=\s*(.+)", re.IGNORECASE)
_ESCAPES: Final = ("\\", "`")
# Other front ends, and early releases of this one, may take what docker's own refuses.
_FRONT_END: Final = re.compile(r"(?:.*/)?docker/dockerfile(?::(?!.*labs)[^@]*)?(?:@.*)?")
_LINE_BYTES: Final = 65_535


class Problem(NamedTuple):
    """Why docker refuses a file.

    Attributes:
        line: where; 0 for the file.
        what: the problem.
        fix: what to do.
        name: the instruction that docker refuses; "" for another reason.
        is_fatal: whether the rest of the file does not say what is in the image.
        is_certain: whether docker refuses it whatever else it is given.
    """

    line: int
    what: str
    fix: str
    name: str = ""
    is_fatal: bool = False
    is_certain: bool = True


def read(dockerfile: Path) -> tuple[list[Instruction], list[Problem]]:
    """The instructions of a file that docker can read, and why it refuses the others."""
    try:
        data = dockerfile.read_bytes().removeprefix(codecs.BOM_UTF8)
    except OSError as error:
        what, fix = f"it cannot be read: {error.strerror}", "Give your user access to it."
        return [], [Problem(0, what, fix, is_fatal=True)]
    # UTF-16; docker itself looks at bytes, so that comments may have any encoding.
    if b"\0" in data:
        what = "it is not encoded in UTF-8, and docker reads nothing else"
        return [], [Problem(0, what, "Save it as UTF-8.", is_fatal=True)]
    problems: list[Problem] = []
    lines: list[str] = []
    # Not splitlines, which knows more ends of lines than docker.
    for number, line in enumerate(data.split(b"\n"), 1):
        lines.append(line.rstrip(b"\r").decode(errors="replace"))
        if len(line) > _LINE_BYTES:
            what = f"it has {len(line)} bytes, and docker reads lines of up to {_LINE_BYTES}"
            problems.append(Problem(number, what, "Break it by \\, or copy a file in its place."))
    directives, more = _directives(lines)
    if more:
        return [], more
    instructions: list[Instruction] = []
    numbered = enumerate(lines, 1)
    for number, text in _joined(numbered, directives["escape"]):
        instruction = instruction_of(number, text, directives["escape"])
        name = instruction.name
        try:
            heredocs = _taken_heredocs(instruction, text, numbered)
            instruction = instruction._replace(heredocs=heredocs)
            check(instruction)
        except RefusedError as error:
            is_fatal = error.is_fatal or name == "FROM"
            problem = Problem(number, error.what, error.fix, name, is_fatal, error.is_certain)
            problems.append(problem)
        else:
            instructions.append(instruction)
    if not _FRONT_END.fullmatch(directives["syntax"]):
        problems = [problem._replace(is_certain=False) for problem in problems]
    return instructions, problems


def _directives(lines: list[str]) -> tuple[dict[str, str], list[Problem]]:
    """What the first lines set, by name, and why docker refuses them."""
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        directive = _DIRECTIVE.fullmatch(line.strip())
        if directive is None:
            break
        name, value = directive[1].lower(), directive[2]
        if name in found:
            what = f"the directive {name} comes twice"
            return found, [Problem(number, what, "Leave one of them out.", is_fatal=True)]
        if name == "escape" and value not in _ESCAPES:
            what = f"the directive escape cannot be {quoted(value)}"
            return found, [Problem(number, what, "Write \\, or `.", is_fatal=True)]
        found[name] = value
    return {"escape": _ESCAPES[0], "syntax": "docker/dockerfile", **found}, []


def _joined(numbered: Iterator[tuple[int, str]], escape: str) -> Iterator[tuple[int, str]]:
    """The lines of instructions, joined where they are continued, by number."""
    # A pair of them is one that is escaped.
    continued = re.compile(rf"(?<!{re.escape(escape)}){re.escape(escape)}[ \t]*$")
    for number, line in numbered:
        text, parts = line * _says_something(line), []
        while found := continued.search(text):
            parts.append(text[: found.start()])
            # Docker passes over comments and empty lines.
            text = next((more for _, more in numbered if _says_something(more)), "")
        if instruction := "".join([*parts, text]).strip():
            yield number, instruction


def _says_something(line: str) -> bool:
    return line.strip()[:1] not in ("", "#")


def _taken_heredocs(
    instruction: Instruction, text: str, numbered: Iterator[tuple[int, str]]
) -> tuple[Heredoc, ...]:
    """The heredocs of an instruction, whose lines are taken; `text` is all of the instruction."""
    heredocs: list[Heredoc] = []
    for word in _heredoc_words(instruction, text):
        found = _HEREDOC.fullmatch(word)
        name = _QUOTES.sub(r"\1", found[2]) if found else ""
        if not (found and name):
            continue
        lines: list[str] = []
        for _, line in numbered:
            if (line.lstrip("\t") if found[1] else line) == name:
                break
            lines.append(line)
        else:
            what, fix = f"its heredoc has no end: {word}", f"Write a last line: {name}"
            raise RefusedError(what, fix, is_fatal=True)
        # Behind a space, COPY and ADD do not see it.
        is_expanded = not _LITERAL.search(word)
        heredocs.append(Heredoc(name, "\n".join(lines), is_expanded))
    return tuple(heredocs)


def _heredoc_words(instruction: Instruction, text: str) -> list[str]:
    """The words among which heredocs are."""
    one = instruction
    if one.name == "ONBUILD":
        one = instruction_of(one.line, one.value, one.escape)
    if one.name not in _HEREDOCS or "<<" not in text or words(one.value) is not None:
        return []
    try:
        # Docker looks for none where a quote is not closed, or a variable cannot be read.
        expanded(text, {})
    except RefusedError:
        return []
    return _WORD.findall(text)
