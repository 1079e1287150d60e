"""Predictors that yield lists: a generator for a batch, and an item for each of its requests."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

import pytest
from support.builders import error_of, loaded, request

from sagemaker_inference._inference.inference_handler import run_without_loop
from sagemaker_inference._inference.streams import Stream, whole_answers
from sagemaker_inference._log import current_request
from sagemaker_inference.errors import RegistrationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from sagemaker_inference import Registry
    from sagemaker_inference._http.messages import Response
    from sagemaker_inference._inference.inference_handler import InferenceHandler

LINES = "application/jsonlines"

_made: list[InferenceHandler] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    while _made:
        _made.pop().close()


def count_down(batch: list[int]) -> Iterator[list[int | None]]:
    for step in range(1, max(batch) + 1):
        yield [step if step <= last else None for last in batch]


def awaited(function: Callable[..., Iterator[Any]]) -> Callable[[Any], AsyncIterator[Any]]:
    async def predict(batch: Any) -> AsyncIterator[Any]:
        with contextlib.closing(function(batch)) as lists:
            for items in lists:
                await asyncio.sleep(0)
                yield items

    return predict


def program(registry: Registry, predict: Any, *, awaits: bool, **options: Any) -> InferenceHandler:
    registry.model_loader(lambda: None)
    if awaits:

        @registry.decoder("text/x")
        async def read(body: bytes) -> None: ...

    registry.predictor(max_batch_size=8, **options)(predict)
    _made.append(loaded(registry))
    return _made[-1]


def run(handler: InferenceHandler, *bodies: Any) -> list[Response]:
    asked = [request(str(body).encode(), accept=LINES) for body in bodies]
    answering = whole_answers(handler, asked)
    return handler.run(answering) if handler.concurrency.is_async else run_without_loop(answering)


def lines(response: Response) -> list[bytes]:
    return bytes(response.body).splitlines()  # type: ignore[arg-type]


# How the same generator runs: without a loop, in one, and as an async generator.
ways = pytest.mark.parametrize("way", ["sync", "in_loop", "async"])


def made(registry: Registry, way: str, predict: Any, **options: Any) -> InferenceHandler:
    function = awaited(predict) if way == "async" else predict
    return program(registry, function, awaits=way == "in_loop", **options)


@ways
def test_each_request_gets_its_items(registry: Registry, way: str) -> None:
    responses = run(made(registry, way, count_down), 1, 3, 2)
    assert [lines(response) for response in responses] == [
        [b"1"], [b"1", b"2", b"3"], [b"1", b"2"],
    ]  # fmt: skip


@ways
def test_one_request_is_a_batch(registry: Registry, way: str) -> None:
    assert lines(run(made(registry, way, count_down), 2)[0]) == [b"1", b"2"]


@ways
def test_a_request_without_items_is_empty(registry: Registry, way: str) -> None:
    def nothing(batch: list[int]) -> Iterator[Any]:
        yield from ([[None, 1]] if batch[0] else [])

    handler = made(registry, way, nothing)
    empty, other = run(handler, 1, 1)
    assert (lines(empty), lines(other)) == ([], [b"1"])
    assert [response.body for response in run(handler, 0, 0)] == [b"", b""]


@ways
def test_a_failure_before_the_first_list_is_tried_in_halves(registry: Registry, way: str) -> None:
    def picky(batch: list[int]) -> Iterator[Any]:
        if 0 in batch:
            raise ValueError
        yield batch

    handler = made(registry, way, picky)
    responses = run(handler, 1, 0, 3, 4)
    assert [response.status for response in responses] == [200, 500, 200, 200]
    assert lines(responses[3]) == [b"4"]


@ways
def test_a_failure_of_the_program_is_that_of_all_that_are_open(
    registry: Registry, way: str
) -> None:
    def fails(batch: list[int]) -> Iterator[Any]:
        yield [1, None, 1]
        raise ValueError

    first, ended, last = run(made(registry, way, fails), 1, 2, 3)
    assert (first.status, ended.status, last.status) == (500, 200, 500)
    assert ended.body == b""


@ways
@pytest.mark.parametrize(
    ("items", "what"),
    [([1], "a list of 1"), ([1, 2, 3], "a list of 3"), (5, "a single value")],
)
def test_a_list_of_the_wrong_length_says_so(
    registry: Registry, way: str, items: Any, what: str
) -> None:
    def wrong(batch: list[int]) -> Iterator[Any]:
        try:
            yield batch
            yield items
        finally:
            closed.append(1)

    closed: list[int] = []
    for response in run(made(registry, way, wrong), 1, 2):
        assert response.status == 500
        message = error_of(response)["message"]
        assert message.startswith(f"The predictor yielded {what} for a batch of 2. Yield lists")
    assert closed


@ways
def test_an_item_behind_the_end_of_a_request_is_an_error(registry: Registry, way: str) -> None:
    def again(batch: list[int]) -> Iterator[Any]:
        yield [1, None]
        yield [2, 2]

    first, ended = run(made(registry, way, again), 1, 2)
    assert ended.status == 200
    assert "that it has ended with None" in error_of(first)["message"]


@ways
def test_an_item_that_cannot_be_written_is_its_requests_failure(
    registry: Registry, way: str
) -> None:
    def odd(batch: list[int]) -> Iterator[Any]:
        yield batch
        yield [1, object()]
        yield [2, 2]

    good, bad = run(made(registry, way, odd), 1, 2)
    assert lines(good) == [b"1", b"1", b"2"]
    assert bad.status == 500


@ways
def test_the_program_is_closed_when_all_have_ended(
    registry: Registry, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    def goes_on(batch: list[int]) -> Iterator[Any]:
        try:
            yield [1, 1]
            yield [None, None]
            events.append("went on")
        finally:
            events.append("closed")
            message = "no good end"
            raise ValueError(message)

    events: list[str] = []
    responses = run(made(registry, way, goes_on), 1, 2)
    assert [response.status for response in responses] == [200, 200]
    assert events == ["closed"]
    assert "the end of a stream failed" in caplog.text


def opened(handler: InferenceHandler, *bodies: Any) -> list[Any]:
    asked = [request(str(body).encode(), accept=LINES) for body in bodies]
    answering = handler.answer(asked)
    is_async = handler.concurrency.is_async
    responses = handler.run(answering) if is_async else run_without_loop(answering)
    return [response.body for response in responses]


def test_who_closes_leaves_the_batch_and_the_last_one_closes_it(registry: Registry) -> None:
    def endless(batch: list[int]) -> Iterator[Any]:
        try:
            while True:
                seen.append(current_request.get())
                yield batch
        finally:
            seen.append("closed")

    seen: list[str] = []
    one, two = opened(program(registry, endless, awaits=False), 1, 2)
    assert [next(one), next(two), next(two)] == [b"1\n", b"2\n", b"2\n"]
    one.close()
    one.close()
    assert [next(two), next(two)] == [b"2\n", b"2\n"]
    assert seen == ["id-1,id-1", "id-1,id-1", "id-1", "id-1"]
    two.close()
    assert seen[4:] == ["closed"]
    with pytest.raises(StopIteration):
        next(two)


def test_who_closes_leaves_the_batch_of_an_async_program(registry: Registry) -> None:
    async def endless(batch: list[int]) -> AsyncIterator[Any]:
        task = asyncio.current_task()
        try:
            while True:
                assert asyncio.current_task() is task
                yield batch
        finally:
            seen.append("closed")

    seen: list[str] = []
    handler = program(registry, endless, awaits=True)
    one, two = opened(handler, 1, 2)

    async def read() -> None:
        assert [await one.__anext__(), await two.__anext__()] == [b"1\n", b"2\n"]
        assert await one.__anext__() == b"1\n"
        # The other one has not read its item: the program waits for it.
        waiting = asyncio.ensure_future(one.__anext__())
        await asyncio.sleep(0.01)
        assert not waiting.done()
        assert await two.__anext__() == b"2\n"
        assert await waiting == b"1\n"
        await one.aclose()
        assert [await two.__anext__() for _ in range(3)] == [b"2\n"] * 3
        assert not seen
        await two.aclose()
        assert seen == ["closed"]

    handler.run(read())


def test_a_program_that_ends_badly_when_it_is_closed(registry: Registry) -> None:
    async def sleeps(batch: list[int]) -> AsyncIterator[Any]:
        yield batch
        try:
            await asyncio.sleep(100)
        finally:
            message = "no good end"
            raise ValueError(message)

    handler = program(registry, sleeps, awaits=True)
    (one,) = opened(handler, 1)

    async def read() -> None:
        await one.__anext__()
        waiting = asyncio.ensure_future(one.__anext__())
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        with pytest.raises(ValueError, match="no good end"):
            await one.aclose()

    handler.run(read())


def test_a_batch_that_is_given_up_before_its_first_list_is_closed(registry: Registry) -> None:
    async def sleeps(batch: list[int]) -> AsyncIterator[Any]:
        try:
            if batch == [2]:
                waits.set()
                await asyncio.sleep(100)
            yield batch
            await asyncio.sleep(100)
        finally:
            seen.append(batch)

    async def fails_first(batch: list[int]) -> AsyncIterator[Any]:
        if len(batch) > 1 or batch == [0]:
            raise ValueError
        async for items in sleeps(batch):
            yield items

    seen: list[list[int]] = []
    waits = asyncio.Event()
    handler = program(registry, fails_first, awaits=True)

    async def give_up() -> None:
        asked = [request(b"0"), request(b"1"), request(b"2")]
        task = asyncio.ensure_future(handler.answer(asked))
        await waits.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    handler.run(give_up())
    # The half that had its first list, and the one that waited for it.
    assert sorted(seen) == [[1], [2]]


def test_one_that_goes_on_when_it_is_cancelled_is_cancelled_again(registry: Registry) -> None:
    async def stubborn(batch: list[int]) -> AsyncIterator[Any]:
        yield batch
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            seen.append("went on")
            await asyncio.sleep(100)

    seen: list[str] = []
    handler = program(registry, stubborn, awaits=True)
    (one,) = opened(handler, 1)

    async def close() -> None:
        await one.__anext__()
        waiting = asyncio.ensure_future(one.__anext__())
        await asyncio.sleep(0.01)
        closing = asyncio.ensure_future(one.aclose())
        await asyncio.sleep(0.01)
        assert seen == ["went on"]
        closing.cancel()
        await closing
        with pytest.raises(asyncio.CancelledError):
            await waiting

    handler.run(close())


def test_answers_that_are_given_up_close_their_batch(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    async def sleeps(batch: list[int]) -> AsyncIterator[Any]:
        yield batch
        try:
            await asyncio.sleep(100)
        finally:
            message = "no good end"
            raise ValueError(message)

    handler = program(registry, sleeps, awaits=True)

    async def give_up() -> None:
        task = asyncio.ensure_future(whole_answers(handler, [request(b"1"), request(b"2")]))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with caplog.at_level(logging.ERROR):
        handler.run(give_up())
    assert "the end of a stream failed" in caplog.text


def test_streams_of_a_batch_are_streams(registry: Registry) -> None:
    for stream in opened(program(registry, count_down, awaits=False), 1, 2):
        assert isinstance(stream, Stream)


@pytest.mark.parametrize("options", [{"collate": "concatenate"}, {"batch_sizes": [2, 4]}])
def test_what_belongs_to_whole_predictions_is_refused(
    registry: Registry, options: dict[str, Any]
) -> None:
    for predict in (count_down, awaited(count_down)):
        with pytest.raises(RegistrationError, match="yields lists of items"):
            registry.predictor(max_batch_size=4, **options)(predict)
