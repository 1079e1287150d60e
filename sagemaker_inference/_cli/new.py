"""``sagemaker-inference new``."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from sagemaker_inference._cli._command import Command

if TYPE_CHECKING:
    from importlib.abc import Traversable

KINDS: Final = ("sklearn", "torch", "huggingface", "xgboost", "streaming")
# The templates are not modules: nothing imports, compiles or checks them here.
_ENDING: Final = ".template"


@click.command(
    cls=Command,
    name="new",
    short_help="Write a program to begin with.",
    examples=["new flowers --kind sklearn", "new chat --kind streaming"],
)
@click.argument("name", type=click.Path(path_type=Path))
@click.option("--kind", type=click.Choice(KINDS), required=True, help="The library, or streaming.")
def command(name: Path, *, kind: str) -> int:
    """Write a program, a request, a test, requirements and a Dockerfile into the folder NAME.

    The folder has to be empty, or is created.
    """
    if name.exists() and (not name.is_dir() or any(name.iterdir())):
        message = f"{name} is not an empty folder. Choose another name."
        raise click.UsageError(message)
    name.mkdir(parents=True, exist_ok=True)
    files = sorted((_templates("common") | _templates(kind)).items())
    for file, template in files:
        (name / file).write_text(template.read_text(encoding="utf-8"), encoding="utf-8")
    # Not before: whoever reads may stop at the first line.
    click.echo("\n".join(str(name / file) for file, _ in files))
    return 0


def _templates(kind: str) -> dict[str, Traversable]:
    folder = resources.files("sagemaker_inference") / "_cli" / "_templates" / kind
    return {one.name.removesuffix(_ENDING): one for one in folder.iterdir()}
