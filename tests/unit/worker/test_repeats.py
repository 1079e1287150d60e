"""Requests that are kept for another worker, handed out again and tried alone."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any

import pytest
from support.mms_bytes import predict_one
from support.stream_bench import JSON, ask, service
from support.stream_bytes import StreamReader
from support.worker_bench import LOAD, Awaits, Bench, Echo, answer, running

from sagemaker_inference._ipc import slots
from sagemaker_inference._program.concurrency import Concurrency

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from sagemaker_inference._http.messages import Request, Response


class Notes(Echo):
    """Answers with how many requests ran at the same time, and remembers who wants to know."""

    def watch_retries(self, on_retry: Callable[[Sequence[str]], None]) -> None:
        self.on_retry = on_retry

    async def answer(self, requests: Sequence[Request]) -> list[Response]:
        if requests[0].id == "retry":
            self.on_retry([requests[-1].id])
            time.sleep(0.5)  # noqa: ASYNC251 - a blocking predictor
        return await super().answer(requests)


def test_a_retry_gives_each_request_its_time_anew() -> None:
    with running(Notes(Concurrency(max_batch_size=2, max_batch_delay=5)), count=2) as bench:
        bench.front[0].sendall(predict_one("retry", b"a"))
        bench.wait_running()
        bench.front[1].sendall(predict_one("2", b"b"))
        bench.wait_state(slots.PENDING, 0)
        assert bench.table.read(0).is_taken
        assert bench.table.state(1)[0] == slots.RUNNING
        assert bench.table.read(1).since >= bench.table.read(0).since
        bench.expect(answer("retry", b"A", 2), 0)
        bench.expect(answer("2", b"B", 2), 1)


def hand_out_again(
    bench: Bench, slot: int, identity: str, body: bytes, headers: Sequence[tuple[str, str]] = ()
) -> None:
    """Do as the supervisor does for a request whose worker has ended."""
    kept = bench.connections.journal.keep(slot, predict_one(identity, body, headers))
    bench.table.write(slot, slots.RUNNING, 4711, 1, identity, kept=kept)
    assert bench.connections.hand_out_again(slot, bench.table.read(slot))


@pytest.mark.parametrize(
    "concurrency",
    [
        Concurrency(),
        Concurrency(max_batch_size=8, max_batch_delay=0.2),
        Concurrency(threads=8),
    ],
)
def test_requests_that_are_handed_out_again_are_taken_alone(concurrency: Concurrency) -> None:
    with running(Echo(concurrency, pause=0.1), count=6) as bench:
        bench.front[5].sendall(predict_one("5", b"x"))
        bench.wait_running(5)
        for slot in range(3):
            hand_out_again(bench, slot, str(slot), b"abc")
        for slot in (3, 4):
            bench.front[slot].sendall(predict_one(str(slot), b"x"))
        for slot in range(3):
            bench.expect(answer(str(slot), b"ABC", 1), slot)
        for slot in (3, 4, 5):
            assert bench.front[slot].recv(1000)
        bench.wait_idle()
        # And from then on the connection is as any other.
        bench.exchange(predict_one("7", b"d"), answer("7", b"D"))


async def lasts(data: Any) -> AsyncIterator[Any]:
    for item in range(data):
        yield item
        if item:
            await asyncio.sleep(100)


def lasts_in_thread(data: Any) -> Iterator[Any]:
    for item in range(data):
        yield item
        # Items that nobody counts: so it hears when its client goes.
        while item:
            time.sleep(0.01)
            yield b""


@pytest.mark.parametrize(
    ("program", "options"), [(lasts, {"max_concurrency": 3}), (lasts_in_thread, {"threads": 3})]
)
def test_a_stream_that_lasts_keeps_its_worker_neither_from_repeated_requests_nor_from_others(
    program: Callable[..., Any], options: dict[str, int]
) -> None:
    with running(service(program, **options), count=4) as bench:
        lasting = [ask(bench, 2)]
        lasting[0].head()
        assert [lasting[0].chunk(), lasting[0].chunk()] == [b"0\n", b"1\n"]
        # Its first item would not come while it waits for the stream to end, ...
        hand_out_again(bench, 1, "id-1", b"2", JSON)
        lasting.append(StreamReader(bench.front[1]))
        lasting[1].head()
        assert lasting[1].chunk() == b"0\n"
        # ... and no other request would be answered until this one ends, too.
        other = ask(bench, 1, front=2)
        other.head()
        assert other.rest() == [b"0\n"]
        # There is a third place, and no fourth.
        lasting.append(ask(bench, 2, front=2))
        lasting[2].head()
        last = ask(bench, 1, front=3)
        for front, reader in enumerate(lasting):
            bench.front[front].sendall(b"C")
            reader.rest()
        last.head()
        assert last.rest() == [b"0\n"]
        bench.wait_idle()


def test_those_that_are_read_together_are_kept_for_another_worker() -> None:
    with running(Echo(Concurrency(max_batch_size=2, max_batch_delay=5), pause=0.5), 2) as bench:
        messages = [predict_one("0", b"a"), predict_one("1", b"x" * 200_000)]
        for front, message in zip(bench.front, messages, strict=True):
            front.sendall(message)
        bench.wait_kept(1, len(messages[1]))
        bench.wait_kept(0, len(messages[0]))
        for slot, message in enumerate(messages):
            assert bench.connections.journal.read(slot, len(message)) == message
        bench.expect(answer("0", b"A", 2), 0)


@pytest.mark.parametrize("concurrency", [Concurrency(), Concurrency(threads=2, repeats_lost=False)])
def test_nothing_is_kept_where_nobody_would_use_it(concurrency: Concurrency) -> None:
    with running(Echo(concurrency)) as bench:
        bench.exchange(predict_one("1", b"a"), answer("1", b"A"))
        assert bench.table.read(0).kept == 0


def test_what_is_not_in_the_journal_ends_the_worker() -> None:
    with running(Echo()) as bench:
        kept = bench.connections.journal.keep(0, LOAD)
        bench.table.write(0, slots.RUNNING, 4711, 1, "id", kept=kept)
        assert bench.connections.hand_out_again(0, bench.table.read(0))
        _, status = os.waitpid(bench.pid, 0)
        assert os.waitstatus_to_exitcode(status) == 1
        # Another child, for the end of the test to wait for.
        bench.pid = os.fork()
        if not bench.pid:
            os._exit(0)


def test_an_idle_worker_shows_that_it_lives() -> None:
    with running(Echo()) as bench:
        before = bench.table.beats(0)
        bench.wait_for(lambda: bench.table.beats(0) >= before + 2)


def test_a_loop_of_concurrent_requests_shows_that_it_lives() -> None:
    with running(Awaits()) as bench:
        bench.front[0].sendall(predict_one("1", b"a"))
        before = bench.table.beats(0)
        bench.wait_for(lambda: bench.table.beats(0) >= before + 2)
        bench.expect(answer("1", b"A"))


def test_what_others_are_reading_is_left_to_them_beside_a_request_that_runs_alone() -> None:
    with running(Echo(Concurrency(max_batch_size=8), pause=0.2), count=3) as bench:
        bench.front[2].sendall(predict_one("2", b"x"))
        bench.wait_running(2)
        hand_out_again(bench, 0, "0", b"abc")
        bench.table.write(1, slots.READING, 4711, 1)
        bench.front[1].sendall(predict_one("1", b"b"))
        bench.expect(answer("2", b"X"), 2)
        bench.expect(answer("0", b"ABC"), 0)
        bench.wait_for(lambda: bench.table.state(0)[0] == slots.IDLE)
        assert bench.table.state(1)[0] == slots.READING
        bench.table.write(1, slots.IDLE, 0, 1)
        bench.connections.rearm_idle()
        bench.expect(answer("1", b"B"), 1)
