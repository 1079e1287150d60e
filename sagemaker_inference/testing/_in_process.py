"""A program in this process: no server, no port, no Java."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference import _content_types as content_types
from sagemaker_inference._os.interruptible import result_of, wait_for, wait_until
from sagemaker_inference._program.paths import BIDIRECTIONAL, INVOCATIONS
from sagemaker_inference.asgi import app
from sagemaker_inference.asgi._call import Call
from sagemaker_inference.asgi._ending import patience, wait_for_end
from sagemaker_inference.testing._client import NO_DATA, Client, body_and_type, named_headers
from sagemaker_inference.testing._reply import Reply

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from concurrent.futures import Future
    from types import ModuleType

    from typing_extensions import Self

    from sagemaker_inference import Registry
    from sagemaker_inference.asgi._model_thread import ModelThread
    from sagemaker_inference.testing._form import Files
    from sagemaker_inference.testing._stream import Stream, StreamingCall
    from sagemaker_inference.testing._websocket import WebSocket

# A program takes far less to begin with a request that it has room for.
_LOOK_SECONDS: Final = 0.1
_LEFT: Final = "the block of `with TestClient(...)` was left before the response came"
_STUCK: Final = (
    "the program is at work on a stream that this thread has open, and answers no other request "
    "before that has ended: read it to its end, or leave its `with client.stream(...)`, first. "
    "Other threads may send requests meanwhile. A program with async handlers, or threads=N, "
    "answers several at a time."
)


class TestClient(Client):
    """A program that is loaded in this process, and a client of it.

    >>> from sagemaker_inference import Registry
    >>> registry = Registry()
    >>> load = registry.model_loader(lambda: 2)
    >>> double = registry.predictor(lambda data, model: data * model)
    >>> with TestClient(registry) as client:
    ...     client.invoke([1, 2]).json()
    [2, 4]

    Requests pass through the same code as those of the server, from routing to errors. Several
    threads may send some at the same time: where the program takes batches, they form one.

    The end of the block waits for what the program has got and for ``on_shutdown``, up to 22.5
    seconds as the server does, and 5 where the block is left by a ``KeyboardInterrupt``. The log
    says what the program is at then.

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
        self._model: ModelThread
        # What ends the program; None where it is not loaded.
        self._end: Callable[[float], None] | None = None
        # Held from the beginning of a load to the end of its program.
        self._is_used = threading.Lock()
        # Those that are open.
        self._streaming: set[StreamingCall] = set()

    def __enter__(self) -> Self:
        if not self._is_used.acquire(blocking=False):
            message = "the program is loaded already: leave its `with` before entering it again"
            raise RuntimeError(message)
        with contextlib.ExitStack() as stack:
            # Also where the load fails, or somebody interrupts it.
            stack.callback(self._is_used.release)
            stack.callback(self._application.stop)
            model = self._application.start()
            result_of(model.loaded)
            # A loop of its own: the test may be in one already.
            self._model = model
            self._loop = loop = asyncio.new_event_loop()
            thread = threading.Thread(target=_run, args=[loop], name="client", daemon=True)
            thread.start()
            stack.pop_all()

        def end(seconds: float) -> None:
            self._loop = None
            try:
                for call in list(self._streaming):
                    call.disconnect()
                self._application.stop()
                wait_for_end(model, seconds)
            finally:
                loop.call_soon_threadsafe(loop.stop)
                thread.join()

        self._end = end
        return self

    def __exit__(self, kind: type[BaseException] | None = None, *_: object) -> None:
        end, self._end = self._end, None
        if end is not None:
            try:
                end(patience(kind))
            finally:
                self._is_used.release()

    def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str | None] | None = None,
    ) -> Reply:
        """Send any request; see `Client.request`.

        Raises:
            RuntimeError: the client is not entered by ``with``, or is left meanwhile; or this
                thread has a stream open that the program has to end first.
        """
        loop = self._running_loop()
        call = Call(method, path, body, headers or {})
        answering = self._application(call.scope, call.receive, call.send)
        answered = asyncio.run_coroutine_threadsafe(answering, loop)
        self._watch(answered, lambda seconds: wait_for(answered, seconds), self._open())
        try:
            answered.result()
        except CancelledError:
            raise RuntimeError(_LEFT) from None
        return Reply(call.status, call.headers, call.body, call.error, is_complete=call.is_complete)

    def _open(self) -> list[StreamingCall]:
        """The streams that this thread reads."""
        return [call for call in list(self._streaming) if call.reader == threading.get_ident()]

    def _watch(
        self,
        answering: Future[None],
        is_there: Callable[[float], bool],
        streams: Sequence[StreamingCall],
    ) -> None:
        """Wait for an answer, unless it waits for this thread itself.

        Args:
            answering: what is cancelled if it cannot come.
            is_there: waits for it, for so many seconds; returns whether it has come.
            streams: what this thread reads; another one may go on with it.

        Raises:
            RuntimeError: the program has to end these streams first.
        """
        if not streams:
            wait_until(is_there)
            return
        model, was_stuck, mine = self._model, False, threading.get_ident()
        while not is_there(_LOOK_SECONDS):
            is_queued = bool(model.waiting) or model.declared.threads > 1
            # Each of them waits until it is read, and nobody else reads it.
            are_mine = sum(call.is_open and call.reader == mine for call in streams)
            is_stuck = is_queued and 0 < model.running == are_mine
            if is_stuck and was_stuck:
                answering.cancel()
                raise RuntimeError(_STUCK)
            was_stuck = is_stuck

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            message = "the program is not loaded: write `with TestClient(...) as client:`"
            raise RuntimeError(message)
        return self._loop

    @contextlib.contextmanager
    def stream(  # noqa: PLR0913 - as many parts of a request
        self,
        data: Any = NO_DATA,
        content_type: str | None = content_types.JSON,
        accept: str | None = None,
        custom_attributes: str | None = None,
        headers: Mapping[str, str | None] | None = None,
        *,
        files: Files | None = None,
        path: str = INVOCATIONS,
    ) -> Iterator[Stream]:
        """Send a request as `invoke` does, and read the response while the program makes it.

        >>> from sagemaker_inference import Registry
        >>> registry = Registry()
        >>> load = registry.model_loader(lambda: None)
        >>> @registry.predictor
        ... def count(data):
        ...     yield from range(data)

        >>> with TestClient(registry) as client:
        ...     with client.stream(1000) as stream:
        ...         numbers = stream.iter_json()
        ...         print(stream.status_code, next(numbers), next(numbers))
        200 0 1

        The block begins when the status and the headers are there. When it is left before the end,
        the client disconnects: the program's generator is closed, and the block waits for that, up
        to 5 seconds.

        Args:
            data: as for `invoke`, and so are the others.
            content_type: the Content-Type of the body; None sends none.
            accept: the Accept header, which chooses the format of the stream.
            custom_attributes: what SageMaker calls ``CustomAttributes``.
            headers: further headers, of which None leaves one out.
            files: the files of a form.
            path: another path of the program.

        Raises:
            RuntimeError: the client is not entered by ``with``, or this thread has a stream open
                that the program has to end first.
            TypeError, ValueError: as for `invoke`.
        """
        # Most tests have none.
        from sagemaker_inference.testing._stream import Stream, StreamingCall

        loop = self._running_loop()
        body, content_type = body_and_type(data, content_type, files)
        named = named_headers(content_type, accept, custom_attributes, headers)
        call = StreamingCall(path, body, named)
        others = self._open()
        self._streaming.add(call)
        try:
            self._watch(call.begin(self._application, loop), call.has_begun, others)
            yield Stream(call)
        finally:
            self._streaming.discard(call)
            call.leave()

    def websocket(
        self, path: str = BIDIRECTIONAL, headers: Mapping[str, str | None] | None = None
    ) -> WebSocket:
        """Connect to a bidirectional handler; use it with ``with``.

        >>> def first_message(client, text):
        ...     with client.websocket() as websocket:
        ...         websocket.send(text)
        ...         return websocket.receive()

        Args:
            path: where it is, with the query if there is one.
            headers: the headers, of which None leaves one out.

        Raises:
            RuntimeError: the client is not entered by ``with``.
            GenericInferenceToolkitError: within ``with``: the connection is refused.
        """
        # Most tests have none.
        from sagemaker_inference.testing._websocket import WebSocket

        return WebSocket(self._application, self._running_loop(), path, headers or {})


def _run(loop: asyncio.AbstractEventLoop) -> None:
    """Run a loop until it is stopped, and leave nobody waiting for it."""
    loop.run_forever()

    async def cancel() -> None:
        # What has just been handed over becomes a task first.
        await asyncio.sleep(0)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    loop.run_until_complete(cancel())
    loop.close()
