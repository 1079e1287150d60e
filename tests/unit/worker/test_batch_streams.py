"""Streams of a batch in a worker: one generator, and a connection for each request."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest
from support.mms_bytes import predict_one
from support.stream_bench import JSON, ask, service
from support.stream_bytes import StreamReader
from support.worker_bench import running

from sagemaker_inference._ipc import slots

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from support.stream_bench import Gate
    from support.worker_bench import Bench

ways = pytest.mark.parametrize("is_async", [False, True])


def program(function: Any, *, is_async: bool, **options: Any) -> Any:
    """The predictor, or the same as an async generator."""

    async def awaits(batch: Any) -> AsyncIterator[Any]:
        for items in function(batch):
            await asyncio.sleep(0)
            yield items

    options = {"max_batch_size": 8, **options}
    return service(awaits if is_async else function, **options)


def ask_together(bench: Bench, *bodies: Any) -> list[StreamReader]:
    """Send requests that form one batch."""
    os.kill(bench.pid, signal.SIGSTOP)
    os.waitpid(bench.pid, os.WUNTRACED)
    readers = [ask(bench, body, front=front) for front, body in enumerate(bodies)]
    os.kill(bench.pid, signal.SIGCONT)
    return readers


def count_down(batch: list[int]) -> Iterator[list[Any]]:
    for step in range(max(batch)):
        yield [[step, len(batch)] if step < last else None for last in batch]


@ways
def test_one_generator_answers_a_batch(*, is_async: bool) -> None:
    with running(program(count_down, is_async=is_async), count=3) as bench:
        bench.wait_idle()
        readers = ask_together(bench, 1, 3, 2)
        for front, (reader, last) in enumerate(zip(readers, (1, 3, 2), strict=True)):
            assert reader.head().request_id == f"id-{front}"
            assert reader.rest() == [b"[%d,3]\n" % step for step in range(last)]
            assert reader.status == 0
        bench.wait_idle()
        # The connections serve on.
        reader = ask(bench, 1)
        reader.head()
        assert reader.rest() == [b"[0,1]\n"]
        bench.wait_idle()
        assert bench.table.answered(0) == 4


@ways
def test_what_fails_whole_and_what_streams_are_answered_together(*, is_async: bool) -> None:
    with running(program(count_down, is_async=is_async), count=3) as bench:
        bench.wait_idle()
        os.kill(bench.pid, signal.SIGSTOP)
        os.waitpid(bench.pid, os.WUNTRACED)
        reader = ask(bench, 2)
        bench.front[1].sendall(predict_one("id-1", b"[", JSON))
        bench.front[2].sendall(predict_one("id-2", b"1", JSON))
        os.kill(bench.pid, signal.SIGCONT)
        assert b'{"error": {"code"' in bench.front[1].recv(1000)
        reader.head()
        assert len(reader.rest()) == 2
        bench.wait_idle()


@ways
def test_a_client_that_hangs_up_leaves_the_batch(gate: Gate, *, is_async: bool) -> None:
    def endless(batch: list[Any]) -> Iterator[Any]:
        try:
            while True:
                time.sleep(0.005)
                yield batch
        finally:
            gate.tell(b"closed")

    with running(program(endless, is_async=is_async), count=2) as bench:
        bench.wait_idle()
        one, two = ask_together(bench, 1, 2)
        for reader in (one, two):
            reader.head()
        bench.front[0].sendall(b"C")
        one.rest()
        assert one.status == 499
        bench.wait_state(slots.IDLE, 0)
        assert [two.chunk() for _ in range(50)] == [b"2\n"] * 50
        bench.front[1].sendall(b"C")
        assert gate.hear() == b"closed"
        two.rest()
        assert two.status == 499
        bench.wait_idle()


@ways
def test_an_item_that_cannot_be_written_ends_its_stream_only(*, is_async: bool) -> None:
    def odd(batch: list[Any]) -> Iterator[Any]:
        yield batch
        yield [1, object()]
        yield [2, 2]

    with running(program(odd, is_async=is_async), count=2) as bench:
        bench.wait_idle()
        good, bad = ask_together(bench, 0, 0)
        good.head()
        assert good.rest() == [b"0\n", b"1\n", b"2\n"]
        bad.head()
        *_, last = bad.rest()
        assert json.loads(last)["error"]["request_id"] == "id-1"
        assert bad.status == 500


@ways
def test_a_slow_client_holds_the_batch_and_is_waited_for(*, is_async: bool) -> None:
    def large(batch: list[Any]) -> Iterator[Any]:
        for _ in range(8):
            yield ["x" * (1 << 19), 7]

    options = {"is_async": is_async}
    with running(program(large, **options), count=2) as bench:
        bench.wait_idle()
        slow, fast = ask_together(bench, 0, 0)
        fast.head()
        assert fast.chunk() == b"7\n"
        time.sleep(0.3)  # the slow one's socket is full by now
        before = bench.table.read(1).since
        if not is_async:
            bench.wait_for(lambda: bench.table.read(1).since > before)
        slow.head()
        assert len(slow.rest()) == 8
        assert fast.rest() == [b"7\n"] * 7


@ways
def test_the_window_waits_for_a_batch(*, is_async: bool) -> None:
    with running(
        program(count_down, is_async=is_async, max_batch_delay=10, max_batch_size=3), 3
    ) as bench:
        readers = [ask(bench, 1, front=front) for front in range(3)]
        for reader in readers:
            reader.head()
            assert reader.rest() == [b"[0,3]\n"]


@ways
def test_the_window_ends(*, is_async: bool) -> None:
    with running(program(count_down, is_async=is_async, max_batch_delay=0.05), 2) as bench:
        reader = ask(bench, 1)
        reader.head()
        assert reader.rest() == [b"[0,1]\n"]


def test_a_batch_that_is_open_is_answered_when_the_worker_ends() -> None:
    with running(program(count_down, is_async=True, max_batch_delay=100), 1) as bench:
        reader = ask(bench, 1)
        bench.wait_running(0)
        bench.connections.stop()
        reader.head()
        assert reader.rest() == [b"[0,1]\n"]


def test_requests_behind_a_message_are_the_next_batch() -> None:
    with running(program(count_down, is_async=True), 1) as bench:
        message = predict_one("id-0", b"1", JSON)
        bench.front[0].sendall(message * 2)
        for _ in range(2):
            reader = StreamReader(bench.front[0])
            reader.head()
            assert reader.rest() == [b"[0,1]\n"]


def test_a_batch_of_an_async_program_is_given_up_after_its_time() -> None:
    async def sleeps(batch: Any) -> AsyncIterator[Any]:
        await asyncio.sleep(100)
        yield batch

    with running(service(sleeps, max_batch_size=4), count=2) as bench:
        bench.wait_idle()
        for front in (0, 1):
            bench.front[front].sendall(predict_one(f"id-{front}", b"1", JSON))
        for front in (0, 1):
            assert b"prediction_timeout" in bench.front[front].recv(1000)
        bench.wait_idle()
