"""Which workers take too long, which are stuck, and which requests nobody takes."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from sagemaker_inference._config import Config
from sagemaker_inference._ipc import slots
from sagemaker_inference._ipc.slots import SlotTable
from sagemaker_inference._supervisor import lost_requests, pulse, time_limits
from sagemaker_inference._supervisor.connections import Connections
from sagemaker_inference._supervisor.outcome import FEWER
from sagemaker_inference._supervisor.pulse import Pulse
from sagemaker_inference._supervisor.slot_pool import SlotPool
from sagemaker_inference._supervisor.time_limits import Ability, WaitingRequests, overdue
from sagemaker_inference._supervisor.worker_handle import TOO_LATE

if TYPE_CHECKING:
    from collections.abc import Iterator

PID = 4711
CONFIG = replace(
    Config.from_environment(),
    timeout=10.0,
    workers_name="initial_workers",
    timeout_name="response_timeout",
)


class Bench:
    """A clock, connections and a worker that is a record.

    Attributes:
        now: the time.
        front: the front end's ends of the connections.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, count: int = 3) -> None:
        self.now = 100.0
        for module in (slots, pulse, time_limits, lost_requests):
            monkeypatch.setattr(module, "monotonic", lambda: self.now)
        self.connections = Connections(SlotTable(), SlotPool())
        self.table = self.connections.table
        self.front = []
        for _ in range(count):
            ours, theirs = socket.socketpair()
            self.front.append(ours)
            slot = self.connections.add(theirs)
            assert slot is not None
            self.connections.arm(slot)
        self.closed: list[int] = []
        self.worker: Any = SimpleNamespace(
            child=SimpleNamespace(pid=PID, is_stopped=False),
            index=0,
            patience=0.0,
            pulse=Pulse(self.table, 0),
            is_loaded=True,
            loaded_at=self.now,
            is_overdue=False,
            killed_for="",
            ends_for="",
            guilty=frozenset(),
        )

    def run(
        self, slot: int, state: int = slots.RUNNING, *, tries: int = 0, kept: bool = True
    ) -> None:
        message = b"message"
        size = self.connections.journal.keep(slot, message) if kept else 0
        self.table.write(slot, state, PID, 1, f"id-{slot}", tries=tries, kept=size)

    def pass_time(self, seconds: int, *, beats: bool = False, config: Config = CONFIG) -> Any:
        """Look once a second; what the last look finds."""
        found = None
        for _ in range(seconds):
            self.now += 1
            if beats:
                self.table.beat(0)
            found = overdue(self.worker, self.connections, config)
        return found

    def close(self, slot: int) -> None:
        self.closed.append(slot)
        self.connections.close(slot)

    def states(self) -> list[int]:
        return [self.table.state(slot)[0] for slot in range(len(self.front))]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    one = Bench(monkeypatch)
    yield one
    one.connections.dispose()
    for sock in one.front:
        sock.close()


def test_an_idle_worker_that_leaves_marks_is_able(bench: Bench) -> None:
    assert bench.pass_time(100, beats=True) is None


def test_an_idle_worker_that_leaves_none_is_stuck(bench: Bench) -> None:
    assert bench.pass_time(5) is None
    found = bench.pass_time(1)
    assert (found.guilty, found.is_late) == (frozenset(), False)
    assert "has not been able to take a request for 6 s" in found.reason


def test_the_time_of_loading_does_not_count(bench: Bench) -> None:
    bench.now += 100
    bench.worker.pulse.begin()
    assert bench.pass_time(5) is None


def test_where_the_supervisor_stood_still_no_worker_is_to_blame(bench: Bench) -> None:
    bench.now += 1000
    assert overdue(bench.worker, bench.connections, CONFIG) is None


@pytest.mark.parametrize(("limit", "seconds"), [(1, 5), (20, 10), (60, 30), (3600, 30)])
def test_a_worker_may_stand_still_for_half_of_the_limit(limit: float, seconds: float) -> None:
    assert time_limits.stuck_after(limit) == seconds


@pytest.mark.parametrize("is_working", [False, True])
def test_a_stopped_worker_is_replaced_when_a_ping_has_said_so(
    bench: Bench, *, is_working: bool
) -> None:
    bench.worker.child.is_stopped = True
    if is_working:
        bench.run(0)
    limit = replace(CONFIG, timeout=100.0 if is_working else 10.0)
    found = [bench.pass_time(1, config=limit) for _ in range(13)]
    # The first look only finds that it is stopped.
    assert found[:12] == [None] * 12
    assert (found[12].guilty, found[12].is_late) == (frozenset(), False)
    assert found[12].reason.startswith("worker 4711 has been stopped for 12 s, as by SIGSTOP")


def test_a_stopped_worker_that_goes_on_is_able(bench: Bench) -> None:
    for _ in range(9):
        bench.worker.child.is_stopped = True
        assert bench.pass_time(11) is None
        bench.worker.child.is_stopped = False
        assert bench.pass_time(1, beats=True) is None
        assert not bench.worker.pulse.is_stopped


def test_a_stopped_worker_is_late_all_the_same(bench: Bench) -> None:
    bench.worker.child.is_stopped = True
    bench.run(0)
    assert bench.pass_time(10) is None
    assert bench.pass_time(1).is_late


def test_a_worker_within_the_limit_of_its_request_is_able(bench: Bench) -> None:
    bench.pass_time(4)
    bench.run(0)
    assert bench.pass_time(10) is None
    found = bench.pass_time(1)
    assert (found.guilty, found.is_late) == ({0}, True)
    assert found.reason.startswith("request id-0 has run for more than 10 s: its worker")
    assert found.reason.endswith("is replaced. Raise response_timeout, or predict faster.")


def test_one_that_reads_or_answers_is_granted_the_time_of_its_connection(bench: Bench) -> None:
    bench.run(0, slots.ANSWERING)
    assert bench.pass_time(35) is None
    assert "has not been able" in bench.pass_time(1).reason


def test_nobody_knows_who_of_a_batch_is_to_blame(bench: Bench) -> None:
    for slot in range(3):
        bench.run(slot)
    found = bench.pass_time(11)
    assert (found.guilty, found.is_late) == (frozenset(), True)
    assert found.reason.startswith("requests id-0, id-1, id-2 have run for more than 10 s: their ")


def test_the_first_of_a_batch_is_not_to_blame_for_being_late_first(bench: Bench) -> None:
    bench.run(0)
    bench.pass_time(1)
    for slot in (1, 2):
        bench.run(slot)
    found = bench.pass_time(10)
    assert (found.guilty, found.is_late) == (frozenset(), True)
    assert found.reason.startswith("request id-0 has run for more than 10 s")


def test_of_several_that_are_late_the_one_that_has_cost_a_worker_is_to_blame(
    bench: Bench,
) -> None:
    for slot in range(3):
        bench.run(slot, tries=int(slot == 1))
    assert bench.pass_time(11).guilty == {1}


def test_a_request_that_is_late_while_the_loop_runs_is_to_blame(bench: Bench) -> None:
    for slot in range(2):
        bench.run(slot)
    bench.pass_time(5, beats=True)
    bench.run(2)
    assert bench.pass_time(6, beats=True).guilty == {0, 1}


def test_an_async_loop_that_runs_ends_its_requests_itself(bench: Bench) -> None:
    bench.worker.patience = 5.0
    bench.run(0)
    assert bench.pass_time(15, beats=True) is None
    assert bench.pass_time(1, beats=True).guilty == {0}
    bench.run(0)
    assert bench.pass_time(11).guilty == {0}


def test_a_quiet_stream_is_to_blame(bench: Bench) -> None:
    for slot in range(3):
        bench.run(slot, slots.STREAMING)
    assert bench.pass_time(60) is None
    bench.table.restart(2, slots.STREAMING)
    found = bench.pass_time(1)
    assert (found.guilty, found.is_late) == ({0, 1}, True)
    assert found.reason.startswith("no item of the streams id-0, id-1 has come for more than 60 s")
    bench.table.mark(1, slots.IDLE)
    reason = bench.pass_time(1).reason
    assert reason.startswith("no item of the stream id-0 has come for more than 60 s: worker 4711 ")
    assert reason.endswith("Raise SAGEMAKER_STREAM_IDLE_TIMEOUT, or yield more often.")


def test_an_async_loop_that_runs_ends_its_streams_itself(bench: Bench) -> None:
    bench.worker.patience = 5.0
    bench.run(0, slots.STREAMING)
    assert bench.pass_time(65, beats=True) is None
    assert bench.pass_time(1, beats=True).guilty == {0}


def test_a_request_beside_a_stream_need_not_be_what_blocks_the_loop(bench: Bench) -> None:
    bench.run(0)
    bench.run(1, slots.STREAMING)
    assert bench.pass_time(11).guilty == frozenset()


def lose(bench: Bench, **changes: Any) -> list[str]:
    vars(bench.worker).update(changes)
    return lost_requests.answer(
        bench.worker, bench.connections, 10.0, bench.close, out_of_memory=False
    )


def test_the_only_request_of_a_worker_that_dies_is_to_blame(bench: Bench) -> None:
    bench.run(0)
    bench.run(1, slots.PENDING)
    assert lose(bench) == ["id-0 (500)", "id-1 (tried again)"]
    assert bench.states() == [slots.IDLE, slots.AGAIN, slots.IDLE]
    assert b"process_died" in bench.front[0].recv(1000)
    assert bench.table.read(1).tries == 1


def test_a_stream_is_broken_off_and_not_begun_again(bench: Bench) -> None:
    bench.run(0)
    bench.run(1, slots.STREAMING)
    assert lose(bench) == ["id-0 (tried again)", "id-1 (a stream, broken off)"]
    assert bench.states() == [slots.AGAIN, slots.IDLE, slots.IDLE]
    assert bench.closed == [1]
    assert bench.front[1].recv(1000) == b""


def test_several_are_handed_out_again_but_only_once(bench: Bench) -> None:
    bench.run(0)
    bench.run(1, tries=1)
    bench.run(2, kept=False)
    assert lose(bench) == ["id-0 (tried again)", "id-1 (500)", "id-2 (500)"]
    assert bench.states() == [slots.AGAIN, slots.IDLE, slots.IDLE]


def test_a_request_whose_client_is_gone_is_not_handed_out_again(bench: Bench) -> None:
    bench.run(0)
    bench.run(1)
    bench.connections.close(1)
    assert lose(bench) == ["id-0 (tried again)", "id-1 (500)"]


def test_what_a_worker_that_is_to_end_had_is_503(bench: Bench) -> None:
    bench.run(0)
    bench.run(1)
    assert lose(bench, ends_for=FEWER) == ["id-0 (503)", "id-1 (503)"]


@pytest.mark.parametrize(
    ("beats", "lost"),
    [(False, ["id-0 (504)", "id-1 (504)"]), (True, ["id-0 (504)", "id-1 (500)"])],
    ids=["batch", "threads"],
)
def test_those_that_were_part_of_a_late_call_get_one_status(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, *, beats: bool, lost: list[str]
) -> None:
    """A batch fills up while it waits: not all of it is late when the call is."""
    monkeypatch.setattr(lost_requests, "monotonic", lambda: bench.now)
    bench.run(0, kept=False)
    bench.pass_time(2, beats=beats)
    bench.run(1, kept=False)
    found = bench.pass_time(9, beats=beats)
    assert found.is_late
    overdue_for = {"is_overdue": True, "killed_for": TOO_LATE, "guilty": found.guilty}
    assert lose(bench, **overdue_for) == lost


def test_a_request_to_be_tried_again_leaves_with_its_connection(bench: Bench) -> None:
    bench.run(0)
    bench.run(1)
    lose(bench)
    bench.connections.rearm_idle()
    bench.connections.disarm()
    bench.connections.close(0)
    assert bench.states()[0] == slots.IDLE


@pytest.fixture
def waiting(bench: Bench) -> WaitingRequests:
    return WaitingRequests(bench.connections, CONFIG, bench.close)


def wait(bench: Bench, waiting: WaitingRequests, seconds: int) -> list[int]:
    for _ in range(seconds):
        waiting.check()
        bench.now += 1
    waiting.check()
    return bench.closed


def test_a_request_that_nobody_takes_is_given_up(
    bench: Bench, waiting: WaitingRequests, caplog: pytest.LogCaptureFixture
) -> None:
    bench.front[1].send(b"request")
    assert wait(bench, waiting, 10) == []
    assert wait(bench, waiting, 1) == [1]
    assert "1 request(s) waited for more than 10 s and no worker took them" in caplog.text
    assert "raise initial_workers or response_timeout." in caplog.text
    assert wait(bench, waiting, 20) == [1]


def test_the_next_request_of_a_connection_has_its_own_time(
    bench: Bench, waiting: WaitingRequests
) -> None:
    bench.front[1].send(b"request")
    wait(bench, waiting, 9)
    bench.run(1)
    bench.table.mark(1, slots.IDLE)
    assert wait(bench, waiting, 10) == []
    assert wait(bench, waiting, 1) == [1]


def test_those_that_wait_for_a_new_worker_are_granted_their_time_once_more(
    bench: Bench, waiting: WaitingRequests
) -> None:
    bench.front[1].send(b"request")
    wait(bench, waiting, 9)
    waiting.extend()
    wait(bench, waiting, 9)
    waiting.extend()
    assert wait(bench, waiting, 2) == [1]


def test_those_that_are_tried_again_wait_for_each_other(
    bench: Bench, waiting: WaitingRequests
) -> None:
    for slot in range(2):
        bench.run(slot)
    lose(bench)
    bench.run(0, tries=1)
    assert wait(bench, waiting, 100) == []
    bench.table.mark(0, slots.IDLE)
    assert wait(bench, waiting, 60) == []
    assert wait(bench, waiting, 1) == [1]


def test_a_worker_that_loads_only_to_die_is_not_able(bench: Bench) -> None:
    ability = Ability(bench.table)
    bench.now += 100
    assert ability.unable_for([], has_begun=False) == 0
    bench.worker.loaded_at = bench.now
    bench.now += 4
    assert ability.unable_for([bench.worker]) == 4
    bench.worker.is_loaded = False
    bench.now += 4
    assert ability.unable_for([bench.worker]) == 8
    bench.worker.is_loaded = True
    assert ability.unable_for([bench.worker]) == 0
    bench.worker.loaded_at = bench.now
    bench.now += 1
    assert ability.unable_for([bench.worker]) == 1
    bench.table.note_answered(0, 1)
    assert ability.unable_for([bench.worker]) == 0


def test_the_journal_gives_the_memory_of_long_messages_back(bench: Bench) -> None:
    journal = bench.connections.journal
    message = os.urandom(1 << 20)
    assert journal.keep(2, message) == 1 << 20
    assert journal.read(2, 1 << 20) == message
    before = os.fstat(journal.fd).st_blocks
    journal.forget(2, 1 << 20)
    assert os.fstat(journal.fd).st_blocks < before
    assert journal.keep(0, b"x" * (8 << 20) + b"y") == 0


def test_a_zygote_forks_in_milliseconds_or_is_replaced(bench: Bench) -> None:
    pipes: Any = SimpleNamespace(asked=bench.now)
    bench.now += 30
    assert not time_limits.does_not_fork([])
    assert not time_limits.does_not_fork([pipes])
    bench.now += 1
    assert time_limits.does_not_fork([pipes])


def test_the_end_of_a_deployment_names_the_last_death() -> None:
    assert time_limits.unable(600, "").endswith(
        "SAGEMAKER_STARTUP_TIMEOUT); the last one still loads"
    )


def test_what_the_system_refuses_to_keep_is_not_kept(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = bench.connections.journal
    monkeypatch.setattr(os, "pwrite", lambda *_arguments: 3)
    assert journal.keep(0, b"message") == 0

    def refuse(*_arguments: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", refuse)
    assert journal.keep(0, b"message") == 0
