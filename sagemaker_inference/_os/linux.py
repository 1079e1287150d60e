"""What needs Linux: the server, which other systems can only be told about."""

from __future__ import annotations

import sys

from sagemaker_inference._errors import StartError


def require(what: str, instead: str) -> None:
    """Refuse what this system cannot do, before a module is imported that is for Linux alone.

    Args:
        what: what needs Linux.
        instead: what to do here.

    Raises:
        StartError: this is not Linux.
    """
    if sys.platform != "linux":
        message = f"{what} needs Linux: {instead}"
        raise StartError(message)


def require_for_server(file: str = "inference.py") -> None:
    """Refuse to start the server where this is not Linux.

    Args:
        file: the program, which the message has in a command to use instead.
    """
    require("the server", f"here, serve the program with: sagemaker-inference dev {file}")
