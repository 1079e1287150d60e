"""A client that sends at a given rate, whether answers come or not (an open loop).

Usage: paced.py HOST PORT PATH CONTENT_TYPE RATE SECONDS, the body on standard input. Times between
requests are exponential, as those of many independent clients, and the same in every run. A latency
counts from when a request was due, so that a server which stands still is not spared the requests
that it kept from being sent. A server that falls behind is given up at the end: latencies grow for
as long as it is asked, and say nothing about it. One thread, no HTTP library: some 50 µs of
processor for a request.
"""

from __future__ import annotations

import collections
import json
import random
import select
import socket
import sys
from time import perf_counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

CONNECTIONS = 16
GRACE_SECONDS = 10.0
# Who has answered fewer of the requests at the end does not keep up with them.
KEPT_UP = 0.95
# Larger ones are mapped and unmapped for each read.
_READ_BYTES = 65536
_END_OF_HEAD = b"\r\n\r\n"


class Reply:
    """An answer that is being read."""

    def __init__(self) -> None:
        self.data = b""
        self.size = -1

    def feed(self, data: bytes) -> bool:
        """Take what has arrived; whether the answer is whole."""
        self.data += data
        if self.size < 0:
            head, mark, _ = self.data.partition(_END_OF_HEAD)
            if not mark:
                return False
            length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            self.size = len(head) + len(mark) + int(length or 0)
        return len(self.data) >= self.size

    @property
    def is_good(self) -> bool:
        """Whether the status is 2xx."""
        return self.data[9:10] == b"2"


def run(address: tuple[str, int], request: bytes, rate: float, seconds: float) -> dict[str, Any]:
    """Send for so many seconds.

    Returns:
        Latencies in milliseconds; how many requests were "asked", how many of them were answered
        "in_time", which is until the end, and how many in all. Of a server that does not keep up,
        those without an answer are no errors.
    """
    idle = [_connect(address) for _ in range(CONNECTIONS)]
    working: dict[socket.socket, tuple[float, Reply]] = {}
    waiting: collections.deque[float] = collections.deque()
    latencies: list[float] = []
    asked = errors = 0
    in_time: int | None = None
    source = random.Random(1)  # noqa: S311 - pauses, not secrets
    due = start = perf_counter()
    end = start + seconds
    while True:
        now = perf_counter()
        while due <= now and due < end:
            waiting.append(due)
            asked += 1
            due += source.expovariate(rate)
        while waiting and idle:
            sock = idle.pop()
            working[sock] = (waiting.popleft(), Reply())
            sock.sendall(request)
        if now >= end:
            if in_time is None:
                in_time = len(latencies)
            if not (waiting or working) or in_time < KEPT_UP * asked or now > end + GRACE_SECONDS:
                break
        pause = max(0.0, min(due, end) - perf_counter()) if now < end else 0.1
        for sock, was_due, is_good in _finished(working, pause):
            if is_good:
                latencies.append(perf_counter() - was_due)
                idle.append(sock)
                continue
            errors += 1
            sock.close()
            idle.append(_connect(address))
    latencies.sort()
    lost = len(waiting) + len(working) if in_time >= KEPT_UP * asked else 0
    for sock in (*idle, *working):
        sock.close()
    return {
        "rate": rate,
        "asked": asked,
        "in_time": in_time,
        "requests": len(latencies),
        "errors": errors + lost,
        **{f"p{share}_ms": percentile(latencies, share) * 1000 for share in (50, 90, 99)},
    }


def _finished(
    working: dict[socket.socket, tuple[float, Reply]], pause: float
) -> Iterator[tuple[socket.socket, float, bool]]:
    """The connections whose answers have come to an end, when they were due, and if all is well."""
    for sock in select.select(list(working), [], [], pause)[0]:
        was_due, reply = working[sock]
        data = sock.recv(_READ_BYTES)
        if data and not reply.feed(data):
            continue
        del working[sock]
        yield sock, was_due, bool(data) and reply.is_good


def _connect(address: tuple[str, int]) -> socket.socket:
    sock = socket.create_connection(address, timeout=30)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # With a time limit, Python polls before each call.
    sock.settimeout(None)
    return sock


def percentile(ordered: list[float], share: int) -> float:
    """The value below which so many percent of sorted values lie; 0 of none."""
    return ordered[min(len(ordered) - 1, len(ordered) * share // 100)] if ordered else 0.0


def main(*words: str) -> None:
    """Run and print the result."""
    host, port, path, content_type, rate, seconds = words
    body = sys.stdin.buffer.read()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: {content_type}\r\n"
        f"Accept: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    print(json.dumps(run((host, int(port)), head.encode() + body, float(rate), float(seconds))))


if __name__ == "__main__":
    main(*sys.argv[1:])
