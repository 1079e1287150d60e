"""The sockets of a model process: one loop over the connections of the front end.

All model processes share the connections, through one epoll instance that the supervisor made.
A connection on which a request has arrived is handed to exactly one process that waits
(``EPOLLONESHOT``), which answers and puts it back. So a process takes work when it is free: nothing
waits behind a busy process while another is idle, what has arrived while a prediction ran is the
next batch, and a request that no process has taken yet survives the death of any of them.
"""

from __future__ import annotations

import array
import contextlib
import os
import socket
from itertools import islice

# Looked up before the program is imported: gevent and eventlet replace them in their modules.
from select import epoll
from socket import socket as _Socket  # noqa: N812 - a class
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple

from sagemaker_inference._errors import EncodeError
from sagemaker_inference._http.error_response import error_response, wants_text
from sagemaker_inference._http.messages import whole_body
from sagemaker_inference._inference.batching import BatchWindow
from sagemaker_inference._inference.inference_handler import run_without_loop
from sagemaker_inference._ipc import slots, wire
from sagemaker_inference._ipc.slots import SlotTable
from sagemaker_inference._ipc.wire import FORM_OVERHEAD
from sagemaker_inference._log import get_logger
from sagemaker_inference._worker.health_checks import HealthChecks
from sagemaker_inference._worker.request_metrics import RequestMetrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagemaker_inference._http.messages import Request, Response
    from sagemaker_inference._inference.servable import Servable
    from sagemaker_inference._ipc.messages import Assignment
    from sagemaker_inference._worker.access_log import AccessLog
    from sagemaker_inference.codecs import Body

_FIRST_READ: Final = 65536
# Room for the ends of lists behind a value, so that they come with it.
_SLACK: Final = 64
# A poll that took less than this, in seconds, did not wait.
_AT_ONCE: Final = 50e-6

logger = get_logger()


class Connection:
    """One connection of the front end, at its slot's descriptor."""

    __slots__ = ("generation", "leftover", "slot", "sock")

    def __init__(self, slot: int, generation: int, sock: socket.socket) -> None:
        self.slot = slot
        self.generation = generation
        self.sock = sock
        self.leftover = b""

    def receive(self, limit: int) -> wire.Message | None:
        """Read one whole message; None where the front end has closed the connection.

        A message that fits the first read costs one system call. A longer one gets a buffer of its
        full length, and its body is a view into that.

        Raises:
            OSError: the connection broke, or stood still for longer than its time limit.
            WireError: what arrived is no message.
        """
        data = self.leftover or self.sock.recv(_FIRST_READ)
        if not data:
            return None
        found = wire.read(data, limit)
        if isinstance(found, int):
            return self._receive_long(data, found, limit)
        message, end = found
        self.leftover = data[end:]
        return message

    def _receive_long(self, start: bytes, needed: int, limit: int) -> wire.Message | None:
        filled = len(start)
        buffer = bytearray(needed + _SLACK)
        buffer[:filled] = start
        while True:
            view = memoryview(buffer)
            while filled < needed:
                count = self.sock.recv_into(view[filled:])
                if not count:
                    return None
                filled += count
            found = wire.read(view[:filled], limit)
            if not isinstance(found, int):
                message, end = found
                self.leftover = bytes(view[end:filled])
                return message
            needed = found
            larger = bytearray(needed + _SLACK)
            larger[:filled] = view[:filled]
            buffer = larger

    def send(self, pieces: Sequence[Body]) -> None:
        """Send all pieces; one system call unless the socket's buffer is full.

        Raises:
            OSError: the connection broke, or stood still for longer than its time limit.
        """
        if len(pieces) == 1:
            self.sock.sendall(pieces[0])
            return
        sent = self.sock.sendmsg(pieces)
        for piece in pieces:
            view = memoryview(piece).cast("B")
            if sent < view.nbytes:
                self.sock.sendall(view[sent:])
                sent = 0
            else:
                sent -= view.nbytes


class Work(NamedTuple):
    """A message that waits for its answer."""

    connection: Connection
    requests: list[Request]
    waited: float


class Loop:
    """Takes requests, has them answered, sends the answers.

    Args:
        servable: what answers.
        assignment: the shared descriptors, and the limits.
        control: where the supervisor sends connections.
        access: writes the access line of each request.
    """

    def __init__(
        self, servable: Servable, assignment: Assignment, control: socket.socket, access: AccessLog
    ) -> None:
        self.servable = servable
        self.epoll = epoll.fromfd(assignment.epoll_fd)
        self.timeout = assignment.config.timeout
        self.stopping = False
        self._stop_fd = assignment.stop_fd
        self._limit = assignment.config.payload_limit
        # What the front end lets through beside a body of the limit; above, it answers 413 itself.
        self._wire_limit = assignment.config.payload_limit + FORM_OVERHEAD
        self._index = assignment.index
        self._control = control
        self._table = SlotTable(assignment.table_fd)
        self._access = access
        self.metrics = RequestMetrics()
        self.checks = HealthChecks(servable, control)
        self._pid = os.getpid()
        self._connections: dict[int, Connection] = {}
        self._looked = monotonic()

    def serve(self) -> None:
        """Serve until the server stops, one batch at a time."""
        window = BatchWindow(self.servable.concurrency)
        while not self.stopping:
            asked = monotonic()
            works = self.take(self.epoll.poll(self.checks.wait, window.room(0)), asked)
            if works:
                self._wait_for_more(works, window)
            while works:
                requests = [request for work in works for request in work.requests]
                self.metrics.batch(len(requests))
                responses = iter(self.answer_now(requests))
                followers = [
                    self.finish(work, list(islice(responses, len(work.requests)))) for work in works
                ]
                works = [work for work in followers if work is not None]
            if self.checks.fail():
                return

    def _wait_for_more(self, works: list[Work], window: BatchWindow) -> None:
        opened = asked = monotonic()
        while not self.stopping:
            patience = window.patience(len(works), asked - opened)
            if not patience:
                return
            works += self.take(self.epoll.poll(patience, window.room(len(works))), asked)
            asked = monotonic()

    def answer_now(self, requests: list[Request]) -> list[Response]:
        """Answer with a program that awaits nothing."""
        responses = run_without_loop(self.servable.answer(requests))
        self._stop_strays()
        return responses

    def _stop_strays(self) -> None:
        """End a process that user code forked and let come back: the sockets are not its own."""
        if os.getpid() != self._pid:
            os._exit(0)

    def take(self, ready: list[tuple[int, int]], asked: float) -> list[Work]:
        """Read the messages of the connections that this process was handed.

        A request that was there when the process asked may have come any time since it last
        looked; one that the process had to wait for has just come.
        """
        works: list[Work] = []
        now = monotonic()
        waited = now - self._looked if now - asked < _AT_ONCE else 0.0
        self._looked = now
        for fd, _ in ready:
            if fd == self._stop_fd:
                self.stopping = True
                continue
            slot = fd - slots.FIRST_FD
            state, generation = self._table.state(slot)
            # Only after a process died between taking a connection and saying so, a connection is
            # handed out twice; see Connections.rearm_idle.
            if state != slots.IDLE:
                continue
            self._table.write(slot, slots.READING, self._pid, generation)
            connection = self._connections.get(slot)
            if connection is None or connection.generation != generation:
                connection = self._fetch(slot, generation)
            work = self._receive(connection, waited)
            if work is not None:
                works.append(work)
        return works

    def _receive(self, connection: Connection, waited: float) -> Work | None:
        while True:
            try:
                message = connection.receive(self._wire_limit)
            except (OSError, wire.WireError) as error:
                logger.warning("the front end's connection %d broke: %s", connection.slot, error)
                message = None
            if message is None:
                self._drop(connection)
                return None
            if not isinstance(message, wire.Load):
                break
            self._send(connection, [wire.loaded(message.model_name, self._pid)])
            if not connection.leftover:
                self._give_back(connection)
                return None
        self._table.write(
            connection.slot,
            slots.RUNNING,
            self._pid,
            connection.generation,
            message[0].id,
            wants_text=wants_text(message[0].accept),
        )
        return Work(connection, message, waited)

    def finish(self, work: Work, responses: list[Response]) -> Work | None:
        """Send the answers; return what the front end sent behind the message, if anything."""
        connection = work.connection
        answers = [
            (request, self._sendable(request, response))
            for request, response in zip(work.requests, responses, strict=True)
        ]
        self._table.mark(connection.slot, slots.ANSWERING)
        if len(answers) == 1:
            pieces = wire.write(work.requests[0].id, answers[0][1])
        else:
            pieces = wire.write_batch([(request.id, response) for request, response in answers])
        self._table.count_answer(self._index)
        follower = None
        if self._send(connection, pieces):
            if connection.leftover:
                follower = self._receive(connection, 0.0)
            else:
                self._give_back(connection)
        for request, response in answers:
            self._access.write(request, response, work.waited)
            self.metrics.record(response, work.waited)
        return follower

    def _sendable(self, request: Request, response: Response) -> Response:
        """The response, or a failure in place of one that the front end could not pass on."""
        try:
            response.body = whole_body(response)
        except BaseException as error:
            logger.exception("request %s: the body of the answer failed", request.id)
            failure = EncodeError(f"The answer cannot be sent: {type(error).__name__}")
            return error_response(failure, request.id, request.accept)
        problem = wire.problem(response, self._limit)
        if problem is None:
            return response
        logger.error("request %s: the answer cannot be sent: %s", request.id, problem)
        failure = EncodeError(f"The answer cannot be sent: {problem}")
        return error_response(failure, request.id, request.accept)

    def _send(self, connection: Connection, pieces: Sequence[Body]) -> bool:
        try:
            connection.send(pieces)
        except OSError as error:
            logger.warning("an answer could not be delivered: %s", error)
            self._drop(connection)
            return False
        return True

    def _give_back(self, connection: Connection) -> None:
        self._table.mark(connection.slot, slots.IDLE)
        try:
            self.epoll.modify(slots.FIRST_FD + connection.slot, slots.ARMED)
        except OSError:  # the supervisor has closed this connection meanwhile
            self._connections.pop(connection.slot, None)

    def _drop(self, connection: Connection) -> None:
        """Let go of a connection that is of no more use; the supervisor sees it closed."""
        self._connections.pop(connection.slot, None)
        self._table.mark(connection.slot, slots.IDLE)
        with contextlib.suppress(OSError):  # the front end has closed it before
            connection.sock.shutdown(socket.SHUT_RDWR)

    def _fetch(self, slot: int, generation: int) -> Connection:
        """Receive connections from the supervisor until this one is there.

        It is on its way: the supervisor sends a connection before it hands out its events.
        """
        while True:
            data, fds, _, _ = socket.recv_fds(self._control, 8, 1)
            numbers = array.array("i", data)
            got, number = numbers[0], numbers[1]
            old = self._connections.pop(got, None)
            if old is not None:
                old.sock.detach()
            fd = os.dup2(fds[0], slots.FIRST_FD + got, inheritable=False)
            os.close(fds[0])
            connection = Connection(got, number, _Socket(fileno=fd))
            self._connections[got] = connection
            if got == slot and number == generation:
                return connection
