"""The test client's WebSockets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from sagemaker_inference.errors import GenericInferenceToolkitError
from sagemaker_inference.testing import TestClient, WebSocketClosed, _websocket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sagemaker_inference import Registry


async def talk(messages: Any, model: Any, context: Any) -> AsyncIterator[Any]:
    async for message in messages:
        if message == "fail":
            raise ValueError
        if message == "end":
            return
        if message == "where":
            yield f"{context.path}?{context.query} {context.headers['X-Own']}"
        elif message != "quiet":
            yield message


@pytest.fixture
def client(registry: Registry) -> Iterator[TestClient]:
    registry.model_loader(lambda: None)
    registry.bidirectional("/v1/talk")(talk)
    with TestClient(registry) as entered:
        yield entered


def test_messages_go_both_ways(client: TestClient) -> None:
    with client.websocket("/v1/talk?a=b", {"X-Own": "own"}) as websocket:
        websocket.send("where")
        assert websocket.receive() == "/v1/talk?a=b own"
        websocket.send(b"a")
        assert websocket.receive() == b"a"
        websocket.send_json({"a": 1})
        assert websocket.receive_json() == {"a": 1}
        websocket.send_json([1], binary=True)
        assert websocket.receive() == b"[1]"
        websocket.send("quiet")
        with pytest.raises(TimeoutError, match=r"no message came within 0\.1 s"):
            websocket.receive(timeout=0.1)


def test_the_program_ends_it(client: TestClient) -> None:
    with client.websocket("/v1/talk") as websocket:
        for message in ("a", "b", "end"):
            websocket.send(message)
        assert list(websocket) == ["a", "b"]
        assert (websocket.close_code, websocket.close_reason) == (1000, "")
        with pytest.raises(WebSocketClosed) as closed:
            websocket.receive()
        assert str(closed.value) == "1000"


def test_a_failure_is_told(client: TestClient) -> None:
    with client.websocket("/v1/talk") as websocket:
        websocket.send("fail")
        with pytest.raises(WebSocketClosed, match="1011 bidirectional_failed") as closed:
            websocket.receive()
        assert closed.value.code == 1011
        assert "see the log" in closed.value.reason
        assert isinstance(websocket.error, ValueError)


def test_the_client_ends_it(client: TestClient) -> None:
    with client.websocket("/v1/talk") as websocket:
        websocket.close(4000, "why")
        websocket.close()


def test_a_refusal_is_raised(client: TestClient) -> None:
    with (
        pytest.raises(GenericInferenceToolkitError, match="this program has /v1/talk") as refused,
        client.websocket(),
    ):
        pass
    assert refused.value.status_code == 404


@pytest.mark.parametrize("message", [{"a": 1}, 3, None])
def test_what_no_connection_carries_is_refused(client: TestClient, message: Any) -> None:
    with client.websocket("/v1/talk") as websocket:
        with pytest.raises(TypeError, match="is str or bytes, not"):
            websocket.send(message)
        with pytest.raises(UnicodeEncodeError):
            websocket.send("\ud800")
        websocket.send("a")
        assert websocket.receive() == "a"


def test_a_connection_is_opened_once(client: TestClient) -> None:
    websocket = client.websocket("/v1/talk")
    with websocket:
        websocket.send("a")
        with pytest.raises(RuntimeError, match="opened once"):
            websocket.__enter__()
        assert websocket.receive() == "a"
    with pytest.raises(RuntimeError, match="opened once"), websocket:
        pass


def test_the_client_is_entered_before(registry: Registry) -> None:
    client = TestClient(registry)
    with pytest.raises(RuntimeError, match="the program is not loaded"):
        client.websocket()


def test_the_headers_of_the_handshake_have_the_session(registry: Registry) -> None:
    async def count(messages: Any, model: Any, context: Any) -> AsyncIterator[str]:
        async for _ in messages:
            context.session.state.append(1)
            yield str(len(context.session.state) - 1)

    registry.model_loader(lambda: None)
    registry.session_start(lambda model: [model])
    registry.bidirectional(count)
    name = "x-amzn-sagemaker-session-id"
    with TestClient(registry) as client:
        with client.websocket(headers={name: "NEW_SESSION"}) as websocket:
            websocket.send("")
            assert websocket.receive() == "1"
            session = websocket.headers[name].partition(";")[0]
        with client.websocket(headers={name: session}) as websocket:
            websocket.send("")
            assert websocket.receive() == "2"


def test_an_application_that_does_not_answer_is_an_error(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def wait(*_: object) -> None:
        await asyncio.sleep(60)

    async def fail(*_: object) -> None:
        raise ZeroDivisionError

    async def end(*_: object) -> None:
        pass

    monkeypatch.setattr(_websocket, "_PATIENCE", 0.2)
    for application, error in (
        (wait, TimeoutError),
        (fail, ZeroDivisionError),
        (end, WebSocketClosed),
    ):
        websocket = client.websocket("/v1/talk")
        monkeypatch.setattr(websocket, "_application", application)
        with pytest.raises(error), websocket:
            pass


def test_a_connection_that_is_over_has_no_more_messages(client: TestClient) -> None:
    with client.websocket("/v1/talk") as websocket:
        websocket.close()
        for _ in range(2):
            with pytest.raises(WebSocketClosed, match="1006 the connection is over"):
                websocket.receive()
