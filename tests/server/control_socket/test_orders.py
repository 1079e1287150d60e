"""The front end as a process, with a supervisor and workers that are threads of the test."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from support.fake_supervisor import MEGABYTE, java_command
from support.front_end_process import LEAKS, Gate, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.front_end_process import Server


pytestmark = pytest.mark.java


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
    sock = server.connect(b"GET /models HTTP/1.1\r\nHost: x\r\n\r\n")
    asked = server.expect("request")
    sock.close()
    server.expect("cancel", id=asked["id"])
    refused = server.request("POST", "/models", b"x" * (9 * MEGABYTE))
    assert refused.status == 413


def test_a_large_reply_of_the_supervisor(start: Callable[..., Server]) -> None:
    # With no short limit: a busy machine takes a while for so much.
    server = start(LEAKS)
    server.open()
    server.send("ask", paths=["/metrics"])
    until(lambda: server.request("GET", "/models").status == 404)
    body = os.urandom(10 * MEGABYTE)
    with ThreadPoolExecutor(1) as pool:
        large = pool.submit(server.request, "GET", "/metrics")
        server.reply(server.expect("request"), body)
        assert large.result().body == body


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
