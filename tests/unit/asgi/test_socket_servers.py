"""WebSockets of the ASGI application under the servers that people use."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from support.asgi_servers import under_hypercorn, under_uvicorn
from support.asgi_sockets import PATH
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

if TYPE_CHECKING:
    from sagemaker_inference import asgi


def check(port: int) -> None:
    deadline = time.monotonic() + 20
    url = f"ws://127.0.0.1:{port}"
    while True:
        try:
            connection = connect(url + PATH)
            break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    with connection:
        assert connection.response is not None
        assert connection.response.headers["x-request-id"]
        for message in ("a", b"b", "x" * 400_000):
            connection.send(message)
            assert connection.recv(timeout=10) == message
        connection.send("fail")
        with pytest.raises(ConnectionClosed) as closed:
            connection.recv(timeout=10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1011
    with pytest.raises(InvalidStatus) as refused, connect(f"{url}/x"):
        pass
    assert refused.value.response.status_code == 404
    assert b"There is no WebSocket at /x" in (refused.value.response.body or b"")


@pytest.mark.parametrize("ws", ["websockets-sansio", "wsproto"])
def test_uvicorn(application: asgi.Application, ws: str) -> None:
    under_uvicorn(application, check, ws)


def test_hypercorn(application: asgi.Application) -> None:
    under_hypercorn(application, check)
