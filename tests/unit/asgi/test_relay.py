"""A stream of the ASGI application and who sends it, one step at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from support.builders import config, loaded, request

from sagemaker_inference.asgi._exchange import ClientGone, Exchange
from sagemaker_inference.asgi._inbox import Work
from sagemaker_inference.asgi._relay import Relay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sagemaker_inference import Registry


async def relay_of(registry: Registry, predictor: Any) -> Relay:
    """The answer of a program that has yielded its first item."""
    registry.model_loader(lambda: None)
    registry.predictor(predictor)
    [response] = await loaded(registry).answer([request()])
    return Relay(response, config(), lambda _: None)


def test_a_client_that_leaves_with_the_first_item_gets_no_response(registry: Registry) -> None:
    ended: list[str] = []
    sent: list[Any] = []

    def items(data: Any) -> Iterator[int]:
        try:
            yield 1
            yield 2
        finally:
            ended.append("closed")

    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    async def respond() -> None:
        relay = await relay_of(registry, items)
        work = Work(request())
        assert work.begin()
        work.answer.set_result(relay.response)
        scope = {"type": "http", "method": "POST", "path": "/invocations", "headers": []}
        exchange = Exchange(scope, receive, send, config())
        assert await exchange.wait_for(work, 10)
        with pytest.raises(ClientGone):
            await exchange.respond(relay.response)
        assert not relay.step()
        assert relay.stream.ending.name == "client_gone"

    asyncio.run(respond())
    assert sent == []
    assert ended == ["closed"]


def test_a_coroutine_that_is_closed_while_an_item_waits_is_no_end_of_its_stream(
    registry: Registry,
) -> None:
    """As where the process ends: there is nobody left to hear of it."""

    async def items(data: Any) -> AsyncIterator[int]:
        yield 1
        yield 2

    async def close() -> None:
        relay = await relay_of(registry, items)
        sending = relay.send()
        sending.send(None)
        sending.close()
        assert not relay.ended.done()
        assert relay.stream.ending is None

    asyncio.run(close())


def test_a_coroutine_that_is_closed_while_the_program_cleans_up_is_no_end_either(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    async def items(data: Any) -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await asyncio.sleep(100)

    async def close() -> None:
        relay = await relay_of(registry, items)
        sending = relay.send()
        sending.send(None)
        sending.throw(ValueError)
        sending.close()
        assert not relay.ended.done()
        assert relay.stream.ending is None

    asyncio.run(close())
    assert "the end of a stream failed" not in caplog.text


def test_a_client_that_leaves_as_the_program_ends_cancels_nothing(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    relays: list[Relay] = []

    async def items(data: Any) -> AsyncIterator[int]:
        yield 1
        # As the server does in its own thread.
        relays[0].leave()

    async def read() -> None:
        relays.append(await relay_of(registry, items))
        sending = asyncio.ensure_future(relays[0].send())
        never: asyncio.Future[None] = asyncio.Future()
        chunks = [chunk async for chunk in relays[0].chunks(never)]
        await sending
        assert chunks == [b"1\n"]
        assert relays[0].stream.ending.name == "complete"

    asyncio.run(read())
    assert caplog.text == ""


def test_a_client_that_leaves_while_an_item_is_sent_gets_no_further_one(registry: Registry) -> None:
    made: list[int] = []
    reasons: list[str] = []

    async def items(data: Any) -> AsyncIterator[int]:
        for number in range(3):
            made.append(number)
            yield number

    async def read() -> None:
        relay = await relay_of(registry, items)
        sending = asyncio.ensure_future(relay.send())
        gone: asyncio.Future[None] = asyncio.Future()
        chunks = relay.chunks(gone)
        assert await chunks.__anext__() == b"0\n"
        assert relay._item is not None
        # A program in another thread goes on at once: by then, it has to be known.
        relay._item.taken.add_done_callback(lambda _: reasons.append(relay._left))
        gone.set_result(None)
        with pytest.raises(StopAsyncIteration):
            await chunks.__anext__()
        await sending
        assert relay.response.status == 499
        assert relay.stream.ending.name == "client_gone"

    asyncio.run(read())
    assert (made, reasons) == ([0], ["client_gone"])
