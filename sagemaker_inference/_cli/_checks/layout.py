"""Rules about where files are."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sagemaker_inference import _variables
from sagemaker_inference._cli._checks.rules import Finding, rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagemaker_inference._cli._checks.target import Target

# No library imports these at run time, and many programs have a test.py.
_UNUSED: Final = frozenset(("antigravity", "idlelib", "test", "this", "turtle", "turtledemo"))


@rule(
    "layout-program",
    "error",
    "files",
    asks="a program in the folder `code`, or beside it, under the name in `SAGEMAKER_PROGRAM`",
    why="SageMaker unpacks model.tar.gz into /opt/ml/model, where code/inference.py is served",
)
def program_is_there(target: Target) -> Iterator[Finding]:
    """Yield what is wrong with the place of the program."""
    if target.program is not None:
        return
    assert target.folder is not None  # noqa: S101 - the rule needs files
    name = _variables.PROGRAM.read()
    deeper = sorted(target.folder.glob(f"*/code/{name}"))
    fix = f"Put the program into code/{name}, or set {_variables.PROGRAM.name} to its name."
    if deeper:
        fix = (
            f"{target.label(deeper[0])} is one folder too deep: pack the archive in that folder, "
            "with tar czf model.tar.gz *"
        )
    yield Finding(target.label(target.folder), f"there is no {name}, and no code/{name}", fix)


@rule(
    "layout-requirements",
    "warning",
    "program",
    asks="no requirements.txt but that beside the program, or that of the folder `code`, or else "
    "that of the model's folder",
    why="`sagemaker-inference serve` installs this one before the model is loaded, and no other",
)
def requirements_are_installed(target: Target) -> Iterator[Finding]:
    """Yield each requirements.txt that nobody installs."""
    if target.requirements is None:
        return
    installed = target.label(target.requirements)
    for path in target.others:
        what = f"it is not installed: {installed} is"
        fix = f"Write its lines into {installed}, or install it in the Dockerfile."
        yield Finding(target.label(path), what, fix)


@rule(
    "layout-names",
    "error",
    "program",
    asks="no file beside the program that is imported in place of a module of Python",
    why="the folder of the program comes first on Python's path",
)
def names_are_free(target: Target) -> Iterator[Finding]:
    """Yield files that have names of modules."""
    assert target.program is not None  # noqa: S101 - the rule needs it
    for path in sorted(Path(target.program.root).glob("*.py")):
        if path.stem in {*sys.stdlib_module_names, "sagemaker_inference"} - _UNUSED:
            yield Finding(
                target.label(path),
                f"it is imported instead of the package {path.stem!r}",
                "Rename the file.",
            )
