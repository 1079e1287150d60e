"""Processes die, hang and are stopped: what fails says why, and the rest goes on."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from support.measurement import UNMEASURED

from tests.server.conftest import ACCIDENTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.conftest import Server

    Serve = Callable[..., Server]

pytestmark = pytest.mark.java


@pytest.mark.parametrize(
    ("accident", "words"),
    [
        ("exit", "ended with exit code 3"),
        ("kill", "was killed by SIGKILL"),
        ("crash", "was killed by SIGSEGV"),
    ],
)
def test_a_process_that_dies_is_replaced_and_its_request_answered(
    serve: Serve, accident: str, words: str
) -> None:
    server = serve(ACCIDENTS)
    before = server.request('"ok"').json["pid"]
    reply = server.request(f'"{accident}"')
    assert reply.status == 500
    error = reply.json["error"]
    assert error["code"] == "process_died"
    assert error["request_id"] == reply.headers["x-request-id"]
    after = server.request('"ok"')
    assert after.status == 200
    assert after.json["pid"] != before
    server.wait_for_log("Its last lines:")
    log = server.log
    assert f"worker {before} {words}" in log
    assert f"{error['request_id']} (500)" in log
    if accident == "exit":
        server.wait_for_log("about to exit")
        log = server.log
        assert re.search(r"Its last lines:\n +about to exit", log)


def test_requests_that_wait_survive_the_death_of_the_process(serve: Serve) -> None:
    server = serve(ACCIDENTS)
    with ThreadPoolExecutor(12) as pool:
        slow = pool.submit(server.request, '{"sleep": 10}')
        server.wait_busy(1)
        waiting = [pool.submit(server.request, '"ok"') for _ in range(10)]
        server.wait_busy(11)
        os.kill(server.pids("sagemaker_inference._worker")[0], signal.SIGKILL)
        assert slow.result().status == 500
        assert [future.result().status for future in waiting] == [200] * 10


def test_a_request_that_takes_too_long_gets_504_and_others_go_on(serve: Serve) -> None:
    server = serve(ACCIDENTS, workers=2, env={"SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS": "1"})
    with ThreadPoolExecutor(2) as pool:
        stuck = pool.submit(server.request, '{"sleep": 30}')
        began = time.monotonic()
        while time.monotonic() - began < 2:
            assert server.request('"ok"').status == 200
        reply = stuck.result()
    assert reply.status == 504
    assert reply.json["error"]["code"] == "prediction_timeout"
    server.wait_for_log("SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS")
    assert server.request('"ok"').status == 200


def test_memory_errors_are_507_and_the_process_lives(shared: Serve) -> None:
    server = shared(ACCIDENTS)
    before = server.request('"ok"').json["pid"]
    reply = server.request('"memory"')
    assert (reply.status, reply.json["error"]["code"]) == (507, "out_of_memory")
    assert server.request('"ok"').json["pid"] == before


def test_repeated_early_deaths_do_not_end_the_server(serve: Serve) -> None:
    server = serve(ACCIDENTS)
    before: list[int] = []
    for _ in range(6):
        before += server.pids("sagemaker_inference._worker")
        for pid in before[-1:]:
            os.kill(pid, signal.SIGKILL)
        server.wait_workers(1, other_than=before)
    assert server.request('"ok"').status == 200


def test_the_death_of_the_front_end_ends_the_server(serve: Serve) -> None:
    server = serve()
    os.kill(server.pids("FrontEnd")[0], signal.SIGKILL)
    assert server.wait_end() == 1
    assert "the front end was killed by SIGKILL" in server.log
    server.wait_gone()


def test_a_full_queue_is_503_and_nothing_hangs(shared: Serve) -> None:
    server = shared(ACCIDENTS, env={"SAGEMAKER_MAX_QUEUE_SIZE": "100"})
    replies = server.all_at_once(['{"sleep": 6}', *['"ok"'] * 150])
    assert {reply.status for reply in replies} == {200, 503}
    assert server.request('"ok"').status == 200


def test_a_client_that_hangs_up_leaves_no_trace(shared: Serve) -> None:
    server = shared(ACCIDENTS)
    before = len(server.log)
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", server.port)) as sock:
            sock.sendall(
                b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc"
            )
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        body = b'{"sleep": 0.5}'
        sock.sendall(
            b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body) + body
        )
        time.sleep(0.2)
    time.sleep(0.6)
    assert server.request('"ok"').status == 200
    assert "Exception" not in server.log[before:]


def test_sigterm_answers_what_is_in_flight_and_runs_the_shut_down_hook(serve: Serve) -> None:
    server = serve(ACCIDENTS)
    with ThreadPoolExecutor(8) as pool:
        pending = [pool.submit(server.request, '{"sleep": 3}')]
        server.wait_busy(1)
        pending += [pool.submit(server.request, '"ok"') for _ in range(5)]
        server.wait_busy(6)
        assert server.stop() == 0
        assert [future.result().status for future in pending] == [200] * 6
    assert "cleaned up" in server.log
    server.wait_gone()


def test_an_interrupt_from_the_keyboard_stops_as_sigterm_does(serve: Serve) -> None:
    server = serve(ACCIDENTS)
    server.process.send_signal(signal.SIGINT)
    assert server.wait_end() == 0
    assert "cleaned up" in server.log
    assert "Traceback" not in server.log


def test_a_second_sigterm_stops_at_once(serve: Serve) -> None:
    server = serve(ACCIDENTS)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(server.request, '{"sleep": 15}')
        server.wait_busy(1)
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        server.process.send_signal(signal.SIGTERM)
        assert server.wait_end() == 128 + signal.SIGTERM
        assert time.monotonic() - began < 5
    server.wait_gone()


def test_nothing_survives_the_killed_supervisor(serve: Serve) -> None:
    server = serve(ACCIDENTS, workers=2, env=UNMEASURED)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(server.request, '{"sleep": 15}')
        server.wait_busy(1)
        server.process.kill()
        server.wait_gone(5)


def test_a_forked_child_that_comes_back_serves_nobody(serve: Serve) -> None:
    server = serve(ACCIDENTS)
    replies = [server.request(body) for body in ['"fork"', '"ok"'] * 10]
    assert [reply.status for reply in replies] == [200] * 20
    assert len({reply.json["pid"] for reply in replies}) == 1
    deadline = time.monotonic() + 10
    while len(server.pids("sagemaker_inference._worker")) > 1:
        assert time.monotonic() < deadline
        time.sleep(0.05)
