"""What a rule is, and the rules there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sagemaker_inference._cli._checks.target import Target

    Check = Callable[[Target], Iterator["Finding"]]

Level = Literal["error", "warning"]
# What a rule needs to look at; `Target.lacks` says why it is not there.
Need = Literal[
    "files",
    "program",
    "import",
    "requirements",
    "dockerfile",
    "image",
    "start",
    "server",
    "process",
    "samples",
]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a rule has against a program.

    Attributes:
        where: the file, with the line where there is one, or the request.
        what: the problem.
        fix: what to do.
        is_certain: whether nothing is missing to know it; otherwise it is a warning.
    """

    where: str
    what: str
    fix: str
    is_certain: bool = True


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule.

    Attributes:
        id: its name.
        level: whether findings are errors or warnings, where they are certain.
        asks: what it asks for.
        why: what the platform does or says, for which it is there.
        need: what it looks at.
        check: yields what it finds.
    """

    id: str
    level: Level
    asks: str
    why: str
    need: Need
    check: Check

    def level_of(self, finding: Finding) -> Level:
        """Whether a finding is an error or a warning."""
        return self.level if finding.is_certain else "warning"


_RULES: Final[list[Rule]] = []
_SHOWN: Final = 100


def shown(text: str) -> str:
    """A part of a file as messages show it: cut, where it is long."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def quoted(text: str) -> str:
    """A part of a file in quotes, and cut."""
    return repr(shown(text))


def rule(name: str, level: Level, need: Need, *, asks: str, why: str) -> Callable[[Check], Check]:
    """Make a rule of a function; the arguments are those of `Rule`."""

    def register(check: Check) -> Check:
        _RULES.append(Rule(name, level, asks, why, need, check))
        return check

    return register


def all_rules() -> list[Rule]:
    """All rules, in the order in which they are looked at."""
    from sagemaker_inference._cli._checks import (
        dockerfile,
        layout,
        program,
        requirements,
        server,
        serving,
    )

    modules = (layout, program, requirements, dockerfile, serving, server)
    return [one for module in modules for one in _RULES if one.check.__module__ == module.__name__]


def table() -> str:
    """The rules as a Markdown table."""
    lines = ["| rule | level | asks for | because |", "| --- | --- | --- | --- |"]
    lines += [f"| `{one.id}` | {one.level} | {one.asks} | {one.why} |" for one in all_rules()]
    return "\n".join(lines) + "\n"
