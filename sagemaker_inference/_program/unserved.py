"""A program that python runs to its end without serving: it is told what is missing."""

from __future__ import annotations

import atexit
import os
import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference._program.registry import Registry

_MAIN: Final = "__main__"


def watch(registry: Registry, function: Callable[..., Any]) -> None:
    """Have this process look at its end whether a registry was served.

    Only where a file is run that registers handlers itself: what imports a program, such as a test
    or a worker, has no reason to serve it, and neither has a prompt or a notebook.
    """
    is_run = getattr(function, "__module__", "") == _MAIN and not sys.flags.interactive
    # At the end, the module does not have it any more. os.path: every program imports this one.
    file = getattr(sys.modules[_MAIN], "__file__", None)
    if is_run and registry.is_empty and file and os.path.isfile(file):  # noqa: PTH113
        atexit.register(_remind, registry, file)


def forget() -> None:
    """Print nothing at the end: the program asks to be served."""
    atexit.unregister(_remind)


def _remind(registry: Registry, file: str) -> None:
    # The last one is set where a traceback was printed, which says enough.
    if hasattr(sys, "last_value") or registry.is_closed or registry.is_empty:
        return
    message = (
        f"sagemaker-inference: {file} registers handlers and has ended without serving them. "
        "Call serve at the end of the file:\n"
        "    from sagemaker_inference import serve\n    serve(__name__)\n"
        f"Or run it with a command, which needs no such call: sagemaker-inference serve {file}"
    )
    print(message, file=sys.stderr)  # noqa: T201 - there is no log yet
