"""WebSockets of a program, without a server: messages in, frames out, and how they end."""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING, Any

import pytest
from support.builders import error_of, loaded
from support.session_programs import ID

from sagemaker_inference import Fragment
from sagemaker_inference._http.messages import Headers, Request
from sagemaker_inference._inference import sessions
from sagemaker_inference._inference.sockets import GoingAwayError, reason_of
from sagemaker_inference.errors import (
    BadRequestError,
    EncodeError,
    GenericInferenceToolkitError,
    ServiceUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from sagemaker_inference import Registry
    from sagemaker_inference._inference.sockets import Socket

TEXT, BINARY, CLOSE = 0x81, 0x82, 0x88


def closing(code: int, reason: str = "") -> bytes:
    return struct.pack("!H", code) + reason.encode()


@pytest.fixture
def opened(registry: Registry) -> Iterator[Callable[..., Any]]:
    """Makes a program, and the WebSocket of a request to it."""
    made: list[Any] = []

    def make(function: Callable[..., Any], **options: Any) -> Any:
        registry.model_loader(lambda: "model")
        registry.bidirectional("/v1/talk", **options)(function)
        handler = loaded(registry)
        made.append(handler)
        request = Request("some-id", Headers([("X-Own", "own")]), path="/v1/talk")
        request.query = "a=b"
        [response] = handler.run(handler.answer([request]))
        assert (response.status, response.content_type) == (101, "")
        return handler, response.body

    yield make
    for handler in made:
        handler.close()


async def frames(socket: Socket, *sent: tuple[int, bytes]) -> list[bytes]:
    """What a program says to messages; the first frame is empty."""
    for one in sent:
        socket.put(*one)
    found = [frame async for frame in socket]
    assert found[0] == b""
    return found[1:]


async def echo(messages: Any) -> AsyncIterator[Any]:
    async for message in messages:
        if message == "end":
            return
        yield message


def test_messages_come_back_until_the_program_returns(opened: Callable[..., Any]) -> None:
    handler, socket = opened(echo)
    sizes: list[int] = []
    socket.open(sizes.append)
    sent = [(TEXT, "é".encode()), (BINARY, b"\xff"), (BINARY, b""), (TEXT, b"end")]
    assert handler.run(frames(socket, *sent)) == [
        bytes((TEXT,)) + "é".encode(),
        bytes((BINARY,)) + b"\xff",
        bytes((BINARY,)),
        bytes((CLOSE,)) + closing(1000),
    ]
    assert sizes == [3, 2, 1, 4]
    assert (socket.received_items, socket.received) == (4, 6)
    assert (socket.items, socket.sent) == (3, 3)
    assert socket.close_code == 1000


def test_the_context_is_that_of_its_request(opened: Callable[..., Any]) -> None:
    async def where(messages: Any, model: Any, context: Any) -> AsyncIterator[str]:
        yield f"{context.path} {context.query} {model} {dict(context.headers)}"

    handler, socket = opened(where)
    socket.open(lambda _: None)
    first, _ = handler.run(frames(socket))
    assert first[1:] == b"/v1/talk a=b model {'X-Own': 'own'}"


def test_what_is_yielded_when_the_client_has_gone_is_dropped(opened: Callable[..., Any]) -> None:
    heard: list[Any] = []

    async def last(messages: Any) -> AsyncIterator[str]:
        heard.extend([message async for message in messages])
        heard.append((messages.close_code, messages.close_reason))
        yield "too late"

    handler, socket = opened(last)
    socket.open(lambda _: None)
    sent = [(TEXT, b"a"), (CLOSE, closing(4000, "why")), (CLOSE, closing(1000))]
    assert handler.run(frames(socket, *sent)) == [b"", b""]
    assert heard == ["a", (4000, "why")]
    assert (socket.close_code, socket.items, socket.dropped) == (4000, 0, 1)


def test_a_close_may_have_no_status(opened: Callable[..., Any]) -> None:
    handler, socket = opened(echo)
    messages = socket.open(lambda _: None)
    handler.run(frames(socket, (CLOSE, b"")))
    assert (messages.close_code, messages.close_reason) == (1005, "")


def test_a_program_waits_for_messages(opened: Callable[..., Any]) -> None:
    handler, socket = opened(echo)
    socket.open(lambda _: None)

    async def talk() -> bytes:
        assert await socket.__anext__() == b""
        waiting = asyncio.ensure_future(socket.__anext__())
        await asyncio.sleep(0)
        socket.put(TEXT, b"a")
        return await waiting

    assert handler.run(talk()) == bytes((TEXT,)) + b"a"
    handler.run(socket.aclose())


def test_fragments_come_and_go(opened: Callable[..., Any]) -> None:
    handler, socket = opened(echo, raw=True)
    messages = socket.open(lambda _: None)
    sent = [(1, b"a"), (0, b"b"), (0x80, b"c"), (2, b"d"), (0x80, b""), (TEXT, b"e")]
    end = (CLOSE, closing(1000))

    async def talk() -> list[bytes]:
        for one in sent:
            socket.put(*one)
        found = [await socket.__anext__() for _ in range(7)]
        socket.put(*end)
        assert await socket.__anext__() == b""
        return found[1:]

    assert handler.run(talk()) == [bytes((first,)) + data for first, data in sent]
    assert socket.items == socket.received_items == 3
    with pytest.raises(TypeError, match="fragments are not JSON"):
        messages.json()


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([1], r"echo .* yields str and bytes, not int. Write: yield json.dumps\(...\)"),
        (["\ud800"], "A text cannot be sent: 'utf-8' codec"),
        ([Fragment(b"a", is_last=False), "b"], "before the last fragment of the one before"),
        (
            [Fragment(b"a", is_last=False), Fragment(b"b", is_text=True)],
            "a fragment is a text, and the",
        ),
    ],
)
def test_what_is_not_a_message_is_refused(
    opened: Callable[..., Any], items: list[Any], message: str
) -> None:
    async def echo(messages: Any) -> AsyncIterator[Any]:
        for item in items:
            yield item

    handler, socket = opened(echo)
    socket.open(lambda _: None)
    with pytest.raises(EncodeError, match=message):
        handler.run(frames(socket))


def test_messages_are_read_as_json(opened: Callable[..., Any]) -> None:
    async def talk(messages: Any) -> AsyncIterator[str]:
        events = messages.json()
        yield str(await events.__anext__())
        async for event in events:
            yield str(event)

    handler, socket = opened(talk)
    socket.open(lambda _: None)
    sent = [(TEXT, b'{"a": 1}'), (BINARY, b"[2]"), (BINARY, b"{")]
    with pytest.raises(BadRequestError, match="The message is not JSON"):
        handler.run(frames(socket, *sent))
    assert socket.items == 2


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (BadRequestError("no"), 1008, "400 bad_request: no [some-id]"),
        (ServiceUnavailableError("later"), 1011, "503 service_unavailable: later [some-id]"),
        (GenericInferenceToolkitError(204, "nothing"), 1000, "204 no_content: nothing [some-id]"),
        (GoingAwayError("bye"), 1001, "503 service_unavailable: bye [some-id]"),
        (MemoryError(), 1011, "out_of_memory: Memory ran out during this request. [some-id]"),
        (
            ValueError("secret"),
            1011,
            "bidirectional_failed: The handler failed; see the log [some-id]",
        ),
    ],
)
def test_a_failure_has_a_status_and_a_reason(
    opened: Callable[..., Any], error: BaseException, code: int, reason: str
) -> None:
    _, socket = opened(echo)
    socket.open(lambda _: None)
    status, frame = socket.failure(error)
    assert (status, frame) == (101, bytes((CLOSE,)) + closing(code, reason))
    assert socket.close_code == code


def test_a_failure_behind_the_end_says_nothing(opened: Callable[..., Any]) -> None:
    _, socket = opened(echo)
    messages = socket.open(lambda _: None)
    messages.end(1006)
    assert socket.failure(ValueError()) == (101, b"")
    assert socket.close_code == 1006


@pytest.mark.parametrize("message", ["x" * 200, "é" * 100, "a\nb " * 60])
def test_a_reason_fits_a_frame(message: str) -> None:
    identity = "0b42df7f-7a72-4d27-aa17-31015347944c"
    reason = reason_of("500 internal_error", message, identity)
    assert 115 < len(reason.encode()) <= 123
    assert reason.endswith(f"... [{identity}]")
    assert "\n" not in reason
    assert len(reason_of("x" * 200, "", identity)) == 123


def test_a_program_that_was_not_begun_needs_no_end(opened: Callable[..., Any]) -> None:
    handler, socket = opened(echo)
    handler.run(socket.aclose())


def test_other_requests_are_answered_as_before(opened: Callable[..., Any]) -> None:
    handler, _ = opened(echo)
    [response] = handler.run(handler.answer([Request.from_body(b"1", "application/json")]))
    assert response.status == 404
    assert b"This program has no predictor. It has WebSockets at /v1/talk" in response.body


class TestSessions:
    """WebSockets of programs with sessions."""

    @pytest.fixture
    def handler(self, registry: Registry) -> Iterator[Any]:
        self.ended: list[Any] = []

        async def talk(messages: Any, model: Any, context: Any) -> AsyncIterator[str]:
            session = context.session
            session.state["n"] = session.state.get("n", 0) + 1
            yield str(session.state["n"])
            async for message in messages:
                if message == "close":
                    session.close()
                if message == "fail":
                    raise ValueError

        registry.model_loader(lambda: "model")
        registry.session_start(lambda: None)
        registry.session_end(self.ended.append)
        registry.bidirectional("/v1/talk")(talk)
        made = loaded(registry)
        yield made
        made.close()

    @staticmethod
    def ask(handler: Any, session: str, body: bytes = b"") -> Any:
        headers = Headers([(ID, session), ("Content-Type", "application/json")])
        request = Request("some-id", headers, body, path="/v1/talk")
        request.query = ""
        [response] = handler.run(handler.answer([request]))
        return response

    def talk(self, handler: Any, session: str, *said: bytes) -> tuple[Any, list[bytes]]:
        response = self.ask(handler, session)
        socket = response.body
        socket.open(lambda _: None)
        assert not self.ended

        async def play() -> list[bytes]:
            try:
                return await frames(socket, *[(TEXT, data) for data in said], (CLOSE, b""))
            finally:
                await socket.aclose()

        return response, handler.run(play())

    def test_one_begins_a_session_and_others_go_on_with_it(self, handler: Any) -> None:
        response, first = self.talk(handler, "NEW_SESSION")
        session = response.headers[ID].partition(";")[0]
        assert response.headers[ID] == response.headers["X-Amzn-SageMaker-New-Session-Id"]
        assert first[0] == b""  # its client closed it before
        response, _ = self.talk(handler, session)
        assert response.headers == {}
        self.talk(handler, session, b"close")
        handler.run(handler.sessions.end_overdue())
        assert self.ended == [{"n": 3}]
        refused = self.ask(handler, session)
        assert (refused.status, error_of(refused)["code"]) == (404, "session_not_found")

    def test_a_session_is_kept_while_one_is_open_and_behind_it(
        self, handler: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = [1000.0]
        monkeypatch.setattr(sessions, "monotonic", lambda: now[0])
        response = self.ask(handler, "NEW_SESSION")
        session = response.headers[ID].partition(";")[0]
        now[0] += 5000
        handler.run(handler.sessions.end_overdue())
        response.body.open(lambda _: None)
        with pytest.raises(ValueError, match=r"^$"):
            handler.run(frames(response.body, (TEXT, b"fail")))
        handler.run(response.body.aclose())
        now[0] += 1000
        assert not handler.sessions.has_overdue
        self.talk(handler, session)
        now[0] += 5000
        handler.run(handler.sessions.end_overdue())
        assert self.ended == [{"n": 2}]

    def test_one_that_is_refused_says_why(self, handler: Any) -> None:
        for session, code in (("a", "session_not_found"), ("a-00000000", "session_lost")):
            refused = self.ask(handler, session)
            assert (refused.status, error_of(refused)["code"]) == (404, code)

    def test_its_body_says_nothing(self, handler: Any) -> None:
        response = self.ask(handler, "NEW_SESSION", b'{"requestType":"CLOSE"}')
        assert response.status == 101
        handler.run(response.body.aclose())
