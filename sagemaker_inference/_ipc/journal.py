"""Copies of the requests that a worker handles at the same time as others.

When a worker dies, all requests that it had are lost, and only one of them may be to blame. What is
kept here outlives the worker: another one predicts for the innocent. A worker that handles one
request at a time keeps nothing, since the request that it dies over is the one to blame.

One file for a deployment, without a path, with a region for each slot. The file is sparse: a region
takes no more memory than the longest message that was kept in it lately.
"""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING, Final

from sagemaker_inference._ipc.slots import anonymous_file

if TYPE_CHECKING:
    from sagemaker_inference.codecs import Body

# Longer messages are not kept: 32 of them at a time would cost more memory than most models.
LONGEST: Final = 8 << 20
# Up to this, a region stays in memory for the next message.
_STAYS: Final = 1 << 16

# linux/falloc.h
_KEEP_SIZE: Final = 1
_PUNCH_HOLE: Final = 2

_fallocate = ctypes.CDLL(None, use_errno=True).fallocate
_fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


class Journal:
    """The file.

    Args:
        fd: the descriptor of an existing one; None makes a new one.
    """

    def __init__(self, fd: int | None = None) -> None:
        self.fd = anonymous_file("journal") if fd is None else fd

    def close(self) -> None:
        """Give the memory back."""
        os.close(self.fd)

    def keep(self, slot: int, message: Body) -> int:
        """Keep a message; returns its length, or 0 where it could not be kept."""
        size = len(message)
        if size > LONGEST:
            return 0
        try:
            written = os.pwrite(self.fd, message, slot * LONGEST)
        except OSError:  # memory, or the size of files, may be limited
            return 0
        return size if written == size else 0

    def read(self, slot: int, size: int) -> bytes:
        """A message that was kept."""
        return os.pread(self.fd, size, slot * LONGEST)

    def forget(self, slot: int, size: int) -> None:
        """Give the memory of a long message back."""
        if size > _STAYS:
            _fallocate(self.fd, _PUNCH_HOLE | _KEEP_SIZE, slot * LONGEST, size)
