"""The front end as a process, with a supervisor and workers that are threads of the test."""

from __future__ import annotations

import http.client
import json
import os
import select
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from support.fake_supervisor import MEGABYTE, FakeSupervisor, java_command

from sagemaker_inference._http.messages import Response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sagemaker_inference._http.messages import Request

pytestmark = pytest.mark.java

LEAKS = "-Dio.netty.leakDetection.level=paranoid"


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, str]:
        return json.loads(self.body)["error"]


class Server(FakeSupervisor):
    def request(
        self,
        method: str = "POST",
        path: str = "/invocations",
        body: bytes = b"",
        headers: dict[str, str] | None = None,
    ) -> Reply:
        """Send a request over a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, names, response.read())
        finally:
            connection.close()

    def connect(self, data: bytes = b"") -> socket.socket:
        """Connect and send bytes."""
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        sock.sendall(data)
        return sock

    @property
    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.java.pid}/fd"))  # noqa: PTH208 - names are enough

    @property
    def resident(self) -> int:
        """Bytes of memory that the front end has."""
        pages = Path(f"/proc/{self.java.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(*vmargs: str, **properties: object) -> Server:
        server = Server(tmp_path, *vmargs, **properties)
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.close()
        assert "LEAK" not in server.log


@pytest.fixture
def server(start: Callable[..., Server]) -> Server:
    server = start(LEAKS)
    server.open()
    return server


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Gate:
    """Workers that answer when they are let."""

    def __init__(self) -> None:
        self.arrived = threading.Semaphore(0)
        self.let = threading.Event()

    def __call__(self, request: Request) -> Response:
        self.arrived.release()
        assert self.let.wait(30)
        return Response(bytes(request.body or b""), "text/plain")


def test_what_cannot_be_carried_out_ends_the_front_end(start: Callable[..., Server]) -> None:
    server = start()
    server.send("deploy", id=7, socket="/x", connections=1, routes=["/a"])
    assert server.java.wait(20) == 1
    assert 'cannot carry out {"type": "deploy", "id": 7' in server.log
    assert "NullPointerException" in server.log


def test_the_port_opens_when_the_supervisor_says_so(start: Callable[..., Server]) -> None:
    server = start()
    assert server.hello["pid"] == server.java.pid
    with pytest.raises(ConnectionRefusedError):
        server.connect()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", server.port))
        other.listen()
        server.send("open")
        assert server.expect("open_failed")["error"] == "Address already in use"
    server.open()
    server.open()
    assert server.request("GET", "/ping").status == 503


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("load_models=ALL", "load_models is set; the supervisor loads models"),
        ("", "control_socket is missing"),
        ("inference_address=nonsense", "Invalid binding address: nonsense"),
    ],
)
def test_a_wrong_configuration_is_named(tmp_path: Path, line: str, problem: str) -> None:
    config = tmp_path / "config.properties"
    config.write_text(f"{line}\n")
    done = subprocess.run(
        java_command(config), cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert f"Invalid configuration: {problem}" in done.stderr


def test_the_front_end_ends_with_its_supervisor(server: Server) -> None:
    server.deploy(1)
    server.disconnect()
    assert server.java.wait(10) == 1


def test_pings_are_answered_with_what_was_reported(server: Server) -> None:
    assert server.request("GET", "/ping")[0::2] == (503, b"")
    for status, body in ((200, "{}"), (500, "unhealthy"), (200, "")):
        server.send("health", status=status, content_type="application/json", body=body)
        until(lambda status=status: server.request("GET", "/ping").status == status)
        reply = server.request("POST", "/ping")
        assert (reply.status, reply.body) == (status, body.encode())
        head = server.request("HEAD", "/ping")
        assert (head.body, head.headers["content-length"]) == (b"", str(len(body)))
    refused = server.request("DELETE", "/ping")
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD, POST")


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
    server.send("retire", id=0)
    server.expect("retired", id=0)
    assert server.request(path="/models/a/invoke").error["code"] == "model_not_found"
    assert server.request(path="/models/b/invoke", body=b"2").body == b"b 2"
    server.send("retire", id=7)
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
        server.send("retire", id=1)
        until(lambda: sum(future.done() for future in pending) == 2)
        gate.let.set()
        server.expect("retired", id=1)
        replies = [future.result() for future in pending]
    assert sorted(reply.status for reply in replies) == [200, 200, 503, 503]
    refused = next(reply for reply in replies if reply.status == 503)
    assert refused.error["code"] == "service_unavailable"
    assert "is being unloaded" in refused.error["message"]
    until(lambda: not workers.connections)


def test_the_supervisor_can_hurry_a_retirement(server: Server) -> None:
    gate = Gate()
    workers = server.deploy(1, "/w", answer=gate, connections=1)
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(server.request, path="/w", body=b"1")
        assert gate.arrived.acquire(timeout=10)
        server.send("retire", id=1)
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
        server.send("retire", id=number)
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


def test_requests_for_the_supervisor(start: Callable[..., Server]) -> None:
    server = start(LEAKS, default_response_timeout_seconds=2)
    server.open()
    server.send("ask", paths=["/models", "/models/*", "/metrics"])
    until(lambda: server.request("GET", "/models/a/b").status == 404)
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(server.request, "PUT", "/models/a%20b?x=1", b"\x00\xff")
        asked = server.expect("request")
        assert (asked["method"], asked["target"]) == ("PUT", "/models/a%20b?x=1")
        assert asked["body"] == "AP8="
        server.reply({"id": 12345}, b"for nobody")
        server.reply(asked, b"made", status=201, headers=[["x-a", "1"], ["set-cookie", "a=b"]])
        reply = pending.result()
        assert (reply.status, reply.body, reply.headers["x-a"]) == (201, b"made", "1")
        late = pool.submit(server.request, "GET", "/metrics")
        asked = server.expect("request")
        assert late.result().error["code"] == "prediction_timeout"
        server.expect("cancel", id=asked["id"])
        server.reply(asked, b"late")
        large = pool.submit(server.request, "GET", "/metrics")
        body = os.urandom(10 * MEGABYTE)
        server.reply(server.expect("request"), body)
        assert large.result().body == body
    sock = server.connect(b"GET /models HTTP/1.1\r\nHost: x\r\n\r\n")
    asked = server.expect("request")
    sock.close()
    server.expect("cancel", id=asked["id"])
    refused = server.request("POST", "/models", b"x" * (9 * MEGABYTE))
    assert refused.status == 413


def test_many_ask_at_the_same_time(start: Callable[..., Server]) -> None:
    server = start(LEAKS, number_of_netty_threads=3)
    server.open()
    server.send("ask", paths=["/models"])
    until(lambda: server.request("GET", "/x").status == 404)

    def answer() -> None:
        for _ in range(200):
            asked = server.expect("request")
            server.reply(asked, asked["target"].encode())

    answering = threading.Thread(target=answer)
    answering.start()
    with ThreadPoolExecutor(16) as pool:
        paths = [f"/models?x={number}{'y' * (number * 10)}" for number in range(200)]
        bodies = list(pool.map(lambda path: server.request("GET", path).body.decode(), paths))
    answering.join()
    assert bodies == paths


def test_a_supervisor_that_does_not_read_does_not_hold_others_up(
    start: Callable[..., Server],
) -> None:
    server = start(LEAKS, max_request_size=26 * MEGABYTE, job_queue_size=1000)
    server.open()
    server.deploy(1)
    server.send("ask", paths=["/models"])
    until(lambda: server.request("GET", "/x").status == 404)
    server.pause()
    socks = []
    try:
        body = b"x" * (2 * MEGABYTE)
        head = f"POST /models HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        socks = [server.connect(head.encode() + body) for _ in range(8)]
        refused, _, _ = select.select(socks, [], [], 20)
        assert refused[0].recv(12) == b"HTTP/1.1 503"
        assert server.request(body=b"1").body == b"1"
    finally:
        server.resume()
        for sock in socks:
            sock.close()
    server.send("health", status=200, content_type="", body="")
    until(lambda: server.request("GET", "/ping").status == 200)


def test_draining_answers_what_has_begun_and_takes_no_more(server: Server) -> None:
    gate = Gate()
    server.deploy(1, answer=gate)
    idle = server.connect()
    kept = server.connect(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
    assert kept.recv(65536).startswith(b"HTTP/1.1 503 ")
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(server.request, body=b"1")
        assert gate.arrived.acquire(timeout=10)
        server.send("drain")
        assert (idle.recv(1), kept.recv(1)) == (b"", b"")
        idle.close()
        kept.close()
        with pytest.raises(OSError, match=r"refused|reset"):
            server.connect()
        with pytest.raises(AssertionError):
            server.expect("drained", timeout=0.3)
        gate.let.set()
        reply = pending.result()
        assert (reply.status, reply.headers["connection"]) == (200, "close")
    server.expect("drained")
    server.send("open")
    assert server.expect("open_failed")["error"] == "the server is stopping"


def test_large_bodies_go_both_ways(start: Callable[..., Server]) -> None:
    server = start(LEAKS, max_request_size=26 * MEGABYTE, payload_limit=25 * MEGABYTE)
    server.open()
    server.deploy(1)
    body = os.urandom(MEGABYTE) * 25
    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(lambda _: server.request(body=body), range(4)))
    assert [(reply.status, reply.body == body) for reply in replies] == [(200, True)] * 4
    refused = server.request(body=body + body)
    assert refused.status == 413
    assert refused.error["message"] == (
        f"the body has {len(body) * 2} bytes; at most {25 * MEGABYTE} are allowed"
    )


def test_a_response_survives_that_the_request_is_not_read(server: Server) -> None:
    head = b"POST /invocations HTTP/1.0\r\nContent-Length: 100000000\r\n\r\n"
    with server.connect(head) as sock:
        answer = b""
        for _ in range(50):
            sock.sendall(b"x" * MEGABYTE)
        while chunk := sock.recv(65536):
            answer += chunk
    assert answer.startswith(b"HTTP/1.1 413 ")
    with server.connect(b"GET /" + b"x" * MEGABYTE + b" HTTP/1.1\r\n") as sock:
        answer = b""
        while chunk := sock.recv(65536):
            answer += chunk
    assert answer.startswith(b"HTTP/1.1 414 ")


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
        assert len(workers.connections) == 64 * max(2, threads)
        for number in range(64):
            server.send("retire", id=number)
            server.expect("retired", id=number)
        until(lambda: not workers.connections)
        rounds.append((server.descriptors, server.resident))
    assert rounds[-1][0] <= rounds[0][0] + 2, rounds
    assert rounds[-1][1] <= rounds[2][1] * 1.2, rounds


def test_clients_that_disconnect_at_any_point_leave_nothing(server: Server) -> None:
    server.deploy(1, connections=2)
    request = (
        b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 40000\r\n\r\n" + b"x" * 40000
    )
    before = server.descriptors
    for end in (0, 10, 30, 80, 20000, len(request) - 1, len(request)):
        for _ in range(5):
            server.connect(request[:end]).close()
    with ThreadPoolExecutor(8) as pool:
        pool.map(lambda _: server.connect(request * 3).close(), range(40))
    for _ in range(2000):  # until garbage that nobody released has been found
        assert server.request(body=b"1").body == b"1"
    until(lambda: server.descriptors <= before + 2)
    server.send("drain")
    server.expect("drained")


def test_no_memory_is_507_and_the_supervisor_is_still_heard(start: Callable[..., Server]) -> None:
    server = start("-XX:MaxDirectMemorySize=48m", max_request_size=26 * MEGABYTE)
    server.open()
    server.deploy(1)
    head = f"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: {20 * MEGABYTE}\r\n\r\n"
    socks = [server.connect() for _ in range(8)]
    answers = set()
    try:
        for sock in socks:
            try:
                sock.sendall(head.encode() + b"x" * (8 * MEGABYTE))
            except ConnectionError:
                answers.add(b"reset")
            server.send("health", status=200, content_type="text/plain", body="x" * 1000)
        # Newer Javas try for half a second before they give up.
        for sock in select.select(socks, [], [], 0 if answers else 20)[0]:
            try:
                answers.add(sock.recv(12))
            except ConnectionError:
                answers.add(b"reset")
    finally:
        for sock in socks:
            sock.close()
    assert answers
    assert answers <= {b"HTTP/1.1 507", b"reset"}
    until(lambda: server.request("GET", "/ping").status == 200)
    assert server.request(body=b"1").body == b"1"
    assert "no memory is left for a request" in server.log
