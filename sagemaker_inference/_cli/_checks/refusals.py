"""What docker refuses of an instruction, as BuildKit's front end reads it.

https://github.com/moby/buildkit/blob/v0.30.0/frontend/dockerfile/instructions/parse.go
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Final

from sagemaker_inference._cli._checks.expansion import RefusedError, expanded, split
from sagemaker_inference._cli._checks.instructions import (
    COMMENT_FIX,
    arguments,
    from_,
    instruction_of,
    json_list,
    pairs,
)
from sagemaker_inference._cli._checks.rules import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sagemaker_inference._cli._checks.instructions import Heredoc, Instruction

# Whose variables docker itself expands, each word for itself.
_BY_WORD: Final = frozenset(("ADD", "COPY", "EXPOSE", "FROM", "VOLUME"))
_EXPANDED: Final = _BY_WORD | {"STOPSIGNAL", "USER", "WORKDIR"}
_WITH_ARGUMENTS: Final = _EXPANDED | frozenset(
    ("ARG", "ENV", "HEALTHCHECK", "LABEL", "MAINTAINER", "ONBUILD", "SHELL")
)
_INSTRUCTIONS: Final = _WITH_ARGUMENTS | {"CMD", "ENTRYPOINT", "RUN"}
_LISTS: Final = ("ADD", "CMD", "COPY", "ENTRYPOINT", "RUN", "SHELL", "VOLUME")
# The flags of each, with what they take: nothing or a boolean, one value, or one each time.
_FLAGS: Final[Mapping[str, Mapping[str, str]]] = {
    "ADD": {
        "chown": "value",
        "chmod": "value",
        "checksum": "value",
        "exclude": "values",
        "keep-git-dir": "boolean",
        "link": "boolean",
        "unpack": "boolean",
    },
    "COPY": {
        "chown": "value",
        "chmod": "value",
        "exclude": "values",
        "from": "value",
        "link": "boolean",
        "parents": "boolean",
    },
    "FROM": {"platform": "value"},
    "HEALTHCHECK": {
        "interval": "value",
        "retries": "value",
        "start-interval": "value",
        "start-period": "value",
        "timeout": "value",
    },
    "RUN": {"device": "values", "mount": "values", "network": "value", "security": "value"},
}
# Docker does not look at their flags.
_ANY_FLAGS: Final = ("ARG", "STOPSIGNAL")
_MODES: Final = {"network": ("default", "none", "host"), "security": ("insecure", "sandbox")}
_MOUNTS: Final = ("bind", "cache", "tmpfs", "secret", "ssh")
_MOUNT_SWITCHES: Final = ("readonly", "ro", "readwrite", "rw", "required")
_MOUNT_KEYS: Final = (
    *("type", "from", "source", "src", "target", "dst", "destination", *_MOUNT_SWITCHES),
    *("id", "sharing", "size", "mode", "uid", "gid", "env"),
)
_DURATION: Final = re.compile(r"0|[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+")
_RANGE: Final = re.compile(r"\+?(\d+)(?:-\+?(\d+))?")
_PROTOCOLS: Final = ("", "tcp", "udp", "sctp")
_LAST_PORT: Final = 65_535
_SIGNALS: Final = frozenset(
    (
        *("ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT"),
        *("KILL", "PIPE", "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM"),
        *("TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ"),
        *("RTMIN", "RTMAX", *(f"RTMIN+{one}" for one in range(1, 16))),
        *(f"RTMAX-{one}" for one in range(1, 15)),
    )
)
_SIGNAL_NUMBER: Final = re.compile(r"[-+]?0*[1-9]\d*")
_CONTINUED: Final = "To continue a line, end the one before in \\."
_FORM: Final = 'Write a list of strings, as in ["a", "b"].'


def check(instruction: Instruction) -> None:
    """Look at an instruction as docker does.

    Raises:
        RefusedError: docker refuses it.
    """
    name, value = instruction.name, instruction.value
    if name not in _INSTRUCTIONS:
        what = f"{quoted(name)} is not an instruction"
        raise RefusedError(what, _similar(name, _INSTRUCTIONS) or _CONTINUED)
    if name in _WITH_ARGUMENTS and not value:
        what = f"{name} has no argument"
        raise RefusedError(what, "Write one, or leave the line out.")
    if name not in _ANY_FLAGS and (name, value.upper()) != ("HEALTHCHECK", "NONE"):
        _check_flags(instruction)
    if name in _LISTS:
        _check_list(value)
    if name in _EXPANDED:
        for word in instruction.parts if name in _BY_WORD else [value]:
            expanded(word, {}, instruction.escape)
    if name in _CHECKS:
        _CHECKS[name](instruction)


def _similar(name: str, names: Iterable[str]) -> str:
    found = difflib.get_close_matches(name, sorted(names), 1)
    return f"Write {found[0]}." if found else ""


def _one_of(names: Iterable[str]) -> str:
    return f"Write one of: {', '.join(names)}."


def _check_flags(instruction: Instruction) -> None:
    known = _FLAGS.get(instruction.name, {})
    seen: set[str] = set()
    for flag in instruction.flags:
        name, equals, value = flag.removeprefix("--").partition("=")
        kind = known.get(name, "")
        if not kind:
            what = f"{instruction.name} has no flag --{name}"
            fix = _similar(f"--{name}", [f"--{one}" for one in known])
            raise RefusedError(what, fix or _unknown_flag(instruction))
        if name in seen and kind != "values":
            what = f"the flag --{name} comes twice"
            raise RefusedError(what, "Leave one of them out.")
        if kind != "boolean" and not equals:
            what = f"the flag --{name} has no value"
            raise RefusedError(what, f"Write --{name}=VALUE, without a space.")
        if kind == "boolean" and (value.lower() not in ("true", "false") and equals):
            what = f"the flag --{name} cannot be {quoted(value)}"
            raise RefusedError(what, _one_of((f"--{name}", f"--{name}=false")))
        seen.add(name)


def _unknown_flag(instruction: Instruction) -> str:
    if instruction.name in ("CMD", "ENTRYPOINT"):
        return f'Write the exec form: {instruction.name} ["{instruction.flags[0]}"]'
    return "Leave it out."


def _check_list(value: str) -> None:
    found = json_list(value)
    if found is not None and not all(isinstance(word, str) for word in found):
        what = f"{quoted(value)} is a list with more than strings"
        raise RefusedError(what, _FORM)


def _check_sources(instruction: Instruction) -> None:
    """COPY and ADD."""
    parts = instruction.parts
    if len(parts) < 2:  # noqa: PLR2004 - a source and a destination
        what = f"{instruction.name} {instruction.value} has no destination"
        raise RefusedError(what, f"Write: {instruction.name} SOURCE DESTINATION")
    if re.fullmatch(r"\d*<<-?[^<]+", parts[-1]):
        what = f"the destination of {instruction.name} is a heredoc"
        raise RefusedError(what, f"Write: {instruction.name} {parts[-1]} DESTINATION")
    for heredoc in instruction.heredocs:
        if heredoc.is_expanded:
            _check_text(heredoc)
    stage = instruction.flag("from")
    if stage != expanded(stage, {}, instruction.escape):
        what = f"docker does not expand {quoted(stage)} in --from"
        fix = "Write above: FROM {} AS NAME, and here --from=NAME."
        raise RefusedError(what, fix.format(stage))


def _check_text(heredoc: Heredoc) -> None:
    try:
        expanded(heredoc.text, {}, has_quotes=False)
    except RefusedError as error:
        what = f"docker expands its heredoc: {error.what}"
        fix = f"Write <<'{heredoc.name}', which is not expanded."
        raise RefusedError(what, fix) from None


def _check_pairs(instruction: Instruction) -> None:
    """ENV and LABEL."""
    pairs(instruction, {})


def _check_argument(instruction: Instruction) -> None:
    arguments(instruction, {})
    for word in split(instruction.value, instruction.escape):
        if word.startswith("="):
            what = f"{quoted(word)} has no name, in {quoted(instruction.value)}"
            raise RefusedError(what, "Write NAME=value, without a space before the =.")


def _check_run(instruction: Instruction) -> None:
    for name, modes in _MODES.items():
        value = instruction.flag(name)
        if value and value not in modes:
            what = f"--{name} cannot be {quoted(value)}"
            raise RefusedError(what, _one_of(modes))
    for flag in instruction.flags:
        name, _, value = flag.partition("=")
        # In quotes, a comma separates nothing.
        for field in value.split(",") if name == "--mount" and '"' not in value else ():
            _check_mount(field)


def _check_mount(field: str) -> None:
    key, equals, value = field.partition("=")
    key = key.lower()
    if key not in _MOUNT_KEYS or not (equals or key in _MOUNT_SWITCHES):
        what = f"--mount cannot have {quoted(field)}"
        raise RefusedError(what, _similar(key, _MOUNT_KEYS) or "Write, e.g., type=cache,target=/a")
    if key == "type" and "$" not in value and value.lower() not in _MOUNTS:
        what = f"there is no mount of the type {quoted(value)}"
        raise RefusedError(what, _one_of(_MOUNTS))
    if key == "from" and "$" in value[:-1]:
        what = f"docker does not expand {quoted(value)} in --mount"
        raise RefusedError(what, f"Write above: FROM {value} AS NAME, and here from=NAME.")


def _check_health(instruction: Instruction) -> None:
    kind, *rest = instruction.value.split(None, 1)
    if kind.upper() == "NONE" and rest:
        what = "HEALTHCHECK NONE takes no arguments"
        raise RefusedError(what, "Leave them out.")
    if kind.upper() not in ("CMD", "NONE"):
        what = f"HEALTHCHECK {kind} is not known"
        raise RefusedError(what, "Write HEALTHCHECK CMD, and the command.")
    if kind.upper() == "CMD" and (not rest or json_list(rest[0]) == []):
        what = "HEALTHCHECK CMD has no command"
        raise RefusedError(what, "Write one, or HEALTHCHECK NONE.")
    for command in rest:
        _check_list(command)
    for name in _FLAGS["HEALTHCHECK"] if kind.upper() == "CMD" else ():
        value = instruction.flag(name)
        is_known = value.isdecimal() if name == "retries" else _DURATION.fullmatch(value)
        if value and not is_known:
            what = f"--{name} cannot be {quoted(value)}"
            raise RefusedError(
                what, "Write a number." if name == "retries" else "Write, e.g., 30s."
            )


def _check_ports(instruction: Instruction) -> None:
    for part in instruction.parts:
        # What a variable is, another build may say.
        for port in expanded(part, {}, instruction.escape).split() if "$" not in part else ():
            if not _is_port(port):
                what = f"{quoted(port)} is not a port"
                fix = COMMENT_FIX if port.startswith("#") else "Write, e.g.: EXPOSE 8080 9000/udp"
                raise RefusedError(what, fix)


def _is_port(text: str) -> bool:
    *before, container = text.split(":")
    ports, _, protocol = container.partition("/")
    ranges = [ports, *(host for host in before[-1:] if host)]
    return protocol.lower() in _PROTOCOLS and all(map(_is_range, ranges))


def _is_range(text: str) -> bool:
    found = _RANGE.fullmatch(text)
    if found is None:
        return False
    first, last = int(found[1]), int(found[2] or found[1])
    return first <= last <= _LAST_PORT


def _check_volumes(instruction: Instruction) -> None:
    parts = instruction.parts
    if not parts or not all(map(str.strip, parts)):
        what = "a VOLUME has no name"
        raise RefusedError(what, "Write, e.g.: VOLUME /data")


def _check_signal(instruction: Instruction) -> None:
    value = instruction.value
    if "$" in value:
        return
    text = expanded(value, {}, instruction.escape)
    is_name = text.upper().removeprefix("SIG") in _SIGNALS
    if not (is_name or _SIGNAL_NUMBER.fullmatch(text)):
        what = f"{quoted(value)} is not a signal"
        raise RefusedError(what, "Write, e.g.: STOPSIGNAL SIGTERM")


def _check_shell(instruction: Instruction) -> None:
    if not json_list(instruction.value):
        what = "SHELL is not in the exec form"
        raise RefusedError(what, 'Write, e.g.: SHELL ["/bin/bash", "-c"]')


def _check_trigger(instruction: Instruction) -> None:
    """ONBUILD."""
    inner = instruction_of(instruction.line, instruction.value, instruction.escape)
    if inner.name in ("FROM", "MAINTAINER", "ONBUILD"):
        what = f"ONBUILD cannot have {inner.name}"
        raise RefusedError(what, "Write another instruction behind ONBUILD.")
    try:
        check(inner)
    except RefusedError as error:
        # Docker looks at it only when an image begins from this one.
        what = f"images that begin from this one cannot be built: {error.what}"
        raise RefusedError(what, error.fix, is_certain=False) from None


_CHECKS: Final[Mapping[str, Callable[[Instruction], object]]] = {
    "ADD": _check_sources,
    "ARG": _check_argument,
    "COPY": _check_sources,
    "ENV": _check_pairs,
    "EXPOSE": _check_ports,
    "FROM": from_,
    "HEALTHCHECK": _check_health,
    "LABEL": _check_pairs,
    "ONBUILD": _check_trigger,
    "RUN": _check_run,
    "SHELL": _check_shell,
    "STOPSIGNAL": _check_signal,
    "VOLUME": _check_volumes,
}
