"""A client of a bidirectional handler, in this process."""

from __future__ import annotations

import asyncio
import json
import queue
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from sagemaker_inference._errors import GenericInferenceToolkitError
from sagemaker_inference._os.interruptible import wait_for
from sagemaker_inference.asgi._call import header_lines
from sagemaker_inference.asgi._ending import patience
from sagemaker_inference.asgi._exchange import EXTENSION

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from typing_extensions import Self

    from sagemaker_inference.asgi import Application

_PATIENCE: Final = 30.0
_NORMAL: Final = 1000
# RFC 6455 section 7.4.1: nobody has closed it.
_ABNORMAL: Final = 1006
# After the last message: the application has ended.
_OVER: Final = "over"


class WebSocketClosed(Exception):  # noqa: N818 - it may be what was expected
    """The program, or its server, has closed the connection.

    >>> str(WebSocketClosed(1008, "400 bad_request: Send JSON."))
    '1008 400 bad_request: Send JSON.'

    Attributes:
        code: the status, as RFC 6455 has it.
        reason: what it has said about that.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.code} {self.reason}".strip()


class WebSocket:
    """A connection to a bidirectional handler; `TestClient.websocket` opens one.

    >>> from sagemaker_inference import Registry
    >>> from sagemaker_inference.testing import TestClient
    >>> registry = Registry()
    >>> load = registry.model_loader(lambda: None)
    >>> @registry.bidirectional
    ... async def shout(messages):
    ...     async for message in messages:
    ...         yield message.upper()

    >>> with TestClient(registry) as client, client.websocket() as websocket:
    ...     websocket.send("hello")
    ...     websocket.receive()
    'HELLO'

    Attributes:
        close_code, close_reason: how the program has closed it; None and "" before.
        error: what the handler has raised, if anything.
        headers: those of the response to the handshake; that of a session is among them.
    """

    def __init__(
        self,
        application: Application,
        loop: asyncio.AbstractEventLoop,
        path: str,
        headers: Mapping[str, str | None],
    ) -> None:
        self.close_code: int | None = None
        self.close_reason = ""
        self.error: BaseException | None = None
        self.headers: dict[str, str] = {}
        target, _, query = path.partition("?")
        self._scope: dict[str, Any] = {
            "type": "websocket",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "scheme": "ws",
            "path": unquote(target),
            "raw_path": target.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": header_lines(headers),
            "client": None,
            "server": None,
            "subprotocols": [],
            "extensions": {
                "websocket.http.response": {},
                EXTENSION: {"on_failure": self._on_failure},
            },
        }
        self._application = application
        self._loop = loop
        self._to_program: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._from_program: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._is_opened = False
        self._put({"type": "websocket.connect"})

    def __enter__(self) -> Self:
        if self._is_opened:
            message = "a connection is opened once: call client.websocket(...) for another one"
            raise RuntimeError(message)
        self._is_opened = True
        talking = self._application(self._scope, self._to_program.get, self._take)
        self._talking = asyncio.run_coroutine_threadsafe(talking, self._loop)
        # What the application has failed with says more than that there is no answer.
        self._talking.add_done_callback(lambda _: self._from_program.put({"type": _OVER}))
        try:
            first = self._next(_PATIENCE)
        except TimeoutError:
            self._talking.cancel()
            raise
        if first["type"] == "websocket.http.response.start":
            body = self._next(_PATIENCE)["body"]
            self._talking.result()
            message = json.loads(body)["error"]["message"]
            raise GenericInferenceToolkitError(first["status"], message)
        self.headers = {name.decode(): value.decode() for name, value in first["headers"]}
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close()
        seconds = patience(kind)
        wait_for(self._talking, seconds)
        if self._talking.done():
            self._talking.result()
        elif kind is None:
            message = f"the program has not ended the connection within {seconds:g} s"
            raise TimeoutError(message)

    def _on_failure(self, error: BaseException) -> None:
        self.error = error

    async def _take(self, message: Any) -> None:
        self._from_program.put(message)

    def _put(self, message: dict[str, Any]) -> None:
        self._loop.call_soon_threadsafe(self._to_program.put_nowait, message)

    def _next(self, timeout: float) -> dict[str, Any]:
        try:
            message = self._from_program.get(timeout=timeout)
        except queue.Empty:
            text = f"no message came within {timeout:g} s"
            raise TimeoutError(text) from None
        if message["type"] == _OVER:
            self._talking.result()
            self.close_code, self.close_reason = _ABNORMAL, "the connection is over"
            raise WebSocketClosed(self.close_code, self.close_reason)
        return message

    def send(self, message: str | bytes) -> None:
        """Send a text or a binary message.

        Raises:
            TypeError: it is neither.
            UnicodeEncodeError: a text that is no Unicode.
        """
        # Here, where the test can see it: no server passes such a message to a program.
        if isinstance(message, str):
            message.encode()
        elif not isinstance(message, (bytes, bytearray, memoryview)):
            what = f"a message is str or bytes, not {type(message).__name__}: see send_json"
            raise TypeError(what)
        kind = "text" if isinstance(message, str) else "bytes"
        self._put({"type": "websocket.receive", kind: message})

    def send_json(self, value: Any, *, binary: bool = False) -> None:
        """Send a value as JSON: as a text, or as SageMaker passes most texts on."""
        text = json.dumps(value)
        self.send(text.encode() if binary else text)

    def receive(self, timeout: float = _PATIENCE) -> str | bytes:
        """Wait for a message.

        Args:
            timeout: for how many seconds.

        Raises:
            WebSocketClosed: the program has closed the connection.
            TimeoutError: none has come.
        """
        if self.close_code is not None:
            raise WebSocketClosed(self.close_code, self.close_reason)
        message = self._next(timeout)
        if message["type"] == "websocket.close":
            self.close_code = message.get("code", _NORMAL)
            self.close_reason = message.get("reason", "")
            self._put({"type": "websocket.disconnect", "code": self.close_code})
            raise WebSocketClosed(self.close_code or _NORMAL, self.close_reason)
        found: str | bytes = message["text"] if "text" in message else message["bytes"]
        return found

    def receive_json(self, timeout: float = _PATIENCE) -> Any:
        """Wait for a message that is JSON; see `receive`."""
        return json.loads(self.receive(timeout))

    def __iter__(self) -> Iterator[str | bytes]:
        """The messages until the program closes the connection."""
        try:
            while True:
                yield self.receive()
        except WebSocketClosed:
            return

    def close(self, code: int = _NORMAL, reason: str = "") -> None:
        """Close the connection; where the program has closed it, nothing happens."""
        if self.close_code is None:
            self._put({"type": "websocket.disconnect", "code": code, "reason": reason})
