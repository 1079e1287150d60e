"""Clients of streams: when the first item of each arrives, and what open ones cost."""

from __future__ import annotations

import resource
import selectors
import socket
import statistics
import time
from typing import TYPE_CHECKING, Any, Final

from benchmarks.processes import HOST

if TYPE_CHECKING:
    from benchmarks.processes import Server
    from benchmarks.works import Work

_TURNS: Final = 10
# For one that is slow, fewer turns are enough.
_MOST_SECONDS: Final = 6.0
_TIMEOUT: Final = 30.0
_IDLE: Final = 1000
_IDLE_BODY: Final = b'{"idle": true}'
_FIRST: Final = b"item "
_SETTLE_SECONDS: Final = 1.0


def first_items(server: Server, work: Work) -> dict[str, float]:
    """Open as many streams as a work has connections, all at once, again and again.

    Returns:
        The milliseconds until the first item of a stream is there: the median, and those of the
        last stream to get one, of the median turn.
    """
    turns: list[list[float]] = []
    until = time.monotonic() + _MOST_SECONDS
    while len(turns) < _TURNS and (not turns or time.monotonic() < until):
        turns.append(_one_turn(server, work))
    every = [each for turn in turns for each in turn]
    last = statistics.median(max(turn) for turn in turns)
    return {"first_ms": statistics.median(every) * 1000, "last_first_ms": last * 1000}


def _one_turn(server: Server, work: Work) -> list[float]:
    path, body = server.contender.target(work)
    message = _request(path, body, work.accept)
    with selectors.DefaultSelector() as selector:
        socks = [socket.create_connection((HOST, server.port)) for _ in range(work.connections)]
        for sock in socks:
            selector.register(sock, selectors.EVENT_READ)
        begun = {}
        for sock in socks:
            begun[sock] = time.perf_counter()
            sock.sendall(message)
        found: dict[socket.socket, float] = {}
        data = dict.fromkeys(socks, b"")
        deadline = time.monotonic() + _TIMEOUT
        while len(found) < len(socks) and time.monotonic() < deadline:
            for key, _ in selector.select(1.0):
                ready: Any = key.fileobj
                more = ready.recv(1 << 16)
                now = time.perf_counter()
                if ready not in found:
                    data[ready] += more
                    if _FIRST in data[ready]:
                        found[ready] = now - begun[ready]
                if not more:
                    selector.unregister(ready)
        _read_rest(selector)
        for sock in socks:
            sock.close()
    return list(found.values())


def _read_rest(selector: selectors.BaseSelector) -> None:
    """Read until nothing comes any more, so that the next turn begins in quiet."""
    while ready := selector.select(0.2):
        for key, _ in ready:
            sock: Any = key.fileobj
            if not sock.recv(1 << 16):
                selector.unregister(sock)


def idle_megabytes(server: Server) -> float:
    """What so many open streams, of which no item comes, add to the memory of a server, in MB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    message = _request("/invocations", _IDLE_BODY, "text/event-stream")
    socks: list[socket.socket] = []
    try:
        # What is made once for the first ones is not theirs.
        _open(server, message, 20, socks)
        time.sleep(_SETTLE_SECONDS)
        before = server.memory().pss
        _open(server, message, _IDLE, socks)
        time.sleep(_SETTLE_SECONDS)
        return server.memory().pss - before
    finally:
        for sock in socks:
            sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _open(server: Server, message: bytes, count: int, socks: list[socket.socket]) -> None:
    for _ in range(count):
        sock = socket.create_connection((HOST, server.port), _TIMEOUT)
        socks.append(sock)
        sock.sendall(message)
        data = b""
        while _FIRST not in data:
            more = sock.recv(1 << 16)
            if not more:
                raise ConnectionError(data)
            data += more


def _request(path: str, body: bytes, accept: str) -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: {HOST}",
        "Content-Type: application/json",
        f"Accept: {accept}",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
