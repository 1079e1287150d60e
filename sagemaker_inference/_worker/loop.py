"""The sockets of a worker: one loop over the connections of the front end.

All workers share the connections, through one epoll instance that the supervisor made.
A connection on which a request has arrived is handed to exactly one worker that waits
(``EPOLLONESHOT``), which answers and puts it back. So a worker takes work when it is free: nothing
waits behind a busy worker while another is idle, what has arrived while a prediction ran is the
next batch, and a request that no worker has taken yet survives the death of any of them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket

# Looked up before the program is imported: gevent and eventlet replace it in its module.
from select import epoll
from time import monotonic
from typing import TYPE_CHECKING

from sagemaker_inference._http.error_response import error_form, wants_text
from sagemaker_inference._http.sendable import sendable
from sagemaker_inference._inference.inference_handler import run_without_loop
from sagemaker_inference._inference.streams import Stream
from sagemaker_inference._ipc import slots, wire
from sagemaker_inference._ipc.journal import Journal
from sagemaker_inference._ipc.messages import UNHEALTHY, Report
from sagemaker_inference._ipc.slots import SlotTable
from sagemaker_inference._ipc.wire import FORM_OVERHEAD
from sagemaker_inference._log import get_logger
from sagemaker_inference._program.paths import INVOCATIONS
from sagemaker_inference._worker.calls import Calls
from sagemaker_inference._worker.capture import STREAM_LIMIT, keep_input
from sagemaker_inference._worker.connections import Connections
from sagemaker_inference._worker.health_checks import HealthChecks
from sagemaker_inference._worker.request_metrics import RequestMetrics
from sagemaker_inference._worker.socket_places import SocketPlaces
from sagemaker_inference._worker.streams import Streams
from sagemaker_inference._worker.work import Work

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from sagemaker_inference._http.messages import Request, Response
    from sagemaker_inference._inference.batch_window import BatchWindow
    from sagemaker_inference._inference.servable import Servable
    from sagemaker_inference._ipc.messages import Assignment
    from sagemaker_inference._worker.access_log import AccessLog
    from sagemaker_inference._worker.capture import Capture
    from sagemaker_inference._worker.connection import Connection
    from sagemaker_inference.codecs import Body

logger = get_logger()


class Loop:
    """Takes requests, has them answered, sends the answers.

    Args:
        servable: what answers.
        assignment: the shared descriptors, and the limits.
        control: where the supervisor sends connections.
        access: writes the access line of each request.
        capture: captures what is answered; None where nothing is captured.

    Attributes:
        is_alone: whether the request that was taken last is not to share its worker with others,
            since a worker has ended over it.
        has_deferred: whether there is such a request, and it waits for those that run now.
        batch: what is being predicted, for its program's retries.
    """

    def __init__(
        self,
        servable: Servable,
        assignment: Assignment,
        control: socket.socket,
        access: AccessLog,
        capture: Capture | None = None,
    ) -> None:
        self.servable = servable
        self.epoll = epoll.fromfd(assignment.epoll_fd)
        self.timeout = assignment.config.timeout
        self.stopping = self.is_alone = self.has_deferred = False
        self._stop_fd = assignment.stop_fd
        self._limit = assignment.config.response_limit
        # What the front end lets through beside a body of the limit; above, it answers 413 itself.
        self._wire_limit = assignment.config.payload_limit + FORM_OVERHEAD
        self._index = assignment.index
        self._table = SlotTable(assignment.table_fd)
        self._journal = Journal(assignment.journal_fd)
        concurrency = servable.concurrency
        self._keeps = concurrency.limit > 1 and concurrency.repeats_lost
        self._is_concurrent = concurrency.is_concurrent
        self.batch: list[Work] = []
        self._left: list[Connection] = []
        self.calls = Calls(concurrency.batch_limits, self._table)
        servable.watch_retries(self._on_retry)
        self._access = access
        self._capture = capture
        copied = STREAM_LIMIT if capture else 0
        self.streams = Streams(assignment.config, self._table, assignment.stop_fd, copied)
        self.metrics = RequestMetrics()
        self.checks = HealthChecks(
            servable, lambda: control.send(Report(UNHEALTHY).dump()), "this worker is replaced"
        )
        self._pid = os.getpid()
        self.connections = Connections(control)
        self.sockets = SocketPlaces(concurrency.sockets)
        self._looked = monotonic()
        self._answered = 0

    def leave(self) -> None:
        """Give back what others could see of this worker; called when it has served."""

    def note_batch(
        self, responses: list[Response], window: BatchWindow, *, closes: bool = True
    ) -> None:
        """Count a batch that was predicted, which is all that was taken if it closes the window."""
        self.metrics.batch(len(responses))
        if closes:
            window.close(len(responses), responses[0].predict_seconds)

    def beat(self) -> None:
        """Show that this worker could take a request, and receive connections that wait for it."""
        self._table.beat(self._index)
        # Where it takes nothing, it would ask for none.
        self.connections.receive_waiting()

    @property
    def is_dismissed(self) -> bool:
        """Whether this worker is one too many and ends, while the others go on."""
        return self._table.dismissed(self._index) == self._pid

    def _on_retry(self, request_ids: Container[str]) -> None:
        """Give each call of the predictor that follows one that failed its own time limit."""
        for work in self.batch:
            is_tried = any(request.id in request_ids for request in work.requests)
            state = slots.RUNNING if is_tried else slots.PENDING
            self._table.restart(work.connection.slot, state)

    def keep(self, works: Sequence[Work]) -> bool:
        """Keep what must not be lost where this process dies over another request.

        Returns:
            Whether all of it is kept.
        """
        if not self._keeps:
            return False
        count = 0
        for work in works:
            if work.message:
                slot = work.connection.slot
                size = self._journal.keep(slot, work.message)
                self._table.keep(slot, size)
                count += size > 0
        return count == len(works)

    def answer_now(self, requests: list[Request]) -> list[Response]:
        """Answer with a program that awaits nothing."""
        responses = run_without_loop(self.servable.answer(requests))
        if os.getpid() != self._pid:
            # User code has forked and let the child come back: the sockets are not its own.
            os._exit(0)
        return responses

    def take(
        self, ready: list[tuple[int, int]], now: float, *, at_once: bool, is_busy: bool = False
    ) -> list[Work]:
        """Read the messages of the connections that this process was handed.

        A request that was there when the process asked may have come any time since it last
        looked; one that the process had to wait for has just come.

        Args:
            ready: what was handed out: descriptors and events.
            now: when it was, by the monotonic clock.
            at_once: whether it was there when the process asked.
            is_busy: whether this process is at work on other requests, which one that has cost a
                worker must not endanger.
        """
        self.is_alone = self.has_deferred = False
        works: list[Work] = []
        waited = now - self._looked if at_once else 0.0
        self._looked = now
        for fd, _ in ready:
            if fd == self._stop_fd:
                self.stopping = True
                continue
            slot = fd - slots.FIRST_FD
            state, generation = self._table.state(slot)
            if self.is_alone:
                self._put_back(slot, state, generation)
            elif state == slots.IDLE:
                if self.sockets.are_full and self.sockets.leave(
                    self.connections.get(slot, generation)
                ):
                    continue
                self._table.write(slot, slots.READING, self._pid, generation)
                work = self._receive(self.connections.get(slot, generation), waited)
                if work is not None:
                    works.append(work)
            elif state == slots.AGAIN and (works or is_busy):
                self.has_deferred = True
                self._put_back(slot, state, generation)
            elif state == slots.AGAIN:
                works += self._take_again(slot, generation)
                self.is_alone = bool(works)
            # Anything else has been taken: only after a process died between taking a connection
            # and saying so, it is handed out twice; see Connections.rearm_idle.
        if self._is_concurrent:
            self.keep(works)
        return works

    def note_quiet(self, since: float) -> None:
        """Remember that no request was waiting at a time, by the monotonic clock."""
        self._looked = max(self._looked, since)

    def _put_back(self, slot: int, state: int, generation: int) -> None:
        """Hand out again what was not taken; it goes to the end of the line."""
        if state in (slots.IDLE, slots.AGAIN):
            self.connections.get(slot, generation)  # the epoll instance knows it by that
            events = slots.ARMED if state == slots.IDLE else slots.ARMED_AGAIN
            with contextlib.suppress(OSError):  # the supervisor has closed it meanwhile
                self.epoll.modify(slots.FIRST_FD + slot, events)

    def hand_out_left(self) -> None:
        """Hand out again what was left to other workers, if none has taken it."""
        for connection in self.sockets.taken_left():
            slot, generation = connection.slot, connection.generation
            if self._table.state(slot) == (slots.IDLE, generation):
                self._put_back(slot, slots.IDLE, generation)

    def _take_again(self, slot: int, generation: int) -> list[Work]:
        """Take a request over which a worker has ended: its message is in the journal."""
        record = self._table.read(slot)
        self._table.write(
            slot,
            slots.RUNNING,
            self._pid,
            generation,
            record.request_id,
            error_form=record.error_form,
            tries=record.tries,
        )
        connection = self.connections.get(slot, generation)
        found = wire.read(self._journal.read(slot, record.kept), self._wire_limit)
        self._journal.forget(slot, record.kept)
        if isinstance(found, int) or not isinstance(found[0], list):
            message = f"the journal has no request for connection {slot}"
            raise RuntimeError(message)  # noqa: TRY004 - of a message's kind
        return [Work(connection, found[0], 0.0)]

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
            if isinstance(message, list):
                break
            connection.message = b""
            if isinstance(message, wire.Load):
                self._send(connection, [wire.loaded(message.model_name, self._pid)])
            if not connection.leftover:
                self._give_back(connection)
                return None
        first = message[0]
        # Not by a function of its own, which every request would pay for.
        accept, path = first.headers.accept, first.path
        form = wants_text(accept) if path == INVOCATIONS else error_form(accept, path)
        slot, generation = connection.slot, connection.generation
        self._table.write(slot, slots.RUNNING, self._pid, generation, first.id, error_form=form)
        if first.query is not None:
            self.sockets.begin()
        if self._capture is not None:
            keep_input(message)
        # Taken, so that a long one is not held until the next.
        data, connection.message = connection.message, b""
        return Work(connection, message, waited, data)

    def set_aside(self, works: Sequence[Work]) -> None:
        """Note that requests are predicted, so that none of them is to blame for what follows."""
        for work in works:
            self._table.mark(work.connection.slot, slots.PENDING)

    def follow_up(self) -> list[Work]:
        """What the front end sent behind messages whose answers another thread has sent."""
        left, self._left = self._left, []
        works = [self._receive(connection, 0.0) for connection in left]
        return [work for work in works if work is not None]

    def finish(
        self, work: Work, responses: list[Response], *, is_beside: bool = False
    ) -> Work | None:
        """Send the answers; return what the front end sent behind the message, if anything.

        Args:
            work: the message.
            responses: the answers.
            is_beside: whether this is another thread than that of the loop: what has come behind
                the message is left to `follow_up`.
        """
        connection = work.connection
        if work.requests[0].query is not None:
            self.sockets.end()
        stream = None
        pieces: Sequence[Body] = ()
        if isinstance(responses[0].body, Stream) and self.streams.send(work, responses):
            stream = self.streams.note(responses[0])
            answers = [(stream.request, responses[0])]
        else:
            answers = [
                (request, sendable(request, response, self._limit))
                for request, response in zip(work.requests, responses, strict=True)
            ]
            self._table.mark(connection.slot, slots.ANSWERING)
            if len(answers) == 1:
                pieces = wire.write(work.requests[0].id, answers[0][1])
            else:
                pieces = wire.write_batch([(request.id, response) for request, response in answers])
        self._answered += 1
        self._table.note_answered(self._index, self._answered)
        if self._keeps and work.message:
            self._journal.forget(connection.slot, len(work.message))
        is_sent = (
            self._send(connection, pieces) if stream is None else self._kept(connection, stream)
        )
        follower = self._go_on(connection, is_beside=is_beside) if is_sent else None
        for request, response in answers:
            if is_sent:  # else the front end has answered, and says so
                self._access.write(request, response, work.waited, stream)
                if self._capture is not None:
                    self._capture.add(request, response, stream)
            self.metrics.record(response, work.waited)
        return follower

    def _go_on(self, connection: Connection, *, is_beside: bool) -> Work | None:
        """Read what has come behind an answered message; where nothing has, the next may come."""
        if not connection.leftover:
            self._give_back(connection)
        elif is_beside:
            self._left.append(connection)
        else:
            return self._receive(connection, 0.0)
        return None

    def _kept(self, connection: Connection, stream: Stream) -> bool:
        """Whether a stream has left its connection in a state for others."""
        if not stream.ending.is_connected:
            self._drop(connection)
        return bool(stream.ending.is_connected)

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
            self.connections.forget(connection.slot)

    def _drop(self, connection: Connection) -> None:
        """Let go of a connection that is of no more use; the supervisor sees it closed."""
        state, _ = self._table.state(connection.slot)
        self._table.mark(connection.slot, slots.IDLE)
        try:
            connection.sock.shutdown(socket.SHUT_RDWR)
        except OSError as error:  # most likely, the front end has closed it before
            if error.errno in {errno.EBADF, errno.ENOTSOCK}:
                # The supervisor, which has one more, closes it when a worker ends in this state.
                self._table.mark(connection.slot, state)
                logger.critical(
                    "the program has closed sockets that are not its own: this worker ends"
                )
                os._exit(1)
        self.connections.forget(connection.slot)
