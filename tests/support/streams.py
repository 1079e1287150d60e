"""Clients of streams over HTTP, byte by byte."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def post(words: Any, *headers: str, version: str = "1.1") -> bytes:
    """A request with a JSON body."""
    body = json.dumps(words)
    lines = [
        f"POST /invocations HTTP/{version}",
        "Host: x",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


class Client:
    """A connection.

    Attributes:
        sock: its socket.
        data: what has come and was not asked for yet.
    """

    def __init__(self, port: int, receive: int = 0) -> None:
        self.sock = socket.socket()
        if receive:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        self.sock.settimeout(30)
        self.sock.connect(("127.0.0.1", port))
        self.data = b""

    def send(self, words: Any, *headers: str) -> None:
        """Send a request."""
        self.sock.sendall(post(words, *headers))

    def until(self, text: bytes) -> bytes:
        """Read until this has come; all that has come, up to its end."""
        while text not in self.data:
            more = self.sock.recv(1 << 20)
            assert more, f"closed after {self.data!r}"
            self.data += more
        end = self.data.index(text) + len(text)
        found, self.data = self.data[:end], self.data[end:]
        return found

    def rest(self) -> bytes:
        """Read until the connection ends."""
        with contextlib.suppress(ConnectionResetError):
            while more := self.sock.recv(1 << 20):
                self.data += more
        return self.data

    def close(self) -> None:
        """Hang up."""
        self.sock.close()


@contextlib.contextmanager
def connected(port: int, count: int = 1, receive: int = 0) -> Iterator[list[Client]]:
    """So many connections, closed at the end of the block."""
    clients = [Client(port, receive) for _ in range(count)]
    try:
        yield clients
    finally:
        for client in clients:
            client.close()


def wait_until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
