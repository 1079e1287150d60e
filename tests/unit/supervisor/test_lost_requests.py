"""What becomes of the requests of a worker that dies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sagemaker_inference._ipc import slots, wire
from sagemaker_inference._supervisor import lost_requests
from sagemaker_inference._supervisor.outcome import FEWER
from sagemaker_inference._supervisor.worker_handle import TOO_LATE

if TYPE_CHECKING:
    from support.watched_worker import WatchedWorker


def counted(watched: WatchedWorker) -> dict[tuple[tuple[str, str], ...], list[float]]:
    return {
        labels: values
        for one in watched.counts.families([])
        for labels, values in one.series.items()
    }


def test_the_only_request_of_a_worker_that_dies_is_to_blame(watched: WatchedWorker) -> None:
    watched.run(0)
    watched.run(1, slots.PENDING)
    assert watched.lose() == ["id-0 (500)", "id-1 (tried again)"]
    assert watched.states() == [slots.IDLE, slots.AGAIN, slots.IDLE]
    assert b"process_died" in watched.front[0].recv(1000)
    assert watched.table.read(1).tries == 1


def test_a_stream_is_broken_off_and_not_begun_again(watched: WatchedWorker) -> None:
    watched.run(0)
    watched.run(1, slots.STREAMING)
    assert watched.lose() == ["id-0 (tried again)", "id-1 (a stream, broken off)"]
    assert watched.states() == [slots.AGAIN, slots.IDLE, slots.IDLE]
    assert watched.closed == [1]
    assert watched.front[1].recv(1000) == b""
    assert counted(watched) == {(("end", "worker_died"),): [1.0]}


def test_a_stream_that_was_quiet_for_too_long_is_counted_as_that(watched: WatchedWorker) -> None:
    watched.run(0, slots.STREAMING)
    watched.run(1, slots.STREAMING)
    late = {"guilty": frozenset([0]), "killed_for": TOO_LATE, "is_overdue": True}
    assert watched.lose(**late) == [f"id-{slot} (a stream, broken off)" for slot in range(2)]
    assert watched.front[0].recv(1000) == wire.break_lost_stream(504)
    assert watched.front[1].recv(1000) == b""
    assert counted(watched) == {(("end", "timeout"),): [1.0], (("end", "worker_died"),): [1.0]}


def test_nothing_is_said_behind_what_may_be_a_part_of_a_chunk(watched: WatchedWorker) -> None:
    watched.run(0, slots.STREAMING)
    watched.worker.pulse.look(is_stopped=True)
    late = {"guilty": frozenset([0]), "killed_for": TOO_LATE, "is_overdue": True}
    assert watched.lose(**late) == ["id-0 (a stream, broken off)"]
    assert watched.front[0].recv(1000) == b""


def test_nothing_is_said_where_another_client_may_be_slow(watched: WatchedWorker) -> None:
    """A part of a chunk may have been sent, and the rest wait for that client."""
    watched.run(0, slots.STREAMING)
    watched.worker.limit = 2
    late = {"guilty": frozenset([0]), "killed_for": TOO_LATE, "is_overdue": True}
    assert watched.lose(**late) == ["id-0 (a stream, broken off)"]
    assert watched.front[0].recv(1000) == b""


def test_nothing_is_said_of_a_stream_whose_connection_is_closed(watched: WatchedWorker) -> None:
    """The supervisor has seen the front end's end before that of the worker."""
    watched.run(0, slots.STREAMING)
    watched.connections.close(0)
    late = {"guilty": frozenset([0]), "killed_for": TOO_LATE, "is_overdue": True}
    assert watched.lose(**late) == ["id-0 (a stream, broken off)"]
    assert watched.front[0].recv(1000) == b""
    assert counted(watched) == {(("end", "timeout"),): [1.0]}


def test_a_websocket_is_counted_as_the_front_end_closes_it(watched: WatchedWorker) -> None:
    watched.run(0, slots.SOCKET)
    assert watched.lose() == ["id-0 (a WebSocket, broken off)"]
    assert counted(watched) == {(("close", "1011"),): [1.0]}


def test_streams_of_a_server_that_stops_are_counted_so(watched: WatchedWorker) -> None:
    watched.run(0, slots.STREAMING)
    watched.lose(ends_for=FEWER)
    assert counted(watched) == {(("end", "stopped"),): [1.0]}


def test_several_are_handed_out_again_but_only_once(watched: WatchedWorker) -> None:
    watched.run(0)
    watched.run(1, tries=1)
    watched.run(2, kept=False)
    assert watched.lose() == ["id-0 (tried again)", "id-1 (500)", "id-2 (500)"]
    assert watched.states() == [slots.AGAIN, slots.IDLE, slots.IDLE]


def test_a_request_whose_client_is_gone_is_not_handed_out_again(watched: WatchedWorker) -> None:
    watched.run(0)
    watched.run(1)
    watched.connections.close(1)
    assert watched.lose() == ["id-0 (tried again)", "id-1 (500)"]


def test_what_a_worker_that_is_to_end_had_is_503(watched: WatchedWorker) -> None:
    watched.run(0)
    watched.run(1)
    assert watched.lose(ends_for=FEWER) == ["id-0 (503)", "id-1 (503)"]


def test_what_was_handed_over_to_a_worker_that_dies_has_lost_its_session(
    watched: WatchedWorker,
) -> None:
    watched.run(0, slots.HANDED_OVER, kept=False)
    watched.run(1)
    assert watched.lose() == ["id-0 (404)", "id-1 (500)"]
    assert b"session_lost" in watched.front[0].recv(1000)


@pytest.mark.parametrize(
    ("beats", "lost"),
    [(False, ["id-0 (504)", "id-1 (504)"]), (True, ["id-0 (504)", "id-1 (500)"])],
    ids=["batch", "threads"],
)
def test_those_that_were_part_of_a_late_call_get_one_status(
    watched: WatchedWorker, monkeypatch: pytest.MonkeyPatch, *, beats: bool, lost: list[str]
) -> None:
    """A batch fills up while it waits: not all of it is late when the call is."""
    monkeypatch.setattr(lost_requests, "monotonic", lambda: watched.now)
    watched.run(0, kept=False)
    watched.pass_time(2, beats=beats)
    watched.run(1, kept=False)
    found = watched.pass_time(9, beats=beats)
    assert found.is_late
    overdue_for = {"is_overdue": True, "killed_for": TOO_LATE, "guilty": found.guilty}
    assert watched.lose(**overdue_for) == lost


def test_a_request_to_be_tried_again_leaves_with_its_connection(watched: WatchedWorker) -> None:
    watched.run(0)
    watched.run(1)
    watched.lose()
    watched.connections.rearm_idle()
    watched.connections.disarm()
    watched.connections.close(0)
    assert watched.states()[0] == slots.IDLE
