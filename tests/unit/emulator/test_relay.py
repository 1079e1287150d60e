"""The relay between two WebSockets, where one of them closes while the other is busy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest
from websockets.exceptions import ConnectionClosedOK
from websockets.frames import Close
from websockets.protocol import State

from sagemaker_inference._emulator.relay import Relay, closing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Client:
    """A client that sends what it has, and then waits."""

    def __init__(self, *texts: str) -> None:
        self.closed: tuple[int, str] | None = None
        self._texts = list(texts)

    async def receive(self) -> dict[str, Any]:
        if not self._texts:
            await anyio.sleep_forever()
        return {"type": "websocket.receive", "text": self._texts.pop(0)}

    async def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)


class Server:
    """A server that closes, which its two directions may hear at different times."""

    close_code = 4000
    close_reason = "enough"

    def __init__(self) -> None:
        self.is_heard = anyio.Event()
        self.got: list[str] = []

    async def __aiter__(self) -> AsyncIterator[str]:
        await self.is_heard.wait()
        return
        yield ""

    async def send(self, data: str) -> None:
        self.got.append(data)
        self.is_heard.set()
        raise ConnectionClosedOK(Close(self.close_code, self.close_reason), None)


@pytest.mark.parametrize("texts", [(), ("late",)])
def test_a_client_that_is_busy_hears_that_the_server_has_closed(texts: tuple[str, ...]) -> None:
    """Whether it is quiet, or has sent something that the server takes no more."""

    async def test() -> None:
        client, server = Client(*texts), Server()
        if not texts:
            server.is_heard.set()
        with anyio.fail_after(20):
            await Relay(client, server).run()  # type: ignore[arg-type]
        assert client.closed == (4000, "enough")
        assert server.got == list(texts)

    anyio.run(test)


class Connection:
    """A connection to a server that remembers how it was ended."""

    def __init__(self, state: State, *, is_closing: bool) -> None:
        self.state = state
        self.transport = self
        self.ends: list[str] = []
        self.is_closing = lambda: is_closing

    async def close(self) -> None:
        self.ends.append("closed")

    def abort(self) -> None:
        self.ends.append("dropped")


@pytest.mark.parametrize(
    ("state", "is_closing", "ends"),
    [
        (State.OPEN, False, ["closed"]),
        (State.CLOSING, False, ["dropped"]),
        (State.CLOSING, True, []),
    ],
)
def test_a_connection_that_the_server_has_closed_is_dropped(
    state: State, ends: list[str], *, is_closing: bool
) -> None:
    connection: Any = Connection(state, is_closing=is_closing)

    async def test() -> None:
        async with closing(connection):
            assert connection.ends == []

    anyio.run(test)
    assert connection.ends == ends
