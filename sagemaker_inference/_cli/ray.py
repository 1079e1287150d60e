"""``sagemaker-inference ray``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from sagemaker_inference._cli._command import Command, CommandError, OutputFile

_LARGEST_PORT: Final = 65535


@click.command(
    cls=Command,
    name="ray",
    short_help="Serve a program on Ray Serve here, or write its config file.",
    examples=[
        "ray inference.py --replicas 2",
        "ray /opt/ml/model/code/inference.py --write /opt/ml/model/config.yaml",
    ],
)
@click.argument("program", default="inference.py", type=click.Path(dir_okay=False))
@click.option(
    "--replicas",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="How many processes have the model.",
)
@click.option(
    "--model-dir",
    type=click.Path(file_okay=False),
    help="The folder of the model; by default /opt/ml/model, or where PROGRAM is.",
)
@click.option("--host", help="The address to listen on; 127.0.0.1, or 0.0.0.0 with --write.")
@click.option(
    "--port",
    type=click.IntRange(1, _LARGEST_PORT),
    default=8000,
    show_default=True,
    help="The port of Ray's proxies.",
)
@click.option(
    "--write",
    "target",
    type=OutputFile(),
    help="Write the config file for `serve deploy`, and for AWS's Ray container.",
)
def command(  # noqa: PLR0913, PLR0917 - the options
    program: str,
    replicas: int,
    model_dir: str | None,
    host: str | None,
    port: int,
    target: Path | None,
) -> None:
    """Serve PROGRAM on Ray Serve on this machine until Ctrl-C, or write its config file.

    With --write, paths are those of the machines of the cluster, and nothing is started. PROGRAM is
    inference.py by default. Either needs the extra `ray`.
    """
    if target is not None:
        from sagemaker_inference.ray._config_file import config_file

        # Ray's default, too: a cluster is asked from outside.
        address = host or "0.0.0.0"  # noqa: S104
        text = config_file(program, model_dir=model_dir, replicas=replicas, host=address, port=port)
        _write(target, text)
        return
    for path in (program, model_dir):
        if path is not None and not Path(path).exists():
            message = f"{path} is not there. Pass another path, or --write a config file."
            raise CommandError(message)
    from sagemaker_inference.ray._local import serve_here

    address = host or "127.0.0.1"

    def on_ready() -> None:
        click.echo(f"{program} is served at http://{address}:{port}. Ctrl-C stops it.")

    serve_here(
        program, model_dir=model_dir, replicas=replicas, host=address, port=port, on_ready=on_ready
    )


def _write(target: Path, text: str) -> None:
    try:
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        message = f"{target} cannot be written: {error.strerror}"
        raise CommandError(message) from None
    click.echo(f"{target} is written. Next: serve deploy {target}")
