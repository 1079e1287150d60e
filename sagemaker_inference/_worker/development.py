"""What is different in a worker of `sagemaker-inference dev`.

It waits with all that it needs imported, so that an edit is served in the time that the program
itself takes; and its errors have tracebacks. Nothing here is imported where the supervisor has no
gate, and no variable makes one.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Final

from sagemaker_inference._http.messages import Request
from sagemaker_inference._log import users_traceback

# What nearly every program imports, or the server for it.
_USUAL: Final = ("numpy", "sagemaker_inference", "sagemaker_inference.codecs", "orjson")


def warm_up() -> None:
    """Import what nearly every program needs."""
    for name in _USUAL:
        import_module(name)


def show_tracebacks() -> None:
    """Have clients of this process get the traceback of what has failed."""

    def note_failure(_request: Request, error: BaseException) -> str:
        return users_traceback(error)

    Request.note_failure = note_failure  # type: ignore[method-assign, assignment]


def wait(gate: str) -> None:
    """Wait until somebody opens a FIFO for writing, who keeps it open.

    Args:
        gate: the path of the FIFO.
    """
    warm_up()
    os.close(os.open(gate, os.O_RDONLY))
