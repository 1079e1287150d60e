"""Rules about the Dockerfile: about the image that it builds."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from sagemaker_inference import _variables
from sagemaker_inference._cli._checks import scripts, shells
from sagemaker_inference._cli._checks.entrypoint import SERVE, entrypoint_of, place_in
from sagemaker_inference._cli._checks.instructions import words
from sagemaker_inference._cli._checks.rules import Finding, rule
from sagemaker_inference._cli._checks.sources import imports_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagemaker_inference._cli._checks.shells import Shell
    from sagemaker_inference._cli._checks.target import Target

_CAPABILITY: Final = "com.amazonaws.sagemaker.capabilities"
_PORT_LABEL: Final = f"{_CAPABILITY}.accept-bind-to-port"
_BIDIRECTIONAL_LABEL: Final = f"{_CAPABILITY}.bidirectional-streaming"
_MODELS_LABEL: Final = f"{_CAPABILITY}.multi-models"
_MODEL: Final = "/opt/ml/model"
_EXAMPLE: Final = 'ENTRYPOINT ["sagemaker-inference"]'
# What only a shell does.
_SHELL_SYNTAX: Final = frozenset("&|;<>$`*")
_MADE: Final = re.compile(r"/serve(?![-\w./])")
_PREPARE: Final = re.compile(r"\bsagemaker[-_]inference\W+prepare\b")


def _missing(target: Target, what: str, fix: str) -> Finding:
    """Something that the Dockerfile does not have; its base image may."""
    base = target.image.unknown_base
    if base:
        what += f"; whether the base image {base} has it is not known"
    return Finding(place_in(target), what, fix, is_certain=not base)


def _has_label(target: Target, name: str) -> bool:
    """Whether the image has a label, or a LABEL that docker refuses may be it."""
    has_it = target.image.labels.get(name, "").lower() == "true"
    return has_it or target.image.refuses("LABEL")


@rule(
    "docker-readable",
    "error",
    "dockerfile",
    asks="a Dockerfile that docker can read",
    why="there is no image to deploy without it",
)
def can_be_read(target: Target) -> Iterator[Finding]:
    """Yield why it cannot be read."""
    for problem in sorted(target.image.problems):
        where = place_in(target, problem.line)
        yield Finding(where, problem.what, problem.fix, is_certain=problem.is_certain)


@rule(
    "docker-entrypoint",
    "error",
    "image",
    asks="an ENTRYPOINT, or a command `serve` in the image",
    why="SageMaker runs `docker run IMAGE serve`: the argument overrides what CMD says",
)
def has_entrypoint(target: Target) -> Iterator[Finding]:
    """Yield a Dockerfile without one."""
    image = target.image
    is_there = entrypoint_of(target) is not None or image.refuses("ENTRYPOINT")
    if is_there or has_command(target):
        return
    what, fix = "there is no ENTRYPOINT", f"Write: {_EXAMPLE}"
    if image.find("ENTRYPOINT"):
        yield Finding(place_in(target, image.find("ENTRYPOINT")[-1].line), "it is empty", fix)
    else:
        yield _missing(target, what, fix)


def has_command(target: Target) -> bool:
    """Whether the image has a command `serve`, or a RUN that may make one."""
    image = target.image
    is_copied = target.file_in_image(SERVE) is not None or SERVE in image.written()
    is_named = any(PurePosixPath(parts[-1]).name == SERVE for parts in image.copied())
    return is_copied or is_named or any(_MADE.search(one.script) for one in image.find("RUN"))


@rule(
    "docker-exec-form",
    "error",
    "image",
    asks="the exec form of ENTRYPOINT, or a shell that runs the server by `exec`",
    why="it starts the executable directly, not as a child of /bin/sh, so that it receives "
    "SIGTERM, which is a requirement",
)
def is_exec_form(target: Target) -> Iterator[Finding]:
    """Yield a shell that keeps SIGTERM to itself."""
    entrypoint = entrypoint_of(target)
    if entrypoint is None:
        return
    value = entrypoint.value
    where, form = place_in(target, entrypoint.line), words(value)
    if form is None:
        if not shells.passes_signals(value):
            what = "ENTRYPOINT is in the shell form: the server does not get SIGTERM"
            yield Finding(where, what, _exec_form(value))
    elif shell := scripts.shell_of(target, form):
        yield from _of_shell(target, where, shell)


def _of_shell(target: Target, where: str, shell: Shell) -> Iterator[Finding]:
    fix = "Write exec before the command that serves, or name it in ENTRYPOINT without the shell."
    if shell.command:
        if not shells.passes_signals(shell.command):
            what = "ENTRYPOINT starts a shell, which does not pass SIGTERM on to the server"
            if shell.may_replace:
                what += ", unless this release of it runs the last command in its place"
            yield Finding(where, what, fix, is_certain=not shell.may_replace)
        return
    script = scripts.text_of(target, shell.script)
    if script is None:
        what = (
            f"ENTRYPOINT runs {shell.script}, which is not found here: whether it runs the server "
            "by exec is not known, without which SIGTERM does not reach it"
        )
        yield Finding(where, what, fix, is_certain=False)
    elif not shells.passes_signals(script[1]):
        what = f"ENTRYPOINT runs {script[0]}, which does not pass SIGTERM on"
        yield Finding(where, what, fix)


def _exec_form(value: str) -> str:
    """How to write a shell form instead."""
    try:
        # Quotes of Python, which are not JSON.
        literal = ast.literal_eval(value)
        parts = [str(part) for part in literal] if isinstance(literal, list) else [str(literal)]
    except (ValueError, SyntaxError):
        if not value or value.startswith("["):
            return f"Write a list of JSON, as in: {_EXAMPLE}"
        if _SHELL_SYNTAX & set(value):
            return "Write exec before the command that serves, or the exec form without a shell."
        parts = value.split()
    return f"Write: ENTRYPOINT {json.dumps(parts)}"


@rule(
    "docker-user",
    "warning",
    "image",
    asks="no USER but root",
    why="SageMaker expects all containers to run with root users; others may lack permissions",
)
def is_root(target: Target) -> Iterator[Finding]:
    """Yield another user."""
    users = target.image.find("USER")
    if users and users[-1].value.split(":")[0] not in ("root", "0"):
        yield Finding(
            place_in(target, users[-1].line), f"the user is {users[-1].value}", "Leave USER out."
        )


@rule(
    "docker-model-folder",
    "warning",
    "image",
    asks="nothing copied into /opt/ml/model",
    why="SageMaker mounts the unpacked model.tar.gz there, over what the image has",
)
def leaves_model_folder(target: Target) -> Iterator[Finding]:
    """Yield what would be hidden."""
    for instruction in target.image.find("COPY", "ADD"):
        to = instruction.parts[-1]
        if f"{to.rstrip('/')}/".startswith(f"{_MODEL}/"):
            yield Finding(
                place_in(target, instruction.line),
                f"what is copied to {to} is hidden by the model",
                "Copy it elsewhere, or create the model without model data.",
            )


@rule(
    "docker-port-label",
    "warning",
    "image",
    asks=f"the label `{_PORT_LABEL}=true`",
    why="endpoints of several containers need it: SageMaker chooses a port for each",
)
def has_port_label(target: Target) -> Iterator[Finding]:
    """Yield a missing label."""
    if not _has_label(target, _PORT_LABEL):
        yield _missing(
            target, f"there is no label {_PORT_LABEL}", f"Write: LABEL {_PORT_LABEL}=true"
        )


@rule(
    "docker-bidirectional-label",
    "error",
    "image",
    asks=f"the label `{_BIDIRECTIONAL_LABEL}=true` where the program has a bidirectional handler",
    why="SageMaker opens WebSockets only to images with this label",
)
def has_bidirectional_label(target: Target) -> Iterator[Finding]:
    """Yield a missing label."""
    program = target.program
    is_asked = (
        program is not None
        and bool(program.path)
        and imports_name(Path(program.path), "bidirectional")
    )
    if is_asked and not _has_label(target, _BIDIRECTIONAL_LABEL):
        yield _missing(
            target,
            f"there is no label {_BIDIRECTIONAL_LABEL}",
            f"Write: LABEL {_BIDIRECTIONAL_LABEL}=true",
        )


@rule(
    "docker-models-label",
    "error",
    "image",
    asks=f"the label `{_MODELS_LABEL}=true` where SAGEMAKER_MULTI_MODEL is set",
    why="SageMaker makes multi-model endpoints only of images with this label",
)
def has_models_label(target: Target) -> Iterator[Finding]:
    """Yield a missing label."""
    is_multi = target.image.variables.get(_variables.MULTI_MODEL.name, "").lower() == "true"
    if is_multi and not _has_label(target, _MODELS_LABEL):
        yield _missing(
            target, f"there is no label {_MODELS_LABEL}", f"Write: LABEL {_MODELS_LABEL}=true"
        )


@rule(
    "docker-prepare",
    "warning",
    "image",
    asks="`RUN sagemaker-inference prepare`",
    why="instances that are added under load start in half the time",
)
def is_prepared(target: Target) -> Iterator[Finding]:
    """Yield an image without class data."""
    runs = target.image.find("RUN")
    is_prepared = any(_PREPARE.search(one.script) for one in runs)
    if not (is_prepared or target.image.refuses("RUN")):
        yield _missing(
            target,
            "the image has no class data of Java",
            "Write, behind the installation: RUN sagemaker-inference prepare",
        )
