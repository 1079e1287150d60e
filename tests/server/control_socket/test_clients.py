"""Clients that send or read much, nothing, or half of it."""

from __future__ import annotations

import os
import select
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from support.fake_supervisor import MEGABYTE
from support.front_end_process import LEAKS, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.front_end_process import Server


pytestmark = pytest.mark.java


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
        f"The body has {len(body) * 2} bytes; at most {25 * MEGABYTE} bytes are allowed"
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
    assert "a request got 507, out of memory: " in server.log
