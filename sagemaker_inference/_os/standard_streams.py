"""Stdin, stdout and stderr of a process that somebody has started without them."""

from __future__ import annotations

import contextlib
import os
import sys


def ensure_open() -> None:
    """Open what is closed, on nothing: else the next file or socket would get its number.

    What a process prints, or a child inherits, would then be written into that.
    """
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            # The lowest free number, which is this one, since those before it are open.
            os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(fd, True)  # noqa: FBT003 - its own signature


def flush() -> None:
    """Write what is left in the buffers, if anybody takes it."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            if stream is not None:
                stream.flush()
