"""The supervisor's end of the connections between front end and workers."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest
from support import mms_bytes

from sagemaker_inference._http.error_response import ErrorForm
from sagemaker_inference._ipc import slots
from sagemaker_inference._ipc.slots import SlotTable
from sagemaker_inference._supervisor.connections import Connections
from sagemaker_inference._supervisor.slot_pool import SlotPool
from sagemaker_inference.errors import PredictionError

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def connections() -> Iterator[Connections]:
    made = Connections(SlotTable(), SlotPool(256))
    yield made
    made.dispose()


def test_the_supervisor_answers_for_a_process_that_died(connections: Connections) -> None:
    ours, theirs = socket.socketpair()
    slot = connections.add(theirs)
    assert slot is not None
    connections.arm(slot)
    connections.table.write(slot, slots.RUNNING, 4711, 1, "id-9")
    [(found, record)] = connections.held_by(4711)
    assert (found, record.request_id) == (slot, "id-9")
    assert connections.table.state(slot)[0] != slots.IDLE
    assert connections.answer(slot, record, PredictionError("gone"))
    assert connections.table.state(slot)[0] == slots.IDLE
    _, text, [answer] = mms_bytes.Reader(ours.recv(1000)).reply()
    assert text == "lost"  # so that the front end writes the access line
    assert (answer.request_id, answer.status) == ("id-9", 500)
    assert b"gone" in answer.body
    connections.rearm_idle()
    ours.close()


@pytest.mark.parametrize(
    ("form", "body"),
    [
        (ErrorForm.TEXT, b"gone"),
        (ErrorForm.OPENAI, b'{"error": {"message": "gone (request id-9)", "type": "server_error",'),
    ],
)
def test_the_answer_has_the_form_that_its_client_reads(
    connections: Connections, form: ErrorForm, body: bytes
) -> None:
    ours, theirs = socket.socketpair()
    slot = connections.add(theirs)
    assert slot is not None
    connections.arm(slot)
    connections.table.write(slot, slots.RUNNING, 4711, 1, "id-9", error_form=form)
    [(_, record)] = connections.held_by(4711)
    assert connections.answer(slot, record, PredictionError("gone"))
    _, _, [answer] = mms_bytes.Reader(ours.recv(1000)).reply()
    assert bytes(answer.body).startswith(body)
    ours.close()


@pytest.mark.parametrize("state", [slots.READING, slots.ANSWERING])
def test_a_message_of_which_a_part_is_lost_closes_its_connection(
    connections: Connections, state: int
) -> None:
    ours, theirs = socket.socketpair()
    slot = connections.add(theirs)
    assert slot is not None
    connections.arm(slot)
    connections.table.write(slot, state, 4711, 1)
    connections.rearm_idle()
    [(_, record)] = connections.held_by(4711)
    assert not connections.answer(slot, record, PredictionError("gone"))
    connections.close(slot)
    assert ours.recv(1) == b""
    # Closed already, and its number is not to be touched any more.
    assert connections.answer(slot, record, PredictionError("gone"))
    connections.close(slot)
    ours.close()


def test_a_front_end_that_is_gone_cannot_be_answered(connections: Connections) -> None:
    ours, theirs = socket.socketpair()
    slot = connections.add(theirs)
    assert slot is not None
    connections.arm(slot)
    ours.close()
    connections.table.write(slot, slots.RUNNING, 4711, 1, "id-9")
    [(_, record)] = connections.held_by(4711)
    assert not connections.answer(slot, record, PredictionError("gone"))
    connections.close(slot)
    assert list(connections) == []
    connections.stop()
    assert not connections.is_open


def test_more_connections_than_slots_are_refused(connections: Connections) -> None:
    kept = []
    for _ in range(256):
        ours, theirs = socket.socketpair()
        kept.append(ours)
        assert connections.add(theirs) is not None
    ours, theirs = socket.socketpair()
    assert connections.add(theirs) is None
    assert ours.recv(1) == b""
    for sock in (*kept, ours):
        sock.close()


def test_what_is_disarmed_is_handed_to_nobody(connections: Connections) -> None:
    pairs = [socket.socketpair() for _ in range(3)]
    idle, busy, never = (connections.add(theirs) for _, theirs in pairs)
    assert idle is not None
    assert busy is not None
    assert never is not None
    connections.arm(idle)
    connections.arm(busy)
    connections.table.write(busy, slots.RUNNING, 4711, 1, "id-9")
    connections.disarm()
    connections.arm(never)
    connections.rearm_idle()
    for ours, _ in pairs:
        ours.send(b"x")
    assert [fd for fd, _ in connections.epoll.poll(0.1)] == [connections.fd(busy)]
    for ours, _ in pairs:
        ours.close()
    assert connections.epoll.poll(0.1) == []
