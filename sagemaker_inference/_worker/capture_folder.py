"""The folder of captured requests: a folder for each hour, and in it a file for each process.

A process appends whole lines to a file of its own. So others may read them at any time, and one
that is killed leaves at most its last line incomplete.
"""

from __future__ import annotations

import os
import re
import time
import uuid
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sagemaker_inference import _variables
from sagemaker_inference._parsers import MEGABYTE

if TYPE_CHECKING:
    from collections.abc import Sequence

# Other processes write to the folder, too: it is measured after so many bytes of this one.
_STEP: Final = MEGABYTE
# So often, where it is full: somebody may have made room.
_FULL_SECONDS: Final = 1.0
# Windows would write two characters for the end of a line, and sizes would be wrong.
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
# What clients send may be for nobody else.
_FILE_MODE: Final = 0o600
_ODD: Final = re.compile(r"^\.|[^\w.-]")


class CaptureFolder:
    """Appends lines to a file in a folder.

    Args:
        path: the folder, which does not have to exist.
        limit: the size of the folder above which nothing is written, in bytes.
        model_name: where there are many models, this one's; it has a folder of its own.

    Attributes:
        problem: why not all of the last lines were written; "" where they were.
    """

    def __init__(self, path: str, limit: int, model_name: str = "") -> None:
        self._root = Path(path)
        self._folder = Path(path, _ODD.sub("_", model_name))
        self._limit = limit
        self._hour = ""
        self._fd = -1
        self._size = 0
        # The bytes in the folder when it was measured, and those written since.
        self._used, self._since = 0, _STEP
        self._measured_at = 0.0
        self.problem = ""

    def write(self, lines: Sequence[bytes], seconds: float) -> int:
        """Append lines; returns how many of them were written, from the first on.

        Args:
            lines: the lines.
            seconds: now, in seconds since 1970.
        """
        self.problem = ""
        try:
            self._open(seconds)
            fitting = self._fitting(lines)
        except OSError as error:
            self.problem = str(error)
            return 0
        if fitting < len(lines):
            megabytes = f"{_variables.MAX_CAPTURE_IN_MB.name}={self._limit // MEGABYTE}"
            self.problem = (
                f"the folder is full by {megabytes}. Move files out of it, or set the variable "
                "to more"
            )
        return self._append(b"".join(lines[:fitting]))

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self, seconds: float) -> None:
        """Have this hour's file open, which may be new, or again after somebody has removed it."""
        moment = time.gmtime(seconds)
        hour = time.strftime("%Y/%m/%d/%H", moment)
        if self._fd >= 0 and (hour != self._hour or not os.fstat(self._fd).st_nlink):
            self.close()
        if self._fd >= 0:
            return
        folder = self._folder / hour
        folder.mkdir(parents=True, exist_ok=True)
        milliseconds = int(seconds % 1 * 1000)
        name = f"{time.strftime('%M-%S', moment)}-{milliseconds:03d}-{uuid.uuid4()}.jsonl"
        self._fd = os.open(folder / name, _FLAGS, _FILE_MODE)
        self._hour, self._size = hour, 0

    def _fitting(self, lines: Sequence[bytes]) -> int:
        """How many of the lines the folder has room for."""
        size = sum(map(len, lines))
        is_full = self._used + self._since + size > self._limit
        if self._since + size > _STEP or (is_full and self._is_worth_a_look):
            self._measure()
        room = self._limit - self._used - self._since
        return sum(total <= room for total in accumulate(map(len, lines)))

    @property
    def _is_worth_a_look(self) -> bool:
        return time.monotonic() - self._measured_at > _FULL_SECONDS

    def _measure(self) -> None:
        self._used = sum(
            Path(folder, name).stat().st_size
            for folder, _, names in os.walk(self._root)
            for name in names
        )
        self._since = 0
        self._measured_at = time.monotonic()

    def _append(self, data: bytes) -> int:
        """Write lines, or as many whole ones as can be written; returns how many."""
        written = 0
        try:
            while written < len(data):
                written += os.write(self._fd, data[written:])
        except OSError as error:
            self.problem = str(error)
            # A line that is cut off would join the next one.
            written = data.rfind(b"\n", 0, written) + 1
            os.ftruncate(self._fd, self._size + written)
        self._size += written
        self._since += written
        return data.count(b"\n", 0, written)
