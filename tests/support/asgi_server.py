"""An ASGI server by hand: requests and lifespans, message by message."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from sagemaker_inference import asgi


async def until(condition: Callable[[], object]) -> None:
    """Wait until something is the case in another thread."""
    while not condition():  # noqa: ASYNC110 - asyncio has no events of threads
        await asyncio.sleep(0.001)


class Call:
    """One request to an application, message by message."""

    def __init__(self, application: asgi.Application, method: str, path: str, **more: Any) -> None:
        headers = [(b"content-type", b"application/json"), *more.pop("headers", [])]
        self.sent: list[dict[str, Any]] = []
        self._received: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        scope = {"type": "http", "method": method, "path": path, "headers": headers, **more}
        self.task = asyncio.create_task(application(scope, self._received.get, self._send))

    async def _send(self, message: Any) -> None:
        self.sent.append(message)

    def body(self, data: bytes, *, more: bool = False) -> Call:
        """Pass on a part of the body."""
        self._received.put_nowait({"type": "http.request", "body": data, "more_body": more})
        return self

    def hang_up(self) -> None:
        """Disconnect."""
        self._received.put_nowait({"type": "http.disconnect"})

    async def status(self) -> int:
        """The status of the response; 0 if there was none."""
        await self.task
        return int(self.sent[0]["status"]) if self.sent else 0

    @property
    def headers(self) -> dict[bytes, bytes]:
        """The headers of the response."""
        return dict(self.sent[0]["headers"])

    @property
    def text(self) -> str:
        """The body of the response."""
        return str(self.sent[1]["body"].decode())


class Life:
    """The lifespan of an application, as a server lives it."""

    def __init__(self, application: asgi.Application) -> None:
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._received: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.task = asyncio.create_task(
            application({"type": "lifespan"}, self._received.get, self.sent.put)
        )

    def begin(self) -> None:
        """Start the application, without waiting."""
        self._received.put_nowait({"type": "lifespan.startup"})

    async def start(self) -> dict[str, Any]:
        """Start the application; what it answers."""
        self.begin()
        return await self.sent.get()

    async def stop(self) -> dict[str, Any]:
        """Stop it; what it answers."""
        self._received.put_nowait({"type": "lifespan.shutdown"})
        message = await self.sent.get()
        await self.task
        return message


async def ask(
    application: asgi.Application, method: str, path: str, body: bytes = b"", **more: Any
) -> Call:
    """Send a request, and wait until it is answered."""
    call = Call(application, method, path, **more).body(body)
    await call.task
    return call


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run the coroutine of a test, in which nothing waits for long."""
    asyncio.run(asyncio.wait_for(test(), 20))
