"""Rules about requirements.txt."""

from __future__ import annotations

import ast
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sagemaker_inference import __version__
from sagemaker_inference._cli._checks.expansion import expanded_by_shell
from sagemaker_inference._cli._checks.requirement_files import (
    NO_REQUIRE_HASHES,
    REQUIRE_HASHES,
    Line,
    lines_of,
    normalized,
)
from sagemaker_inference._cli._checks.requirement_paths import has_hash
from sagemaker_inference._cli._checks.rules import Finding, quoted, rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagemaker_inference._cli._checks.target import Target
    from sagemaker_inference._program.location import Program

_OURS: Final = "sagemaker-inference"
# A file that a command of a Dockerfile installs.
_INSTALLED: Final = re.compile(r"\s(?:-r|--requirement)\s*=?\s*(\S+)")
# What installs packages that neither a requirements.txt nor the Dockerfile names.
_INSTALLERS: Final = re.compile(
    r"\b(?:conda|mamba|micromamba)\s+env\b|\b(?:pdm|pipenv|pixi|poetry)\s+(?:install|sync)\b"
    # A folder or a repository, behind options without a value of their own.
    r"|\buv\s+sync\b|\bpip3?\s+install[\s\\]+(?:--?(?!-|[rcfit]\b|requirement|constraint|find-links"
    r"|target|index-url|extra-index-url|prefix|root(?!-))[-\w]+(?:=\S+)?[\s\\]+)*"
    r"['\"]?(?:\.|/|git\+)"
)


def _lines(target: Target) -> Iterator[Line]:
    path = target.requirements
    return iter(()) if path is None else lines_of(target, path)


@rule(
    "requirements-lines",
    "error",
    "requirements",
    asks="lines that pip can read",
    why="a file that cannot be installed ends the start of the container",
)
def can_be_read(target: Target) -> Iterator[Finding]:
    """Yield lines that cannot be read."""
    lines = list(_lines(target))
    for line in lines:
        if line.problem:
            yield Finding(line.where, line.problem, line.fix)
    yield from _without_hash(target, lines)
    # Which of those with a marker count is known in the container only.
    lines = [line for line in lines if line.requirement and not line.requirement.marker]
    pins: dict[str, Line] = {}
    for line in lines:
        if _pinned(line):
            pins.setdefault(line.name, line)
    for line in lines:
        first = pins.get(line.name)
        if first is None or (first.is_constraint and line.is_constraint):
            continue
        if not (_allows(line, first) or _allows(first, line)):
            what = f"{quoted(line.text)} does not go with {quoted(first.text)} ({first.where})"
            yield Finding(line.where, what, "Leave one of them out.")


def _without_hash(target: Target, lines: list[Line]) -> Iterator[Finding]:
    """Yield lines without a hash, where pip asks for one of each package."""
    options = {line.option for line in lines}
    if NO_REQUIRE_HASHES in options:
        return
    if not (REQUIRE_HASHES in options or any(line.hashed for line in lines)):
        return
    hashed = {line.name for line in lines if line.hashed} | {_OURS}
    docker = target.dockerfile.read_bytes().decode(errors="replace") if target.dockerfile else ""
    for line in lines:
        if line.problem or line.is_constraint or line.is_file or line.option or line.hashed:
            continue
        # Of those with a marker, pip may need none; what a variable is, is not known here.
        if ";" in line.text or "$" in line.text or has_hash(line.text) or line.name in hashed:
            continue
        what = f"{quoted(line.text)} has no hash, and pip takes none without where one line has one"
        fix = "Give each a hash, as pip-compile --generate-hashes does, or none."
        # Of what is installed already, pip wants none.
        name = re.compile(rf"(?<![\w.-]){re.escape(line.name)}(?![\w.-])", re.IGNORECASE)
        is_installed = line.name != "" and name.search(docker) is not None
        yield Finding(line.where, what, fix, is_certain=not is_installed)


def _pinned(line: Line) -> str:
    """The version that a line asks for; "" where there may be several."""
    specifiers = [*line.requirement.specifier]
    if len(specifiers) != 1 or specifiers[0].operator != "==":
        return ""
    version = str(specifiers[0].version)
    return "" if "*" in version else version


def _allows(line: Line, other: Line) -> bool:
    """Whether a line allows the version that another one asks for."""
    version = _pinned(other)
    return bool(version) and line.requirement.specifier.contains(version, prereleases=True)


@rule(
    "requirements-pins",
    "warning",
    "requirements",
    asks="versions",
    why="instances that start later install later releases: a model in one release of its library "
    "may not load in another",
)
def has_versions(target: Target) -> Iterator[Finding]:
    """Yield packages without a version."""
    lines = list(_lines(target))
    if any(line.is_file and line.is_constraint for line in lines):
        return  # they may have all versions
    lines = [line for line in lines if line.requirement is not None]
    limited = {line.name for line in lines if line.is_constraint and line.requirement.specifier}
    for line in lines:
        if not (line.requirement.specifier or line.is_constraint or line.name in limited):
            yield Finding(
                line.where,
                f"{quoted(line.text)} has no version",
                f"Write it as in: {line.requirement.name}>=1.2,<2",
            )


@rule(
    "requirements-server",
    "error",
    "requirements",
    asks=f"no other release of {_OURS} than the one that serves",
    why="`sagemaker-inference serve` installs the file, and cannot replace itself: the start ends",
)
def keeps_server(target: Target) -> Iterator[Finding]:
    """Yield lines that ask for another release of this package."""
    for line in _lines(target):
        one = line.requirement
        if line.name != _OURS or one is None or (one.marker and not one.marker.evaluate()):
            continue
        if not one.specifier.contains(__version__, prereleases=True):
            yield Finding(
                line.where,
                f"{quoted(line.text)} is not release {__version__}, which serves",
                f"Leave {_OURS} out: the image has it.",
            )


@rule(
    "requirements-imports",
    "warning",
    "import",
    asks="each package that the program imports",
    why="a container has the packages of its image and of this file, and not those of your machine",
)
def names_what_is_imported(target: Target) -> Iterator[Finding]:
    """Yield packages that nothing installs."""
    assert target.program is not None  # noqa: S101 - the rule needs it
    lines = [*_lines(target), *_lines_of_image(target)]
    if target.dockerfile and target.lacks("image"):
        return  # what it installs is not known
    docker = target.dockerfile.read_bytes().decode(errors="replace") if target.dockerfile else ""
    are_named = all(line.name or line.problem or line.is_constraint for line in lines)
    if _INSTALLERS.search(docker) or not are_named:
        return  # only pip finds out what is installed
    root = Path(target.program.root)
    local = {path.stem for path in root.iterdir()}
    distributions = {
        module: {normalized(name) for name in names if name}  # a broken installation has none
        for module, names in metadata.packages_distributions().items()
    }
    docker = docker.lower()
    # Not those above: Python 3.10 knows the modules of some distributions only.
    installed = {normalized(one.metadata["Name"] or "") for one in metadata.distributions()}
    known = {name for name in installed if name in docker}
    known |= {line.name for line in lines if not line.is_constraint}
    known.discard("")
    known = _with_dependencies(known) | _dependencies(_OURS, has_extras=True)
    known.add(_OURS)
    file = target.label(target.requirements or root / "requirements.txt")
    base = "" if target.lacks("image") else target.image.unknown_base
    more = f"; whether the base image {base} has it is not known" if base else ""
    for path in _files(target.program, root):
        for number, module in _imported(path):
            names = distributions.get(module, set())
            if module in sys.stdlib_module_names or module in local or not names:
                continue
            if not names & known:
                yield Finding(
                    f"{target.label(path)}, line {number}",
                    f"it imports {module}, and nothing installs {min(names)}{more}",
                    f"Write it into {file}, with its version.",
                )
                known |= names


def _with_dependencies(names: set[str]) -> set[str]:
    """Names of packages, with those that they need, as they are installed here."""
    found: set[str] = set()
    waiting = set(names)
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting |= _dependencies(name) - found
    return found


def _dependencies(name: str, *, has_extras: bool = False) -> set[str]:
    try:
        texts = metadata.requires(name) or ()
    except metadata.PackageNotFoundError:
        return set()
    lines = (text.partition(";") for text in texts)
    return {Line("", text).name for text, _, marker in lines if has_extras or "extra" not in marker}


def _lines_of_image(target: Target) -> Iterator[Line]:
    """The lines of files that the Dockerfile installs."""
    if target.lacks("image"):
        return
    for instruction in target.image.find("RUN"):
        for name in _INSTALLED.findall(instruction.script):
            variables = {**target.image.arguments, **target.image.variables}
            path = target.file_in_image(expanded_by_shell(name, variables))
            if path is not None:
                yield from lines_of(target, path)


def _files(program: Program, root: Path) -> list[Path]:
    """The program's file and those in its folder that it imports, directly or not."""
    files = [Path(program.path)] if program.path else []
    for path in files:  # which grows meanwhile
        for _, module in _imported(path):
            imported = root / f"{module}.py"
            if imported.is_file() and imported not in files:
                files.append(imported)
    return files


def _imported(path: Path) -> Iterator[tuple[int, str]]:
    """The modules that a file imports at its top level, each with its line."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError):
        return  # nothing imports it, or another rule says so
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module.partition(".")[0]
