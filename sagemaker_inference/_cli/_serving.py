"""Serve what a command line names, in place of what SageMaker's folders have."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sagemaker_inference import _variables
from sagemaker_inference._cli._command import PROGRAM
from sagemaker_inference._errors import StartError
from sagemaker_inference._log import configure_logger
from sagemaker_inference._os import standard_streams
from sagemaker_inference._os.interpreter import run_module
from sagemaker_inference._program import location
from sagemaker_inference._program.location import Program
from sagemaker_inference._supervisor import main
from sagemaker_inference._supervisor.settings import settings_from_environment
from sagemaker_inference.asgi._source import source_of

if TYPE_CHECKING:
    from sagemaker_inference._supervisor.settings import Settings


def serve(file: str | None, model_dir: str | None, *, has_docs: bool = False) -> int:
    """Serve a program; returns the exit code of the server when it has stopped.

    Args:
        file: the program; None is the one that SAGEMAKER_PROGRAM names in the model's folder.
        model_dir: the folder of the model; None leaves it to the program.
        has_docs: whether the server describes the program, which is a file then.

    Raises:
        StartError: there is no such program or folder, or a variable cannot be used; or the program
            cannot be described.
    """
    if _variables.is_on(_variables.MULTI_MODEL):
        message = (
            f"{_variables.MULTI_MODEL.name} is set, and serves many models: leave out the file and "
            "--model-dir, or unset the variable."
        )
        raise StartError(message)
    standard_streams.ensure_open()
    configure_logger()
    if file is None:
        settings = _of_folder(str(model_dir))
    else:
        model_dir = source_of(file).model_dir(model_dir)
        settings = settings_from_environment(Program.from_file(file), model_dir)
        if has_docs:
            settings = replace(settings, openapi=_described(file))
    return main.run(settings, reap_strangers=os.getpid() == 1)


def _described(file: str) -> str:
    """The OpenAPI document of a program, which another process imports: this one never does."""
    done = run_module("sagemaker_inference._cli.schema", file)
    if done.code:
        # Without the name of this command, which is going to say it.
        last = done.log.strip().rpartition("\n")[2].removeprefix(f"{PROGRAM}: error: ")
        message = f"{file} cannot be described (--docs): {last or 'it printed nothing'}"
        raise StartError(message)
    return done.output


def _of_folder(model_dir: str) -> Settings:
    if not Path(model_dir).is_dir():
        message = f"the folder {model_dir} does not exist: name another one with --model-dir"
        raise StartError(message)
    # As `serve` in a container.
    if requirements := location.requirements(model_dir):
        # A package may contain the program.
        settings = settings_from_environment("", model_dir)
        return replace(settings, requirements=str(requirements.absolute()))
    return settings_from_environment(location.find(model_dir), model_dir)
