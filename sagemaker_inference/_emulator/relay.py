"""Pass messages between a client's WebSocket and a server's."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

import anyio
from starlette.websockets import WebSocketDisconnect
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.protocol import State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.websockets import WebSocket
    from websockets.asyncio.client import ClientConnection

# What is heard of a side that goes without a word, and cannot be sent.
_SILENT: Final = (CloseCode.NO_STATUS_RCVD, CloseCode.ABNORMAL_CLOSURE)


@asynccontextmanager
async def closing(connection: ClientConnection) -> AsyncIterator[None]:
    """Close a connection to a server at the end; where the server has closed it, drop it.

    To wait for the end of that would take 10 s if the server reads no more, as after a message that
    was too large, and asyncio does not survive an abort of what it has closed in the meantime.

    Args:
        connection: the server's.
    """
    try:
        yield
    finally:
        if connection.state is State.OPEN:
            await connection.close()
        elif not connection.transport.is_closing():
            connection.transport.abort()


class Relay:
    """Joins a client and a server, until one of them closes.

    Args:
        websocket: the client's, which has been accepted.
        connection: the server's.
    """

    def __init__(self, websocket: WebSocket, connection: ClientConnection) -> None:
        self._websocket = websocket
        self._connection = connection

    # What others may see or change.

    def sent(self, data: str | bytes) -> None:
        """Note a message of the client."""

    def received(self, data: str | bytes) -> None:
        """Note a message of the server."""

    def left(self, code: int | None, reason: str) -> tuple[int, str]:
        """What the server hears of a client that has closed, of which None says no code."""
        return code or CloseCode.NORMAL_CLOSURE, reason

    def ended(self, code: int | None, reason: str) -> tuple[int, str]:
        """What the client hears of a server that has closed, of which None says no code."""
        return code or CloseCode.INTERNAL_ERROR, reason

    async def run(self) -> None:
        """Pass messages both ways."""
        async with anyio.create_task_group() as tasks:

            async def listen() -> None:
                await self._to_server()
                tasks.cancel_scope.cancel()

            tasks.start_soon(listen)
            await self._to_client()
            tasks.cancel_scope.cancel()

    async def _to_server(self) -> None:
        websocket, connection = self._websocket, self._connection
        with suppress(ConnectionClosed):
            while (message := await websocket.receive())["type"] != "websocket.disconnect":
                text = message.get("text")
                # One message is one frame, of the same type.
                data: str | bytes = message["bytes"] if text is None else text
                self.sent(data)
                await connection.send(data)
            # Or the client has closed because the server has: this is the echo.
            if connection.state is State.OPEN:
                code, reason = self.left(_spoken(message.get("code")), message.get("reason") or "")
                await connection.close(code, reason)
            return
        # The server has closed: the other direction tells the client.
        await anyio.sleep_forever()

    async def _to_client(self) -> None:
        websocket, connection = self._websocket, self._connection
        # RuntimeError: the other direction has heard that the client is gone.
        with suppress(WebSocketDisconnect, RuntimeError):
            with suppress(ConnectionClosed):
                async for data in connection:
                    self.received(data)
                    if isinstance(data, str):
                        await websocket.send_text(data)
                    else:
                        await websocket.send_bytes(data)
            code, reason = _spoken(connection.close_code), connection.close_reason or ""
            await websocket.close(*self.ended(code, reason))


def _spoken(code: int | None) -> int | None:
    return None if code in _SILENT else code
