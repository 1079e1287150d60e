"""The table of connections that the supervisor shares with its workers.

A *slot* is one connection of the front end, and so at most one request (or batch) at a time. Each
has a record in shared memory that says what is being done on it and by whom. When a worker dies
or hangs, the supervisor reads there which requests were lost, and answers them itself.
"""

from __future__ import annotations

import mmap
import os
import resource
import select
import tempfile
from struct import Struct
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

# Connections live at the same descriptor number in every process, since that is how the shared
# epoll instance names them; the range lies above what programs open. How many there are depends on
# the limit of descriptors: see `count`.
FIRST_FD: Final = 512
MAX_SLOTS: Final = 2048
LEAST_DESCRIPTORS: Final = FIRST_FD + 256

# What the shared epoll instance is asked for: the next arrival, told to one process, once.
ARMED: Final = select.EPOLLIN | select.EPOLLONESHOT
# The same for a request that is handed out again: its bytes are in the journal, so nothing arrives,
# and the connection has room for an answer at once.
ARMED_AGAIN: Final = select.EPOLLOUT | select.EPOLLONESHOT

IDLE: Final = 0
READING: Final = 1
RUNNING: Final = 2
ANSWERING: Final = 3
# Handed out again after the worker that had the request ended; no worker has it now.
AGAIN: Final = 4
# Taken, while the worker tries other requests: those of the same batch, or the next ones, where the
# answer to this one is about to be sent.
PENDING: Final = 5
# A part of its answer is sent, and the program is at work on the next one.
STREAMING: Final = 6
# Taken by a worker that does not have its session, for the one that has, and not read there yet.
HANDED_OVER: Final = 7
# A WebSocket is open.
SOCKET: Final = 8
# Of these, a client has a part of the answer.
BEGUN: Final = (STREAMING, SOCKET)

_RECORD: Final = Struct("=iiiidii40s")
_STATE: Final = Struct("=i")
_STATE_AND_GENERATION: Final = Struct("=i4xi")
_TIME: Final = Struct("=d")
_TIME_OFFSET: Final = 16
_KEPT: Final = Struct("=i")
_KEPT_OFFSET: Final = 28
_SIZE: Final = 72
_ID_LENGTH: Final = 40
_COUNT: Final = Struct("=q")
_COUNTS: Final = MAX_SLOTS * _SIZE
_BEATS: Final = _COUNTS + MAX_SLOTS * _COUNT.size
_DISMISSED: Final = _BEATS + MAX_SLOTS * _COUNT.size


class Slot(NamedTuple):
    """A record.

    Attributes:
        state: IDLE, READING (a message is partly read), RUNNING (a whole request is read and no
            byte of its answer is written), PENDING (as RUNNING, and the predictor is at work on
            others), ANSWERING, STREAMING (since the last part of its answer was
            sent), SOCKET (since its loop has looked at it last), HANDED_OVER (to the worker that
            has the session) or AGAIN.
        pid: the process that works on it.
        generation: counts the connections that have used this slot.
        since: when the state began, by the system's monotonic clock, in seconds.
        error_form: the number of the form that its client takes errors in; see `ErrorForm`.
        tries: how many workers have ended over the request.
        kept: how many bytes of its message the journal has; 0 where it was not kept.
        request_id: the request, while RUNNING, PENDING, STREAMING, SOCKET, HANDED_OVER or AGAIN.
    """

    state: int
    pid: int
    generation: int
    since: float
    error_form: int
    tries: int
    kept: int
    request_id: str

    @property
    def is_taken(self) -> bool:
        """Whether a worker has the whole request, and has not begun to answer it."""
        return self.state in (RUNNING, PENDING, HANDED_OVER)


class SlotTable:
    """The records of all slots, in memory shared by descriptor.

    Args:
        fd: the descriptor of an existing table; None makes a new one.
    """

    def __init__(self, fd: int | None = None) -> None:
        size = MAX_SLOTS * (_SIZE + 3 * _COUNT.size)
        if fd is None:
            fd = anonymous_file("slots", size)
        self.fd = fd
        self._memory = mmap.mmap(fd, size)

    def close(self) -> None:
        """Give the memory back."""
        self._memory.close()
        os.close(self.fd)

    def read(self, slot: int) -> Slot:
        """The record as it is now."""
        state, pid, generation, form, since, tries, kept, name = _RECORD.unpack_from(
            self._memory, slot * _SIZE
        )
        request_id = name.rstrip(b"\0").decode("utf-8", "replace")
        return Slot(state, pid, generation, since, form, tries, kept, request_id)

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
        error_form: int = 0,
        tries: int = 0,
        kept: int = 0,
    ) -> None:
        """Replace the record; the clock starts anew."""
        _RECORD.pack_into(
            self._memory,
            slot * _SIZE,
            state,
            pid,
            generation,
            error_form,
            monotonic(),
            tries,
            kept,
            request_id.encode()[:_ID_LENGTH],
        )

    def restart(self, slot: int, state: int) -> None:
        """Change the state, and start the clock anew."""
        _STATE.pack_into(self._memory, slot * _SIZE, state)
        _TIME.pack_into(self._memory, slot * _SIZE + _TIME_OFFSET, monotonic())

    def keep(self, slot: int, count: int) -> None:
        """Note how many bytes of the message the journal has."""
        _KEPT.pack_into(self._memory, slot * _SIZE + _KEPT_OFFSET, count)

    def beat(self, index: int) -> None:
        """Note that the loop of worker ``index`` goes round."""
        place = _BEATS + index % MAX_SLOTS * _COUNT.size
        _COUNT.pack_into(self._memory, place, _COUNT.unpack_from(self._memory, place)[0] + 1)

    def beats(self, index: int) -> int:
        """How often the loop of worker ``index`` has gone round without a request."""
        place = _BEATS + index % MAX_SLOTS * _COUNT.size
        count: int = _COUNT.unpack_from(self._memory, place)[0]
        return count

    def dismiss(self, index: int, pid: int) -> None:
        """Ask worker ``index`` to end; by its process id, since its place may be taken again."""
        _COUNT.pack_into(self._memory, _DISMISSED + index % MAX_SLOTS * _COUNT.size, pid)

    def dismissed(self, index: int) -> int:
        """The process id of the worker of a place that was asked last to end; 0 for none."""
        place = _DISMISSED + index % MAX_SLOTS * _COUNT.size
        pid: int = _COUNT.unpack_from(self._memory, place)[0]
        return pid

    def note_answered(self, index: int, count: int) -> None:
        """Note how many requests worker ``index`` has answered since it was started."""
        _COUNT.pack_into(self._memory, _COUNTS + index % MAX_SLOTS * _COUNT.size, count)

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


def count() -> int:
    """How many slots this process can use, by its limit of descriptors."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_SLOTS if limit < 0 else max(0, min(MAX_SLOTS, limit - FIRST_FD))


def reserve(some: Iterable[int]) -> None:
    """Keep the numbers of these connections free of files that anyone else opens."""
    null = os.open(os.devnull, os.O_RDWR)
    for slot in some:
        os.dup2(null, FIRST_FD + slot, inheritable=False)
    os.close(null)


def anonymous_file(name: str, size: int = 0) -> int:
    """A file without a path: in memory, or in the temporary directory where that is refused."""
    try:
        fd = os.memfd_create(f"sagemaker-inference-{name}")
    except OSError:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, size)
    return fd
