"""The ASGI application with the servers and clients that people run it with."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import starlette.applications
import starlette.routing
import starlette.testclient
from support.asgi_servers import under_hypercorn, under_uvicorn

from sagemaker_inference import asgi

if TYPE_CHECKING:
    from sagemaker_inference import Registry

HEADERS = {"Content-Type": "application/json"}


@pytest.fixture
def heard() -> list[str]:
    return []


@pytest.fixture
def application(registry: Registry, heard: list[str]) -> asgi.Application:
    """Batches, so that all of it is at work."""
    registry.model_loader(lambda: heard.append("load") or 2)
    registry.predictor(max_batch_size=4)(lambda batch, model: [data * model for data in batch])
    registry.on_shutdown(lambda: heard.append("clean up"))
    return asgi.app(registry)


def send(port: int, path: str, body: bytes | None = None) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET" if body is None else "POST", path, body, HEADERS)
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


def check(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            assert send(port, "/ping")[0] == 200
            break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    status, headers, body = send(port, "/invocations", b"[1,2]")
    assert (status, body) == (200, b"[2,4]")
    lower = {name.lower(): value for name, value in headers.items()}
    assert lower["content-type"] == "application/json"
    assert lower["content-length"] == "5"
    big = b"[" + b"1," * 400_000 + b"1]"
    assert json.loads(send(port, "/invocations", big)[2]) == [2] * 400_001
    status, headers, body = send(port, "/nowhere")
    assert status == 404
    assert json.loads(body)["error"]["message"] == "There is nothing at /nowhere"


def test_uvicorn(application: asgi.Application, heard: list[str]) -> None:
    under_uvicorn(application, check)
    assert heard == ["load", "clean up"]


def test_hypercorn(application: asgi.Application, heard: list[str]) -> None:
    under_hypercorn(application, check)
    assert heard == ["load", "clean up"]


def test_httpx(application: asgi.Application) -> None:
    async def ask() -> None:
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://model") as client:
            replies = await asyncio.gather(
                *(client.post("/invocations", json=[number]) for number in range(9))
            )
            assert [reply.json() for reply in replies] == [[2 * number] for number in range(9)]
            assert (await client.get("/ping")).status_code == 200
            assert (await client.get("/nowhere")).json()["error"]["code"] == "not_found"

    for _ in range(2):  # each with an event loop of its own
        asyncio.run(ask())


def starlette_client(application: Any) -> starlette.testclient.TestClient:
    return starlette.testclient.TestClient(application)


def test_starlettes_client(application: asgi.Application, heard: list[str]) -> None:
    with starlette_client(application) as client:
        assert heard == ["load"]
        assert client.post("/invocations", json=[1]).json() == [2]
        assert client.head("/ping").status_code == 200
        assert client.put("/ping").status_code == 405
    assert heard == ["load", "clean up"]


def test_within_an_application_of_starlette(application: asgi.Application) -> None:
    outer = starlette.applications.Starlette(
        routes=[starlette.routing.Mount("/model", app=application)]
    )
    client = starlette_client(outer)
    assert client.post("/model/invocations", json=[1]).json() == [2]
    message = client.get("/model/nowhere").json()["error"]["message"]
    assert message == "There is nothing at /nowhere"


def test_a_websocket_is_refused(application: asgi.Application) -> None:
    client = starlette_client(application)
    with (
        pytest.raises(starlette.testclient.WebSocketDisconnect),
        client.websocket_connect("/invocations"),
    ):
        pass
