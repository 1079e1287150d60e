"""``sagemaker-inference schema``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from sagemaker_inference._cli._command import Command, OutputFile
from sagemaker_inference._os.standard_streams import reserved_output
from sagemaker_inference._words import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagemaker_inference._inference.inference_handler import InferenceHandler


@click.command(
    cls=Command,
    name="schema",
    short_help="Describe a program's requests and responses by its type hints.",
    examples=[
        "schema inference.py",
        "schema inference.py --output openapi.json",
        "schema inference.py --format json-schema",
        "schema inference.py --samples .",
    ],
)
@click.argument("program", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--format",
    "format_",
    type=click.Choice(["openapi", "json-schema"]),
    default="openapi",
    show_default=True,
    help="OpenAPI 3.1 of all paths, or JSON Schema of the requests to one.",
)
@click.option("--path", metavar="PATH", help="The path for json-schema and --samples.")
@click.option("-o", "--output", type=OutputFile(), metavar="FILE", help="Write it there.")
@click.option(
    "--samples",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write a request of each content type there, instead: request.json, request.csv ...",
)
def command(
    program: Path, *, format_: str, path: str | None, output: Path | None, samples: Path | None
) -> int:
    """Describe PROGRAM, a file, by the type hints of its predictors; nothing is served or loaded.

    A file request.json, request.csv ... beside the program is the sample of its type. Others are
    made from the hints, and only such as are read without an error.
    """
    from sagemaker_inference._inference.program import assembled_apart
    from sagemaker_inference._program.location import Program
    from sagemaker_inference._schemas import documents

    _check(path, output, samples, is_openapi=format_ == "openapi")
    where = Program.from_file(str(program))
    folder = program.absolute().parent
    title = folder.name
    with reserved_output() as stdout:
        handler = assembled_apart(where)
        chosen = path or handler.paths[0]
        if chosen not in handler.paths:
            message = f"the program answers {', '.join(handler.paths)}, and not {chosen}"
            raise click.BadParameter(message, param_hint="--path")
        if samples is not None:
            _write_samples(handler, chosen, folder, samples, stdout)
            return 0
        if format_ == "openapi":
            about = getattr(sys.modules[where.module], "__doc__", None) or ""
            document = documents.openapi(handler, title, about.strip(), folder)
        else:
            document = documents.json_schema(handler, chosen, title, folder)
        text = json.dumps(document, indent=2, ensure_ascii=False)
        if output is None:
            click.echo(text, file=stdout)
    if output is not None:
        # Not before: it may be /dev/stdout.
        output.write_text(f"{text}\n", encoding="utf-8")
    return 0


def _check(
    path: str | None, output: Path | None, samples: Path | None, *, is_openapi: bool
) -> None:
    """Refuse options that would have no effect."""
    if samples is not None and output is not None:
        message = "--samples writes requests, and no document for --output: pass one of the two"
        raise click.UsageError(message)
    if path is not None and samples is None and is_openapi:
        message = "--path goes with --format json-schema or --samples: OpenAPI has all paths"
        raise click.UsageError(message)


def main(words: Sequence[str]) -> int:
    """Run the command in a process of its own; returns the exit code.

    Args:
        words: the arguments, after the name of the program.
    """
    from sagemaker_inference._cli._group import run

    return run(["schema", *words[1:]])


def _write_samples(
    handler: InferenceHandler, path: str, folder: Path, samples: Path, stdout: TextIO
) -> None:
    from sagemaker_inference._schemas.hints import Schemas
    from sagemaker_inference._schemas.operations import operation
    from sagemaker_inference._schemas.request_files import name_of

    found = operation(handler, path, Schemas("#/"), folder)
    bodies = {name_of(kind): body for kind, body in found.requests.items() if body is not None}
    samples.mkdir(parents=True, exist_ok=True)
    # A file that is there may be the user's.
    new = {name: body for name, body in bodies.items() if name and not (samples / name).exists()}
    for name, body in new.items():
        (samples / name).write_bytes(body)
    # Not before: whoever reads may stop at the first line.
    lines = "".join(f"{name}: {counted(len(body), 'byte')}\n" for name, body in new.items())
    click.echo(lines, nl=False, file=stdout)
