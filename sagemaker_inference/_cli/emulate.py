"""``sagemaker-inference emulate``."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import socket
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from sagemaker_inference._cli._command import Command, CommandError, FiniteNumber, needed
from sagemaker_inference._cli._urls import read_url
from sagemaker_inference._os import linux
from sagemaker_inference._os.locked_folder import LockedFolder

if TYPE_CHECKING:
    import uvicorn

    from sagemaker_inference._cli._emulated_container import Running
    from sagemaker_inference._emulator.faults import Reading
    from sagemaker_inference._emulator.limits import Limits

_LIBRARIES: Final = ("httpx", "rich", "starlette", "uvicorn", "websockets")
_DIRECTORY: Final = click.Path(exists=True, file_okay=False)
_HOST: Final = "127.0.0.1"
_LARGEST_PORT: Final = 65535
# Names differ between partitions; it is a part of host names and ARNs.
_REGION: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_TEMPORARY: Final = "sagemaker-emulate-"
_SETUP: Final = """\
SageMaker is emulated at {url} (signatures are not checked). For boto3 and the AWS CLI:
  export AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME={url} AWS_ENDPOINT_URL_SAGEMAKER={url}
  export AWS_ACCESS_KEY_ID=none AWS_SECRET_ACCESS_KEY=none AWS_DEFAULT_REGION={region}
s3:// is {folder}"""


@click.command(
    cls=Command,
    name="emulate",
    short_help="Emulate SageMaker in front of a program or a container.",
    examples=[
        "emulate inference.py --endpoint demo",
        "emulate --url http://127.0.0.1:8080",
        "emulate --multi-model models/ --s3 bucket/",
    ],
)
@click.argument("program", required=False, type=click.Path(exists=True, dir_okay=False))
@click.option("--url", help="A container that runs already, in place of a program.")
@click.option("--model-dir", type=_DIRECTORY, help="The folder of the model.")
@click.option(
    "--multi-model",
    "models",
    type=_DIRECTORY,
    help="A folder of model archives (.tar.gz): a multi-model endpoint.",
)
@click.option("--endpoint", help="The endpoint's name; without it, every name is taken.")
@click.option(
    "--port",
    type=click.IntRange(1, _LARGEST_PORT),
    default=8181,
    show_default=True,
    help="Where SageMaker is emulated.",
)
@click.option("--region", default="us-east-1", show_default=True, help="The AWS Region.")
@click.option("--s3", "folder", type=_DIRECTORY, help="The folder that stands for s3://.")
@click.option("--serverless", is_flag=True, help="The limits of serverless endpoints.")
@click.option("--strict", is_flag=True, help="Bodies of at most 6,291,456 bytes, as botocore says.")
@click.option(
    "--slow-client",
    "pause",
    type=FiniteNumber(min=0),
    default=0.0,
    help="Seconds before each chunk is read.",
)
@click.option(
    "--hang-up-after",
    type=click.IntRange(min=0),
    help="Bytes of an answer, after which to hang up.",
)
@click.option("--verbose", is_flag=True, help="Show each ping, too.")
def command(  # noqa: PLR0913, PLR0917 - the options
    program: str | None,
    url: str | None,
    model_dir: str | None,
    models: str | None,
    endpoint: str | None,
    port: int,
    region: str,
    folder: str | None,
    serverless: bool,  # noqa: FBT001 - click's
    strict: bool,  # noqa: FBT001 - click's
    pause: float,
    hang_up_after: int | None,
    verbose: bool,  # noqa: FBT001 - click's
) -> int:
    """Emulate SageMaker's APIs, limits and errors in front of PROGRAM, for boto3 as it is.

    On Linux, the container is the real server; elsewhere, it is the program in this process.
    Signatures are not checked. Ctrl-C stops the container as SageMaker does.
    """
    for library in _LIBRARIES:
        needed(library)
    _check(program, url, models, model_dir)
    if models is not None and url is None:
        linux.require("--multi-model", "pass the --url of a container that runs, in place of it")
    if not _REGION.fullmatch(region):
        message = f"{region!r} is not a Region: write it as in us-east-1"
        raise click.BadParameter(message, param_hint="--region")
    if url is not None:
        url = str(read_url(url))
    if endpoint is not None:
        _check_name(endpoint)
    _check_port(port)
    _configure_log(verbose=verbose)
    with contextlib.ExitStack() as stack:
        running = stack.enter_context(_container(program, url, model_dir, many=models is not None))
        temporary = stack.enter_context(LockedFolder(_TEMPORARY)).path
        if folder is None:
            folder = _created(temporary, "s3")
        address = f"http://{_HOST}:{port}"
        click.echo(_SETUP.format(url=address, region=region, folder=os.path.abspath(folder)))  # noqa: PTH100
        limits = _limits(serverless=serverless, strict=strict)
        many = None
        if models is not None:
            many = (Path(models), Path(_created(temporary, "models")))
        from sagemaker_inference._emulator.faults import Reading

        reading = Reading(pause, hang_up_after)
        return _serve(running, endpoint, port, region, limits, Path(folder), many, reading)


def _check(program: str | None, url: str | None, models: str | None, model_dir: str | None) -> None:
    if program is not None and url is not None:
        message = "PROGRAM and --url are both given: pass one of them"
        raise click.UsageError(message)
    if program is not None and models is not None:
        message = "with --multi-model, each archive has its program in code/: leave PROGRAM out"
        raise click.UsageError(message)
    if program is None and url is None and models is None:
        message = "pass a PROGRAM, e.g. inference.py, or the --url of a container"
        raise click.UsageError(message)
    if program is None and model_dir is not None:
        message = "--model-dir is the folder of a PROGRAM's model, and there is none: leave it out"
        raise click.UsageError(message)


def _check_name(endpoint: str) -> None:
    from sagemaker_inference._emulator.headers import ENDPOINT_NAME

    if problem := ENDPOINT_NAME.problem(endpoint):
        raise click.UsageError(problem)


def _created(folder: str, name: str) -> str:
    path = Path(folder, name)
    path.mkdir()
    return str(path)


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as error:
            message = f"port {port} cannot be used ({error}): choose another with --port"
            raise CommandError(message) from None


def _configure_log(*, verbose: bool) -> None:
    from rich.console import Console
    from rich.highlighter import NullHighlighter
    from rich.logging import RichHandler

    logger = logging.getLogger("sagemaker_inference._emulator")
    console = Console(stderr=True)
    handler: logging.Handler
    if console.is_terminal:
        handler = RichHandler(
            console=console, show_path=False, highlighter=NullHighlighter(), keywords=[]
        )
        handler.setFormatter(logging.Formatter("%(message)s"))
    else:
        # Rich would cut lines to a width that nobody has.
        handler = logging.StreamHandler()
        handler.setFormatter(
            logging.Formatter("%(asctime)s - emulate - %(levelname)s - %(message)s")
        )
    logger.handlers[:] = [handler]
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.propagate = False


def _container(
    program: str | None, url: str | None, model_dir: str | None, *, many: bool
) -> contextlib.AbstractContextManager[Running]:
    from sagemaker_inference._cli import _emulated_container as containers

    if url is not None:
        return contextlib.nullcontext(containers.Running(url))
    if many:
        return containers.many_models()
    assert program is not None  # noqa: S101 - one of the three is given
    return containers.one_model(program, model_dir)


def _limits(*, serverless: bool, strict: bool) -> Limits:
    from sagemaker_inference._emulator import limits

    chosen = limits.SERVERLESS if serverless else limits.REAL_TIME
    if strict:
        most = min(chosen.request_size, limits.STRICT_REQUEST_SIZE)
        chosen = replace(chosen, request_size=most)
    return chosen


def _serve(  # noqa: PLR0913, PLR0917 - of the command
    running: Running,
    endpoint: str | None,
    port: int,
    region: str,
    limits: Limits,
    folder: Path,
    models: tuple[Path, Path] | None,
    reading: Reading,
) -> int:
    from sagemaker_inference._cli._emulated_jobs import transform
    from sagemaker_inference._emulator.application import application
    from sagemaker_inference._emulator.identity import Identity
    from sagemaker_inference._emulator.models import Models
    from sagemaker_inference._emulator.platform import Platform
    from sagemaker_inference._emulator.server import server
    from sagemaker_inference._emulator.storage import Storage

    platform = Platform(
        running.url,
        Identity(endpoint or "endpoint", region),
        limits,
        process=running.process,
        reading=reading,
        any_name=endpoint is None,
    )
    many = None if models is None else Models(platform, *models)
    app = application(platform, Storage(folder), many, transform)
    _run(server(app, platform, port))
    return int(platform.health.status == "Failed")


def _run(made: uvicorn.Server) -> None:
    # What uvicorn has caught, it raises again at the end.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        made.run()
