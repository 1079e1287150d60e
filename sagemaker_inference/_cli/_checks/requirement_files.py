"""Files of requirements, read as pip reads them.

https://pip.pypa.io/en/stable/reference/requirements-file-format/
"""

from __future__ import annotations

import codecs
import os
import re
import shlex
from optparse import SUPPRESS_HELP, OptionParser
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sagemaker_inference._cli._checks.requirement_paths import (
    ARCHIVES,
    NAMED,
    is_elsewhere,
    problem_of,
    without_extras,
)
from sagemaker_inference._cli._checks.rules import quoted, shown
from sagemaker_inference._cli._command import needed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from optparse import Values
    from pathlib import Path
    from typing import NoReturn

    from sagemaker_inference._cli._checks.target import Target

# A comment, as pip sees one.
_COMMENT: Final = re.compile(r"(?<!\S)#.*", re.DOTALL)
# What pip takes from the environment, which is the container's, and not known here.
_VARIABLE: Final = re.compile(r"\$\{[A-Z0-9_]+\}")
# By what an address or a file names its package.
_EGG: Final = re.compile(r"#(?:[^#]*&)?egg=([\w.-]+)")
_REPOSITORY: Final = re.compile(
    r"(?:bzr|git|hg|svn)\+\w+://[^/]*/(?:[^@]*/)?([^@/]+?)(?:\.git)?/?(?:@.*)?$"
)
_VERSIONED: Final = re.compile(r"([\w.-]+?)(?:-\d|\.whl$)")
# The longer one first: that of UTF-16 begins like it.
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CODING: Final = re.compile(rb"#.*?coding[:=]\s*([-\w.]+)")
_FLAGS: Final = (
    "--no-index",
    "--prefer-binary",
    "--pre",
)
_WITH_VALUE: Final = (
    *(("-i", "--index-url", "--pypi-url"), ("-f", "--find-links")),
    *(("-C", "--config-setting", "--config-settings"), ("--extra-index-url",)),
    *(("--no-binary",), ("--only-binary",), ("--all-releases",), ("--only-final",)),
    *(("--trusted-host",), ("--use-feature",), ("--global-option",)),
)
_HASHES: Final = ("sha256", "sha384", "sha512")
REQUIRE_HASHES: Final = "--require-hashes"
NO_REQUIRE_HASHES: Final = "--no-require-hashes"
_LONGEST: Final = 65_536
_EXAMPLE: Final = "Write it as in: pandas>=2.2,<3"


class Line(NamedTuple):
    """A line that asks for a package, or that pip refuses.

    Attributes:
        where: the file and the line.
        text: what it says.
        requirement: what packaging makes of it; None where there is a problem, for files and
            addresses, which have no version to look at, and where a variable is in it.
        is_constraint: whether it only limits the version of what others ask for.
        is_file: whether it is a further file, which is not here.
        hashed: whether options of the line have a hash.
        option: what the line asks for of all others, in place of a package: REQUIRE_HASHES or
            NO_REQUIRE_HASHES.
        problem: why pip refuses it; "" where it does not.
        fix: what to do.
    """

    where: str
    text: str
    requirement: Any = None
    is_constraint: bool = False
    problem: str = ""
    fix: str = ""
    is_file: bool = False
    hashed: bool = False
    option: str = ""

    @property
    def name(self) -> str:
        """The normalized name of its package; "" where only pip finds it out."""
        name = "" if self.is_file or self.option else _name_in(self.text.partition(";")[0].strip())
        return normalized(name if self.requirement is None else self.requirement.name)


def normalized(name: str) -> str:
    """A name of a package as pip compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _name_in(text: str) -> str:
    """The name of the package in an address, the path of a file or a requirement; or ""."""
    if found := _EGG.search(text) or NAMED.match(text):
        return found[1]
    path, _, part = text.partition("#")
    path = without_extras(path)
    if found := _REPOSITORY.match(path):
        return "" if "subdirectory=" in part else found[1]
    file = path.rpartition("/")[2]
    if file.lower().endswith(ARCHIVES):
        found = _VERSIONED.match(file)
    elif not is_elsewhere(text):
        found = re.match(r"([\w.-]+)", file)
    return found[1] if found else ""


class _Options(OptionParser):
    """The options of a line."""

    def __init__(self) -> None:
        super().__init__(add_help_option=False, usage=SUPPRESS_HELP)
        # Without a list as their default: all lines would add to the same one.
        self.add_option("-r", "--requirement", action="append")
        self.add_option("-c", "--constraint", action="append")
        self.add_option("-e", "--editable", action="append")
        for flag in _FLAGS:
            self.add_option(flag, action="store_true")
        for names in _WITH_VALUE:
            self.add_option(*names)
        for flag in (REQUIRE_HASHES, NO_REQUIRE_HASHES):
            self.add_option(flag, action="store_const", const=flag, dest="option")
        self.add_option("--hash", type="string", action="callback", callback=self._check_hash)

    def _check_hash(self, _option: object, name: str, value: str, parser: OptionParser) -> None:
        algorithm, colon, _ = value.partition(":")
        if not colon or algorithm not in _HASHES:
            self.error(f"{name} takes {', '.join(_HASHES)}, as in {name}=sha256:0a1b2c...")
        assert parser.values is not None  # noqa: S101 - it is at work
        parser.values.hash = value

    def error(self, msg: str) -> NoReturn:
        raise ValueError(msg)

    def read(self, text: str) -> tuple[str, Values]:
        """What a line asks for, which may be nothing, and its options.

        Raises:
            ValueError: pip does not know an option, or its argument is missing.
        """
        # As pip: markers, which come before the options, have quotes of their own.
        words = text.split(" ")
        # Such words take shlex minutes.
        if (longest := max(map(len, words))) > _LONGEST:
            message = f"it has a word of {longest} characters"
            raise ValueError(message)
        first = next((at for at, word in enumerate(words) if word.startswith("-")), len(words))
        # What else is behind the options, pip passes over.
        values, _ = self.parse_args(shlex.split(" ".join(words[first:])))
        return " ".join(words[:first]).strip(), values


def lines_of(target: Target, path: Path) -> Iterator[Line]:
    """The lines of a file, and of those that it names.

    Args:
        target: what is checked, for the names of files.
        path: the file.
    """
    reader = _Reader(target, path.parent, needed("packaging.requirements"))
    # Not by recursion, which ends where many files name one another.
    waiting = [reader.lines(path, (), is_constraint=False)]
    while waiting:
        line = next(waiting[-1], None)
        if line is None:
            waiting.pop()
        elif isinstance(line, Line):
            yield line
        else:
            waiting.append(reader.lines(line.path, line.chain, is_constraint=line.is_constraint))


class _Further(NamedTuple):
    """A file that a line names.

    Attributes:
        path: where it is.
        chain: the files that name it, the first one first.
        is_constraint: whether it only limits versions.
    """

    path: Path
    chain: tuple[Path, ...]
    is_constraint: bool


class _Reader:
    """Reads files, each once."""

    def __init__(self, target: Target, folder: Path, packaging: Any) -> None:
        self._label = target.label
        # Where pip is started, and paths begin, also those of files in other folders.
        self._folder = folder
        self._packaging = packaging
        self._options = _Options()
        self._seen: set[tuple[Path, bool]] = set()

    def lines(
        self, path: Path, chain: tuple[Path, ...], *, is_constraint: bool
    ) -> Iterator[Line | _Further]:
        """The lines of a file that those of a chain name, and the files that it names."""
        chain = (*chain, path.resolve())
        self._seen.add((chain[-1], is_constraint))
        try:
            content = _decoded(path.read_bytes())
        except OSError as error:
            what, fix = f"it cannot be read: {error.strerror}", "Give your user access to it."
            yield Line(self._label(path), "", problem=what, fix=fix)
            return
        except ValueError as error:
            fix = "Save it as UTF-8, or name its encoding in the first line: # coding: latin-1"
            yield Line(self._label(path), "", problem=f"it cannot be decoded: {error}", fix=fix)
            return
        for number, text in _texts(content):
            where = f"{self._label(path)}, line {number}"
            try:
                asked, values = self._options.read(text)
            except ValueError as error:
                fix = "Correct it, or leave it out: not every option of pip goes into a file."
                yield Line(
                    where, text, problem=f"pip refuses {quoted(text)}: {shown(str(error))}", fix=fix
                )
                continue
            if asked:
                line = self._requirement(where, text, asked, is_constraint=is_constraint)
                yield line._replace(hashed=values.hash is not None)
            elif values.editable and is_constraint:
                what = "pip takes no -e as a constraint"
                yield Line(where, text, problem=what, fix="Write its name, and its version.")
            elif values.editable:
                yield self._located(where, values.editable[0])
            elif values.option and not (values.requirement or values.constraint):
                yield Line(where, values.option, option=values.option)
            else:
                # Of several, pip reads the first alone.
                for name in [*(values.requirement or ()), *(values.constraint or ())][:1]:
                    only_limits = not values.requirement
                    yield from self._named(name, where, path, chain, is_constraint=only_limits)

    def _requirement(self, where: str, text: str, asked: str, *, is_constraint: bool) -> Line:
        if is_elsewhere(asked) or _VARIABLE.search(asked):
            return self._located(where, asked, is_constraint=is_constraint)
        name, _, marker = asked.partition(";")
        try:  # a marker may be empty
            requirement = self._packaging.Requirement(asked if marker.strip() else name)
        except (self._packaging.InvalidRequirement, RecursionError):  # the second of brackets
            what = f"{quoted(text)} is not a requirement"
            return Line(where, text, problem=what, fix=_EXAMPLE)
        if is_constraint and requirement.extras:
            what = f"pip takes no extras in a constraint: {quoted(text)}"
            return Line(where, text, problem=what, fix="Leave the brackets out.")
        return Line(where, text, requirement, is_constraint)

    def _located(self, where: str, asked: str, *, is_constraint: bool = False) -> Line:
        problem, fix = "", ""
        if not _VARIABLE.search(asked):
            problem, fix = problem_of(asked, self._folder, is_constraint=is_constraint)
        return Line(where, asked, is_constraint=is_constraint, problem=problem, fix=fix)

    def _named(
        self, name: str, where: str, path: Path, chain: tuple[Path, ...], *, is_constraint: bool
    ) -> Iterator[Line | _Further]:
        """A file that another one names, or a line that says why it is not read."""
        file = path.parent / name
        if "://" in name or "$" in name:  # what pip would download, or take from a variable
            yield Line(where, name, is_constraint=is_constraint, is_file=True)
        elif not os.path.isfile(file):  # noqa: PTH113 - it takes any name
            is_folder = os.path.isdir(file)  # noqa: PTH112 - as above
            problem = f"{name} is a folder" if is_folder else f"there is no file {shown(name)}"
            fix = "Name a file, relative to the one that names it."
            yield Line(where, name, problem=problem, fix=fix)
        elif file.resolve() in chain:
            problem = f"pip refuses files that name each other: {name} is read already"
            yield Line(where, name, problem=problem, fix="Leave this line out.")
        elif (file.resolve(), is_constraint) not in self._seen:
            yield _Further(file, chain, is_constraint)


def _texts(content: str) -> Iterator[tuple[int, str]]:
    """The lines of a file that say something, joined where they are continued, by number."""
    lines = enumerate(content.splitlines(), 1)
    for number, first in lines:
        line, parts = first, []
        while line.endswith("\\") and not line.lstrip().startswith("#"):
            parts.append(line.strip("\\"))
            line = next(lines, (0, ""))[1]
        # A comment ends what it follows.
        parts.append(f" {line}" if line.lstrip().startswith("#") else line)
        text = _COMMENT.sub("", "".join(parts)).strip()
        if text:
            yield number, text


def _decoded(data: bytes) -> str:
    """The text of a file: by its mark, by a comment in its first two lines, or UTF-8."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.removeprefix(mark).decode(encoding)
    named = (_CODING.match(line) for line in data.split(b"\n")[:2])
    encoding = next((match[1].decode() for match in named if match), "utf-8")
    try:
        return data.decode(encoding)
    except LookupError as error:
        raise ValueError(str(error)) from None
