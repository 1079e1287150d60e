"""A response that is read while the program makes it, in this process."""

from __future__ import annotations

import asyncio
import codecs
import io
import json
import queue
import threading
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sagemaker_inference._errors import GenericInferenceToolkitError
from sagemaker_inference._os.interruptible import next_of, wait_for
from sagemaker_inference.asgi._call import Call
from sagemaker_inference.asgi._exchange import EXTENSION
from sagemaker_inference.testing._reply import Head, traceback_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from concurrent.futures import Future

    from typing_extensions import Self

    from sagemaker_inference.asgi import Application

# Seconds for a program to close what its client reads no more of; a blocking one may be at work on
# its next item for longer.
_PATIENCE: Final = 5.0
_BROKEN: Final = "The stream broke off before its end."
_CLOSED: Final = "the stream is closed: read it within the block of `with client.stream(...)`"


class StreamingCall(Call):
    """A request whose response is read part by part: each is asked for, and none is kept.

    Args:
        target: the path, with the query if there is one.
        body: the body.
        headers: the headers.

    Attributes:
        is_left: whether its reader has left the response.
        reader: the thread that has opened it, or has read of it last.
        ended: done when the program yields no more; None where the response is not a stream.
    """

    def __init__(self, target: str, body: bytes, headers: Mapping[str, str | None]) -> None:
        super().__init__("POST", target, body, headers)
        self.scope["extensions"][EXTENSION]["on_stream"] = self._on_stream
        self.is_left = False
        self.ended: Future[None] | None = None
        self.reader = threading.get_ident()
        self._parts: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        # How many parts were asked for beyond those that were sent.
        self._wanted = asyncio.Semaphore(0)
        self._has_gone = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop
        self._answering: Future[None] | None = None

    # Called by the reader.

    def begin(self, application: Application, loop: asyncio.AbstractEventLoop) -> Future[None]:
        """Send the request; see `has_begun`.

        Args:
            application: the program.
            loop: where it is called.

        Returns:
            Done when the response has been sent.
        """
        self._loop = loop
        answering = application(self.scope, self.receive, self.send)
        self._answering = asyncio.run_coroutine_threadsafe(answering, loop)
        self._answering.add_done_callback(lambda _: self._parts.put(None))
        return self._answering

    def has_begun(self, seconds: float) -> bool:
        """Wait for the status and the headers of the response; returns whether they are there.

        Args:
            seconds: how long to wait.

        Raises:
            RuntimeError: the client has ended meanwhile.
        """
        assert self._answering is not None  # noqa: S101 - it is being sent
        try:
            part = self._parts.get(timeout=seconds)
        except queue.Empty:
            return False
        if part is None:
            self._answering.result()
            raise RuntimeError(_CLOSED)
        return True

    @property
    def is_open(self) -> bool:
        """Whether the program has not yielded all of it."""
        return self.ended is not None and not self.ended.done()

    def parts(self) -> Iterator[bytes]:
        """The body as it comes; the program goes on when the next part is asked for.

        Raises:
            BaseException: what the handler raised, or what else has broken the response off.
            RuntimeError: the response was left before its end.
        """
        while (part := self._next_part()) is not None:
            if part:
                yield part
            self._want()
        if not self.is_complete:
            assert self._answering is not None  # noqa: S101 - it has begun
            self._answering.result()
            raise self.error or GenericInferenceToolkitError(
                HTTPStatus.INTERNAL_SERVER_ERROR, _BROKEN
            )

    def _next_part(self) -> bytes | None:
        if self.is_left:
            raise RuntimeError(_CLOSED)
        self.reader = threading.get_ident()
        return next_of(self._parts)

    def _want(self) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._wanted.release)

    def disconnect(self) -> bool:
        """Read no more of it; returns whether it was still being sent."""
        self.is_left = True
        if self._answering is None or self._answering.done():
            return False
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._has_gone.set)
        return True

    def leave(self) -> None:
        """Read no more of it, and wait until the program has ended it."""
        if not self.disconnect():
            return
        assert self._answering is not None  # noqa: S101 - it is being sent
        wait_for(self._answering, _PATIENCE)
        if self.ended is not None:
            wait_for(self.ended, _PATIENCE)

    # Called by the application.

    def _on_stream(self, ended: Future[None]) -> None:
        self.ended = ended

    async def receive(self) -> dict[str, Any]:
        """The body; after that, that the reader has gone, once it has."""
        if self._is_read:
            await self._has_gone.wait()
            # Only now: the application knows it before it could ask the program for another part.
            self._wanted.release()
            return {"type": "http.disconnect"}
        return await super().receive()

    async def send(self, message: Any) -> None:
        """Pass a part of the response on; returns when the next one is asked for."""
        if message["type"] == "http.response.start":
            await super().send(message)
            self._parts.put(b"")
            return
        self.is_complete = not message.get("more_body", False)
        self._parts.put(message["body"])
        if not self.is_complete:
            await self._wanted.acquire()


class ServerSentEvent(NamedTuple):
    """An event of a response in ``text/event-stream``.

    >>> ServerSentEvent("message", '{"word": "one"}').json()
    {'word': 'one'}

    Attributes:
        event: its name; "message" where it has none.
        data: its lines of data.
        id: the last id that the stream has named; "" before.
        retry: after how many milliseconds a client should connect again, or None.
    """

    event: str
    data: str
    id: str = ""
    retry: int | None = None

    def json(self) -> Any:
        """The data, read as JSON."""
        return json.loads(self.data)


class Stream(Head):
    """A response that is read while the program makes it; `TestClient.stream` opens one.

    >>> from sagemaker_inference import Registry
    >>> from sagemaker_inference.testing import TestClient
    >>> registry = Registry()
    >>> load = registry.model_loader(lambda: ["one", "two", "three"])
    >>> @registry.predictor
    ... def count(data, words):
    ...     for word in words[:data]:
    ...         yield {"word": word}

    >>> with TestClient(registry) as client, client.stream(2) as stream:
    ...     print(stream.status_code, stream.content_type)
    ...     for item in stream.iter_json():
    ...         print(item)
    200 application/jsonlines
    {'word': 'one'}
    {'word': 'two'}

    The program makes an item when it is asked for, but for the first one, which is there with the
    status. Iterating over the stream gives its chunks, one for each item. All iterators read the
    same response: one goes on where another has stopped, and each part is read once.

    They raise what the handler raised after its first item, when they come to it. What failed
    before is a response with a status, as everywhere.

    Attributes:
        status_code: the HTTP status.
        headers: the headers; look-ups are case-insensitive.
    """

    def __init__(self, call: StreamingCall) -> None:
        super().__init__(call.status, call.headers)
        self._call = call
        # Each goes on where it has stopped, however often it is asked for.
        self._chunks = call.parts()
        self._lines = self._split()
        self._values = self._parse_values()
        self._events = self._parse_events()

    def __repr__(self) -> str:
        return f"<Stream {self.status_code} {self.content_type}>"

    @property
    def error(self) -> BaseException | None:
        """What the handler raised, if it has failed by now; else None."""
        return self._call.error

    @property
    def traceback(self) -> str:
        """The traceback of the handler, if it has failed by now; else ""."""
        return traceback_of(self.error)

    def __iter__(self) -> Iterator[bytes]:
        """The body as it comes: the bytes of one item after the other."""
        return self._chunks

    def iter_lines(self) -> Iterator[str]:
        """The lines, without their ends, by the charset of the Content-Type."""
        return self._lines

    def iter_json(self) -> Iterator[Any]:
        """The values of JSON Lines.

        The record in which a stream says that it has failed is not one of them: what the handler
        raised is raised in its place.

        Raises:
            BaseException: as by `raise_for_status`, also before the first value.
        """
        return self._values

    def iter_events(self) -> Iterator[ServerSentEvent]:
        """The events of ``text/event-stream``, without comments.

        The event in which a stream says that it has failed is not one of them: what the handler
        raised is raised in its place.

        Raises:
            BaseException: as by `raise_for_status`, also before the first event.
        """
        return self._events

    def read(self) -> bytes:
        """What has not been read of the body."""
        return b"".join(self._chunks)

    def raise_for_status(self) -> Self:
        """Return the stream if its status is below 400 and it has not failed by now.

        Raises:
            BaseException: what the handler raised, with its traceback.
            GenericInferenceToolkitError: the status and the body, where nothing else is known.
        """
        self._raise_failure()
        if self.status_code < HTTPStatus.BAD_REQUEST:
            return self
        if self.error is not None:
            raise self.error
        raise GenericInferenceToolkitError(self.status_code, self.read().decode(errors="replace"))

    def _raise_failure(self) -> None:
        """Raise what the handler raised after its first item, if it did."""
        # Of a response that is not a stream, the status says all.
        if self._call.ended is not None and self.error is not None:
            raise self.error

    def _split(self) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder(self._charset)()
        text = io.IncrementalNewlineDecoder(decoder, translate=True)
        rest = ""
        for chunk in self._chunks:
            *lines, rest = (rest + text.decode(chunk)).split("\n")
            yield from lines
        rest += text.decode(b"", final=True)
        if rest:
            yield rest.removesuffix("\n")

    def _parse_values(self) -> Iterator[Any]:
        self.raise_for_status()
        for line in self._lines:
            self._raise_failure()
            if line.strip():
                yield json.loads(line)

    def _parse_events(self) -> Iterator[ServerSentEvent]:
        # https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
        self.raise_for_status()
        last_id = ""
        fields: dict[str, str] = {}
        data: list[str] = []
        for line in self._lines:
            self._raise_failure()
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "data":
                data.append(value)
            elif name == "id":
                last_id = value
            elif line:
                fields[name] = value
            else:
                if data:
                    event, retry = fields.get("event") or "message", fields.get("retry", "")
                    milliseconds = int(retry) if retry.isdecimal() else None
                    yield ServerSentEvent(event, "\n".join(data), last_id, milliseconds)
                fields, data = {}, []
