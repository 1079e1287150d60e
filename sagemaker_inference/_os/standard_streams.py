"""Stdin, stdout and stderr of a process: that they are there, and who may write to them."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator


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


@contextlib.contextmanager
def reserved_output() -> Iterator[TextIO]:
    """Keep the standard output for the caller: what others write there goes to standard error.

    Others are Python code, libraries in C and child processes, so the descriptor is another one in
    the meantime, and not `sys.stdout` alone. So it is again when the process ends: a program's
    exit handlers print, too.

    Yields:
        What writes to the standard output.
    """
    ensure_open()
    flush()
    before = sys.stdout
    kept = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    # Somebody may have replaced the stream, as tests do; then the descriptor is not what is read.
    output = _opened(kept, before) if before is None or _writes_to_1(before) else before
    try:
        yield output
    finally:
        flush()
        _flush_c()
        sys.stdout = before
        os.dup2(kept, 1)
        atexit.unregister(_give_up_output)
        atexit.register(_give_up_output)
        if output is before:
            os.close(kept)
        else:
            _close(output, kept)


def _writes_to_1(stream: TextIO) -> bool:
    try:
        return stream.fileno() == 1
    except (AttributeError, OSError, ValueError):
        return False


def _opened(fd: int, before: TextIO | None) -> TextIO:
    encoding = before.encoding if before else "utf-8"
    return open(fd, "w", encoding=encoding, errors=before.errors if before else None)


def _close(output: TextIO, fd: int) -> None:
    try:
        output.flush()
    except OSError:
        # Its reader has gone. What is left would be tried again, by then on another file.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, fd)
        os.close(null)
        raise
    finally:
        output.close()


def _flush_c() -> None:
    """Write what C has in its buffers, which Python does not know."""
    # Windows has no library of all that is loaded.
    name = None if os.name == "posix" else "ucrtbase"
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(name).fflush(None)


def _give_up_output() -> None:
    flush()
    sys.stdout = sys.stderr
    with contextlib.suppress(OSError):
        os.dup2(2, 1)
