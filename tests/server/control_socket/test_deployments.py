"""Deployments come and go while the front end runs."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from support.front_end_process import LEAKS, Gate, until

from sagemaker_inference._http.messages import Response

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.front_end_process import Server


pytestmark = pytest.mark.java

CAUSE = "the server is stopping"


def test_models_come_and_go(server: Server) -> None:
    early = server.request()
    assert (early.status, early.headers["retry-after"]) == (503, "5")
    assert early.error["code"] == "service_unavailable"
    assert early.error["request_id"] == early.headers["x-request-id"]
    for number, name in enumerate("ab"):
        server.deploy(
            number,
            f"/models/{name}/invoke",
            answer=lambda request, name=name: Response(
                f"{name} {bytes(request.body or b'').decode()}".encode(),
                "text/plain",
                status=201,
                headers={"X-A": "1"},
            ),
        )
    reply = server.request(path="/models/a/invoke", body=b"1")
    assert (reply.status, reply.body, reply.headers["x-a"]) == (201, b"a 1", "1")
    assert server.request(path="/models/b/invoke", body=b"2").body == b"b 2"
    target = {"X-Amzn-SageMaker-Target-Model": "b"}
    assert server.request(body=b"3", headers=target).body == b"b 3"
    assert server.request(body=b"3").status == 400
    server.send("retire", id=0, cause=CAUSE)
    server.expect("retired", id=0)
    assert server.request(path="/models/a/invoke").error["code"] == "model_not_found"
    assert server.request(path="/models/b/invoke", body=b"2").body == b"b 2"
    server.send("retire", id=7, cause=CAUSE)
    server.expect("retired", id=7)


def test_workers_that_cannot_be_reached_fail_the_deployment(server: Server) -> None:
    path = str(server.folder / "none.sock")
    server.send("deploy", id=1, socket=path, connections=4, routes=["/invocations"], wait_limit=60)
    error = server.expect("deploy_failed", id=1)["error"]
    assert error == f"cannot connect to {path}: no such socket"
    assert server.request().status == 503
    server.deploy(1)
    assert server.request(body=b"1").body == b"1"


def test_a_retired_model_answers_what_it_has_begun(server: Server) -> None:
    gate = Gate()
    workers = server.deploy(1, answer=gate, connections=2)
    with ThreadPoolExecutor(4) as pool:
        pending = [pool.submit(server.request, body=b"1") for _ in range(4)]
        for _ in range(2):
            assert gate.arrived.acquire(timeout=10)
        until(lambda: len(workers.connections) == 2)
        time.sleep(0.2)
        server.send("retire", id=1, cause=CAUSE)
        until(lambda: sum(future.done() for future in pending) == 2)
        gate.let.set()
        server.expect("retired", id=1)
        replies = [future.result() for future in pending]
    assert sorted(reply.status for reply in replies) == [200, 200, 503, 503]
    refused = next(reply for reply in replies if reply.status == 503)
    assert refused.error["code"] == "service_unavailable"
    assert refused.error["message"] == "The server is stopping. Send the request again later."
    until(lambda: not workers.connections)


def test_the_supervisor_can_hurry_a_retirement(server: Server) -> None:
    gate = Gate()
    workers = server.deploy(1, "/w", answer=gate, connections=1)
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(server.request, path="/w", body=b"1")
        assert gate.arrived.acquire(timeout=10)
        server.send("retire", id=1, cause=CAUSE)
        until(lambda: server.request("GET", "/w").status == 404)
        workers.disconnect()
        server.expect("retired", id=1)
        assert pending.result().status == 503
    gate.let.set()


def test_deployments_that_are_retired_at_once_leave_nothing(server: Server) -> None:
    workers = server.workers("w.sock")
    for number in range(50):
        server.send(
            "deploy",
            id=number,
            socket=str(workers.path),
            connections=2,
            routes=["/invocations"],
            wait_limit=60,
        )
        server.send("retire", id=number, cause=CAUSE)
    for number in range(50):
        server.expect("retired", id=number)
    until(lambda: not workers.connections)
    assert server.request().status == 503


def test_a_worker_that_dies_is_replaced(server: Server) -> None:
    workers = server.deploy(1, answer=lambda _request: None, connections=2)
    reply = server.request()
    assert (reply.status, reply.error["code"]) == (500, "process_died")
    workers.answer = lambda _request: Response(b"ok", "text/plain")
    until(lambda: len(workers.connections) == 2)
    assert [server.request().body for _ in range(4)] == [b"ok"] * 4


@pytest.mark.parametrize("threads", [1, 3])
def test_models_that_are_loaded_and_unloaded_leave_nothing(
    start: Callable[..., Server], threads: int
) -> None:
    # With a small heap, so that what stays is seen.
    server = start(LEAKS, "-Xmx24m", number_of_netty_threads=threads)
    server.open()
    workers = server.workers("w.sock")
    rounds = []
    for _ in range(8):
        for number in range(64):
            server.send(
                "deploy",
                id=number,
                socket=str(workers.path),
                connections=2,
                routes=[f"/models/{number}/invoke"],
                wait_limit=60,
            )
            server.expect("deployed", id=number)
            assert server.request(path=f"/models/{number}/invoke", body=b"1").body == b"1"
        # The front end may be connected before they have noticed.
        until(lambda: len(workers.connections) == 64 * max(2, threads))
        for number in range(64):
            server.send("retire", id=number, cause=CAUSE)
            server.expect("retired", id=number)
        until(lambda: not workers.connections)
        rounds.append((server.descriptors, server.resident))
    assert rounds[-1][0] <= rounds[0][0] + 2, rounds
    assert rounds[-1][1] <= rounds[2][1] * 1.2, rounds
