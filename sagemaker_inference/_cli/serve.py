"""``sagemaker-inference serve``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from sagemaker_inference import _parsers, _variables
from sagemaker_inference._cli import _containers
from sagemaker_inference._cli._command import Command
from sagemaker_inference._os import linux

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference._variable import Variable

# What an option sets is a variable, so that every process of the server has it.
_VARIABLES: Final[dict[str, Variable[Any]]] = {
    "host": _variables.HOST,
    "port": _variables.PORT,
    "workers": _variables.WORKERS,
    "log_level": _variables.LOG_LEVEL,
    "cors": _variables.CORS_ORIGIN,
}
# What `docker run IMAGE serve` adds to an ENTRYPOINT that serves already.
_OF_SAGEMAKER: Final = "serve"


def _checked(_context: click.Context, option: click.Parameter, text: str | None) -> str | None:
    """The text of an option that its variable could have."""
    if text is None:
        return None
    variable = _VARIABLES[str(option.name)]
    # A variable may name any level, which is then INFO; whoever types one sees the mistake.
    if variable is _variables.LOG_LEVEL and _parsers.level_of(text) is None:
        levels = ", ".join(_parsers.LEVELS)
        message = f"{text!r} is not a log level. Use a number, or one of: {levels}."
        raise click.BadParameter(message)
    try:
        value = variable.parse(text)
    except ValueError as error:
        message = f"{text!r} {error}"
        raise click.BadParameter(message) from None
    # The variable may be of another server, such as one of the ASGI application.
    if variable is _variables.PORT and value > _parsers.HIGHEST_PORT:
        message = f"{text!r} is over {_parsers.HIGHEST_PORT}, the highest that the front end takes."
        raise click.BadParameter(message)
    return text


def _setting(option: str, metavar: str, help_text: str) -> Callable[[Any], Any]:
    variable = _VARIABLES[option.removeprefix("--").replace("-", "_")]
    return click.option(
        option, metavar=metavar, callback=_checked, help=f"{help_text}; overrides {variable.name}."
    )


@click.command(
    cls=Command,
    name="serve",
    short_help="Serve a program: a file, or that of the model's folder.",
    examples=[
        "serve",
        "serve inference.py --port 8081 --workers 1",
        "serve inference.py --model-dir ../model --log-level DEBUG",
        "serve inference.py --host 127.0.0.1 --cors http://localhost:3000",
        "serve inference.py --docs",
    ],
)
@click.argument("file", required=False)
@click.argument("last", metavar=f"[{_OF_SAGEMAKER}]", required=False)
@_setting("--host", "ADDRESS", "The address to listen on; all by default")
@_setting("--port", "PORT", "The port; 8080 by default")
@_setting("--workers", "N", "Processes with a model of their own each; by GPUs or processors")
@click.option(
    "--model-dir",
    metavar="DIR",
    help="The folder of the model; by default /opt/ml/model, or where FILE is.",
)
@_setting("--log-level", "LEVEL", "A number or a name; above INFO there are no access lines")
@_setting("--cors", "ORIGIN", "Let pages of this origin, or * for all, send requests")
@click.option(
    "--docs",
    "has_docs",
    is_flag=True,
    help="Answer GET /openapi.json with what `schema` says of FILE.",
)
def command(
    file: str | None,
    last: str | None,
    model_dir: str | None,
    *,
    has_docs: bool,
    **settings: str | None,
) -> int:
    """Serve FILE, which need not call serve(), or the program of the model's folder.

    Without FILE, it is what containers run: it installs the requirements.txt of the folder `code`
    of the model, and serves the program there that SAGEMAKER_PROGRAM names, inference.py by
    default. With FILE, it installs nothing. Everything else is set by environment variables.

    A last argument `serve` has no effect: SageMaker adds it to the ENTRYPOINT of an image.
    """
    file = program_named(file, last)
    if has_docs and file is None:
        message = "--docs describes FILE: name it"
        raise click.UsageError(message)
    if file is not None and not Path(file).is_file():
        message = f"there is no file {file}. Name a program's file; --model-dir names a folder"
        raise click.UsageError(message)
    for name, text in settings.items():
        if text is not None:
            os.environ[_VARIABLES[name].name] = text
    if file is None and model_dir is None:
        return _containers.serve()
    linux.require_for_server(file or "inference.py")
    # Not before the variables are set.
    from sagemaker_inference._cli import _serving

    return _serving.serve(file, model_dir, has_docs=has_docs)


def program_named(file: str | None, last: str | None) -> str | None:
    """The file that a command line names; None for the program of the model's folder.

    Args:
        file: its first argument.
        last: its second one.

    Raises:
        UsageError: the second one is not what SageMaker adds.
    """
    if last not in (None, _OF_SAGEMAKER):
        message = f"Got unexpected extra argument ({last})"
        raise click.UsageError(message)
    is_added = file == _OF_SAGEMAKER and last is None and not Path(file).is_file()
    return None if is_added else file
