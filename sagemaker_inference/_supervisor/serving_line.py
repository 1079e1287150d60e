"""The line that says what is served, and how to try it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sagemaker_inference._config import ALL_ADDRESSES
from sagemaker_inference._os import resources
from sagemaker_inference._program.paths import INVOCATIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagemaker_inference._ipc.messages import Report
    from sagemaker_inference._supervisor.settings import Settings

# It must stay readable.
_NAMED_TYPES: Final = 3


def of_one(settings: Settings, report: Report) -> str:
    """What is said when the one model is served."""
    url = _url(settings)
    return (
        f"serving {settings.program.label if settings.program else settings.handler_service} with "
        f"the model in {settings.model_dir} on {url} ({settings.workers} "
        f"worker{'' if settings.workers == 1 else 's'}, "
        f"OMP_NUM_THREADS={resources.threads(settings.workers)}; "
        f"usable: {resources.summary(settings.gpus)}); "
        f"{f'requests go to {report.predictor}; ' if report.predictor else ''}"
        f"reads {_first(report.readable) or 'what the program reads'}; "
        f"answers {_first(report.writable) or 'what the program writes'}"
        f"{_paths(report.paths)}. Try: curl -H "
        f"'Content-Type: {_example(report.readable)}' "
        f"--data-binary @FILE {url}{report.paths[0]}"
    )


def of_many(settings: Settings) -> str:
    """What is said when models can be loaded."""
    url = _url(settings)
    return (
        f"serving models on {url} as they are loaded (workers of each: {settings.workers}; "
        f"usable: {resources.summary(settings.gpus)}). Try: curl -X POST "
        f"'{url}/models?model_name=NAME&url=/DIRECTORY'"
    )


def _url(settings: Settings) -> str:
    """Where a client on this machine reaches the server."""
    host = "127.0.0.1" if settings.host == ALL_ADDRESSES else settings.host
    return f"http://{host}:{settings.config.port}"


def _paths(paths: Sequence[str]) -> str:
    """The paths of a program, where it has others than ``/invocations``."""
    return "" if tuple(paths) == (INVOCATIONS,) else f"; paths: {', '.join(paths)}"


def _example(readable: Sequence[str]) -> str:
    """A content type to try; scripts and some decoders read "*/*", which no request has."""
    return next((name for name in readable if "*" not in name), "application/json")


def _first(names: Sequence[str]) -> str:
    more = len(names) - _NAMED_TYPES
    named = ", ".join(names[:_NAMED_TYPES])
    return f"{named} and {more} more" if more > 0 else named
