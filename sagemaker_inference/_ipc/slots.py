"""The table of connections that the supervisor shares with its model processes.

A *slot* is one connection of the front end, and so at most one request (or batch) at a time. Each
has a record in shared memory that says what is being done on it and by whom. When a model process
dies or hangs, the supervisor reads there which requests were lost, and answers them itself.
"""

from __future__ import annotations

import mmap
import os
import select
import tempfile
from struct import Struct
from time import monotonic
from typing import Final, NamedTuple

# Connections live at the same descriptor number in every process, since that is how the shared
# epoll instance names them; the range lies above what programs open and below the usual limit of
# 1,024 descriptors.
FIRST_FD: Final = 512
MAX_SLOTS: Final = 256

# What the shared epoll instance is asked for: the next arrival, told to one process, once.
ARMED: Final = select.EPOLLIN | select.EPOLLONESHOT

IDLE: Final = 0
READING: Final = 1
RUNNING: Final = 2
ANSWERING: Final = 3

_RECORD: Final = Struct("=iiiid40s")
_STATE: Final = Struct("=i")
_STATE_AND_GENERATION: Final = Struct("=i4xi")
_SIZE: Final = 64
_ID_LENGTH: Final = 40
_COUNT: Final = Struct("=q")
_COUNTS: Final = MAX_SLOTS * _SIZE


class Slot(NamedTuple):
    """A record.

    Attributes:
        state: IDLE, READING (a message is partly read), RUNNING (a whole request is read and no
            byte of its answer is written) or ANSWERING.
        pid: the process that works on it.
        generation: counts the connections that have used this slot.
        since: when the state began, by the system's monotonic clock, in seconds.
        wants_text: whether its client takes errors as text, and no JSON.
        request_id: the request, while RUNNING.
    """

    state: int
    pid: int
    generation: int
    since: float
    wants_text: bool
    request_id: str


class SlotTable:
    """The records of all slots, in memory shared by descriptor.

    Args:
        fd: the descriptor of an existing table; None makes a new one.
    """

    def __init__(self, fd: int | None = None) -> None:
        size = MAX_SLOTS * (_SIZE + _COUNT.size)
        if fd is None:
            fd = _anonymous_file(size)
        self.fd = fd
        self._memory = mmap.mmap(fd, size)

    def close(self) -> None:
        """Give the memory back."""
        self._memory.close()
        os.close(self.fd)

    def read(self, slot: int) -> Slot:
        """The record as it is now."""
        state, pid, generation, text, since, name = _RECORD.unpack_from(self._memory, slot * _SIZE)
        request_id = name.rstrip(b"\0").decode("utf-8", "replace")
        return Slot(state, pid, generation, since, bool(text), request_id)

    def state(self, slot: int) -> tuple[int, int]:
        """State and generation, cheaply."""
        state, generation = _STATE_AND_GENERATION.unpack_from(self._memory, slot * _SIZE)
        return state, generation

    def write(  # noqa: PLR0913 - the fields of a record
        self,
        slot: int,
        state: int,
        pid: int,
        generation: int,
        request_id: str = "",
        *,
        wants_text: bool = False,
    ) -> None:
        """Replace the record; the clock starts anew."""
        _RECORD.pack_into(
            self._memory,
            slot * _SIZE,
            state,
            pid,
            generation,
            wants_text,
            monotonic(),
            request_id.encode()[:_ID_LENGTH],
        )

    def count_answer(self, index: int) -> None:
        """Note that worker ``index`` has answered a request."""
        place = _COUNTS + index % MAX_SLOTS * _COUNT.size
        _COUNT.pack_into(self._memory, place, _COUNT.unpack_from(self._memory, place)[0] + 1)

    def answered(self, index: int) -> int:
        """How many requests worker ``index`` has answered since it was last started."""
        place = _COUNTS + index % MAX_SLOTS * _COUNT.size
        count: int = _COUNT.unpack_from(self._memory, place)[0]
        return count

    def reset_answered(self, index: int) -> None:
        """Start counting anew."""
        _COUNT.pack_into(self._memory, _COUNTS + index % MAX_SLOTS * _COUNT.size, 0)

    def mark(self, slot: int, state: int) -> None:
        """Change only the state."""
        _STATE.pack_into(self._memory, slot * _SIZE, state)


def reserve(first: int = 0, count: int = MAX_SLOTS) -> None:
    """Keep the numbers of connections, from a slot on, free of files that anyone else opens."""
    null = os.open(os.devnull, os.O_RDWR)
    for slot in range(first, first + count):
        os.dup2(null, FIRST_FD + slot, inheritable=False)
    os.close(null)


def _anonymous_file(size: int) -> int:
    """A file without a name: in memory, or in the temporary directory where that is refused."""
    try:
        fd = os.memfd_create("sagemaker-inference-slots")
    except OSError:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, size)
    return fd
