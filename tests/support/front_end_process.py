"""The front end as a process, its clients and its workers, for tests."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from support import proc
from support.fake_supervisor import FakeSupervisor

from sagemaker_inference._http.messages import Response

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference._http.messages import Request

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
        return proc.descriptors(self.java.pid)

    @property
    def resident(self) -> int:
        """Bytes of memory that the front end has."""
        return proc.memory(self.java.pid)


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
