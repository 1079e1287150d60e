"""The process that imports a program for `check`: it prints what it finds as one line of JSON."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from sagemaker_inference._aws import script_functions
from sagemaker_inference._cli._checks.target import Inspection
from sagemaker_inference._errors import StartError
from sagemaker_inference._inference import program as programs
from sagemaker_inference._inference.assembly import assemble
from sagemaker_inference._os.standard_streams import reserved_output
from sagemaker_inference._program import roles
from sagemaker_inference._program.location import Program

if TYPE_CHECKING:
    from sagemaker_inference._inference.inference_handler import InferenceHandler
    from sagemaker_inference._program.registry import Registry


def main(argv: list[str]) -> int:
    """Inspect a program; the arguments are its module and its folder."""
    _, module, root = argv
    # Bytecode is found again by the second and the size of its source: an edit may keep both.
    sys.dont_write_bytecode = True
    with reserved_output() as stdout:
        stdout.write(json.dumps(asdict(_inspect(Program(module, root)))))
    return 0


def _inspect(program: Program) -> Inspection:
    path = os.path.join(program.root, f"{program.module}.py")  # noqa: PTH118
    if os.path.isfile(path):  # noqa: PTH113
        program = Program.from_file(path)
    try:
        module, registry = programs.load(program)
    except StartError as error:
        return Inspection("import", str(error))
    try:
        if program.path:  # it is not run again, and a failure is explained best
            handler = programs.assembled(program)
        else:
            script_functions.adopt(registry, module)
            handler = assemble(registry, program.label)
    except StartError as error:
        return Inspection("assembly", str(error))
    return _facts(handler, registry)


def _facts(handler: InferenceHandler, registry: Registry) -> Inspection:
    main_handler = handler.predictor or handler.transformer
    assert main_handler is not None  # noqa: S101 - a program has one of the two
    # A predictor may be any callable.
    code = getattr(main_handler.function, "__code__", None)
    decoders = registry.find(roles.DECODER)
    return Inspection(
        file=code.co_filename if code else "",
        line=code.co_firstlineno if code else 0,
        is_hinted=bool({"data", "body"} & {*main_handler.hints}) or bool(decoders),
        streams=main_handler.yields or main_handler.yields_async,
        types=tuple(name for decoder in decoders for name in decoder.content_types),
    )
