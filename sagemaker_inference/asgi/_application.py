"""The ASGI 3 application: https://asgi.readthedocs.io/en/latest/specs/main.html."""

from __future__ import annotations

import asyncio
import atexit
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference._config import Config
from sagemaker_inference._errors import StartError
from sagemaker_inference._http.messages import CLIENT_CLOSED_REQUEST
from sagemaker_inference._ipc.wire import FORM_OVERHEAD
from sagemaker_inference._log import get_logger, last_words, users_exc_info
from sagemaker_inference.asgi._counts import Counts
from sagemaker_inference.asgi._ending import (
    INTERRUPTED_SECONDS,
    SECONDS,
    await_end,
    wait_for_end,
)
from sagemaker_inference.asgi._exchange import ClientGone, Exchange
from sagemaker_inference.asgi._model_thread import ModelThread
from sagemaker_inference.asgi._routes import Routes

if TYPE_CHECKING:
    import os
    from collections.abc import Awaitable, Callable, MutableMapping
    from concurrent.futures import Future

    from sagemaker_inference._inference.inference_handler import InferenceHandler
    from sagemaker_inference.asgi._source import Source

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

# As what a request is counted whose client has disconnected before the response.
_NOT_LOADED: Final = "the program is not loaded"

logger = get_logger()


class Application:
    """A program as an ASGI application; `app` creates it.

    >>> from sagemaker_inference import Registry, asgi
    >>> registry = Registry()
    >>> load = registry.model_loader(lambda: 2)
    >>> double = registry.predictor(lambda data, model: data * model)
    >>> application = asgi.app(registry)
    >>> model = application.start()  # now, and not at the first request
    >>> handler = model.loaded.result()
    >>> application.stop()
    >>> model.ended.result()

    Args:
        source: the program.
        model_dir: the folder of the model; None leaves it to the program.
        has_docs: whether the program is described.
    """

    def __init__(
        self, source: Source, model_dir: str | os.PathLike[str] | None, *, has_docs: bool = False
    ) -> None:
        self._source = source
        self._model_dir = model_dir
        self._has_docs = has_docs
        self._model: ModelThread | None = None
        self._counts = Counts()
        # The server says when the application starts and ends.
        self._has_lifespan = False

    def start(self, gpu_id: int | None = None) -> ModelThread:
        """Begin to import the program and to load its model.

        Args:
            gpu_id: the GPU of this process, or None.

        Raises:
            StartError: a variable has a value that cannot be used.
        """
        config = Config.from_environment()
        self._model = ModelThread(
            self._source, self._model_dir, config, gpu_id, has_docs=self._has_docs
        )
        self._model.start()
        return self._model

    @property
    def problem(self) -> str:
        """Why the program cannot answer; "" where it can."""
        model = self._model
        if model is None or not model.is_loaded:
            return _NOT_LOADED
        return model.problem

    def configure(self, **options: Any) -> None:
        """Change how a loaded program gets its requests, from the next batch on.

        Args:
            options: ``max_batch_size``, at most what the program says, and ``max_batch_delay`` in
                seconds, or None to learn it.

        Raises:
            StartError: an option is unknown or has a value that cannot be used.
        """
        from sagemaker_inference.asgi._batch_options import changed

        if self._model is None or not self._model.is_loaded:
            raise StartError(_NOT_LOADED)
        handler = self._model.loaded.result()
        handler.concurrency = changed(self._model.declared, options)

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
            await self._talk(scope, receive, send)
        else:
            message = f"ASGI connections of type {scope['type']} are not supported"
            raise ValueError(message)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self._has_lifespan = True
        try:
            # Whoever has started it before has a use for why it cannot.
            model = self._model or self.start()
            await asyncio.wrap_future(model.loaded)
        except Exception as error:  # noqa: BLE001 - the server hears of all of them
            self.stop()
            words = last_words(error, error.__cause__)
            await send({"type": "lifespan.startup.failed", "message": words})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.stop()
        if await await_end(model, SECONDS):
            await send({"type": "lifespan.shutdown.complete"})
        else:
            message = f"the program has not ended within {SECONDS:g} s"
            await send({"type": "lifespan.shutdown.failed", "message": message})

    async def _answer(self, scope: Message, receive: Receive, send: Send) -> None:
        model = self._model
        if model is None:
            model = self._start_late()
        if not self._has_lifespan:
            await _settled(model)
        routes = Routes(model, self._counts)
        exchange = Exchange(scope, receive, send, model.config)
        count = self._counts.begin(routes.label(exchange.path))
        try:
            await exchange.read_body(model.config.payload_limit, FORM_OVERHEAD)
            count.received = len(exchange.body)
            response = await routes.answer(exchange)
            count.sent = await exchange.respond(response)
            count.status = response.status
        except ClientGone:
            count.status = CLIENT_CLOSED_REQUEST
        finally:
            self._counts.end(count)

    async def _talk(self, scope: Message, receive: Receive, send: Send) -> None:
        # Most programs have no WebSockets, and most servers ask for none.
        from sagemaker_inference.asgi._sockets import SocketExchange

        model = self._model
        if model is None:
            model = self._start_late()
        if not self._has_lifespan:
            await _settled(model)
        await SocketExchange(model, self._counts, scope, receive, send).serve()

    def _start_late(self) -> ModelThread:
        model = self.start()
        # No server hears of it.
        model.loaded.add_done_callback(_log_failure)

        def end() -> None:
            model.close()
            wait_for_end(model, INTERRUPTED_SECONDS)

        atexit.register(end)
        return model


async def _settled(model: ModelThread) -> None:
    """Wait until a program is loaded, or cannot be."""
    with suppress(Exception):  # the answers say why
        await asyncio.wrap_future(model.loaded)


def _log_failure(loaded: Future[InferenceHandler]) -> None:
    error = loaded.exception()
    if error is not None:
        # The message of one without a cause says all.
        cause = error.__cause__ or (None if isinstance(error, StartError) else error)
        exc_info = None if cause is None else users_exc_info(cause)
        logger.error("the program is not loaded: %s", error, exc_info=exc_info)
