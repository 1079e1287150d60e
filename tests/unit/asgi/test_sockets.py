"""WebSockets of the ASGI application, message by message."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from support.asgi_server import Life, until
from support.asgi_sockets import PATH, echo

from sagemaker_inference import asgi
from sagemaker_inference.asgi import _sockets
from sagemaker_inference.errors import BadRequestError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from sagemaker_inference import Registry

SESSION = b"x-amzn-sagemaker-session-id"


class Call:
    """A WebSocket to an application, message by message."""

    def __init__(
        self, application: asgi.Application, path: str = PATH, send: Any = None, **more: Any
    ) -> None:
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.received: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.asked = 0
        self.say({"type": "websocket.connect"})
        scope = {"type": "websocket", "path": path, "headers": [], "query_string": b"a=b", **more}
        self.task = asyncio.create_task(application(scope, self._receive, send or self.sent.put))

    async def _receive(self) -> dict[str, Any]:
        self.asked += 1
        return await self.received.get()

    def say(self, message: dict[str, Any]) -> None:
        self.received.put_nowait(message)

    def text(self, text: str) -> None:
        self.say({"type": "websocket.receive", "text": text})

    async def open(self) -> Call:
        assert (await self.sent.get())["type"] == "websocket.accept"
        return self

    async def hang_up(self, **message: Any) -> None:
        self.say({"type": "websocket.disconnect", **message})
        await self.task


def run(application: asgi.Application, test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def live() -> None:
        life = Life(application)
        assert (await life.start())["type"] == "lifespan.startup.complete"
        await test()
        await life.stop()

    asyncio.run(live())


def test_messages_go_both_ways(application: asgi.Application) -> None:
    async def test() -> None:
        call = await Call(application).open()
        call.text("where")
        assert (await call.sent.get())["text"] == f"{PATH}?a=b"
        call.say({"type": "websocket.receive", "text": None, "bytes": b"a"})
        assert (await call.sent.get())["bytes"] == b"a"
        call.text("fragments")
        assert [(await call.sent.get()).get("text"), (await call.sent.get()).get("bytes")] == [
            "ab",
            b"c",
        ]
        call.text("end")
        assert await call.sent.get() == {"type": "websocket.close", "code": 1000, "reason": ""}
        await call.task

    run(application, test)


def test_a_failure_is_a_close(application: asgi.Application) -> None:
    async def test() -> None:
        call = await Call(application).open()
        call.text("fail")
        found = await call.sent.get()
        assert found["code"] == 1011
        assert found["reason"].startswith("bidirectional_failed: The handler failed; see the log [")
        await call.task

    run(application, test)


def test_a_message_that_is_too_large_closes(application: asgi.Application) -> None:
    async def test() -> None:
        call = await Call(application).open()
        call.text("x" * ((1 << 19) + 1))
        found = await call.sent.get()
        assert found["code"] == 1009
        assert found["reason"] == "A message has more than 524288 bytes"
        await call.task

    run(application, test)


def test_refusals_have_a_body_where_the_server_can_send_one(application: asgi.Application) -> None:
    async def test() -> None:
        call = Call(application, "/x", extensions={"websocket.http.response": {}})
        start, body = await call.sent.get(), await call.sent.get()
        assert (start["type"], start["status"]) == ("websocket.http.response.start", 404)
        message = f"There is no WebSocket at /x; this program has {PATH}"
        assert json.loads(body["body"])["error"]["message"] == message
        call = Call(application, "/x")
        closed = {"type": "websocket.close", "code": 1008, "reason": message}
        assert await call.sent.get() == closed

    run(application, test)


@pytest.fixture
def with_sessions(registry: Registry) -> asgi.Application:
    async def start(context: Any) -> None:
        if "x-refuse" in context.headers:
            raise BadRequestError("no such client")
        await asyncio.sleep(0.2 if "x-slow" in context.headers else 0)

    async def count(messages: Any, model: Any, context: Any) -> AsyncIterator[str]:
        async for _ in messages:
            state = context.session.state
            state["n"] = state.get("n", 0) + 1
            yield str(state["n"])

    registry.model_loader(lambda: None)
    registry.session_start(start)
    registry.bidirectional(count)
    return asgi.app(registry)


def test_a_program_that_cannot_be_loaded_refuses_with_the_reason(registry: Registry) -> None:
    registry.model_loader(lambda: 1 / 0)
    registry.bidirectional(echo)
    registry.predictor(lambda data: data)
    application = asgi.app(registry)

    async def test() -> None:
        call = Call(application)
        message = await call.sent.get()
        assert message["type"] == "websocket.close"
        assert message["reason"].endswith("failed: ZeroDivisionError")
        await call.task

    asyncio.run(test())


def test_sessions_go_on_from_one_to_the_next(
    with_sessions: asgi.Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_sockets, "OPEN_SECONDS", 0.05)

    async def test() -> None:
        session = b"NEW_SESSION"
        for expected in ("1", "2", "3"):
            headers = [(SESSION, session), (b"x-slow", b"")]
            call = Call(with_sessions, headers=headers)
            accept = await call.sent.get()
            found = dict(accept["headers"])
            if expected == "1":
                session = found[SESSION].partition(b";")[0]
            assert (SESSION in found) == (expected == "1")
            call.text("a")
            assert (await call.sent.get())["text"] == expected
            await call.hang_up(code=1000)

    run(with_sessions, test)


def test_what_the_program_refuses_is_refused(with_sessions: asgi.Application) -> None:
    async def test() -> None:
        extensions = {"websocket.http.response": {}}
        call = Call(with_sessions, headers=[(SESSION, b"a-00000000")], extensions=extensions)
        start, body = await call.sent.get(), await call.sent.get()
        assert start["status"] == 404
        assert json.loads(body["body"])["error"]["code"] == "session_lost"
        for more in ([], [(b"accept", b"text/plain")]):
            headers = [(SESSION, b"NEW_SESSION"), (b"x-refuse", b""), *more]
            call = Call(with_sessions, headers=headers)
            closed = {"type": "websocket.close", "code": 1008, "reason": "no such client"}
            assert await call.sent.get() == closed
            await call.task

    run(with_sessions, test)


def test_places_are_limited(application: asgi.Application, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        calls = [await Call(application).open() for _ in range(32)]
        call = Call(application)
        assert (await call.sent.get())["reason"] == "All 32 place(s) for WebSockets are taken"
        # Requests have places of their own.
        assert await post(application) == b"1"
        await asyncio.gather(*[call.hang_up(code=1000) for call in calls])

    run(application, test)


async def post(application: asgi.Application) -> bytes:
    """The answer to a request."""
    received: asyncio.Queue[Any] = asyncio.Queue()
    received.put_nowait({"type": "http.request", "body": b"1"})
    sent: asyncio.Queue[Any] = asyncio.Queue()
    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/invocations", "headers": headers}
    await application(scope, received.get, sent.put)
    await sent.get()
    body: bytes = (await sent.get())["body"]
    return body


def test_a_model_that_does_not_take_one_has_no_place(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_sockets, "OPEN_SECONDS", 0.1)
    go, begun = threading.Event(), threading.Event()

    def block(data: Any) -> Any:
        begun.set()
        go.wait(10)
        return data

    registry.model_loader(lambda: None)
    registry.bidirectional(echo)
    registry.predictor(block)
    application = asgi.app(registry)

    async def test() -> None:
        task = asyncio.create_task(post(application))
        await until(begun.is_set)
        call = Call(application)
        assert (await call.sent.get())["reason"] == "All 32 place(s) for WebSockets are taken"
        go.set()
        await task

    run(application, test)


def test_who_sends_faster_than_the_program_reads_waits(registry: Registry) -> None:
    go = threading.Event()

    async def slow(messages: Any) -> AsyncIterator[str]:
        await until(go.is_set)
        async for message in messages:
            yield str(len(message))

    registry.model_loader(lambda: None)
    registry.bidirectional(slow)
    application = asgi.app(registry)

    async def test() -> None:
        call = await Call(application).open()
        for _ in range(10):
            call.text("x" * 100_000)
        await until(lambda: call.asked == 4)  # the first is the handshake's
        await asyncio.sleep(0.05)
        assert call.asked == 4
        go.set()
        for _ in range(10):
            assert (await call.sent.get())["text"] == "100000"
        await call.hang_up(code=1000)

    run(application, test)


def test_who_sends_faster_waits_until_enough_is_read(registry: Registry) -> None:
    go, more = threading.Event(), threading.Event()

    async def slow(messages: Any) -> AsyncIterator[str]:
        await until(go.is_set)
        yield str(len(await messages.__anext__()))
        await until(more.is_set)
        async for message in messages:
            yield str(len(message))

    registry.model_loader(lambda: None)
    registry.bidirectional(slow)
    application = asgi.app(registry)

    async def test() -> None:
        call = await Call(application).open()
        for size in (1, 300_000, 2):
            call.text("x" * size)
        await until(lambda: call.asked == 3)  # the first is the handshake's
        go.set()
        # What the program has taken is known here before what it then yields.
        assert (await call.sent.get())["text"] == "1"
        assert call.asked == 3
        more.set()
        assert (await call.sent.get())["text"] == "300000"
        assert (await call.sent.get())["text"] == "2"
        await call.hang_up(code=1000)

    run(application, test)


def test_the_client_ends_it(registry: Registry) -> None:
    heard: list[Any] = []

    async def listen(messages: Any) -> AsyncIterator[str]:
        async for _ in messages:
            pass
        heard.append((messages.close_code, messages.close_reason))
        yield "nobody hears it"

    registry.model_loader(lambda: None)
    registry.bidirectional(listen)
    application = asgi.app(registry)

    async def test() -> None:
        await (await Call(application).open()).hang_up(code=4000, reason="why")
        await (await Call(application).open()).hang_up()
        call = await Call(application).open()
        call.task.cancel()
        await until(lambda: len(heard) == 3)

    run(application, test)
    assert heard == [(4000, "why"), (1006, ""), (1006, "")]


def test_a_program_that_goes_on_is_cancelled(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_sockets, "GRACE_SECONDS", 0.1)
    heard: list[str] = []

    async def wait(messages: Any) -> AsyncIterator[str]:
        try:
            await asyncio.sleep(100)
            yield ""
        except asyncio.CancelledError:
            heard.append("cancelled")
            raise

    registry.model_loader(lambda: None)
    registry.bidirectional(wait)
    application = asgi.app(registry)

    async def test() -> None:
        await (await Call(application).open()).hang_up(code=1000)
        assert heard == ["cancelled"]

    run(application, test)


def test_an_application_that_stops_closes_what_is_open(application: asgi.Application) -> None:
    async def live() -> None:
        life = Life(application)
        await life.start()
        call = await Call(application).open()
        await life.stop()
        found = await call.sent.get()
        assert found["code"] == 1001
        await call.task

    asyncio.run(live())


def test_who_has_gone_before_it_is_open_ends_it(registry: Registry) -> None:
    heard: list[Any] = []

    async def listen(messages: Any) -> AsyncIterator[str]:
        yield "hello"
        async for _ in messages:
            pass
        heard.append(messages.close_code)
        raise ValueError

    registry.model_loader(lambda: None)
    registry.bidirectional(listen)
    application = asgi.app(registry)

    async def test() -> None:
        async def send(message: Any) -> None:
            raise OSError(message)

        call = Call(application, send=send)
        with pytest.raises(OSError, match="accept"):
            await call.task
        await until(lambda: heard)

        async def send_no_message(message: Any) -> None:
            if message["type"] == "websocket.send":
                raise OSError

        call = Call(application, send=send_no_message)
        await call.hang_up(code=1001)

    run(application, test)
    assert heard == [1006, 1001]


def test_an_end_that_fails_is_logged(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    class Talk:
        def __aiter__(self) -> Talk:
            return self

        async def __anext__(self) -> str:
            raise ValueError

        async def aclose(self) -> None:
            raise TypeError

    async def talk(messages: Any) -> AsyncIterator[str]:
        yield ""

    registry.model_loader(lambda: None)
    registry.bidirectional(talk)
    application = asgi.app(registry)

    async def test() -> None:
        model = application._model
        assert model is not None
        sockets = model.loaded.result().sockets
        assert sockets is not None
        registration = sockets._by_path[PATH]
        object.__setattr__(registration.handler, "call", lambda *_: Talk())
        call = await Call(application).open()
        assert (await call.sent.get())["code"] == 1011
        await call.task

    run(application, test)
    assert "the end of a WebSocket failed" in caplog.text
