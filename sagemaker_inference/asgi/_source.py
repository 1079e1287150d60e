"""The program that is served: a file, a module that has been imported, or a registry."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from sagemaker_inference import environment
from sagemaker_inference._errors import StartError
from sagemaker_inference._inference.assembly import assemble
from sagemaker_inference._inference.program import assembled_apart
from sagemaker_inference._program import location
from sagemaker_inference._program.location import Program
from sagemaker_inference._program.registry import Registry

if TYPE_CHECKING:
    from sagemaker_inference._config import Config
    from sagemaker_inference._inference.inference_handler import InferenceHandler


class Source(NamedTuple):
    """Where the handlers come from.

    Attributes:
        program: the location of the program; None where there is a registry.
        registry: the registry with the handlers; None where there is a program.
    """

    program: Program | None
    registry: Registry | None = None

    def assembled(self, config: Config) -> InferenceHandler:
        """Import the program, if there is one, and assemble it.

        Raises:
            StartError: it cannot be imported or is incomplete.
        """
        if self.registry is not None:
            return assemble(self.registry, "the registry", config=config)
        assert self.program is not None  # noqa: S101 - there is one of the two
        return assembled_apart(self.program, config)

    def described(self, handler: InferenceHandler) -> bytes:
        """The OpenAPI document of the program.

        Args:
            handler: what `assembled` has returned.

        Raises:
            StartError: a file request.* beside it cannot be read.
        """
        # Few programs are described, and it takes as long to import as the rest of an application.
        from sagemaker_inference._schemas import documents

        folder, about = Path.cwd(), ""
        if self.program is not None:
            folder = Path(self.program.root)
            about = getattr(sys.modules.get(self.program.module), "__doc__", None) or ""
        return json.dumps(documents.openapi(handler, folder.name, about.strip(), folder)).encode()

    def model_dir(self, chosen: str | os.PathLike[str] | None) -> str:
        """The folder of the model.

        Args:
            chosen: what the caller wants; None leaves it to the program.

        Raises:
            StartError: it does not exist.
        """
        if chosen is None:
            folder = Path(self.program.root) if self.program else Path.cwd()
            return location.default_model_dir(environment.model_dir, folder)
        if not Path(chosen).is_dir():
            message = (
                f"the model directory {os.fspath(chosen)} does not exist. Create it, or pass "
                "another model_dir."
            )
            raise StartError(message)
        return os.fspath(chosen)


def source_of(program: str | os.PathLike[str] | ModuleType | Registry) -> Source:
    """What `sagemaker_inference.asgi.app` was given.

    Raises:
        StartError: it is a file that does not exist, or a module without a file.
    """
    if isinstance(program, Registry):
        return Source(None, program)
    if isinstance(program, ModuleType):
        path = getattr(program, "__file__", None)
        if not path:
            message = f"the module {program.__name__} has no file: pass its registry."
            raise StartError(message)
        found = Program.from_file(path)
        return Source(Program(program.__name__, found.root, found.path))
    path = os.fspath(program)
    if not Path(path).is_file():
        message = (
            f"{path} is not a file in {Path.cwd()}. Pass the program's file, its module or its "
            "registry."
        )
        raise StartError(message)
    return Source(Program.from_file(path))
