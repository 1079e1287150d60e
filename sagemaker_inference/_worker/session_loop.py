"""The loop of a worker whose program has sessions: requests reach the worker that has theirs.

All workers take requests from one epoll instance. One that has taken a request of a session that
another worker has hands it over: it names that worker in the slot's record, and sends the message
to the worker's socket, whose path has the key that is in the session's id. From then on, the
request is as if that worker had taken it: it answers on the same connection, and if it dies, the
supervisor does. A worker that has ended has no socket any more, and its sessions are lost.
"""

from __future__ import annotations

import os
import secrets
import socket
from pathlib import Path
from select import EPOLLIN, epoll
from struct import Struct
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, cast

from sagemaker_inference._errors import ServiceUnavailableError
from sagemaker_inference._http.error_response import error_form
from sagemaker_inference._inference.inference_handler import run_without_loop
from sagemaker_inference._inference.sessions import HEADER, key_of
from sagemaker_inference._ipc import slots, wire
from sagemaker_inference._ipc.fds import send_fds
from sagemaker_inference._ipc.slots import anonymous_file
from sagemaker_inference._log import get_logger
from sagemaker_inference._worker.loop import Loop
from sagemaker_inference._worker.work import Work

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagemaker_inference._http.messages import Request
    from sagemaker_inference._inference.sessions import Sessions
    from sagemaker_inference._ipc.messages import Assignment
    from sagemaker_inference._worker.access_log import AccessLog
    from sagemaker_inference._worker.capture import Capture
    from sagemaker_inference._worker.connection import Connection

logger = get_logger()

# Slot, generation, and how long the message is.
_NOTE: Final = Struct("=iiq")
_CREDENTIALS: Final = Struct("=iii")
# Who has connected sends at once.
_NOTE_SECONDS: Final = 1.0
_SESSION: Final = HEADER.lower()


class _Arrivals:
    """What a worker waits for: the shared epoll instance, and its own socket.

    Args:
        shared: the epoll instance.
        listener: the socket.
    """

    def __init__(self, shared: epoll, listener: socket.socket) -> None:
        self._shared = shared
        self._listener = listener.fileno()
        self._both = epoll()
        self._both.register(shared.fileno(), EPOLLIN)
        self._both.register(self._listener, EPOLLIN)

    def fileno(self) -> int:
        return self._both.fileno()

    def poll(self, patience: float, most: int) -> list[tuple[int, int]]:
        """As that of an epoll instance; what was handed over comes first, one at a time."""
        fds = [fd for fd, _ in self._both.poll(patience)]
        found = [(self._listener, EPOLLIN)] if self._listener in fds else []
        if len(fds) > len(found) and most > len(found):
            found += self._shared.poll(0, most - len(found))
        return found

    def modify(self, fd: int, events: int) -> None:
        self._shared.modify(fd, events)


class SessionLoop(Loop):
    """Takes requests, and hands over those of sessions that other workers have.

    Args:
        servable: what answers.
        assignment: as for `Loop`.
        control: as for `Loop`.
        access: as for `Loop`.
        sessions: those of this worker.
        capture: as for `Loop`.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what a loop needs, and sessions
        self,
        servable: Any,
        assignment: Assignment,
        control: socket.socket,
        access: AccessLog,
        sessions: Sessions,
        capture: Capture | None = None,
    ) -> None:
        super().__init__(servable, assignment, control, access, capture)
        self._sessions = sessions
        # Of this process: one that was forked has the key of the one before.
        sessions.key = secrets.token_hex(4)
        self._prefix = assignment.sessions
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.setblocking(False)  # noqa: FBT003 - socket's own signature
        self._listener.bind(self._prefix + sessions.key)
        self._listener.listen(slots.MAX_SLOTS)
        self.epoll: Any = _Arrivals(self.epoll, self._listener)

    def leave(self) -> None:
        """Take nothing any more; who wants to hand something over notices it."""
        self._listener.close()
        Path(self._prefix + self._sessions.key).unlink(missing_ok=True)

    def beat(self) -> None:
        """Show that this worker could take a request, and end sessions that have expired."""
        super().beat()
        if not self._sessions.has_overdue:
            return
        if self.servable.concurrency.is_async:
            import asyncio

            # Kept here, or nothing would hold the task.
            self._ending = asyncio.ensure_future(self._sessions.end_overdue())
        else:
            run_without_loop(self._sessions.end_overdue())

    def take(
        self,
        ready: Sequence[tuple[int, int]],
        now: float,
        *,
        at_once: bool,
        is_busy: bool = False,
    ) -> list[Work]:
        """As `Loop.take`; what was handed over comes first."""
        own = self._listener.fileno()
        handed = [self._accept() for fd, _ in ready if fd == own]
        works = [work for work in handed if work is not None]
        others = [event for event in ready if event[0] != own]
        return works + super().take(others, now, at_once=at_once, is_busy=is_busy or bool(works))

    def _receive(self, connection: Connection, waited: float) -> Work | None:
        work = super()._receive(connection, waited)
        if work is None or not self._hand_over(work):
            return work
        if work.requests[0].query is not None:
            self.sockets.end()
        return None

    def _hand_over(self, work: Work) -> bool:
        """Give a request to the worker that has its session; False where it stays here."""
        request = work.requests[0]
        key = key_of(request.headers.find(_SESSION))
        if key in {"", self._sessions.key}:
            return False
        connection, slot = work.connection, work.connection.slot
        message = bytes(work.message) + connection.leftover
        fd = anonymous_file("handed-over")
        try:
            _write(fd, message)
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as other:
                other.setblocking(False)  # noqa: FBT003 - as above
                other.connect(self._prefix + key)
                found = other.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
                pid = _CREDENTIALS.unpack(found)[0]
                # Before it is sent: the other one looks there whether the request is its own.
                self._note(work, slots.HANDED_OVER, pid)
                note = _NOTE.pack(slot, connection.generation, len(message))
                send_fds(other, note, [fd])
        except BlockingIOError:
            busy = "The worker that has the session is busy. Send the request again later."
            request.session = ServiceUnavailableError(busy)
        except OSError:  # it has ended, and so has the session
            pass
        else:
            connection.leftover = b""
            return True
        finally:
            os.close(fd)
        if self._table.state(slot) == (slots.HANDED_OVER, connection.generation):
            self._note(work, slots.RUNNING, self._pid)
        return self._table.state(slot)[0] != slots.RUNNING

    def _note(self, work: Work, state: int, pid: int) -> None:
        connection, request = work.connection, work.requests[0]
        form = error_form(request.headers.accept, request.path)
        self._table.write(
            connection.slot, state, pid, connection.generation, request.id, error_form=form
        )

    def _accept(self) -> Work | None:
        """Take a request that another worker hands over; None where it is none any more."""
        try:
            sock, _ = self._listener.accept()
            with sock:
                sock.settimeout(_NOTE_SECONDS)
                note, fds, _, _ = socket.recv_fds(sock, _NOTE.size, 1)
        except OSError:  # who has connected has ended
            return None
        if not fds:
            return None
        slot, generation, size = _NOTE.unpack(note)
        try:
            record = self._table.read(slot)
            is_ours = record.state == slots.HANDED_OVER and record.pid == self._pid
            if not is_ours or record.generation != generation:
                return None  # the supervisor has answered it
            message = os.pread(fds[0], size, 0)
        finally:
            os.close(fds[0])
        connection = self.connections.get(slot, generation)
        found = wire.read(message, self._wire_limit)
        requests, end = cast("tuple[list[Request], int]", found)  # as the other one has read it
        connection.leftover = message[end:]
        work = Work(connection, requests, max(0.0, monotonic() - record.since))
        self._note(work, slots.RUNNING, self._pid)
        if requests[0].query is not None:
            if self.sockets.are_full:
                full = "The worker that has the session has no place for a further WebSocket."
                requests[0].session = ServiceUnavailableError(full)
            self.sockets.begin()
        return work


def _write(fd: int, message: bytes) -> None:
    view = memoryview(message)
    while view:
        view = view[os.write(fd, view) :]
