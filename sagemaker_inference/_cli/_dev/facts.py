"""What the console shows of a program, found by a process that imports it: it may do anything."""

from __future__ import annotations

import base64
import contextlib
import json
from pathlib import Path
from typing import Any

from sagemaker_inference import _content_types as content_types
from sagemaker_inference._os.standard_streams import reserved_output


def main(argv: list[str]) -> int:
    """Print JSON about a program; returns the exit code.

    Args:
        argv: after its own name what is asked for, "samples" or "check", and the program's file.
    """
    _, what, program = argv
    if what == "check":
        from sagemaker_inference._cli._group import run

        return run(["check", program, "--format", "json"])
    with reserved_output() as stdout:
        stdout.write(json.dumps(samples(program)))
    return 0


def samples(program: str) -> list[dict[str, Any]]:
    """A request of each content type, for each path, as JSON.

    Args:
        program: the program's file.

    Raises:
        StartError: it cannot be imported.
    """
    from sagemaker_inference._inference.program import assembled_apart
    from sagemaker_inference._program.location import Program
    from sagemaker_inference._schemas.forms import form_sample
    from sagemaker_inference._schemas.hints import Schemas
    from sagemaker_inference._schemas.operations import operation
    from sagemaker_inference._schemas.samples import NoSampleError

    handler = assembled_apart(Program.from_file(program))
    folder = Path(program).absolute().parent
    found = []
    for path in handler.paths:
        schemas = Schemas("#/")
        one = operation(handler, path, schemas, folder)
        for name, sample in one.requests.items():
            content_type, body = name, sample
            if name == content_types.MULTIPART and body is None:
                # It has a boundary, which nobody would type.
                with contextlib.suppress(NoSampleError):
                    content_type, body = form_sample(one.form, schemas.components)
            text = None if body is None else base64.b64encode(body).decode()
            found.append({"path": path, "content_type": content_type, "body": text})
    return found
