"""Which workers take too long, which are stuck, and which requests nobody takes."""

from __future__ import annotations

import os
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from support.watched_worker import CONFIG, WatchedWorker

from sagemaker_inference._ipc import slots
from sagemaker_inference._supervisor import time_limits
from sagemaker_inference._supervisor.time_limits import Ability, WaitingRequests, overdue


def test_an_idle_worker_that_leaves_marks_is_able(watched: WatchedWorker) -> None:
    assert watched.pass_time(100, beats=True) is None


def test_an_idle_worker_that_leaves_none_is_stuck(watched: WatchedWorker) -> None:
    assert watched.pass_time(5) is None
    found = watched.pass_time(1)
    assert (found.guilty, found.is_late) == (frozenset(), False)
    assert "has not been able to take a request for 6 s" in found.reason


def test_the_time_of_loading_does_not_count(watched: WatchedWorker) -> None:
    watched.now += 100
    watched.worker.pulse.begin()
    assert watched.pass_time(5) is None


def test_where_the_supervisor_stood_still_no_worker_is_to_blame(watched: WatchedWorker) -> None:
    watched.now += 1000
    assert overdue(watched.worker, watched.connections, CONFIG) is None


@pytest.mark.parametrize(("limit", "seconds"), [(1, 5), (20, 10), (60, 30), (3600, 30)])
def test_a_worker_may_stand_still_for_half_of_the_limit(limit: float, seconds: float) -> None:
    assert time_limits.stuck_after(limit) == seconds


@pytest.mark.parametrize("is_working", [False, True])
def test_a_stopped_worker_is_replaced_when_a_ping_has_said_so(
    watched: WatchedWorker, *, is_working: bool
) -> None:
    watched.worker.child.is_stopped = True
    if is_working:
        watched.run(0)
    limit = replace(CONFIG, timeout=100.0 if is_working else 10.0)
    found = [watched.pass_time(1, config=limit) for _ in range(13)]
    # The first look only finds that it is stopped.
    assert found[:12] == [None] * 12
    assert (found[12].guilty, found[12].is_late) == (frozenset(), False)
    assert found[12].reason.startswith("worker 4711 has been stopped for 12 s, as by SIGSTOP")


def test_a_stopped_worker_that_goes_on_is_able(watched: WatchedWorker) -> None:
    for _ in range(9):
        watched.worker.child.is_stopped = True
        assert watched.pass_time(11) is None
        watched.worker.child.is_stopped = False
        assert watched.pass_time(1, beats=True) is None
        assert not watched.worker.pulse.is_stopped


def test_a_stopped_worker_is_late_all_the_same(watched: WatchedWorker) -> None:
    watched.worker.child.is_stopped = True
    watched.run(0)
    assert watched.pass_time(10) is None
    assert watched.pass_time(1).is_late


def test_a_worker_within_the_limit_of_its_request_is_able(watched: WatchedWorker) -> None:
    watched.pass_time(4)
    watched.run(0)
    assert watched.pass_time(10) is None
    found = watched.pass_time(1)
    assert (found.guilty, found.is_late) == ({0}, True)
    assert found.reason.startswith("request id-0 has run for more than 10 s: its worker")
    assert found.reason.endswith("is replaced. Raise response_timeout, or predict faster.")


def test_one_that_reads_or_answers_is_granted_the_time_of_its_connection(
    watched: WatchedWorker,
) -> None:
    watched.run(0, slots.ANSWERING)
    assert watched.pass_time(35) is None
    assert "has not been able" in watched.pass_time(1).reason


def test_nobody_knows_who_of_a_batch_is_to_blame(watched: WatchedWorker) -> None:
    for slot in range(3):
        watched.run(slot)
    found = watched.pass_time(11)
    assert (found.guilty, found.is_late) == (frozenset(), True)
    assert found.reason.startswith("requests id-0, id-1, id-2 have run for more than 10 s: their ")


def test_the_first_of_a_batch_is_not_to_blame_for_being_late_first(watched: WatchedWorker) -> None:
    watched.run(0)
    watched.pass_time(1)
    for slot in (1, 2):
        watched.run(slot)
    found = watched.pass_time(10)
    assert (found.guilty, found.is_late) == (frozenset(), True)
    assert found.reason.startswith("request id-0 has run for more than 10 s")


def test_of_several_that_are_late_the_one_that_has_cost_a_worker_is_to_blame(
    watched: WatchedWorker,
) -> None:
    for slot in range(3):
        watched.run(slot, tries=int(slot == 1))
    assert watched.pass_time(11).guilty == {1}


def test_a_request_that_is_late_while_the_loop_runs_is_to_blame(watched: WatchedWorker) -> None:
    for slot in range(2):
        watched.run(slot)
    watched.pass_time(5, beats=True)
    watched.run(2)
    assert watched.pass_time(6, beats=True).guilty == {0, 1}


def test_an_async_loop_that_runs_ends_its_requests_itself(watched: WatchedWorker) -> None:
    watched.worker.patience = 5.0
    watched.run(0)
    assert watched.pass_time(15, beats=True) is None
    assert watched.pass_time(1, beats=True).guilty == {0}
    watched.run(0)
    assert watched.pass_time(11).guilty == {0}


def test_a_quiet_stream_is_to_blame(watched: WatchedWorker) -> None:
    for slot in range(3):
        watched.run(slot, slots.STREAMING)
    assert watched.pass_time(60) is None
    watched.table.restart(2, slots.STREAMING)
    found = watched.pass_time(1)
    assert (found.guilty, found.is_late) == ({0, 1}, True)
    assert found.reason.startswith("no item of the streams id-0, id-1 has come for more than 60 s")
    watched.table.mark(1, slots.IDLE)
    reason = watched.pass_time(1).reason
    assert reason.startswith("no item of the stream id-0 has come for more than 60 s: worker 4711 ")
    assert reason.endswith("Raise SAGEMAKER_STREAM_IDLE_TIMEOUT, or yield more often.")


def test_an_async_loop_that_runs_ends_its_streams_itself(watched: WatchedWorker) -> None:
    watched.worker.patience = 5.0
    watched.run(0, slots.STREAMING)
    assert watched.pass_time(65, beats=True) is None
    assert watched.pass_time(1, beats=True).guilty == {0}


def test_a_request_beside_a_stream_need_not_be_what_blocks_the_loop(watched: WatchedWorker) -> None:
    watched.run(0)
    watched.run(1, slots.STREAMING)
    assert watched.pass_time(11).guilty == frozenset()


@pytest.fixture
def waiting(watched: WatchedWorker) -> WaitingRequests:
    return WaitingRequests(watched.connections, CONFIG, watched.close)


def wait(watched: WatchedWorker, waiting: WaitingRequests, seconds: int) -> list[int]:
    for _ in range(seconds):
        waiting.check()
        watched.now += 1
    waiting.check()
    return watched.closed


def test_a_request_that_nobody_takes_is_given_up(
    watched: WatchedWorker, waiting: WaitingRequests, caplog: pytest.LogCaptureFixture
) -> None:
    watched.front[1].send(b"request")
    assert wait(watched, waiting, 10) == []
    assert wait(watched, waiting, 1) == [1]
    assert "1 request(s) waited for more than 10 s and no worker took them" in caplog.text
    assert "raise initial_workers or response_timeout." in caplog.text
    assert wait(watched, waiting, 20) == [1]


def test_the_next_request_of_a_connection_has_its_own_time(
    watched: WatchedWorker, waiting: WaitingRequests
) -> None:
    watched.front[1].send(b"request")
    wait(watched, waiting, 9)
    watched.run(1)
    watched.table.mark(1, slots.IDLE)
    assert wait(watched, waiting, 10) == []
    assert wait(watched, waiting, 1) == [1]


def test_those_that_wait_for_a_new_worker_are_granted_their_time_once_more(
    watched: WatchedWorker, waiting: WaitingRequests
) -> None:
    watched.front[1].send(b"request")
    wait(watched, waiting, 9)
    waiting.extend()
    wait(watched, waiting, 9)
    waiting.extend()
    assert wait(watched, waiting, 2) == [1]


def test_those_that_are_tried_again_wait_for_each_other(
    watched: WatchedWorker, waiting: WaitingRequests
) -> None:
    for slot in range(2):
        watched.run(slot)
    watched.lose()
    watched.run(0, tries=1)
    assert wait(watched, waiting, 100) == []
    watched.table.mark(0, slots.IDLE)
    assert wait(watched, waiting, 60) == []
    assert wait(watched, waiting, 1) == [1]


def test_a_worker_that_loads_only_to_die_is_not_able(watched: WatchedWorker) -> None:
    ability = Ability(watched.table)
    watched.now += 100
    assert ability.unable_for([], has_begun=False) == 0
    watched.worker.loaded_at = watched.now
    watched.now += 4
    assert ability.unable_for([watched.worker]) == 4
    watched.worker.is_loaded = False
    watched.now += 4
    assert ability.unable_for([watched.worker]) == 8
    watched.worker.is_loaded = True
    assert ability.unable_for([watched.worker]) == 0
    watched.worker.loaded_at = watched.now
    watched.now += 1
    assert ability.unable_for([watched.worker]) == 1
    watched.table.note_answered(0, 1)
    assert ability.unable_for([watched.worker]) == 0


def test_the_journal_gives_the_memory_of_long_messages_back(watched: WatchedWorker) -> None:
    journal = watched.connections.journal
    message = os.urandom(1 << 20)
    assert journal.keep(2, message) == 1 << 20
    assert journal.read(2, 1 << 20) == message
    before = os.fstat(journal.fd).st_blocks
    journal.forget(2, 1 << 20)
    assert os.fstat(journal.fd).st_blocks < before
    assert journal.keep(0, b"x" * (8 << 20) + b"y") == 0


def test_a_zygote_forks_in_milliseconds_or_is_replaced(watched: WatchedWorker) -> None:
    pipes: Any = SimpleNamespace(asked=watched.now)
    watched.now += 30
    assert not time_limits.does_not_fork([])
    assert not time_limits.does_not_fork([pipes])
    watched.now += 1
    assert time_limits.does_not_fork([pipes])


def test_the_end_of_a_deployment_names_the_last_death() -> None:
    assert time_limits.unable(600, "").endswith(
        "SAGEMAKER_STARTUP_TIMEOUT); the last one still loads"
    )


def test_what_the_system_refuses_to_keep_is_not_kept(
    watched: WatchedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = watched.connections.journal
    monkeypatch.setattr(os, "pwrite", lambda *_arguments: 3)
    assert journal.keep(0, b"message") == 0

    def refuse(*_arguments: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", refuse)
    assert journal.keep(0, b"message") == 0
