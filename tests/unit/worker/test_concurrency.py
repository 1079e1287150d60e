"""Services that await, or run on threads: what goes on at the same time, and who has waited."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import time
from typing import TYPE_CHECKING, cast

import pytest
from support.mms_bytes import END, number, predict_one, text
from support.worker_bench import Awaits, Bench, Echo, answer, running

from sagemaker_inference._program.concurrency import Concurrency
from sagemaker_inference._worker.access_log import AccessLog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagemaker_inference._http.messages import Request, Response


def test_requests_run_concurrently_where_the_service_awaits() -> None:
    service = Awaits()
    with running(service, count=40) as bench:
        for index in range(40):
            bench.front[index].sendall(predict_one(str(index), b"a"))
        for index in range(40):
            bench.expect(answer(str(index), b"A"), index)
        bench.front[0].sendall(predict_one("most", b""))
        most = str(service.concurrency.limit)
        assert bench.front[0].recv(1000).endswith(text(most) + END)


class Blocks(Awaits):
    """Blocks its event loop in a coroutine."""

    async def answer(self, requests: Sequence[Request]) -> list[Response]:
        time.sleep(1.5)  # noqa: ASYNC251 - as said; long enough for the other one to be sent
        return await Echo.answer(self, requests)


def queue_times(fd: int) -> list[float]:
    return [float(found) for found in re.findall(rb"queue=([\d.]+)", os.read(fd, 10_000))]


@pytest.mark.parametrize("service", [Awaits(), Echo(Concurrency(threads=2))])
def test_a_request_that_comes_alone_has_not_waited(service: Echo) -> None:
    lines, log = os.pipe()
    with running(service, access=AccessLog(log, logging.INFO)) as bench:
        for request in ("1", "2"):
            time.sleep(0.6)
            bench.exchange(predict_one(request, b"a"), answer(request, b"A"))
        bench.wait_idle()
    assert max(queue_times(lines)) < 100


def test_a_request_that_comes_while_a_coroutine_blocks_has_waited() -> None:
    lines, log = os.pipe()
    with running(Blocks(), count=2, access=AccessLog(log, logging.INFO)) as bench:
        bench.front[0].sendall(predict_one("1", b"a"))
        bench.wait_running(0)
        # Whether asyncio takes it before the first one blocks, or afterwards.
        bench.front[1].sendall(predict_one("2", b"a"))
        bench.expect(answer("1", b"A"), 0)
        bench.expect(answer("2", b"A"), 1)
        bench.wait_idle()
    _, second = queue_times(lines)
    assert second > 1000


def test_requests_that_are_taken_together_wait_for_one_another() -> None:
    """They wait in tasks of asyncio, where the loop does not see them."""
    lines, log = os.pipe()
    with running(Blocks(), count=2, access=AccessLog(log, logging.INFO)) as bench:
        os.kill(bench.pid, signal.SIGSTOP)
        os.waitpid(bench.pid, os.WUNTRACED)
        for front in bench.front:
            front.sendall(predict_one("1", b"a"))
        os.kill(bench.pid, signal.SIGCONT)
        for index in (0, 1):
            bench.expect(answer("1", b"A"), index)
        bench.wait_idle()
    first, second = queue_times(lines)
    assert first < 1000 < second


def test_an_async_request_is_given_up_after_its_time() -> None:
    with running(Awaits(), count=2) as bench:
        bench.front[0].sendall(predict_one("slow", b"a"))
        bench.front[1].sendall(predict_one("1", b"a") + predict_one("2", b"b"))
        bench.expect(answer("1", b"A") + answer("2", b"B"), 1)
        head = number(200) + text("OK") + text("slow") + text("application/json") + number(504)
        bench.expect(head)


def test_a_request_that_the_program_cancels_fails_at_once() -> None:
    with running(Awaits()) as bench:
        bench.front[0].sendall(predict_one("cancel", b"a"))
        head = number(200) + text("OK") + text("cancel") + text("application/json") + number(500)
        bench.expect(head)


class Faulty(Echo):
    """Returns what is not a response for one request: a fault that no handler has."""

    async def answer(self, requests: Sequence[Request]) -> list[Response]:
        if requests[0].id == "fault":
            return cast("list[Response]", [None])
        if self.concurrency.is_async:
            await asyncio.sleep(0.1)
        else:
            time.sleep(0.1)  # noqa: ASYNC251 - a thread of its own
        return await super().answer(requests)


@pytest.mark.parametrize(
    "concurrency",
    [
        Concurrency(is_async=True),
        Concurrency(threads=2),
        Concurrency(is_async=True, max_batch_size=4),
    ],
)
def test_a_fault_outside_handlers_ends_the_worker_once_others_are_answered(
    concurrency: Concurrency, capfd: pytest.CaptureFixture[str]
) -> None:
    bench = Bench(Faulty(concurrency), count=2)
    bench.front[1].sendall(predict_one("1", b"a"))
    if concurrency.max_batch_size > 1:
        bench.expect(answer("1", b"A"), 1)
    bench.front[0].sendall(predict_one("fault", b"a"))
    if concurrency.max_batch_size == 1:
        bench.expect(answer("1", b"A"), 1)
    wait_until_ended(bench.pid)
    assert bench.close() == 1
    assert "'NoneType' object has no attribute" in capfd.readouterr().err


def wait_until_ended(pid: int) -> None:
    """Wait, so that a worker that goes on fails its test instead of hanging it."""
    deadline = time.monotonic() + 10
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)
