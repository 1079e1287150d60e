"""A program in this process: no server, no port, no Java."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from sagemaker_inference.asgi import app
from sagemaker_inference.asgi._exchange import EXTENSION
from sagemaker_inference.testing._client import Client
from sagemaker_inference.testing._reply import Reply

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping
    from types import ModuleType

    from typing_extensions import Self

    from sagemaker_inference import Registry

_ASGI: Final = {"version": "3.0", "spec_version": "2.3"}


class TestClient(Client):
    """A program that is loaded in this process, and a client of it.

    >>> with TestClient("inference.py") as client:  # doctest: +SKIP
    ...     client.invoke([[5.1, 3.5, 1.4, 0.2]]).json()

    Requests pass through the same code as those of the server, from routing to errors. Several
    threads may send some at the same time: where the program takes batches, they form one.

    Args:
        program: the program's file, its module, or the registry with its handlers.
        model_dir: the folder of the model; by default where `serve` looks for it.

    Raises:
        StartError: there is no such file. Within ``with``: the program cannot be imported, or the
            model cannot be loaded.
    """

    # It is not a class of tests.
    __test__ = False

    def __init__(
        self,
        program: str | os.PathLike[str] | ModuleType | Registry,
        *,
        model_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        self._application = app(program, model_dir=model_dir)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: Callable[[], None] = lambda: None

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            # Also where the load fails, or somebody interrupts it.
            stack.callback(self._application.stop)
            model = self._application.start()
            model.loaded.result()
            # A loop of its own: the test may be in one already.
            self._loop = loop = asyncio.new_event_loop()
            thread = threading.Thread(target=loop.run_forever, name="client", daemon=True)
            thread.start()
            stack.pop_all()

        def end() -> None:
            self._loop = None
            self._application.stop()
            model.ended.result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

        self._end = end
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send any request; see `Client.request`.

        Raises:
            RuntimeError: the client is not entered by ``with``.
        """
        if self._loop is None:
            message = "the program is not loaded: write `with TestClient(...) as client:`"
            raise RuntimeError(message)
        exchange = _Exchange(method, path, body, headers or {})
        answering = self._application(exchange.scope, exchange.receive, exchange.send)
        asyncio.run_coroutine_threadsafe(answering, self._loop).result()
        return exchange.reply


class _Exchange:
    """A request, as an ASGI server would pass it on, and what came back."""

    def __init__(self, method: str, target: str, body: bytes, headers: Mapping[str, str]) -> None:
        path, _, query = target.partition("?")
        names = [
            (name.lower().encode("latin-1"), value.encode()) for name, value in headers.items()
        ]
        self.scope: dict[str, Any] = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": "1.1",
            "method": method.upper(),
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [*names, (b"content-length", str(len(body)).encode())],
            "client": None,
            "server": None,
            "extensions": {EXTENSION: {"on_failure": self._on_failure}},
        }
        self._body = body
        self._is_read = False
        self._error: BaseException | None = None
        self._start: dict[str, Any] = {}
        self._sent = b""

    def _on_failure(self, error: BaseException) -> None:
        self._error = error

    async def receive(self) -> dict[str, Any]:
        """The body; after that, nothing: this client does not disconnect."""
        if self._is_read:
            await asyncio.Event().wait()
        self._is_read = True
        return {"type": "http.request", "body": self._body, "more_body": False}

    async def send(self, message: Any) -> None:
        """Keep a part of the response."""
        if message["type"] == "http.response.start":
            self._start = message
        self._sent += message.get("body", b"")

    @property
    def reply(self) -> Reply:
        """What came back."""
        headers = [(name.decode(), value.decode()) for name, value in self._start["headers"]]
        return Reply(self._start["status"], headers, self._sent, self._error)
