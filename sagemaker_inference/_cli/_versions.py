"""What ``--version`` prints."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import TYPE_CHECKING

from sagemaker_inference import __version__
from sagemaker_inference._errors import StartError
from sagemaker_inference._frontends.mms import jar, java

if TYPE_CHECKING:
    from collections.abc import Callable


def versions() -> list[str]:
    """Lines that name what a server runs on, each with its version, or why there is none."""
    return [
        f"sagemaker-inference {__version__}",
        f"Python {platform.python_version()}",
        f"Java {_or_problem(_java)}",
        f"Multi Model Server {metadata.version('multi-model-server')}",
        f"Netty {_or_problem(jar.netty_version)}",
    ]


def _java() -> str:
    path = java.find_java().path
    return f"{java.release_of(path)} ({path})"


def _or_problem(version: Callable[[], str]) -> str:
    try:
        return version()
    except StartError as error:
        return f"not found: {error}"
