"""``sagemaker-inference replay``."""

from __future__ import annotations

import os
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from sagemaker_inference._cli._command import Command, CommandError, FiniteNumber
from sagemaker_inference._cli._endpoint import check_model_dir, checked_program
from sagemaker_inference._os.standard_streams import reserved_output
from sagemaker_inference._words import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sagemaker_inference._cli._comparing import Tolerance
    from sagemaker_inference._http.captured import Captured
    from sagemaker_inference.testing import Client


class _Line(NamedTuple):
    """A line of a file: the request in it, or why there is none."""

    place: str
    captured: Captured | None
    problem: str = ""


@click.command(
    cls=Command,
    name="replay",
    short_help="Send captured requests again, and compare the answers.",
    examples=[
        "replay captured.jsonl inference.py",
        "replay /tmp/capture http://127.0.0.1:8080 --relative 1e-3",
    ],
)
@click.argument("captured", type=click.Path(exists=True, path_type=Path))
@click.argument("program", callback=checked_program)
@click.option(
    "--relative",
    type=FiniteNumber(min=0),
    default=1e-5,
    show_default=True,
    help="Numbers may differ by this share of the larger one,",
)
@click.option(
    "--absolute",
    type=FiniteNumber(min=0),
    default=1e-8,
    show_default=True,
    help="or by this.",
)
@click.option(
    "--show",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    help="How many differences to show.",
)
@click.option("--model-dir", metavar="DIR", help="The folder of the model.")
def command(  # noqa: PLR0913 - as many options
    captured: Path,
    program: str,
    *,
    relative: float,
    absolute: float,
    show: int,
    model_dir: str | None,
) -> int:
    """Send what was CAPTURED to PROGRAM, a file or the URL of a server; compare the answers.

    CAPTURED is a file of SageMaker's data capture or of SAGEMAKER_CAPTURE, or a folder of them. The
    captured Content-Type of an answer is what the request asks for (Accept). Answers are the same
    if their content types are and their values: keys of JSON in any order, numbers within the
    tolerance.

    The exit code is 1 if an answer differs, and 2 if nothing could be compared.
    """
    from sagemaker_inference._cli._comparing import Tolerance
    from sagemaker_inference._cli.invoke import client_of
    from sagemaker_inference._variables import CAPTURE

    check_model_dir(program, model_dir)
    lines = list(_lines(captured))
    for line in lines:
        if line.captured is None:
            click.echo(f"{line.place} {line.problem}; it is left out", err=True)
    requests = [(line.place, line.captured) for line in lines if line.captured is not None]
    if not requests:
        message = f"there are no captured requests in {captured}"
        raise click.UsageError(message)
    tolerance = Tolerance(relative, absolute)
    os.environ.pop(CAPTURE.name, None)  # not again
    with reserved_output() as stdout:
        with client_of(program, model_dir) as client:
            try:
                found = [
                    (place, request.event_id, _difference(client, request, tolerance))
                    for place, request in requests
                ]
            except OSError as error:
                message = f"there is no answer from {program}: {error}. Is the server running?"
                raise CommandError(message) from None
        different = [one for one in found if one[2]]
        report = [
            f"{place} ({event_id}): {problem}" if event_id else f"{place}: {problem}"
            for place, event_id, problem in different[:show]
        ]
        if len(different) > show:
            report.append(f"... and {len(different) - show} more")
        report.append(
            f"{counted(len(found), 'request')}: {len(found) - len(different)} answered as before, "
            f"{len(different)} otherwise"
        )
        click.echo("\n".join(report), file=stdout)
    return int(bool(different))


def _lines(path: Path) -> Iterator[_Line]:
    from sagemaker_inference._http.captured import read

    for file in _files(path):
        with file.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                if not line.strip():
                    continue
                place = f"{file.relative_to(path) if path.is_dir() else file.name}:{number}"
                try:
                    yield _Line(place, read(line))
                except ValueError as error:
                    yield _Line(place, None, str(error))


def _files(path: Path) -> Sequence[Path]:
    if path.is_dir():
        return sorted(file for file in path.rglob("*.jsonl") if file.is_file())
    return [path]


def _difference(client: Client, request: Captured, tolerance: Tolerance) -> str:
    from sagemaker_inference._cli._comparing import difference
    from sagemaker_inference._http.captured import INFERENCE_ID
    from sagemaker_inference._http.context import CUSTOM_ATTRIBUTES
    from sagemaker_inference._program.paths import INVOCATIONS

    headers = {
        "Content-Type": request.content_type,
        "Accept": request.answer_type,
        CUSTOM_ATTRIBUTES: request.custom_attributes,
        INFERENCE_ID: request.inference_id,
    }
    sent = {name: value for name, value in headers.items() if value}
    try:
        reply = client.request("POST", INVOCATIONS, request.body, sent)
    except ValueError as error:
        return f"it cannot be sent: {error}"
    if reply.status_code >= HTTPStatus.BAD_REQUEST:
        body = " ".join(reply.body.decode(errors="replace").split())
        return f"the status is {reply.status_code}: {body[:200]}"
    if not reply.is_complete:
        return "the stream broke off"
    return difference(
        request.answer, request.answer_type, reply.body, reply.content_type, tolerance
    )
