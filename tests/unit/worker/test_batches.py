"""What a worker answers together, and what it does when nobody waits."""

from __future__ import annotations

import mmap
import time
from typing import TYPE_CHECKING

from support.mms_bytes import predict_one
from support.worker_bench import Echo, answer, running

from sagemaker_inference._program.concurrency import Concurrency
from sagemaker_inference._worker import loop

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

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


def no_select(*_: object) -> None:
    message = "filedescriptor out of range in select()"
    raise ValueError(message)


def test_a_delay_is_kept_where_numbers_of_descriptors_are_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loop, "select", no_select)
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
