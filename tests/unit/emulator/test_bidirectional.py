"""The bidirectional API, as a plain WebSocket, with the client of the library websockets."""

from __future__ import annotations

import re
import socket
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from starlette.responses import PlainTextResponse
from support.emulated import LIMITS, Emulated, emulated, until
from support.ports import free_port
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.utils import accept_key

if TYPE_CHECKING:
    from starlette.websockets import WebSocket
    from typing_extensions import Self

PATH = "/endpoints/demo/invocations-bidirectional-stream"
PREFIX = "X-Amzn-SageMaker-"


def opened(emulator: Emulated, path: str = PATH, **headers: str) -> Any:
    url = emulator.url.replace("http", "ws") + path
    return connect(url, additional_headers=headers, proxy=None, max_size=None)


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return
        if message.get("text") is not None:
            await websocket.send_text(message["text"])
        else:
            await websocket.send_bytes(message["bytes"])


@pytest.mark.rule("bidi-frames")
def test_messages_pass_one_to_one_and_keep_their_type(emulator: Emulated) -> None:
    emulator.container.talk = echo
    with opened(emulator) as websocket:
        for message in ("text", b"\x00binary", "", b"", "x" * 3_000_000):
            websocket.send(message)
            assert websocket.recv() == message


@pytest.mark.rule("bidi-path")
def test_headers_choose_the_path_and_the_query(emulator: Emulated) -> None:
    seen: list[tuple[str, str]] = []

    async def talk(websocket: WebSocket) -> None:
        seen.append((websocket.url.path, websocket.url.query))
        await websocket.accept()
        await websocket.close()

    emulator.container.talk = talk
    path = {f"{PREFIX}Model-Invocation-Path": "v1/realtime"}
    query = {f"{PREFIX}Model-Query-String": "model=a&b=1"}
    for headers in ({}, path, path | query):
        with opened(emulator, **headers) as websocket, pytest.raises(ConnectionClosed):
            websocket.recv()
    assert seen == [
        ("/invocations-bidirectional-stream", ""),
        ("/v1/realtime", ""),
        ("/v1/realtime", "model=a&b=1"),
    ]
    for refused in ("/v1/realtime", "v1#realtime"):
        with pytest.raises(InvalidStatus) as caught:
            opened(emulator, **{f"{PREFIX}Model-Invocation-Path": refused})
        assert caught.value.response.status_code == 400


@pytest.mark.rule("bidi-close")
def test_a_close_of_the_container_reaches_the_caller(emulator: Emulated) -> None:
    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.receive()
        await websocket.close(1011, "no_memory: too long")

    emulator.container.talk = talk
    with opened(emulator) as websocket:
        websocket.send("1")
        with pytest.raises(ConnectionClosed) as caught:
            websocket.recv()
    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (1011, "no_memory: too long")


def test_a_close_of_the_caller_reaches_the_container(emulator: Emulated) -> None:
    codes: list[int] = []

    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        message = await websocket.receive()
        codes.append(message["code"])

    emulator.container.talk = talk
    with opened(emulator):
        pass
    until(lambda: codes)
    assert codes == [1000]


@pytest.mark.rule("bidi-refused")
def test_a_handshake_that_the_container_refuses_is_a_model_error(emulator: Emulated) -> None:
    async def talk(websocket: WebSocket) -> None:
        await websocket.send_denial_response(PlainTextResponse("no such path", 404))

    emulator.container.talk = talk
    with pytest.raises(InvalidStatus) as caught:
        opened(emulator)
    response = caught.value.response
    assert response.status_code == 424
    assert response.headers["x-amzn-ErrorType"] == "ModelError"
    assert response.body is not None
    assert b'"OriginalStatusCode": 404, "OriginalMessage": "no such path"' in response.body


def test_another_endpoint_is_not_found(emulator: Emulated) -> None:
    with pytest.raises(InvalidStatus) as caught:
        opened(emulator, PATH.replace("demo", "other"))
    assert caught.value.response.status_code == 400


def test_a_container_without_websockets_is_a_model_error() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with emulated(url=url, in_service=False) as emulator:
        emulator.platform.health.status = "InService"
        with pytest.raises(InvalidStatus) as caught:
            opened(emulator)
    assert caught.value.response.status_code == 424


class Silent:
    """A container that answers /ping, and does no more for a WebSocket than a test asks for.

    Args:
        accepts: it accepts the handshake, but answers no frame: not even pings.
        waits: it does not answer the handshake, but keeps the connection open.
    """

    def __init__(self, *, accepts: bool = False, waits: bool = False) -> None:
        self.accepts = accepts
        self.waits = accepts or waits
        self.listener = socket.create_server(("127.0.0.1", free_port()))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.received = b""
        self.thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.thread.join()
        self.listener.close()

    def _serve(self) -> None:
        while True:
            connection, _ = self.listener.accept()
            with connection:
                head = connection.recv(65536).decode()
                if head.startswith("GET /ping "):
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                    continue
                if self.accepts:
                    self._accept(connection, head)
                while self.waits and (data := connection.recv(65536)):
                    self.received += data
                return

    @staticmethod
    def _accept(connection: socket.socket, head: str) -> None:
        (key,) = re.findall(r"(?i)sec-websocket-key: (\S+)", head)
        connection.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept_key(key).encode() + b"\r\n\r\n"
        )


@pytest.mark.once
@pytest.mark.rule("bidi-ping")
def test_a_container_that_answers_no_pings_loses_the_connection() -> None:
    limits = replace(LIMITS, ping_pause=60, websocket_ping=0.05, websocket_patience=0.3)
    with (
        Silent(accepts=True) as silent,
        emulated(limits=limits, url=silent.url) as emulator,
        opened(emulator) as websocket,
        pytest.raises(ConnectionClosed) as caught,
    ):
        websocket.recv()
    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (1011, "StreamBroken")
    # A ping, masked as a client's frames are.
    assert silent.received[:2] == b"\x89\x84"


@pytest.mark.parametrize(
    ("waits", "said"), [(True, b"Your invocation timed out"), (False, b"could not get a response")]
)
def test_a_container_that_does_not_answer_the_handshake_is_a_model_error(
    waits: bool,  # noqa: FBT001 - pytest's
    said: bytes,
) -> None:
    limits = replace(LIMITS, ping_pause=60, answer=0.2)
    with (
        Silent(waits=waits) as silent,
        emulated(limits=limits, url=silent.url) as emulator,
        pytest.raises(InvalidStatus) as caught,
    ):
        opened(emulator)
    assert said in (caught.value.response.body or b"")
