"""Responses that are made while they are sent: what a predictor or transformer yields.

The first item is drawn and encoded with the rest of an answer, so that a failure before it is an
ordinary one, with its status. The others are drawn by whoever sends the response.
"""

from __future__ import annotations

import types
from collections.abc import AsyncIterator, Iterator
from functools import lru_cache
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

from sagemaker_inference._errors import PredictionError
from sagemaker_inference._inference.failures import failure_record, failure_response, must_pass
from sagemaker_inference._inference.replies import body_and_type, reply
from sagemaker_inference._log import get_logger, users_exc_info

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Hashable, Mapping, Sequence

    from sagemaker_inference._http.messages import Request, Response
    from sagemaker_inference._inference.inference_handler import InferenceHandler, Job
    from sagemaker_inference._inference.stream_formats import StreamFormat
    from sagemaker_inference._program.signatures import Handler
    from sagemaker_inference.codecs import Body

logger = get_logger()

_NEEDS_LOOP = (
    "The {role} returned an async iterator, for which it has to be async: write async def."
)
_IN_BATCH = (
    "The {role} takes batches, and returned an iterator for a request. Return the whole "
    "prediction, or remove max_batch_size."
)


def is_iterator(result: Any) -> bool:
    """Whether a handler has returned items that come one by one, and no container of them."""
    kind: Any = type(result)
    return _yields(kind)


# Every request asks, and few types are predictions.
@lru_cache(maxsize=128)
def _yields(kind: Hashable) -> bool:
    return hasattr(kind, "__next__") or hasattr(kind, "__anext__")


async def open_stream(
    job: Job, items: Any, choose: Callable[[], StreamFormat], *, in_loop: bool, in_batch: bool
) -> Response:
    """Draw the first item of a response; what fails until then passes through.

    Args:
        job: the request; its handler is the one that has returned the items.
        items: the iterator.
        choose: says how items are written; raises NotAcceptableError.
        in_loop: whether the program runs in an event loop.
        in_batch: whether the items are one of several predictions.
    """
    job.awaits = in_loop
    handler = job.handler
    role = handler.role.name if handler else ""
    is_async = hasattr(type(items), "__anext__")
    if in_batch or (is_async and not in_loop):
        raise PredictionError((_IN_BATCH if in_batch else _NEEDS_LOOP).format(role=role))
    try:
        stream_format = choose()
        try:
            item = await items.__anext__() if is_async else next(items)
        except (StopIteration, StopAsyncIteration):
            return _empty(job, stream_format)
        job.times[-1] = perf_counter()
        stream_format = stream_format.for_item(item)
        job.handler = stream_format.handler
        data, content_type = await _encoded(job, stream_format, item)
        first = b"".join((stream_format.start, data)) if stream_format.start else data
        kind = AsyncStream if in_loop else SyncStream
        stream = kind(job, handler, items, stream_format, first)
        response = reply(job.request, job.context, stream, content_type)
    except BaseException:
        await _close(items)
        raise
    if response.body is not stream:  # its status has no content
        await _close(items)
    return response


def _empty(job: Job, stream_format: StreamFormat) -> Response:
    body = stream_format.start + stream_format.end
    return reply(job.request, job.context, body, stream_format.content_type)


async def _encoded(job: Job, stream_format: StreamFormat, item: Any) -> tuple[Body, str]:
    content_type = stream_format.content_type
    if stream_format.handler is None:
        return stream_format.write(item), content_type
    result = stream_format.write(item, content_type, job.context)
    return body_and_type(await result if stream_format.is_async else result, content_type)


async def _close(items: Any) -> None:
    """Have the program clean up; what it raises passes through."""
    if hasattr(items, "aclose"):
        await items.aclose()
    elif hasattr(items, "close"):
        items.close()


@types.coroutine
def others_turn() -> Generator[None, None, None]:
    """Let the event loop go round, as ``asyncio.sleep(0)`` does, without importing asyncio."""
    yield


class Stream:
    """The body of a response: an iterator of bytes, of which the first ones are there already.

    Attributes:
        request: what it answers.
        items: how many the program has yielded.
        facts: what an access line says of it.
        ending: how it was sent, once it was; set by who sends it.
        copy: its bytes, where they were kept while it was sent; else None.
        is_socket: whether its client sends, too.
    """

    is_socket = False

    def __init__(
        self,
        job: Job,
        handler: Handler | None,
        items: Any,
        stream_format: StreamFormat,
        first: Body,
    ) -> None:
        self.request: Request = job.request
        self.items = 1
        self.ending: Any = None
        self.copy: bytes | None = None
        self._job = job
        self._handler = handler
        self._items = items
        self._is_async = hasattr(type(items), "__anext__")
        self._format = stream_format
        # What goes out without an item: the first one, and what follows the last.
        self._first: Body | None = first
        self._end = stream_format.end
        self._last = first
        self._is_encoding = False
        self._on_end: list[Callable[[], object]] = []

    def on_end(self, call: Callable[[], object]) -> None:
        """Have a function called once, when the program yields no more."""
        self._on_end.append(call)

    def end(self) -> None:
        """Note that the program yields no more; whoever drops a stream says so, too."""
        calls, self._on_end = self._on_end, []
        for call in calls:
            call()

    @property
    def facts(self) -> dict[str, Any]:
        """What an access line says of it; its other times are those until its first item."""
        ending = self.ending
        return {
            "stream": ending.name,
            "items": self.items,
            "bytes": ending.size,
            "stream_ms": round(ending.seconds * 1000, 3),
        }

    def failure(self, error: BaseException) -> tuple[int, Body]:
        """Log what the stream has failed with after its first item.

        Returns:
            The status of the failure, and the last record, which is empty where the format has no
            records.
        """
        status, document = failure_record(self.request, error, self._guilty)
        write = self._format.write_error
        return status, write(document, bytes(self._last)) if write else b""

    def failed(self, error: BaseException, headers: Mapping[str, str]) -> Response:
        """The response in place of this one, of which nothing was sent."""
        return failure_response(self.request, error, self._guilty, headers)

    @property
    def _guilty(self) -> Handler | None:
        return self._format.handler if self._is_encoding else self._handler

    def _taken_first(self) -> Body | None:
        first, self._first = self._first, None
        return first

    def _has_end(self) -> bool:
        if self._format.may_end_itself and bytes(self._last).endswith(self._end):
            self._end = b""
        return bool(self._end)

    def _taken_end(self) -> Body:
        end, self._end = self._end, b""
        return end

    def _joined(self, data: Body) -> Body:
        self._is_encoding = False
        self.items += 1
        self._last = data
        between = self._format.between
        return b"".join((between, data)) if between else data


class SyncStream(Stream, Iterator[bytes]):
    """A stream of a program that awaits nothing."""

    def __next__(self) -> Body:  # type: ignore[override]
        if self._first is not None:
            return self._taken_first()  # type: ignore[return-value]
        try:
            item = next(self._items)
        except StopIteration:
            self.end()
            if self._has_end():
                return self._taken_end()
            raise
        self._is_encoding = True
        stream_format = self._format
        if stream_format.handler is None:
            return self._joined(stream_format.write(item))
        content_type = stream_format.content_type
        result = stream_format.write(item, content_type, self._job.context)
        return self._joined(body_and_type(result, content_type)[0])

    def close(self) -> None:
        """Have the program clean up; what it raises passes through."""
        try:
            if hasattr(self._items, "close"):
                self._items.close()
        finally:
            self.end()


class AsyncStream(Stream, AsyncIterator[bytes]):
    """A stream of a program that runs in an event loop."""

    async def __anext__(self) -> Body:  # type: ignore[override]
        if self._first is not None:
            return self._taken_first()  # type: ignore[return-value]
        # Flat, since every item passes here: a coroutine more is a fifth of what it costs.
        try:
            item = await (self._items.__anext__() if self._is_async else self._next_of_sync())
        except StopAsyncIteration:
            self.end()
            if self._has_end():
                return self._taken_end()
            raise
        self._is_encoding = True
        if self._format.handler is None:
            return self._joined(self._format.write(item))
        data, _ = await _encoded(self._job, self._format, item)
        return self._joined(data)

    async def _next_of_sync(self) -> Any:
        items = self._items
        await others_turn()
        try:
            return next(items)
        except StopIteration:
            raise StopAsyncIteration from None

    async def aclose(self) -> None:
        """Have the program clean up; what it raises passes through."""
        try:
            await _close(self._items)
        finally:
            self.end()


async def whole_answers(handler: InferenceHandler, requests: Sequence[Request]) -> list[Response]:
    """Answer requests with each stream in one piece, for callers that cannot send it in parts.

    A failure after the first item is an ordinary one: nothing was sent yet.
    """
    responses = await handler.answer(requests)
    streams = {
        index: response.body
        for index, response in enumerate(responses)
        if isinstance(response.body, Stream)
    }
    chunks: dict[int, list[Body]] = {index: [] for index in streams}
    while streams:
        # In turn: those of a batch have a generator in common, which goes on when all have read.
        for index, stream in list(streams.items()):
            response = responses[index]
            try:
                if isinstance(stream, AsyncStream):
                    chunks[index].append(await stream.__anext__())
                else:
                    chunks[index].append(next(cast("SyncStream", stream)))
                continue
            except (StopIteration, StopAsyncIteration):
                response.body = b"".join(chunks[index])
            except BaseException as error:
                if must_pass(error, is_async=True):
                    for each in streams.values():
                        await _give_up(each)
                    raise
                responses[index] = stream.failed(error, response.headers)
                await _give_up(stream)
            del streams[index]
    return responses


async def _give_up(stream: Stream) -> None:
    """Close a stream that is not read to its end; what the program raises then is logged."""
    try:
        await _close(stream)
    except Exception as error:  # noqa: BLE001 - user code may raise anything
        log_broken_end(stream.request.id, error)


def log_broken_end(request_id: str, error: BaseException) -> None:
    """Say what a program has raised when its stream was closed."""
    info = users_exc_info(error)
    logger.error("request %s: the end of a stream failed", request_id, exc_info=info)
