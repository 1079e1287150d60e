"""The front end's connections to a deployment, as the supervisor holds them for all workers."""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import select
import socket
import struct
import termios
from typing import TYPE_CHECKING, Final

from sagemaker_inference._http.error_response import ErrorForm, error_response
from sagemaker_inference._ipc import slots, wire
from sagemaker_inference._ipc.fds import send_fds
from sagemaker_inference._ipc.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagemaker_inference._errors import InferenceError
    from sagemaker_inference._ipc.slots import Slot, SlotTable
    from sagemaker_inference._supervisor.slot_pool import SlotPool

# A front end that stands still in the middle of a message is given up after so many seconds.
_STALLED_SECONDS: Final = 30
# A worker notices that a moment later.
STALLED_SECONDS: Final = _STALLED_SECONDS + 5.0
_SEND_BUFFER: Final = 1 << 20
# What the epoll instance is asked for where no worker is at work, by state.
_WAITING: Final = {slots.IDLE: slots.ARMED, slots.AGAIN: slots.ARMED_AGAIN}


class Connections:
    """Owns the shared epoll instance and a duplicate of every connection.

    A duplicate here means that a connection outlives the worker that worked on it: the
    supervisor answers the lost request and hands the connection on.

    Args:
        table: the shared records.
        pool: the slots, shared by all who number connections in this process.
        sessions: how the paths of workers' sockets for requests of sessions begin.
    """

    def __init__(self, table: SlotTable, pool: SlotPool, sessions: str = "") -> None:
        self.table = table
        self.sessions = sessions
        self.journal = Journal()
        self._pool = pool
        # Slots of this deployment without a connection.
        self._spare: list[int] = []
        self.epoll = select.epoll()
        stop_read, self._stop_write = os.pipe()
        self.stop_fd = stop_read
        # Not one-shot: once the other end is closed, every process that waits sees it.
        self.epoll.register(stop_read, select.EPOLLIN)
        self._open: dict[int, socket.socket] = {}
        self._is_armed = True

    def __iter__(self) -> Iterator[int]:
        return iter(list(self._open))

    def reserve(self, count: int) -> bool:
        """Keep slots for connections that are about to come; False where too few are free."""
        taken = self._pool.take(count)
        self._spare += taken
        return len(taken) == count

    def add(self, sock: socket.socket) -> int | None:
        """Give a new connection a slot; None where all are taken. Call `arm` next."""
        slot = self._next_slot()
        if slot is None:
            sock.close()
            return None
        pause = struct.pack("ll", _STALLED_SECONDS, 0)
        sock.setblocking(True)  # noqa: FBT003 - socket's own signature
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, pause)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, pause)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        fd = os.dup2(sock.fileno(), slots.FIRST_FD + slot, inheritable=False)
        sock.close()
        self._open[slot] = socket.socket(fileno=fd)
        self.table.write(slot, slots.IDLE, 0, self.table.state(slot)[1] + 1)
        return slot

    def _next_slot(self) -> int | None:
        self._spare += [] if self._spare else self._pool.take(1)
        for slot in self._spare:
            # A worker may still be at work for a connection that is gone.
            if self.table.state(slot)[0] == slots.IDLE:
                self._spare.remove(slot)
                return slot
        more = self._pool.take(1)
        return more[0] if more else None

    @property
    def busy(self) -> int:
        """On how many a worker is at work."""
        return sum(self.table.state(slot)[0] not in _WAITING for slot in self._open)

    @property
    def is_open(self) -> bool:
        """Whether workers are to go on."""
        return self._stop_write >= 0

    @staticmethod
    def fd(slot: int) -> int:
        """The descriptor of a slot's connection, the same in all processes."""
        return slots.FIRST_FD + slot

    def arm(self, slot: int) -> None:
        """Hand the connection's next request out."""
        if self._is_armed:
            self.epoll.register(slots.FIRST_FD + slot, slots.ARMED)

    def disarm(self) -> None:
        """Hand out no more requests: those that no worker has taken stay where they are."""
        for slot in self._open:
            if self.table.state(slot)[0] in _WAITING:
                # Not by asking for no events: the end of a connection would be told all the same,
                # again and again.
                with contextlib.suppress(FileNotFoundError):  # it was never armed
                    self.epoll.unregister(slots.FIRST_FD + slot)
        self._is_armed = False

    def rearm_idle(self) -> None:
        """Hand out again what a process may have taken when it died; harmless for the others."""
        for slot in self._open if self._is_armed else ():
            state = self.table.state(slot)[0]
            if state in _WAITING:
                self.epoll.modify(slots.FIRST_FD + slot, _WAITING[state])

    def waiting(self) -> list[tuple[int, Slot]]:
        """The slots with a request that no worker has taken."""
        found = []
        for slot, sock in self._open.items():
            record = self.table.read(slot)
            if record.state == slots.AGAIN or (record.state == slots.IDLE and _has_data(sock)):
                found.append((slot, record))
        return found

    def repeats(self) -> bool:
        """Whether a worker is at work on a request over which another one has ended."""
        records = map(self.table.read, self._open)
        return any(record.is_taken and record.tries for record in records)

    def pass_on(self, slot: int, control: socket.socket) -> None:
        """Send a connection to a worker.

        Raises:
            OSError: the process is gone, or has not read for long.
        """
        record = array.array("i", [slot, self.table.state(slot)[1]])
        send_fds(control, record.tobytes(), [slots.FIRST_FD + slot])

    def close(self, slot: int) -> None:
        """Close a connection for all processes."""
        sock = self._open.pop(slot, None)
        if sock is None:
            return
        with contextlib.suppress(FileNotFoundError):  # it was never armed
            self.epoll.unregister(sock.fileno())
        with contextlib.suppress(OSError):  # the front end has closed it before
            # Other processes hold duplicates: only a shutdown reaches the front end.
            sock.shutdown(socket.SHUT_RDWR)
        if self.table.state(slot)[0] == slots.AGAIN:  # no worker has it
            self.table.mark(slot, slots.IDLE)
        # Closed and reserved in one: nothing else may get the number in between.
        sock.detach()
        slots.reserve([slot])
        self._spare.append(slot)

    def held_by(self, pid: int) -> list[tuple[int, Slot]]:
        """The slots on which a process is at work."""
        # Also where the front end has closed the connection, and the slot waits for another one.
        records = [(slot, self.table.read(slot)) for slot in (*self._open, *self._spare)]
        return [
            (slot, record)
            for slot, record in records
            if record.pid == pid and record.state not in _WAITING
        ]

    def hand_out_again(self, slot: int, record: Slot) -> bool:
        """Have another worker answer a request, alone; False where that is impossible.

        It is done once, where the request was kept: the next worker may end over it, too.
        """
        sock = self._open.get(slot)
        if not (record.is_taken and record.kept) or record.tries or sock is None:
            return False
        self.table.write(
            slot,
            slots.AGAIN,
            0,
            record.generation,
            record.request_id,
            error_form=record.error_form,
            tries=record.tries + 1,
            kept=record.kept,
        )
        self.epoll.modify(slots.FIRST_FD + slot, slots.ARMED_AGAIN)
        return True

    def answer(self, slot: int, record: Slot, error: InferenceError) -> bool:
        """Answer a request for a process that no longer can.

        Returns:
            False where the connection has to be closed, so that the front end answers for itself:
            the process had read or written a part of a message.
        """
        self.table.write(slot, slots.IDLE, 0, record.generation)
        sock = self._open.get(slot)
        if sock is None:  # the front end has closed it before
            return True
        if not record.is_taken:
            return False
        response = error_response(error, record.request_id, form=ErrorForm(record.error_form))
        try:
            sock.sendmsg(wire.write_for_lost(record.request_id, response))
            self.epoll.modify(slots.FIRST_FD + slot, slots.ARMED)
        except OSError:
            return False
        return True

    def break_off(self, slot: int, status: int) -> None:
        """Have the front end count a stream that it is about to lose by this status.

        Its worker must not have been killed within a chunk, which this would become a part of.
        """
        sock = self._open.get(slot)
        if sock is not None:
            with contextlib.suppress(OSError):  # the front end has closed it before
                sock.send(wire.break_lost_stream(status), socket.MSG_DONTWAIT)

    def dispose(self) -> None:
        """Close everything that is held here."""
        for slot in self:
            self.close(slot)
        self._pool.give_back(self._spare)
        self._spare = []
        self.stop()
        self.epoll.close()
        os.close(self.stop_fd)
        self.table.close()
        self.journal.close()

    def stop(self) -> None:
        """Tell all workers to finish."""
        if self._stop_write >= 0:
            os.close(self._stop_write)
            self._stop_write = -1


def _has_data(sock: socket.socket) -> bool:
    """Whether something has arrived that nobody has read."""
    (count,) = struct.unpack("i", fcntl.ioctl(sock, termios.FIONREAD, b"\0" * 4))
    return bool(count)
