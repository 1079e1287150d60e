"""The image that a Dockerfile builds, as far as the file says it."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from sagemaker_inference._cli._checks import dockerfiles
from sagemaker_inference._cli._checks.dockerfiles import Problem
from sagemaker_inference._cli._checks.expansion import RefusedError, expanded, split
from sagemaker_inference._cli._checks.instructions import arguments, from_, pairs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from sagemaker_inference._cli._checks.instructions import Instruction

# Official images, which have no ENTRYPOINT, none of SageMaker's labels and no packages of Python.
_BARE: Final = frozenset(
    (
        *("almalinux", "alpine", "amazonlinux", "debian", "fedora", "python", "rockylinux"),
        *("scratch", "ubuntu"),
    )
)
_OFFICIAL: Final = frozenset(
    (
        "",
        "docker.io",
        "docker.io/library",
        "library",
        "public.ecr.aws/amazonlinux",
        "public.ecr.aws/docker/library",
    )
)
# What rules look at of what docker expands, but for labels and variables.
_EXPANDED: Final = ("ADD", "COPY", "USER")
# What docker itself sets for FROM, where SageMaker's instances are the target.
_PLATFORM: Final = {
    f"{kind}{name}": value
    for kind in ("BUILD", "TARGET")
    for name, value in (("ARCH", "amd64"), ("OS", "linux"), ("PLATFORM", "linux/amd64"))
}
_UNSET: Final = "Write an ARG of this name above the first FROM."
# The file that a command writes.
_WRITTEN: Final = re.compile(r"(?:>|\btee\b)\s*([^\s;&|<>]+)")


@dataclass(frozen=True, slots=True)
class Image:
    """The last stage of a Dockerfile, with the stages of the file that it begins from.

    Attributes:
        base: the image that the first of these stages begins from.
        instructions: those of these stages, in their order, with the values of variables where
            docker itself sets them.
        labels: LABEL, by name.
        variables: ENV, by name.
        arguments: ARG, by name.
        problems: why docker refuses the file.
    """

    base: str = ""
    instructions: Sequence[Instruction] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    arguments: Mapping[str, str] = field(default_factory=dict)
    problems: Sequence[Problem] = ()

    @property
    def is_known(self) -> bool:
        """Whether the file says what is in the image."""
        return not any(problem.is_fatal for problem in self.problems)

    @property
    def unknown_base(self) -> str:
        """The base image, if it may have more than Python and a shell; else ""."""
        registry, _, name = self.base.rpartition("/")
        is_bare = registry in _OFFICIAL and name.partition("@")[0].partition(":")[0] in _BARE
        return "" if is_bare else self.base

    def find(self, *names: str) -> list[Instruction]:
        """The instructions with one of these names."""
        return [one for one in self.instructions if one.name in names]

    def refuses(self, name: str) -> bool:
        """Whether docker refuses an instruction with this name, which says what is not known."""
        return any(problem.name == name for problem in self.problems)

    def copied(self) -> list[list[str]]:
        """What each COPY and ADD takes from the folder of the Dockerfile, and where it goes."""
        copies = self.find("COPY", "ADD")
        return [one.parts for one in copies if not one.flag("from")]

    def written(self) -> Mapping[str, str]:
        """The texts of the files that heredocs write, by the names of these files."""
        found: dict[str, str] = {}
        for instruction in self.instructions:
            if not instruction.heredocs:
                continue
            if instruction.name == "RUN":
                texts = dict.fromkeys(_WRITTEN.findall(instruction.value), instruction.script)
            else:
                to = instruction.parts[-1]
                texts = {
                    f"{to}{one.name}" if to.endswith("/") else to: one.text
                    for one in instruction.heredocs
                }
            found |= {PurePosixPath(path.strip("'\"")).name: texts[path] for path in texts}
        return found


def image_of(dockerfile: Path) -> Image:
    """Read a Dockerfile."""
    stages: dict[str, tuple[str, list[Instruction]]] = {}
    top = dict(_PLATFORM)
    unset: dict[str, str] = {}
    base = ""
    stage: list[Instruction] | None = None
    early: list[Instruction] = []
    instructions, problems = dockerfiles.read(dockerfile)
    for instruction in instructions:
        with _noted(problems, instruction):
            if instruction.name == "FROM":
                written, name = from_(instruction)
                # A variable without a value here gets one when the image is built.
                base = expanded(written, top, instruction.escape) or written
                if not expanded(written, {**unset, **top}, instruction.escape):
                    problems.append(Problem(instruction.line, f"{written} is not set", _UNSET))
                # Names of stages are case-insensitive; anything else is an image.
                base, earlier = stages.get(base.lower(), (base, []))
                stage = [*earlier]
                if name:
                    stages[name.lower()] = base, stage
            elif stage is not None:
                stage.append(instruction)
            elif instruction.name == "ARG":
                unset |= dict.fromkeys(split(instruction.value, instruction.escape), "?")
                top |= arguments(instruction, top)
            else:
                early.append(instruction)
    refused = Image(problems=problems)
    if not refused.is_known:
        return refused
    if stage is None:
        what = "there is no FROM" if instructions or problems else "it has no instructions"
        line = early[0].line if early else 0
        fix = "Begin with, e.g.: FROM python:3.12-slim"
        problems.append(Problem(line, what, fix, is_fatal=True))
        return refused
    if early:
        what = f"{early[0].name} comes before FROM"
        problems.append(Problem(early[0].line, what, "Write it below FROM, as all but ARG."))
    problems += _early_copies(instructions)
    return _image(base, stage, top, problems)


@contextmanager
def _noted(problems: list[Problem], one: Instruction) -> Iterator[None]:
    """Note that docker refuses an instruction for the values of its variables."""
    try:
        yield
    except RefusedError as error:
        problems.append(Problem(one.line, error.what, error.fix, one.name, one.name == "FROM"))


def _early_copies(instructions: Sequence[Instruction]) -> Iterator[Problem]:
    """Yield each COPY from a stage that is not above its own."""
    names = [from_(one)[1].lower() for one in instructions if one.name == "FROM"]
    above: set[str] = set()
    stage = -1
    for one in instructions:
        if one.name == "FROM":
            above |= {names[stage], str(stage)} if stage >= 0 else set()
            stage += 1
        name = one.flag("from").lower() if one.name == "COPY" else ""
        is_stage = name in names or name.isdecimal()
        if name and is_stage and name not in above:
            what = f"there is no stage {name} above this one"
            yield Problem(one.line, what, "Copy from a stage that is above.", one.name)


def _image(
    base: str, stage: Sequence[Instruction], top: Mapping[str, str], problems: list[Problem]
) -> Image:
    """What the instructions of a stage say; `top` is what ARG sets before the first one."""
    labels: dict[str, str] = {}
    args: dict[str, str] = {}
    variables: dict[str, str] = {}
    instructions: list[Instruction] = []
    for instruction in stage:
        with _noted(problems, instruction):
            one = instruction
            scope = {**args, **variables}
            if one.name == "ARG":
                args |= arguments(one, scope, top)
            elif one.name == "ENV":
                variables |= pairs(one, scope)
            elif one.name == "LABEL":
                labels |= pairs(one, scope)
            elif one.name in _EXPANDED:
                one = one._replace(value=_expanded(one, scope))
            instructions.append(one)
    return Image(base, instructions, labels, variables, args, problems)


def _expanded(instruction: Instruction, variables: Mapping[str, str]) -> str:
    escape = instruction.escape
    if instruction.name == "USER":
        # As with FROM.
        return expanded(instruction.value, variables, escape) or instruction.value
    return json.dumps([expanded(word, variables, escape) for word in instruction.parts])
