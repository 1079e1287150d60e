"""Rules about what an image serves, and where it listens."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from sagemaker_inference import _mms_variables, _variables
from sagemaker_inference._cli._checks import entrypoint as entrypoints
from sagemaker_inference._cli._checks import scripts, sources
from sagemaker_inference._cli._checks.dockerfile import has_command
from sagemaker_inference._cli._checks.entrypoint import SERVE, Served, entrypoint_of, place_in
from sagemaker_inference._cli._checks.rules import Finding, quoted, rule, shown
from sagemaker_inference._config import ALL_ADDRESSES
from sagemaker_inference._program.location import Program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagemaker_inference._cli._checks.entrypoint import Command
    from sagemaker_inference._cli._checks.instructions import Instruction
    from sagemaker_inference._cli._checks.target import Target

_PORT: Final = "8080"
_ALL: Final = (ALL_ADDRESSES, "::", "[::]")
_EXAMPLE: Final = 'ENTRYPOINT ["sagemaker-inference"]'
# Where SageMaker puts what the image does not have.
_MOUNTED: Final = "/opt/ml"
# Commands that may bring any file, and sources of COPY and ADD that may have any.
_BRINGS: Final = re.compile(
    r"\b(?:aws|cp|curl|git|gsutil|install\s+-|ln|mv|rsync|tar|tee|unzip|wget)\b|\s>>?\s*[\w./]"
)
_UNKNOWN: Final = re.compile(r"[*?\[$]|://|^git@|\.(?:tar|tgz|tbz|txz)\b")


class _Address(NamedTuple):
    """Where a server listens, as something says it.

    Attributes:
        where: what says it.
        what: how.
        port, host: "" where it says nothing of it.
    """

    where: str
    what: str
    port: str = ""
    host: str = ""


@rule(
    "docker-serve",
    "error",
    "image",
    asks="an ENTRYPOINT that serves where SageMaker adds `serve` to it: a program that calls "
    "serve(__name__), or the command `sagemaker-inference`",
    why="SageMaker runs `docker run IMAGE serve`, and pings what that starts",
)
def serves(target: Target) -> Iterator[Finding]:
    """Yield what ends without serving."""
    one = entrypoint_of(target)
    if one is None:
        return
    place = place_in(target, one.line)
    script = scripts.script_of(target, one.value)
    if script is not None and script.text is None:
        what = (
            f"ENTRYPOINT runs {shown(script.name)}, which is not found here: whether it serves "
            f"where its argument is {SERVE} is not known"
        )
        fix = "Copy it into the image from this folder, or name what serves in ENTRYPOINT."
        yield Finding(place, what, fix, is_certain=False)
    place, command = _command_of(target, one)
    if word := entrypoints.unset_in(one.value):
        what = f"the exec form has no shell, which alone would expand {quoted(word)}"
        yield Finding(place, what, "Write the value itself, or the shell form: ENTRYPOINT exec ...")
    elif command is not None and not command.words[0]:
        yield Finding(place, "it names no executable", f"Write: {_EXAMPLE}")
    elif command is not None:
        yield from _of_command(target, place, command)


def _command_of(target: Target, one: Instruction) -> tuple[str, Command | None]:
    """What an ENTRYPOINT runs, perhaps at the end of a script, and the place that says so."""
    script = scripts.script_of(target, one.value)
    if script is None:
        return place_in(target, one.line), entrypoints.command(one.value, target.image.variables)
    line, command = scripts.command_of(target, script) or (0, None)
    return f"{script.name}, line {line}" if line else place_in(target, one.line), command


def _of_command(target: Target, place: str, command: Command) -> Iterator[Finding]:
    file = command.file
    if command.words[0] == SERVE and not has_command(target):
        what = f"it runs {quoted(command.text)}, which is not in the image"
        if base := target.image.unknown_base:
            what += f"; whether the base image {base} has it is not known"
        fix = f"Name what serves before it. For the ENTRYPOINT itself: {_EXAMPLE}"
        yield Finding(place, what, fix, is_certain=not base)
    if (rest := command.of_ours) is not None:
        try:
            asked = entrypoints.served(rest)
        except click.UsageError as error:
            what = f"it runs {quoted(command.text)}: {shown(error.format_message())}"
            yield Finding(place, what, f"Write: {_EXAMPLE}")
            return
        file = asked.file if asked else ""
        if asked and not file:
            yield from _of_variable(target)
    if file and _is_absent(target, file):
        fix = "Copy it into the image, or name a file that is there."
        yield Finding(place, f"it runs {shown(file)}, which is not in the image", fix)
    elif rest is None and (path := _program_of(target, command)) and not _calls_serve(path):
        what = f"it runs {path.name}, which does not call serve(__name__)"
        yield Finding(place, what, f"Call it at the end of the file, or write: {_EXAMPLE}")


def _calls_serve(path: Path) -> bool:
    # Another rule says that a program cannot be read.
    return not sources.nodes(path) or bool(sources.serve_calls(path))


def _of_variable(target: Target) -> Iterator[Finding]:
    """Yield a program that a variable names, and that is nowhere."""
    variable = _variables.PROGRAM
    name = target.image.variables.get(variable.name, "").strip()
    if not name or target.program is None:
        return
    if any(Program.from_name(name, str(folder)) for folder in target.folders):
        return
    if target.file_in_image(name) is None:
        what = f"ENV sets {variable.name} to {shown(name)}, which is not there"
        yield Finding(place_in(target), what, "Leave it out, or name the program's file.")


def _program_of(target: Target, command: Command) -> Path | None:
    """The program's file, if a command runs it."""
    if target.program is None or not target.program.path:
        return None
    path = Path(target.program.path)
    return path if any(PurePosixPath(word).name == path.name for word in command.words) else None


def _is_absent(target: Target, file: str) -> bool:
    """Whether an image has no such file, as far as that can be known."""
    image = target.image
    folders = [one.value for one in image.find("WORKDIR")]
    if image.unknown_base or any(_MOUNTED in path for path in (file, *folders)):
        return False
    name = PurePosixPath(file).name
    copies = image.find("COPY", "ADD")
    may_bring = (
        any(image.refuses(one) for one in ("COPY", "ADD", "RUN", "WORKDIR"))
        or any(one.flag("from") for one in copies)
        or any(_UNKNOWN.search(part) for one in copies for part in one.parts[:-1])
        or any(_BRINGS.search(one.script) or name in one.script for one in image.find("RUN"))
    )
    is_written = name in image.written()
    return not (may_bring or is_written) and target.file_in_image(file) is None


@rule(
    "docker-port",
    "error",
    "image",
    asks="port 8080, on all addresses",
    why="the container must listen on 8080, unless SageMaker itself sets SAGEMAKER_BIND_TO_PORT, "
    "and requests come from outside of it",
)
def has_port(target: Target) -> Iterator[Finding]:
    """Yield another port, and an address that nobody else reaches."""
    addresses = list(_addresses(target))
    # The first that says something overrides the others.
    port = next((one for one in addresses if one.port), None)
    if port is not None and port.port != _PORT:
        what = f"{port.what} to {shown(port.port)}"
        yield Finding(port.where, what, f"Leave it out: {_PORT} is the default.")
    host = next((one for one in addresses if one.host), None)
    if host is not None and host.host not in _ALL:
        what = f"{host.what} to {shown(host.host)}, where SageMaker does not reach it"
        yield Finding(host.where, what, "Leave it out: all addresses are the default.")


def _addresses(target: Target) -> Iterator[_Address]:
    """What is said of the address, from what overrides the rest."""
    one = entrypoint_of(target)
    place, command = _command_of(target, one) if one else ("", None)
    if command is not None:
        yield from _of_arguments(target, place, command)
    set_ = {name: text.strip() for name, text in target.image.variables.items()}
    port, host = (set_.get(one.name, "") for one in (_variables.PORT, _variables.HOST))
    yield _Address(place_in(target), f"ENV sets {_variables.PORT.name}", port=port)
    yield _Address(place_in(target), f"ENV sets {_variables.HOST.name}", host=host)
    address = _mms_variables.ADDRESS
    if text := set_.get(address.name, ""):
        try:
            host, number = address.parse(text) or ("", "")
        except ValueError:
            return  # another rule says so
        yield _Address(place_in(target), f"ENV sets {address.name}", str(number), host)


def _of_arguments(target: Target, place: str, command: Command) -> Iterator[_Address]:
    if (rest := command.of_ours) is not None:
        try:
            asked = entrypoints.served(rest) or Served()
        except click.UsageError:
            return  # another rule says so
        yield _Address(place, "its option sets --port", port=asked.port)
        yield _Address(place, "its option sets --host", host=asked.host)
    elif path := _program_of(target, command):
        for call in sources.serve_calls(path):
            file = f"{target.label(path)}, line {call.lineno}"
            port, host = sources.literal(call, "port"), sources.literal(call, "host")
            yield _Address(file, "serve() sets port", port=str(port or ""))
            # The default leaves it to variables.
            host = "" if host == ALL_ADDRESSES else str(host or "")
            yield _Address(file, "serve() sets host", host=host)


@rule(
    "docker-variables",
    "error",
    "image",
    asks="values of ENV that the server can use",
    why="a server that cannot read one of its variables ends when it starts",
)
def has_values(target: Target) -> Iterator[Finding]:
    """Yield values that cannot be used."""
    set_ = {name: text.strip() for name, text in target.image.variables.items() if text.strip()}
    for variable in (*_variables.VARIABLES, *_mms_variables.VARIABLES):
        # Another port than 8080 is what another rule finds.
        if variable.name not in set_ or variable is _variables.PORT:
            continue
        try:
            variable.parse(set_[variable.name])
        except ValueError as error:
            why, _, fix = str(error).partition(". ")
            what = f"ENV sets {variable.name} to {quoted(set_[variable.name])}, which {why}"
            yield Finding(place_in(target), what, fix or "Leave it out.")
    for name in sorted(set_.keys() & _mms_variables.REFUSED.keys()):
        what = f"ENV sets {name}, which is not supported: {_mms_variables.REFUSED[name]}"
        yield Finding(place_in(target), what, "Leave it out.")
