"""Join a client's WebSocket and the server's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.responses import Response
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from sagemaker_inference._cli._dev.proxy import target_of
from sagemaker_inference._emulator.relay import Relay, closing
from sagemaker_inference._errors import ErrorCode
from sagemaker_inference._http.error_response import error_body
from sagemaker_inference.asgi._exchange import headers_of

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

    from sagemaker_inference._cli._dev.proxy import Message, Receive, Send
    from sagemaker_inference._cli._dev.records import Record, Records
    from sagemaker_inference._cli._dev.reloading import Reloader

# Of the handshake, which each of the two makes for itself.
_HANDSHAKE: Final = ("connection", "host", "upgrade")
_HANDSHAKE_START: Final = "sec-websocket-"
_SWITCHING: Final = 101
_UNAVAILABLE: Final = 503


async def pass_on(
    reloader: Reloader, records: Records, scope: Message, receive: Receive, send: Send
) -> None:
    """Serve a client.

    Args:
        reloader: knows which server answers.
        records: keeps the connections, as requests.
        scope: what the ASGI server says of the client.
        receive: where its messages come from.
        send: where those of the program go.
    """
    websocket = WebSocket(scope, receive, send)
    record = records.begin("WS", target_of(scope), headers_of(scope))
    try:
        await _serve(websocket, reloader, record)
    finally:
        records.end(record)


async def _serve(websocket: WebSocket, reloader: Reloader, record: Record) -> None:
    server = reloader.target
    if server is None:
        await _refuse(websocket, record, reloader.why_not)
        return
    record.server = reloader.number
    reloader.begin(server)
    try:
        scope = websocket.scope
        try:
            connection = await connect(
                server.url.replace("http", "ws", 1) + target_of(scope),
                additional_headers=_headers(websocket),
                subprotocols=scope.get("subprotocols") or None,
                compression=None,
                max_size=None,
                open_timeout=None,
                ping_interval=None,
                proxy=None,
                user_agent_header=None,
            )
        except InvalidStatus as error:
            theirs = error.response
            kept = {"content-type": theirs.headers.get("content-type", "application/json")}
            record.note_head(theirs.status_code, kept["content-type"])
            record.response.add(bytes(theirs.body or b""))
            answer = Response(bytes(theirs.body or b""), theirs.status_code, kept)
            await websocket.send_denial_response(answer)
            return
        except OSError:
            await _refuse(websocket, record, "the server has refused the connection")
            return
        async with closing(connection):
            await websocket.accept(connection.subprotocol)
            record.note_head(_SWITCHING, "")
            await _Relay(websocket, connection, record).run()
    finally:
        reloader.end(server)


def _headers(websocket: WebSocket) -> list[tuple[str, str]]:
    return [
        (name, value)
        for name, value in websocket.headers.items()
        if name not in _HANDSHAKE and not name.startswith(_HANDSHAKE_START)
    ]


async def _refuse(websocket: WebSocket, record: Record, why: str) -> None:
    record.problem = why
    body = error_body(ErrorCode.for_status(_UNAVAILABLE), why, "")
    record.note_head(_UNAVAILABLE, "application/json")
    record.response.add(body)
    answer = Response(body, _UNAVAILABLE, media_type="application/json")
    await websocket.send_denial_response(answer)


class _Relay(Relay):
    """What passes between a client and the server, which is recorded."""

    def __init__(self, websocket: WebSocket, connection: ClientConnection, record: Record) -> None:
        super().__init__(websocket, connection)
        self._record = record

    def sent(self, data: str | bytes) -> None:
        """See `Relay.sent`."""
        self._record.request.add(_bytes(data))

    def received(self, data: str | bytes) -> None:
        """See `Relay.received`."""
        self._record.response.add(_bytes(data))

    def ended(self, code: int | None, reason: str) -> tuple[int, str]:
        """See `Relay.ended`."""
        self._record.problem = reason
        return super().ended(code, reason)


def _bytes(data: str | bytes) -> bytes:
    return data.encode() if isinstance(data, str) else data
