"""``sagemaker-inference transform``."""

from __future__ import annotations

import csv
import os
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from sagemaker_inference import _variables
from sagemaker_inference._cli import _endpoint
from sagemaker_inference._cli._command import (
    Command,
    CommandError,
    check_folder_of,
    names_folder,
    needed,
)
from sagemaker_inference._cli._endpoint import check_model_dir, checked_headers, checked_program
from sagemaker_inference._cli._transform.cutting import SPLITS
from sagemaker_inference._cli._transform.inputs import files_below
from sagemaker_inference._cli._transform.job import Job
from sagemaker_inference._cli._transform.joining import Joining
from sagemaker_inference._cli._urls import is_url
from sagemaker_inference._emulator import json_paths
from sagemaker_inference._os.standard_streams import reserved_output
from sagemaker_inference._parsers import MEGABYTE
from sagemaker_inference._words import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sagemaker_inference.testing import Client

# What the platform takes where neither the job nor the container says.
_PAYLOAD_IN_MB: Final = 6
_MOST: Final = 100
_SUFFIX: Final = ".out"
# DataProcessing of the API.
_LONGEST_FILTER: Final = 63


def _json_path(_context: click.Context, _parameter: click.Parameter, path: str) -> str:
    """A filter that CreateTransformJob takes, too; "" for all of a record."""
    if len(path) > _LONGEST_FILTER:
        message = f"{path!r} has {len(path)} characters, of at most {_LONGEST_FILTER}"
        raise click.BadParameter(message)
    readable = json_paths.readable(path) if path else ""
    if readable is None:
        message = (
            f"{path!r} is not a JSONPath that SageMaker takes, such as $.name, $['a','b'], $[0,-1] "
            "and $[1:]"
        )
        raise click.BadParameter(message)
    return readable


@click.command(
    cls=Command,
    name="transform",
    short_help="Run a batch transform job on this machine.",
    examples=[
        "transform inference.py in.csv out.csv --content-type text/csv --split Line",
        "transform inference.py in.csv out.csv --content-type text/csv --split Line --join Input",
        "transform inference.py folder/ out/ --content-type application/jsonlines --split Line",
        "transform http://127.0.0.1:8080 in.csv out.csv --content-type text/csv",
    ],
)
@click.argument("program", callback=checked_program)
@click.argument("source", metavar="INPUT", type=click.Path(exists=True, path_type=Path))
@click.argument("target", metavar="OUTPUT", type=click.Path())
@click.option("--content-type", metavar="TYPE", help="TransformInput.ContentType.")
@click.option("--accept", metavar="TYPE", help="TransformOutput.Accept.")
@click.option("--split", type=click.Choice(list(SPLITS)), default="None", show_default=True)
@click.option("--strategy", type=click.Choice(["MultiRecord", "SingleRecord"]))
@click.option("--assemble", type=click.Choice(["None", "Line"]), default="None", show_default=True)
@click.option("--max-payload-mb", metavar="MB", type=click.IntRange(0, _MOST))
@click.option("--max-concurrent-transforms", metavar="N", type=click.IntRange(1, _MOST))
@click.option("--max-retries", metavar="N", type=click.IntRange(0, 3), default=3, show_default=True)
@click.option("--compression", type=click.Choice(["None", "Gzip"]), default="None")
@click.option("--join", type=click.Choice(["None", "Input"]), default="None", show_default=True)
@click.option(
    "--input-filter",
    metavar="PATH",
    default="",
    callback=_json_path,
    help="JSONPath of what is sent.",
)
@click.option(
    "--output-filter",
    metavar="PATH",
    default="",
    callback=_json_path,
    help="JSONPath of what is written.",
)
@click.option("--model-dir", metavar="DIR", help="The folder of the model.")
def command(program: str, source: Path, target: str, **options: Any) -> int:
    """Transform INPUT, a file or a folder, by PROGRAM, a file or the URL of a server.

    Files are cut into requests, and answers joined, as by a batch transform job of SageMaker; the
    options are those of CreateTransformJob. An OUTPUT that is a folder, or is written as one, with
    a slash, gets NAME.out for each file. What the options leave open, the program answers at
    /execution-parameters.

    A folder stands for a prefix of S3: the files of its sub-folders, and of folders that it links
    to, are transformed, too, into sub-folders of OUTPUT, but for hidden ones. A file whose requests
    do not all succeed has no output; then the exit code is 1.
    """
    check_model_dir(program, options["model_dir"])
    files = [(path, _followed(output)) for path, output in _files(source, target)]
    if any(output.resolve() == path.resolve() for path, output in files):
        message = f"{source} is the input and the output: name another output."
        raise click.UsageError(message)
    failed = 0
    with ExitStack() as stack:
        stdout = stack.enter_context(reserved_output())
        client = stack.enter_context(_client(program, options))
        job = job_of(client, options)
        for path, output in files:
            began = time.monotonic()
            try:
                with _progress(path) as advance:
                    result = job.transform(client, path, output, advance)
            except CommandError as error:
                failed += 1
                click.echo(f"{path}: {error.format_message()}", err=True)
                continue
            except (OSError, ValueError, csv.Error, RecursionError) as error:
                failed += 1
                click.echo(f"{path}: it cannot be transformed: {error}", err=True)
                continue
            seconds = time.monotonic() - began
            click.echo(
                f"{output}: {counted(result.records, 'record')} in "
                f"{counted(result.requests, 'request')}, "
                f"{seconds:.2f} s, {result.records / max(seconds, 1e-6):.0f} records/s",
                file=stdout,
            )
    return 1 if failed else 0


def _files(source: Path, named: str) -> list[tuple[Path, Path]]:
    """The files to transform, and what they become; folders of these are made."""
    target = Path(named)
    is_folder = target.is_dir() or names_folder(named)
    if target.exists() and not (target.is_dir() or target.is_file()):
        # An output takes the place of the file that is there, which may be /dev/stdout.
        message = f"{target} is neither a file nor a folder: name another output."
        raise click.UsageError(message)
    if target.is_file() and (is_folder or source.is_dir()):
        what = f"{named} names a folder" if is_folder else f"{source} is a folder"
        message = f"{what}, and {target} is a file: name a folder as the output."
        raise click.UsageError(message)
    if source.is_dir():
        outputs = _files_below(source, target)
        if not outputs:
            message = f"there are no files in {source}"
            raise click.UsageError(message)
    elif is_folder:
        outputs = [(source, target / f"{source.name}{_SUFFIX}")]
    else:
        check_folder_of(target)
        return [(source, target)]
    for folder in dict.fromkeys(output.parent for _, output in outputs):
        folder.mkdir(parents=True, exist_ok=True)
    return outputs


def _followed(output: Path) -> Path:
    """Where an output is: its file is replaced, and never a link to it, such as /dev/stdout."""
    return output.resolve() if output.is_symlink() else output


def _files_below(source: Path, target: Path) -> list[tuple[Path, Path]]:
    """The files of a folder and its sub-folders, but for hidden ones and outputs among them."""
    becomes = {
        path: target / path.relative_to(source).with_name(f"{path.name}{_SUFFIX}")
        for path in files_below(source)
    }
    outputs = {output.resolve() for output in becomes.values()}
    folder = target.resolve()
    is_within = source.resolve() in folder.parents
    return [
        (path, output)
        for path, output in becomes.items()
        if path.resolve() not in outputs and not (is_within and folder in path.resolve().parents)
    ]


@contextmanager
def _client(program: str, options: dict[str, Any]) -> Iterator[Client]:
    """A client of the program."""
    if is_url(program):
        endpoint = _endpoint.Endpoint(program)
        try:
            yield endpoint
        finally:
            endpoint.close()
        return
    os.environ.setdefault(_variables.BATCH.name, "true")
    # As by the platform: only what the job says.
    for option, variable in (
        ("max_payload_mb", _variables.MAX_PAYLOAD_IN_MB),
        ("max_concurrent_transforms", _variables.MAX_CONCURRENT_TRANSFORMS),
        ("strategy", _variables.BATCH_STRATEGY),
    ):
        if options[option] is not None:
            os.environ[variable.name] = str(options[option])
    from sagemaker_inference.testing import TestClient

    with TestClient(program, model_dir=options["model_dir"]) as client:
        yield client


def job_of(client: Client, options: Mapping[str, Any]) -> Job:
    """The job that options describe; what they leave open, the program says.

    Args:
        client: the program.
        options: those of the command.

    Raises:
        UsageError: two options do not go together.
    """
    offered: dict[str, Any] = {}
    if None in (
        options["strategy"],
        options["max_payload_mb"],
        options["max_concurrent_transforms"],
    ):
        offered = _offered(client)
    payload = options["max_payload_mb"]
    if payload is None:
        payload = int(offered.get("MaxPayloadInMB", _PAYLOAD_IN_MB))
    transforms = options["max_concurrent_transforms"]
    if transforms is None:
        transforms = int(offered.get("MaxConcurrentTransforms", 1))
    if payload * transforms > _MOST:
        message = (
            f"--max-concurrent-transforms {transforms} times --max-payload-mb {payload} is over "
            f"{_MOST}, the most that the platform takes."
        )
        raise click.UsageError(message)
    strategy = options["strategy"] or offered.get("BatchStrategy") or "MultiRecord"
    named = {"Content-Type": options["content_type"], "Accept": options["accept"]}
    return Job(
        headers=checked_headers(named.items()),
        split=options["split"],
        # The API and the container's contract spell it differently.
        is_multi=strategy.replace("_", "").lower() == "multirecord",
        is_assembled=options["assemble"] == "Line",
        payload_limit=payload * MEGABYTE,
        transforms=transforms,
        retries=options["max_retries"],
        is_gzip=options["compression"] == "Gzip",
        joining=Joining(
            options["content_type"] or "",
            options["input_filter"],
            options["output_filter"],
            is_joined=options["join"] == "Input",
        ),
    )


def _offered(client: Client) -> dict[str, Any]:
    """What the program says of jobs; {} where it says nothing."""
    try:
        reply = client.request("GET", "/execution-parameters")
    except OSError as error:
        message = f"there is no answer from the server: {error}. Is it running?"
        raise CommandError(message) from None
    if reply.status_code != HTTPStatus.OK:
        return {}
    with suppress(ValueError):
        offered = reply.json()
        if isinstance(offered, dict):
            return offered
    message = f"GET /execution-parameters is answered with {reply.body[:60]!r}, no JSON object"
    raise CommandError(message)


@contextmanager
def _progress(path: Path) -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal; what is yielded is called with bytes that are done."""
    if not sys.stderr.isatty():
        yield lambda _size: None
        return
    console = needed("rich.console").Console(stderr=True)
    progress = needed("rich.progress")
    columns = (*progress.Progress.get_default_columns(), progress.DownloadColumn())
    with progress.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(path.name, total=path.stat().st_size)
        yield lambda size: bar.advance(task, size)
