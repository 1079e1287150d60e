"""The port of `dev`: requests pass as they are, to the server that answers now."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from starlette.responses import Response, StreamingResponse
from support.emulated import Asked, SmallContainer, served, until
from support.ports import free_port
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from sagemaker_inference._cli._dev.proxy import Proxy
from sagemaker_inference._cli._dev.records import KEPT_BYTES, Body, Records

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from starlette.websockets import WebSocket


class Target:
    """A server, as the proxy sees it."""

    def __init__(self, url: str) -> None:
        self.url = url


class FakeReloader:
    """Says which server answers."""

    def __init__(self) -> None:
        self.targets: list[Target] = []
        self.why_not = "inference.py is being loaded"
        self.number = 3
        self.busy = 0

    @property
    def target(self) -> Target | None:
        if len(self.targets) > 1:
            return self.targets.pop(0)
        return self.targets[0] if self.targets else None

    def begin(self, _server: Target) -> None:
        self.busy += 1

    def end(self, _server: Target) -> None:
        self.busy -= 1


class Bench:
    """A proxy that runs in front of a small container."""

    def __init__(self, url: str, reloader: FakeReloader, records: Records, behind: str) -> None:
        self.url = url
        self.reloader = reloader
        self.records = records
        self.behind = behind

    @property
    def last(self) -> Any:
        """The record of the last request, when that is over."""
        record = next(iter(self.records))
        until(lambda: record.seconds is not None)
        return record


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[SmallContainer, Bench]]:
    container, reloader, records = SmallContainer(), FakeReloader(), Records()
    proxy = Proxy(reloader, records)  # type: ignore[arg-type]
    with served(container.app) as behind, served(proxy) as url:
        yield container, Bench(url, reloader, records, behind)


@pytest.fixture
def container(servers: tuple[SmallContainer, Bench]) -> SmallContainer:
    container, _ = servers
    container.asked.clear()
    container.answer = Asked.echo
    container.talk = None
    return container


@pytest.fixture
def bench(servers: tuple[SmallContainer, Bench], container: SmallContainer) -> Iterator[Bench]:
    _, bench = servers
    bench.records._kept.clear()
    bench.reloader.targets = [Target(bench.behind)]
    yield bench
    until(lambda: bench.reloader.busy == 0)
    until(lambda: bench.records.running == 0)


def closed_port() -> Target:
    return Target(f"http://127.0.0.1:{free_port()}")


def test_a_request_and_its_response_pass_as_they_are(
    bench: Bench, container: SmallContainer
) -> None:
    async def answer(_: Any) -> Response:
        return Response(b"\x00answer", 418, {"Content-Type": "text/x", "X-Twice": "a"})

    container.answer = answer
    headers = {b"Content-Type": b"text/csv", b"X-Custom": b"\xe9"}
    reply = httpx.post(f"{bench.url}/a%2Fb?q=1%20&q=2", content=b"body", headers=headers)
    assert (reply.status_code, reply.content) == (418, b"\x00answer")
    assert reply.headers["x-twice"] == "a"
    assert reply.headers["content-length"] == "7"
    asked = container.asked[0]
    assert (asked.method, asked.body, asked.query) == ("POST", b"body", "q=1%20&q=2")
    assert asked.headers["content-type"] == "text/csv"
    assert asked.headers["x-custom"] == "\u00e9"
    assert asked.headers["content-length"] == "4"
    assert asked.headers["host"] == bench.url.removeprefix("http://")
    record = bench.last
    assert (record.method, record.target, record.status) == ("POST", "/a%2Fb?q=1%20&q=2", 418)
    assert (bytes(record.request.data), bytes(record.response.data)) == (b"body", b"\x00answer")
    assert record.server == 3
    assert 0 < record.first <= record.seconds
    assert record.problem == ""


def test_a_get_without_a_body_passes(bench: Bench, container: SmallContainer) -> None:
    assert httpx.get(f"{bench.url}/other").status_code == 200
    assert container.asked[0].method == "GET"
    assert "transfer-encoding" not in container.asked[0].headers


def test_pings_pass_and_are_not_kept(bench: Bench, container: SmallContainer) -> None:
    assert httpx.get(f"{bench.url}/ping").status_code == 200
    assert container.pings
    assert list(bench.records) == []


def test_a_body_in_chunks_passes_and_its_beginning_is_kept(
    bench: Bench, container: SmallContainer
) -> None:
    parts = [b"x" * 40_000] * 3
    reply = httpx.post(f"{bench.url}/invocations", content=iter(parts))
    assert reply.content == b"".join(parts)
    assert container.asked[0].headers["transfer-encoding"] == "chunked"
    record = bench.last
    assert (record.request.size, len(record.request.data)) == (120_000, KEPT_BYTES)


def streaming(parts: Callable[[], AsyncIterator[bytes]]) -> Any:
    async def answer(_: Any) -> Response:
        return StreamingResponse(parts())

    return answer


def test_a_stream_passes_as_it_comes(bench: Bench, container: SmallContainer) -> None:
    goes_on = asyncio.Event()
    loops = []

    async def parts() -> AsyncIterator[bytes]:
        loops.append(asyncio.get_running_loop())
        yield b"first"
        await goes_on.wait()
        yield b"second"

    container.answer = streaming(parts)
    with httpx.stream("POST", f"{bench.url}/invocations", content=b"1") as reply:
        chunks = reply.iter_raw()
        assert next(chunks) == b"first"
        loops[0].call_soon_threadsafe(goes_on.set)
        assert list(chunks) == [b"second"]


def test_a_stream_that_breaks_has_no_end(bench: Bench, container: SmallContainer) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"first"
        raise ConnectionError

    container.answer = streaming(parts)
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.post(f"{bench.url}/invocations", content=b"1")
    assert bench.last.problem == "the server has not completed the response"


def test_the_server_hears_of_a_client_that_goes(bench: Bench, container: SmallContainer) -> None:
    ends = []

    async def parts() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"more"
                await asyncio.sleep(0.01)
        finally:
            ends.append(True)

    container.answer = streaming(parts)
    with httpx.stream("POST", f"{bench.url}/invocations", content=b"1") as reply:
        next(reply.iter_raw())
    until(lambda: ends)
    assert bench.last.problem == "the client has disconnected"


def test_a_client_may_go_in_the_middle_of_its_body(bench: Bench) -> None:
    host, port = bench.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1234")
        until(lambda: list(bench.records) and next(iter(bench.records)).request.size)
    assert bench.last.problem == "the client has disconnected"


def test_a_request_for_a_server_that_has_gone_reaches_its_successor(
    bench: Bench, container: SmallContainer
) -> None:
    bench.reloader.targets = [closed_port(), Target(bench.behind)]
    assert httpx.post(f"{bench.url}/invocations", content=b"all of it").content == b"all of it"
    assert container.asked[0].body == b"all of it"


@pytest.mark.parametrize("is_closed", [True, False])
def test_without_a_server_the_answer_says_why(bench: Bench, is_closed: bool) -> None:  # noqa: FBT001
    bench.reloader.targets = [closed_port()] if is_closed else []
    reply = httpx.post(f"{bench.url}/invocations", content=b"1")
    assert reply.status_code == 503
    error = reply.json()["error"]
    assert error["code"] == "service_unavailable"
    assert error["message"] == "inference.py is being loaded"
    assert bench.last.problem == "inference.py is being loaded"


def test_a_server_that_closes_the_connection_is_named(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as rude:
        bench.reloader.targets = [Target(f"http://127.0.0.1:{rude.getsockname()[1]}")]

        def hang_up() -> None:
            connection, _ = rude.accept()
            connection.recv(1 << 16)
            connection.close()

        import threading

        thread = threading.Thread(target=hang_up)
        thread.start()
        reply = httpx.post(f"{bench.url}/invocations", content=b"1")
        thread.join()
    assert reply.status_code == 502
    assert "has closed the connection" in reply.json()["error"]["message"]


def socket_url(bench: Bench) -> str:
    return bench.url.replace("http", "ws") + "/socket?a=1"


def test_messages_of_a_websocket_pass_both_ways(bench: Bench, container: SmallContainer) -> None:
    seen = []

    async def talk(websocket: WebSocket) -> None:
        seen.append(websocket.headers.get("x-custom"))
        seen.append(websocket.url.query)
        await websocket.accept("chat")
        await websocket.send_text(await websocket.receive_text())
        await websocket.send_bytes(await websocket.receive_bytes())
        await websocket.close(4001, "enough")

    container.talk = talk
    with connect(
        socket_url(bench),
        additional_headers={"X-Custom": "kept"},
        subprotocols=["chat"],  # type: ignore[list-item]
    ) as client:
        assert client.subprotocol == "chat"
        client.send("text")
        assert client.recv() == "text"
        client.send(b"bytes")
        assert client.recv() == b"bytes"
        with pytest.raises(ConnectionClosed) as caught:
            client.recv()
    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4001, "enough")
    assert seen == ["kept", "a=1"]
    record = bench.last
    assert (record.method, record.target, record.status) == ("WS", "/socket?a=1", 101)
    assert (record.request.size, record.response.size) == (9, 9)


@pytest.mark.parametrize("code", [1000, 4002, None])
def test_the_server_hears_how_a_client_closes(
    bench: Bench, container: SmallContainer, code: int | None
) -> None:
    seen = []

    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        seen.append((await websocket.receive())["code"])

    container.talk = talk
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(connect(socket_url(bench)))
        if code is None:
            client.socket.shutdown(socket.SHUT_RDWR)
        else:
            client.close(code, "bye")
    until(lambda: seen)
    assert seen == [code or 1000]


def test_a_server_that_goes_closes_a_websocket_as_broken(
    bench: Bench, container: SmallContainer
) -> None:
    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.receive_text()

    container.talk = talk
    with connect(socket_url(bench)) as client:
        client.send("end")
        with pytest.raises(ConnectionClosed) as caught:
            client.recv()
    assert caught.value.rcvd is not None
    # What uvicorn says for an application that returns.
    assert caught.value.rcvd.code in (1000, 1006, 1011, 1012)


def test_a_refusal_of_a_websocket_passes(bench: Bench, container: SmallContainer) -> None:
    async def talk(websocket: WebSocket) -> None:
        await websocket.send_denial_response(Response(b"no", 404, {"Content-Type": "text/x"}))

    container.talk = talk
    with pytest.raises(InvalidStatus) as caught, connect(socket_url(bench)):
        pass
    response = caught.value.response
    assert (response.status_code, response.body) == (404, b"no")
    assert response.headers["content-type"] == "text/x"
    assert bench.last.status == 404


@pytest.mark.parametrize(
    ("is_closed", "said"),
    [(True, "the server has refused the connection"), (False, "inference.py is being loaded")],
)
def test_a_websocket_without_a_server_is_refused(bench: Bench, is_closed: bool, said: str) -> None:  # noqa: FBT001
    bench.reloader.targets = [closed_port()] if is_closed else []
    with pytest.raises(InvalidStatus) as caught, connect(socket_url(bench)):
        pass
    assert caught.value.response.status_code == 503
    assert said.encode() in bytes(caught.value.response.body or b"")
    assert bench.last.problem == said


def test_of_a_large_body_the_beginning_is_kept() -> None:
    body = Body()
    for _ in range(3):
        body.add(b"x" * (KEPT_BYTES - 1))
    assert body.data == b"x" * KEPT_BYTES
    assert body.size == 3 * (KEPT_BYTES - 1)
