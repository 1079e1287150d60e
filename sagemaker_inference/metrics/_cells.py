"""Numbers that one process writes and another reads, without a lock or a system call.

A process has one area. In a worker it is memory shared by descriptor, which the supervisor reads at
any time, also after the worker was killed; anywhere else it is memory of its own. Each number is a
*cell*: a float of 8 bytes with one writer, a thread. What a cell is for is written down once, when
it is taken, as a line of JSON behind the cells; the count of these lines is moved on last, so that
a reader never sees half a line.

Layout: magic, bytes of descriptions, cells taken (8 bytes each), then the cells, then descriptions.
"""

from __future__ import annotations

import json
import mmap
import os
import tempfile
import threading
from struct import Struct
from typing import Any, Final, NamedTuple

_MAGIC: Final = 0x53494D31  # "SIM1": a change of the layout changes it
_HEADER: Final = Struct("=qqq")
_DESCRIBED: Final = 8
_COUNT: Final = Struct("=q")
_CELL: Final = 8
# 16,384 cells take 128 KiB; a histogram of 15 buckets takes 17 for each thread and set of labels.
# The file is sparse: what is not used takes no memory.
CELLS: Final = 1 << 14
_DESCRIPTIONS: Final = 1 << 20
SIZE: Final = _HEADER.size + CELLS * _CELL + _DESCRIPTIONS
_TEXT: Final = _HEADER.size + CELLS * _CELL


class Described(NamedTuple):
    """Cells that belong together, and what they are for.

    Attributes:
        about: what they are for: the description that `Area.take` got.
        values: the numbers in them.
    """

    about: dict[str, Any]
    values: list[float]


class Area:
    """The cells of one process.

    Args:
        fd: a descriptor that `make_file` has given, or None for memory that nobody else reads.

    Attributes:
        cells: the numbers, by place.
    """

    def __init__(self, fd: int | None = None) -> None:
        self._memory = mmap.mmap(-1 if fd is None else fd, SIZE)
        self.cells = memoryview(self._memory)[_HEADER.size : _TEXT].cast("d")
        self._lock = threading.Lock()
        self._reader: Reader | None = None
        magic, self._described, self._taken = _HEADER.unpack_from(self._memory)
        if magic != _MAGIC:
            self._described = self._taken = 0
            _HEADER.pack_into(self._memory, 0, _MAGIC, 0, 0)

    def take(self, count: int, about: dict[str, Any]) -> int | None:
        """Take ``count`` cells that follow each other, all 0; None where there are no more.

        Args:
            count: how many.
            about: what they are for, as JSON can say it.
        """
        line = json.dumps({**about, "count": count}, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            place: int = self._taken
            end = self._described + len(line)
            if place + count > CELLS or end > _DESCRIPTIONS:
                return None
            self._memory[_TEXT + self._described : _TEXT + end] = line
            self._taken, self._described = place + count, end
            _HEADER.pack_into(self._memory, 0, _MAGIC, end, self._taken)
        return place

    def read(self) -> list[Described]:
        """Everything that is described by now, for this process itself."""
        with self._lock:
            if self._reader is None:
                self._reader = Reader(self._memory)
            return self._reader.read()


class Reader:
    """Reads an area, which another process may write.

    Args:
        memory: that of the area.
    """

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory
        self._view = memoryview(memory)
        self._cells = self._view[_HEADER.size : _TEXT].cast("d")
        self._read = 0
        self._taken = 0
        self._about: list[tuple[dict[str, Any], int, int]] = []

    @classmethod
    def from_file(cls, fd: int) -> Reader:
        """The reader of an area in a file; the descriptor stays the caller's."""
        return cls(mmap.mmap(fd, SIZE, prot=mmap.PROT_READ))

    def read(self) -> list[Described]:
        """Everything that is described by now."""
        (described,) = _COUNT.unpack_from(self._memory, _DESCRIBED)
        new = bytes(self._view[_TEXT + self._read : _TEXT + described])
        for line in new.splitlines():
            about = json.loads(line)
            count = about.pop("count")
            self._about.append((about, self._taken, count))
            self._taken += count
        self._read = described
        return [
            Described(about, [float(value) for value in self._cells[place : place + count]])
            for about, place, count in self._about
        ]

    def close(self) -> None:
        """Give the memory back."""
        self._cells.release()
        self._view.release()
        self._memory.close()


def make_file() -> int:
    """The descriptor of an area that is shared by it: in memory, or in the temporary directory."""
    try:
        fd = os.memfd_create("sagemaker-inference-metrics")
    except OSError:  # a sandbox may refuse it
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, SIZE)
    return fd
