"""InvokeEndpointWithResponseStream, read by botocore's own parser of event streams."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from botocore.exceptions import ClientError, EventStreamError
from starlette.responses import Response, StreamingResponse
from support.emulated import LIMITS, Emulated, emulated, until

from sagemaker_inference._emulator.streams import OpenStream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from support.emulated import Asked


def stream(emulator: Emulated, **more: Any) -> Any:
    call = emulator.client().invoke_endpoint_with_response_stream
    return emulator.closing(call(EndpointName="demo", Body=b"{}", **more))


def answering(
    chunks: Callable[[], AsyncIterator[bytes]], status: int = 200
) -> Callable[[Asked], Awaitable[Response]]:
    async def answer(_: Asked) -> Response:
        headers = {"X-Amzn-SageMaker-Custom-Attributes": "model=7", "X-Mine": "1"}
        return StreamingResponse(chunks(), status, headers, "application/jsonlines")

    return answer


async def three() -> AsyncIterator[bytes]:
    for number in range(3):
        yield b"%d\n" % number
        await asyncio.sleep(0.05)


@pytest.mark.rule("stream-parts")
def test_each_chunk_is_a_part(emulator: Emulated) -> None:
    emulator.container.answer = answering(three)
    reply = stream(emulator)
    assert [event["PayloadPart"]["Bytes"] for event in reply["Body"]] == [b"0\n", b"1\n", b"2\n"]
    assert reply["ContentType"] == "application/jsonlines"
    assert reply["CustomAttributes"] == "model=7"
    assert reply["InvokedProductionVariant"] == "AllTraffic"
    assert "x-mine" not in reply["ResponseMetadata"]["HTTPHeaders"]


@pytest.mark.rule("stream-headers")
def test_a_stream_has_headers_of_its_own(emulator: Emulated) -> None:
    reply = stream(
        emulator, Accept="text/event-stream", ContentType="application/json", SessionId="abc"
    )
    assert list(reply["Body"]) == [{"PayloadPart": {"Bytes": b"{}"}}]
    (asked,) = emulator.container.asked
    assert asked.headers["accept"] == "text/event-stream"
    assert asked.headers["x-amzn-sagemaker-session-id"] == "abc"
    api = "InvokeEndpointWithResponseStream"
    assert asked.headers["x-amzn-sagemaker-forwarded-api"] == api
    assert "x-amzn-sagemaker-accept" not in asked.names


@pytest.mark.rule("stream-sessions")
def test_a_stream_does_not_begin_a_session(emulator: Emulated) -> None:
    async def answer(_: Asked) -> Response:
        headers = {"X-Amzn-SageMaker-Session-Id": "abc; Expires=2026-12-31T23:59:59Z"}
        return Response(b"1", 200, headers)

    emulator.container.answer = answer
    with pytest.raises(ClientError, match="at 'sessionId' failed"):
        stream(emulator, SessionId="NEW_SESSION")
    reply = stream(emulator)
    assert not any("session" in name for name in reply["ResponseMetadata"]["HTTPHeaders"])
    # It has no Content-Type, either.
    assert "ContentType" not in reply


def test_an_empty_answer_has_no_parts(emulator: Emulated) -> None:
    async def answer(_: Asked) -> Response:
        return Response(b"")

    emulator.container.answer = answer
    assert list(stream(emulator)["Body"]) == []


@pytest.mark.rule("stream-early-error")
def test_a_failure_before_the_first_part_has_its_status(emulator: Emulated) -> None:
    emulator.container.answer = answering(three, 422)
    with pytest.raises(ClientError) as caught:
        stream(emulator)
    assert caught.value.response["Error"]["Code"] == "ModelError"
    assert caught.value.response["OriginalStatusCode"] == 422
    assert caught.value.response["OriginalMessage"] == "0\n1\n2\n"


def test_a_stream_that_breaks_off_before_the_first_part_is_a_model_error(
    emulator: Emulated,
) -> None:
    async def none() -> AsyncIterator[bytes]:
        raise ConnectionResetError
        yield b""

    async def answer(_: Asked) -> Response:
        return StreamingResponse(none(), 200, {"Content-Length": "3"})

    emulator.container.answer = answer
    with pytest.raises(ClientError, match="could not load the entire response body"):
        stream(emulator)


@pytest.mark.rule("stream-broken")
def test_a_stream_that_breaks_off_ends_in_an_error(emulator: Emulated) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"0\n"
        await asyncio.sleep(0.1)
        raise ConnectionResetError

    emulator.container.answer = answering(broken)
    events = iter(stream(emulator)["Body"])
    assert next(events) == {"PayloadPart": {"Bytes": b"0\n"}}
    with pytest.raises(EventStreamError) as caught:
        next(events)
    assert caught.value.response["Error"] == {
        "Code": "ModelStreamError",
        "Message": "The Transmission Control Protocol (TCP) connection between the client and the "
        "model was reset or closed.",
    }


@pytest.mark.rule("stream-time")
def test_a_stream_that_takes_too_long_ends_in_an_error() -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b"0\n"
        await asyncio.sleep(60)

    with emulated(limits=replace(LIMITS, stream=0.3)) as emulator:
        emulator.container.answer = answering(endless)
        events = iter(stream(emulator)["Body"])
        assert next(events) == {"PayloadPart": {"Bytes": b"0\n"}}
        with pytest.raises(EventStreamError) as caught:
            next(events)
    assert caught.value.response["Error"] == {
        "Code": "ModelStreamError",
        "Message": "The model failed to finish sending the response within the timeout period "
        "allowed by Amazon SageMaker AI.",
    }


def test_the_code_of_a_stream_error_is_on_the_wire(emulator: Emulated) -> None:
    # botocore does not pass it on.
    async def broken() -> AsyncIterator[bytes]:
        yield b"0"
        raise ConnectionResetError

    emulator.container.answer = answering(broken)
    url = f"{emulator.url}/endpoints/demo/invocations-response-stream"
    assert b'"ErrorCode": "StreamBroken"' in httpx.post(url, content=b"1", timeout=30).content


@pytest.mark.rule("stream-first")
def test_the_first_part_has_a_limit_of_its_own() -> None:
    async def late() -> AsyncIterator[bytes]:
        await asyncio.sleep(60)
        yield b""

    with emulated(limits=replace(LIMITS, answer=0.2)) as emulator:
        emulator.container.answer = answering(late)
        with pytest.raises(ClientError) as caught:
            stream(emulator)
    assert caught.value.response["OriginalStatusCode"] == 0
    assert "Your invocation timed out" in caught.value.response["OriginalMessage"]


@pytest.mark.rule("stream-internal")
def test_a_fault_of_the_emulator_ends_a_stream(
    emulator: Emulated, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_: OpenStream) -> AsyncIterator[bytes]:
        raise KeyError
        yield b""

    monkeypatch.setattr(OpenStream, "chunks", fail)
    with pytest.raises(EventStreamError, match="InternalStreamFailure"):
        list(stream(emulator)["Body"])
    assert "the emulator has failed" in caplog.text


def test_a_caller_that_hangs_up_ends_the_containers_stream(emulator: Emulated) -> None:
    gone = threading.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 1000
                await asyncio.sleep(0.01)
        finally:
            gone.set()

    emulator.container.answer = answering(endless)
    reply = stream(emulator)
    next(iter(reply["Body"]))
    reply["Body"].close()
    until(gone.is_set)
