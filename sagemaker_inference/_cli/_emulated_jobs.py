"""Transform jobs of the emulator, by the code of the command ``transform``."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import click

from sagemaker_inference._cli._endpoint import Endpoint
from sagemaker_inference._cli.transform import job_of
from sagemaker_inference._log import escaped
from sagemaker_inference._words import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

logger = logging.getLogger("sagemaker_inference._emulator.transform")


class _Stopped(Exception):  # noqa: N818 - nothing has failed
    pass


def transform(
    url: str,
    options: Mapping[str, Any],
    files: Sequence[tuple[Path, Path]],
    is_stopped: Callable[[], bool],
) -> str:
    """Transform files; see `sagemaker_inference._emulator.transform_jobs.Transform`."""

    def go_on(_size: int) -> None:
        if is_stopped():
            raise _Stopped

    client = Endpoint(url, options["timeout"])
    problems: list[str] = []
    try:
        job = job_of(client, options)
        for path, output in files:
            go_on(0)
            try:
                output.parent.mkdir(parents=True, exist_ok=True)
                result = job.transform(client, path, output, go_on)
            except (click.ClickException, OSError, ValueError) as error:
                problems.append(_reported(error, f"{path.name}: "))
            else:
                logger.info("%s: %s", output, counted(result.records, "record"))
    except _Stopped:
        return ""
    except (click.ClickException, OSError, ValueError) as error:
        return _reported(error)
    finally:
        client.close()
    return problems[0] if problems else ""


def _reported(error: Exception, where: str = "") -> str:
    """What has failed, which is logged, too."""
    text = error.format_message() if isinstance(error, click.ClickException) else error
    problem = f"{where}{text}"
    logger.error("%s", escaped(problem))
    return problem
