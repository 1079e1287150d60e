"""Pass requests on to the server that answers, as they are, and note them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import anyio
import httpx

from sagemaker_inference._cli._dev.records import GONE, Records
from sagemaker_inference._errors import ErrorCode
from sagemaker_inference._http.error_response import error_body
from sagemaker_inference.asgi._exchange import headers_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping

    from sagemaker_inference._cli._dev.records import Record
    from sagemaker_inference._cli._dev.reloading import Reloader
    from sagemaker_inference._cli._dev.servers import Server

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

PING: Final = "/ping"
# Of one connection, and not of what goes over it: RFC 9110, 7.6.1. Whoever expects a go-ahead has
# got it here.
_HOPS: Final = frozenset(
    (
        b"connection",
        b"expect",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
_UNAVAILABLE: Final = 503
_BAD_GATEWAY: Final = 502
_JSON: Final = b"application/json"


class _ClientGone(Exception):  # noqa: N818 - nothing has failed
    """The client has disconnected."""


class _Body:
    """The body of a request, part by part; afterwards, whether its client is still there."""

    def __init__(self, receive: Receive, record: Record) -> None:
        self._receive = receive
        self._record = record
        self._is_read = anyio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        goes_on = True
        while goes_on:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise _ClientGone
            data, goes_on = message.get("body", b""), message.get("more_body", False)
            self._record.request.add(data)
            if data:
                yield data
        self._is_read.set()

    async def watch(self, gone: Callable[[], object]) -> None:
        """Say when the client has gone that has sent its body."""
        await self._is_read.wait()
        # Nothing else follows a body.
        await self._receive()
        gone()


class Proxy:
    """The port of the program, as an ASGI application.

    Args:
        reloader: knows which server answers.
        records: keeps the requests.
    """

    def __init__(self, reloader: Reloader, records: Records) -> None:
        self._reloader = reloader
        self._records = records
        # Connections are not kept: a server that ends would close one that has just been taken.
        self._client = httpx.AsyncClient(
            timeout=None,  # noqa: S113 - the server has time limits of its own
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            trust_env=False,
        )
        # The server sees no header that the client has not sent.
        self._client.headers.clear()

    async def close(self) -> None:
        """Close what is left of its connections."""
        await self._client.aclose()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            from sagemaker_inference._cli._dev.sockets import pass_on

            await pass_on(self._reloader, self._records, scope, receive, send)
            return
        # Pings are not what anybody looks for among the last requests.
        begin = Records.apart if scope["path"] == PING else self._records.begin
        record = begin(scope["method"], target_of(scope), headers_of(scope))
        await self.answer(scope, receive, send, record)

    async def answer(self, scope: Message, receive: Receive, send: Send, record: Record) -> None:
        """Answer a request that is noted already, and note the end."""
        try:
            await self._watch(scope, receive, send, record)
        finally:
            self._records.end(record)

    async def _watch(self, scope: Message, receive: Receive, send: Send, record: Record) -> None:
        body = _Body(receive, record)
        async with anyio.create_task_group() as tasks:

            def gone() -> None:
                if not record.is_answered:
                    record.problem = GONE
                    tasks.cancel_scope.cancel()

            tasks.start_soon(body.watch, gone)
            try:
                await self._pass_on(scope, body, send, record)
            except _ClientGone:
                record.problem = GONE
            tasks.cancel_scope.cancel()

    async def _pass_on(self, scope: Message, body: _Body, send: Send, record: Record) -> None:
        tried: Server | None = None
        if not _has_body(scope):
            # Its end comes all the same, behind nothing.
            _ = [part async for part in body]
        while True:
            server = self._reloader.target
            if server is None or server is tried:
                await _refuse(send, record, _UNAVAILABLE, self._reloader.why_not)
                return
            tried = server
            record.server = self._reloader.number
            self._reloader.begin(server)
            try:
                await self._exchange(server, scope, body, send, record)
            except httpx.ConnectError:
                # Nothing of the body has been read: another server may have taken its place.
                continue
            finally:
                self._reloader.end(server)
            return

    async def _exchange(
        self, server: Server, scope: Message, body: _Body, send: Send, record: Record
    ) -> None:
        raw_path = target_of(scope).encode("latin-1")
        request = self._client.build_request(
            scope["method"],
            httpx.URL(server.url).copy_with(raw_path=raw_path),
            headers=[(name, value) for name, value in scope["headers"] if name not in _HOPS],
            content=body if _has_body(scope) else None,
        )
        try:
            response = await self._client.send(request, stream=True)
        except httpx.ConnectError:
            raise
        except httpx.TransportError as error:
            record.problem = f"the server has closed the connection ({type(error).__name__})"
            await _refuse(send, record, _BAD_GATEWAY, record.problem)
            return
        try:
            await self._respond(response, send, record)
        finally:
            with anyio.CancelScope(shield=True):
                await response.aclose()

    @staticmethod
    async def _respond(response: httpx.Response, send: Send, record: Record) -> None:
        record.note_head(response.status_code, response.headers.get("content-type", ""))
        headers = [
            (name, value) for name, value in response.headers.raw if name.lower() not in _HOPS
        ]
        await send(
            {"type": "http.response.start", "status": response.status_code, "headers": headers}
        )
        try:
            async for data in response.aiter_raw():
                record.response.add(data)
                await send({"type": "http.response.body", "body": data, "more_body": True})
        except httpx.TransportError:
            # A response without an end, which the ASGI server closes the connection for.
            record.problem = "the server has not completed the response"
            return
        record.is_answered = True
        await send({"type": "http.response.body", "body": b""})


def target_of(scope: Message) -> str:
    """The path of a request as it was sent, with its query."""
    query = scope["query_string"]
    target: bytes = scope["raw_path"] + (b"?" + query if query else b"")
    return target.decode("latin-1")


def _has_body(scope: Message) -> bool:
    return any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])


async def _refuse(send: Send, record: Record, status: int, message: str) -> None:
    """Answer for a server that does not, in the form that its errors have."""
    body = error_body(ErrorCode.for_status(status), message, "")
    record.problem = message
    record.note_head(status, _JSON.decode())
    record.response.add(body)
    record.is_answered = True
    headers = [(b"content-type", _JSON), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
