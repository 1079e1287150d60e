"""The ASGI 3 application: https://asgi.readthedocs.io/en/latest/specs/main.html."""

from __future__ import annotations

import asyncio
import atexit
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference._config import Config
from sagemaker_inference._ipc.wire import FORM_OVERHEAD
from sagemaker_inference._log import last_words
from sagemaker_inference.asgi._counts import Counts
from sagemaker_inference.asgi._exchange import ClientGone, Exchange
from sagemaker_inference.asgi._model_thread import ModelThread
from sagemaker_inference.asgi._routes import Routes

if TYPE_CHECKING:
    import os
    from collections.abc import Awaitable, Callable, MutableMapping

    from sagemaker_inference.asgi._source import Source

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

# As what a request is counted whose client has disconnected before the response.
_CLIENT_GONE: Final = 499
# Seconds for what is in progress when a process ends that has not ended the application before.
_PATIENCE: Final = 5.0


class Application:
    """A program as an ASGI application; `app` creates it.

    Args:
        source: the program.
        model_dir: the folder of the model; None leaves it to the program.
    """

    def __init__(self, source: Source, model_dir: str | os.PathLike[str] | None) -> None:
        self._source = source
        self._model_dir = model_dir
        self._model: ModelThread | None = None
        self._counts = Counts()
        # The server says when the application starts and ends.
        self._has_lifespan = False

    def start(self) -> ModelThread:
        """Begin to import the program and to load its model.

        Raises:
            StartError: a variable has a value that cannot be used, or there is no model directory.
        """
        model_dir = self._source.model_dir(self._model_dir)
        self._model = ModelThread(self._source, model_dir, Config.from_environment())
        self._model.start()
        return self._model

    def stop(self) -> None:
        """Begin to end the program, which answers what it has got; see `ModelThread.ended`."""
        model, self._model = self._model, None
        self._has_lifespan = False
        if model is not None:
            model.close()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._answer(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close"})
        else:
            message = f"ASGI connections of type {scope['type']} are not supported"
            raise ValueError(message)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self._has_lifespan = True
        try:
            model = self.start()
            await asyncio.wrap_future(model.loaded)
        except Exception as error:  # noqa: BLE001 - the server hears of all of them
            self.stop()
            words = last_words(error, error.__cause__)
            await send({"type": "lifespan.startup.failed", "message": words})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.stop()
        await asyncio.wrap_future(model.ended)
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, scope: Message, receive: Receive, send: Send) -> None:
        model = self._model
        if model is None:
            model = self._start_late()
        if not self._has_lifespan:
            await asyncio.wrap_future(model.loaded)
        routes = Routes(model, self._counts)
        exchange = Exchange(scope, receive, send)
        count = self._counts.begin(routes.label(exchange.path))
        try:
            await exchange.read_body(model.config.payload_limit, FORM_OVERHEAD)
            count.received = len(exchange.body)
            response = await routes.answer(exchange)
            count.sent = await exchange.respond(response)
            count.status = response.status
        except ClientGone:
            count.status = _CLIENT_GONE
        finally:
            self._counts.end(count)

    def _start_late(self) -> ModelThread:
        model = self.start()

        def end() -> None:
            model.close()
            model.ended.result(_PATIENCE)

        atexit.register(end)
        return model
