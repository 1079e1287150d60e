"""What a worker answers together, and what it does when nobody waits."""

from __future__ import annotations

import asyncio
import contextlib
import mmap
import time
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import pytest
from support.mms_bytes import predict_at, predict_one
from support.worker_bench import Echo, answer, running

from sagemaker_inference._os import polling
from sagemaker_inference._program.concurrency import Concurrency

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from sagemaker_inference._http.messages import Request, Response


def test_what_waits_is_one_batch() -> None:
    with running(Echo(Concurrency(max_batch_size=8), pause=0.5), count=9) as bench:
        # The first has to be running when the others come: else they are one batch with it.
        bench.front[0].sendall(predict_one("0", b"a"))
        bench.wait_running()
        for index in range(1, 9):
            bench.front[index].sendall(predict_one(str(index), b"a"))
        bench.expect(answer("0", b"A", 1), 0)
        for index in range(1, 9):
            bench.expect(answer(str(index), b"A", 8), index)


def test_a_delay_waits_for_more_but_not_longer() -> None:
    with running(Echo(Concurrency(max_batch_size=8, max_batch_delay=1.0)), count=3) as bench:
        for index in range(3):
            bench.front[index].sendall(predict_one(str(index), b"a"))
            time.sleep(0.02)
        for index in range(3):
            bench.expect(answer(str(index), b"A", 3), index)
        bench.exchange(predict_one("0", b"a"), answer("0", b"A", 1))
        bench.front[0].sendall(predict_one("0", b"a"))
        time.sleep(0.05)
    # Stopped in the middle of the delay: what was taken is answered all the same.


class Timers(asyncio.SelectorEventLoop):
    """Counts what is to happen much later than anything that a worker does by itself."""

    late = 0

    def call_later(self, delay: float, *arguments: Any, **options: Any) -> asyncio.TimerHandle:
        self.late += delay > 30
        return super().call_later(delay, *arguments, **options)


class CountsTimers(Echo):
    """Answers in an event loop, with how many timers of windows have been set there."""

    @staticmethod
    def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
        with contextlib.closing(Timers()) as loop:
            return loop.run_until_complete(coroutine)

    async def answer(self, requests: Sequence[Request]) -> list[Response]:
        responses = await super().answer(requests)
        for response in responses:
            response.body = str(cast("Timers", asyncio.get_running_loop()).late).encode()
        return responses


def test_one_timer_ends_the_window_of_a_batch_in_an_event_loop() -> None:
    """One more for each request that joins would end windows of later batches."""
    concurrency = Concurrency(max_batch_size=3, max_batch_delay=60.0, is_async=True)
    with running(CountsTimers(concurrency), count=3) as bench:
        for timers in (b"1", b"2"):
            for index in range(3):
                bench.front[index].sendall(predict_one(str(index), b"a"))
                if index < 2:
                    bench.wait_running(index)
            for index in range(3):
                bench.expect(answer(str(index), timers, 3), index)
            bench.wait_idle()


def no_select(*_: object) -> None:
    message = "filedescriptor out of range in select()"
    raise ValueError(message)


def test_a_delay_is_kept_where_numbers_of_descriptors_are_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(polling, "select", no_select)
    test_a_delay_waits_for_more_but_not_longer()


class Timed(Echo):
    """Says how long it predicts."""

    async def answer(self, requests: Sequence[Request]) -> list[Response]:
        responses = await super().answer(requests)
        for response in responses:
            response.predict_seconds = self.pause
        return responses


def test_clients_that_come_again_share_a_batch_without_a_delay() -> None:
    with running(Timed(Concurrency(max_batch_size=8), pause=0.5), count=2) as bench:
        bench.front[0].sendall(predict_one("0", b"a"))
        bench.wait_running(0)
        bench.front[1].sendall(predict_one("1", b"a"))
        bench.expect(answer("0", b"A", 1), 0)
        # 1 has been waiting; 0 comes again, within an eighth of a second.
        bench.front[0].sendall(predict_one("0", b"a"))
        bench.expect(answer("1", b"A", 2), 1)
        bench.expect(answer("0", b"A", 2), 0)


class Diligent(Echo):
    """Has three pieces of work that can wait, after its first request."""

    def __init__(self) -> None:
        super().__init__(Concurrency(max_batch_size=8))
        self.left = 0
        self.done = mmap.mmap(-1, 1)

    @property
    def has_idle_work(self) -> bool:
        return self.left > 0

    def use_idle_time(self) -> None:
        self.left -= 1
        self.done[0] += 1

    async def answer(self, requests: Sequence[Request]) -> list[Response]:
        self.left = 3
        return await super().answer(requests)


def test_idle_time_is_used_until_the_next_request() -> None:
    service = Diligent()
    with running(service) as bench:
        bench.exchange(predict_one("0", b"a"), answer("0", b"A", 1))
        bench.wait_for(lambda: service.done[0] == 3)
        bench.exchange(predict_one("1", b"a"), answer("1", b"A", 1))
        bench.wait_for(lambda: service.done[0] == 6)


class Paths(Timed):
    """Says which path it was called for."""

    async def answer(self, requests: Sequence[Request]) -> list[Response]:
        [path] = {request.path for request in requests}
        responses = await super().answer(requests)
        for response in responses:
            response.body = path.encode()
        return responses


ways = pytest.mark.parametrize("is_async", [False, True])


@ways
def test_each_path_has_calls_of_its_own(*, is_async: bool) -> None:
    limits = {"/invocations": 8, "/a": 2, "/b": 1}
    concurrency = Concurrency(max_batch_size=8, batch_limits=limits, is_async=is_async)
    sent = ["/a", "/invocations", "/b", "/a", "/invocations", "/b", "/a"]
    with running(Paths(concurrency, pause=0.5), count=len(sent) + 1) as bench:
        bench.front[-1].sendall(predict_one("first", b"a"))
        bench.wait_running(len(sent))
        for index, path in enumerate(sent):
            message = predict_one if path == "/invocations" else partial(predict_at, path)
            bench.front[index].sendall(message(str(index), b"a"))
        bench.expect(answer("first", b"/invocations", 1), -1)
        for index, size in enumerate([2, 2, 1, 2, 2, 1, 1]):
            bench.expect(answer(str(index), sent[index].encode(), size), index)
        bench.wait_idle()


@ways
def test_a_request_to_a_path_without_batches_does_not_wait_for_others(*, is_async: bool) -> None:
    limits = {"/invocations": 8, "/b": 1}
    # Longer than the bench waits for an answer.
    concurrency = Concurrency(
        max_batch_size=8, max_batch_delay=60.0, batch_limits=limits, is_async=is_async
    )
    with running(Paths(concurrency)) as bench:
        bench.exchange(predict_at("/b", "0", b"a"), answer("0", b"/b", 1))
