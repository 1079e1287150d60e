"""A worker's loop in the process of the test, one step at a time."""

from __future__ import annotations

import os
import select
import sys
from typing import TYPE_CHECKING

import pytest
from support.mms_bytes import predict_one, upgrade
from support.session_bench import alone, take
from support.worker_bench import Echo, answer

from sagemaker_inference._ipc import slots
from sagemaker_inference._program.concurrency import Concurrency

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sagemaker_inference._http.messages import Request, Response


def test_what_was_left_to_others_is_handed_out_again_unless_one_has_taken_it(
    tmp_path: Path,
) -> None:
    one = Concurrency(is_async=True, max_concurrency=1, has_sockets=True)
    with alone(Echo(one), tmp_path) as (bench, loop):
        first, taken, left, _ = bench.slots
        bench.front[first].sendall(upgrade("/v1/talk", "", "id-0"))
        assert len(take(loop)) == 1
        for slot in (taken, left):
            bench.front[slot].sendall(upgrade("/v1/talk", "", "id-1"))
        assert take(loop) == []
        generation = bench.table.state(taken)[1]
        bench.table.write(taken, slots.READING, 4711, generation)
        loop.hand_out_left()
        # Else its connection would be handed out while that worker reads from it.
        assert loop.epoll.poll(0) == [(bench.connections.fd(left), select.EPOLLIN)]


class Forks(Echo):
    """Comes back as a child of its worker would."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.monkeypatch = monkeypatch

    async def answer(self, requests: Sequence[Request]) -> list[Response]:
        self.monkeypatch.setattr(os, "getpid", lambda: 4711)
        return await super().answer(requests)


def test_a_child_that_comes_back_from_the_program_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a fork: no measurement of lines goes on in a function that a fork has copied."""
    monkeypatch.setattr(os, "_exit", sys.exit)
    with alone(Forks(monkeypatch), tmp_path) as (bench, loop):
        bench.front[0].sendall(predict_one("id-0", b"a"))
        [work] = take(loop)
        with pytest.raises(SystemExit) as ended:
            loop.answer_now(work.requests)
        assert ended.value.code == 0
        monkeypatch.undo()


def test_what_comes_behind_a_message_waits_where_another_thread_answers_that(
    tmp_path: Path,
) -> None:
    with alone(Echo(), tmp_path) as (bench, loop):
        bench.front[0].sendall(predict_one("1", b"a") + predict_one("2", b"b"))
        [work] = take(loop)
        assert loop.finish(work, loop.answer_now(work.requests), is_beside=True) is None
        assert bench.front[0].recv(1000) == answer("1", b"A")
        # No worker gets the connection meanwhile.
        assert loop.epoll.poll(0) == []
        [follower] = loop.follow_up()
        assert loop.follow_up() == []
        loop.finish(follower, loop.answer_now(follower.requests))
        assert bench.front[0].recv(1000) == answer("2", b"B")
        assert bench.table.state(bench.slots[0])[0] == slots.IDLE
