"""Streams of the ASGI application, as clients of the servers see them that people run it with."""

from __future__ import annotations

import http.client
import socket
from typing import TYPE_CHECKING, Any

import pytest
from support.asgi_servers import under_hypercorn, under_uvicorn
from support.streams import wait_until

from sagemaker_inference import asgi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sagemaker_inference import Registry


def is_served(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=10).close()
    except ConnectionRefusedError:
        return False
    return True


def over_http(application: asgi.Application, serve: Callable[..., None]) -> None:
    def check(port: int) -> None:
        wait_until(lambda: is_served(port))
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("POST", "/invocations", b"0", {"Content-Type": "application/json"})
        response = connection.getresponse()
        assert response.headers["Transfer-Encoding"] == "chunked"
        assert response.read() == b"1\n2\n"
        connection.request("POST", "/invocations", b"1", {"Content-Type": "application/json"})
        response = connection.getresponse()
        with pytest.raises(http.client.IncompleteRead) as caught:
            response.read()
        assert b'{"error": ' in caught.value.partial
        connection.close()

    serve(application, check)


@pytest.mark.parametrize("serve", [under_uvicorn, under_hypercorn])
def test_clients_of_servers_see_where_a_stream_broke_off(
    registry: Registry, serve: Callable[..., None]
) -> None:
    def items(data: Any) -> Iterator[int]:
        yield 1
        yield 2
        if data:
            raise ValueError

    registry.model_loader(lambda: None)
    registry.predictor(items)
    over_http(asgi.app(registry), serve)
