"""The command with its commands, of which only the one that is run is imported."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Final

import click

from sagemaker_inference._cli._command import CONTEXT, PROGRAM
from sagemaker_inference._cli._signals import EndedBySignal
from sagemaker_inference._errors import StartError
from sagemaker_inference._log import last_word

if TYPE_CHECKING:
    from collections.abc import Sequence

# In the order of --help: each is `command` in the module of this name.
COMMANDS: Final = (
    "new",
    "dev",
    "serve",
    "invoke",
    "check",
    "transform",
    "replay",
    "emulate",
    "schema",
    "ray",
    "prepare",
)


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"sagemaker_inference._cli.{cmd_name}").command
        return command


def _print_versions(context: click.Context, _option: click.Parameter, is_asked: bool) -> None:  # noqa: FBT001 - click's
    if is_asked:
        from sagemaker_inference._cli._versions import versions

        click.echo("\n".join(versions()))
        context.exit()


@click.group(
    cls=_Commands,
    name=PROGRAM,
    help="Serve machine-learning models on SageMaker, and try them on this machine.",
    no_args_is_help=False,
    context_settings=CONTEXT,
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_versions,
    help="Show the versions of this package, Python, Java, Multi Model Server and Netty.",
)
def _main() -> None:
    pass


def run(words: Sequence[str]) -> int:
    """Run a command line and return the exit code: 2 where it cannot be understood.

    Args:
        words: the arguments, without the program's name.
    """
    color = False if os.environ.get("NO_COLOR") else None
    ended = EndedBySignal()
    try:
        with ended:
            code = _main.main(list(words), PROGRAM, standalone_mode=False, color=color)
        _flush()
    except click.ClickException as error:
        last_word(_line(error))
        return error.exit_code
    except StartError as error:
        last_word(error, error.__cause__)
        return 1
    except OSError as error:
        # Of a file that the command line names, or of the output. Programs fail in other ways.
        last_word(_explained(error))
        _drop_output()
        return 1
    except (click.Abort, KeyboardInterrupt):
        return ended.code
    return int(code or 0)


def _explained(error: OSError) -> str:
    """What went wrong with which file, without the number of the error."""
    if error.strerror is None or error.filename is None:
        return str(error)
    path = os.fsdecode(error.filename)
    return f"{path} cannot be used: {error.strerror}. Name another path, or correct this one."


def _flush() -> None:
    if sys.stdout is not None:
        sys.stdout.flush()


def _drop_output() -> None:
    """Drop what cannot be written: Python would try again at its end, and fail with code 120."""
    try:
        _flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _line(error: click.ClickException) -> str:
    message = " ".join(error.format_message().split())
    if isinstance(error, click.UsageError) and error.ctx is not None:
        return f"{message.rstrip('.')}. See: {error.ctx.command_path} --help"
    return message
