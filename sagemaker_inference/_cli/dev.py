"""``sagemaker-inference dev``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from sagemaker_inference._cli._command import Command, needed

if TYPE_CHECKING:
    from collections.abc import Sequence

_LIBRARIES: Final = ("httpx", "starlette", "uvicorn", "watchfiles", "websockets")
_DIRECTORY: Final = click.Path(exists=True, file_okay=False)
_LARGEST_PORT: Final = 65535


_OFF: Final = "off"
_NEXT: Final = "the next free one"


def _console_port(ctx: click.Context, option: click.Parameter, text: str) -> int | None:
    """The port of the console: 0 for the next free one, None for none."""
    if text == _OFF:
        return None
    if text == _NEXT:
        return 0
    if text.isdecimal() and 0 < int(text) <= _LARGEST_PORT:
        return int(text)
    message = f"{text!r} is not a port: write a number up to {_LARGEST_PORT}, or {_OFF}"
    raise click.BadParameter(message, ctx, option)


def _address(ctx: click.Context, option: click.Parameter, text: str) -> str:
    """An address; an empty one would be all of them, which nobody expects."""
    if not text:
        message = "it is empty: write 127.0.0.1 for this machine, or 0.0.0.0 for others as well"
        raise click.BadParameter(message, ctx, option)
    return text


@click.command(
    cls=Command,
    name="dev",
    short_help="Serve a program here, and load it again when it changes.",
    examples=[
        "dev inference.py",
        "dev inference.py --port 8081 --console off",
        "dev inference.py --model-dir ../model --watch ../library",
    ],
)
@click.argument("program", default="inference.py", type=click.Path(exists=True, dir_okay=False))
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    callback=_address,
    help="The address to listen on.",
)
@click.option("--port", type=click.IntRange(1, _LARGEST_PORT), help="The port; 8080 by default.")
@click.option(
    "--model-dir",
    type=_DIRECTORY,
    help="The folder of the model; by default /opt/ml/model, or where PROGRAM is.",
)
@click.option(
    "--watch",
    "watched",
    type=_DIRECTORY,
    multiple=True,
    help="A further folder whose files are watched; may be repeated.",
)
@click.option(
    "--console",
    default=_NEXT,
    show_default=True,
    metavar="PORT|off",
    callback=_console_port,
    help="The port of the console, on 127.0.0.1.",
)
def command(  # noqa: PLR0913, PLR0917 - the options
    program: str,
    host: str,
    port: int | None,
    model_dir: str | None,
    watched: Sequence[str],
    console: int | None,
) -> int:
    """Serve PROGRAM, and load it again when one of its sources, or the model, changes.

    The program before it answers until the new one has loaded, and goes on if that fails. Errors
    have the traceback in their body. It is the real server on Linux, and elsewhere the ASGI
    application. PROGRAM is inference.py by default. The console is a page that shows the program
    at work, and sends it requests.
    """
    for library in _LIBRARIES:
        needed(library)
    from sagemaker_inference._cli._dev import serving

    others = [Path(folder) for folder in watched]
    return serving.serve(program, host, port, model_dir, others, console)
