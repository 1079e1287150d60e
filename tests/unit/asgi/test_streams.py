"""Streams in the ASGI application: items as they come, and each way in which they end."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from support.asgi_server import Call, ask, run, until
from support.asgi_streams import KINDS, Items, bodies
from support.streams import wait_until

from sagemaker_inference import asgi

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sagemaker_inference import Context, Registry


def is_broken(call: Call) -> bool:
    return bool(call.sent[-1].get("more_body"))


@pytest.mark.parametrize("kind", KINDS)
def test_each_item_is_sent_before_the_next_one_is_made(registry: Registry, kind: str) -> None:
    items = Items(registry, kind)

    async def test() -> None:
        call = Call(items.application, "POST", "/invocations").body(b"3")
        for number in range(3):
            items.may_go_on.release()
            await until(lambda number=number: len(call.sent) >= number + 2)
            assert bodies(call)[number] == f"{number}\n".encode()
        assert await call.status() == 200
        assert b"content-length" not in call.headers
        assert call.headers[b"content-type"] == b"application/jsonlines"
        assert not is_broken(call)
        page = (await ask(items.application, "GET", "/metrics")).text
        assert 'sagemaker_inference_streams_total{end="complete"} 1' in page
        assert "sagemaker_inference_stream_items_total 3" in page
        assert 'response_bytes_total{path="/invocations"} 6' in page
        assert "sagemaker_inference_requests_running 0" in page

    run(test)


@pytest.mark.parametrize("kind", KINDS)
def test_a_slow_client_slows_the_program_down(registry: Registry, kind: str) -> None:
    items = Items(registry, kind)
    may_send = asyncio.Event()

    class SlowCall(Call):
        async def _send(self, message: Any) -> None:
            await super()._send(message)
            if len(self.sent) > 1:
                await may_send.wait()

    async def test() -> None:
        call = SlowCall(items.application, "POST", "/invocations").body(b"100")
        for _ in range(100):
            items.may_go_on.release()
        await until(lambda: len(call.sent) == 2)
        # The first item is being sent; no other one was asked for.
        for _ in range(99):
            assert items.may_go_on.acquire(blocking=False)
        for _ in range(99):
            items.may_go_on.release()
        may_send.set()
        assert await call.status() == 200
        assert b"".join(bodies(call)) == b"".join(f"{n}\n".encode() for n in range(100))

    run(test)


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_that_stops_reading_is_left(
    registry: Registry, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGEMAKER_CLIENT_WRITE_TIMEOUT", "1")
    items = Items(registry, kind)

    class StuckCall(Call):
        async def _send(self, message: Any) -> None:
            await super()._send(message)
            if len(self.sent) > 1:
                await asyncio.Event().wait()

    async def test() -> None:
        call = StuckCall(items.application, "POST", "/invocations").body(b"9")
        for _ in range(3):
            items.may_go_on.release()
        await call.task
        assert is_broken(call)
        await until(items.is_closed.is_set)
        again = await ask(items.application, "POST", "/invocations", b"1")
        assert bodies(again)[0] == b"0\n"

    run(test)


@pytest.mark.parametrize("kind", KINDS)
def test_a_failure_after_the_first_item_is_the_last_record(
    registry: Registry, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    items = Items(registry, kind)
    items.error = KeyError("lost")
    items.may_go_on.release()

    async def test() -> None:
        call = await ask(items.application, "POST", "/invocations", b"1")
        first, record = bodies(call)
        assert first == b"0\n"
        assert json.loads(record)["error"]["code"] == "prediction_failed"
        assert is_broken(call)
        page = (await ask(items.application, "GET", "/metrics")).text
        assert 'sagemaker_inference_streams_total{end="error"} 1' in page
        assert 'requests_total{path="/invocations",status="500"} 1' in page

    run(test)
    assert "KeyError: 'lost'" in caplog.text
    assert items.is_closed.is_set()


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_that_disconnects_ends_the_program(registry: Registry, kind: str) -> None:
    items = Items(registry, kind)

    async def test() -> None:
        call = Call(items.application, "POST", "/invocations").body(b"9")
        items.may_go_on.release()
        await until(lambda: len(call.sent) == 2)
        call.hang_up()
        await call.task
        if kind != "async":  # which is cancelled while it waits
            items.may_go_on.release()
        await until(items.is_closed.is_set)
        assert is_broken(call)

        page = (await ask(items.application, "GET", "/metrics")).text
        assert 'requests_total{path="/invocations",status="499"} 1' in page

    run(test)


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_that_cannot_be_sent_to_ends_the_program(registry: Registry, kind: str) -> None:
    items = Items(registry, kind)

    class BrokenCall(Call):
        async def _send(self, message: Any) -> None:
            if message["type"] == "http.response.body":
                raise OSError
            await super()._send(message)

    async def test() -> None:
        call = BrokenCall(items.application, "POST", "/invocations").body(b"9")
        items.may_go_on.release()
        with pytest.raises(OSError, match=r"^$"):
            await call.task
        await until(items.is_closed.is_set)

    run(test)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("SAGEMAKER_STREAM_IDLE_TIMEOUT", "No item within 1 s"),
        ("SAGEMAKER_STREAM_TIMEOUT", "The stream is longer than 1 s"),
    ],
)
def test_a_stream_that_takes_too_long_is_broken_off(
    registry: Registry, kind: str, name: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "1")
    items = Items(registry, kind)
    items.may_go_on.release()

    async def test() -> None:
        call = await ask(items.application, "POST", "/invocations", b"9")
        error = json.loads(bodies(call)[1])["error"]
        assert error["code"] == "prediction_timeout"
        assert error["message"] == f"{text} ({name})."
        assert is_broken(call)
        if kind != "async":
            items.may_go_on.release()
        await until(items.is_closed.is_set)
        page = (await ask(items.application, "GET", "/metrics")).text
        assert 'requests_total{path="/invocations",status="504"} 1' in page

    run(test)


@pytest.mark.parametrize("kind", ["plain", "threads"])
def test_a_stream_that_begins_when_nobody_waits_is_closed(
    registry: Registry, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGEMAKER_MODEL_SERVER_TIMEOUT", "1")
    items = Items(registry, kind)

    async def test() -> None:
        call = await ask(items.application, "POST", "/invocations", b"9")
        assert await call.status() == 504
        items.may_go_on.release()
        await until(items.is_closed.is_set)

    run(test)


def test_a_client_that_leaves_before_the_first_item_ends_the_program(registry: Registry) -> None:
    items = Items(registry, "plain")

    async def test() -> None:
        call = Call(items.application, "POST", "/invocations").body(b"9")
        while "requests_running 1" not in (await ask(items.application, "GET", "/metrics")).text:
            pass
        call.hang_up()
        assert await call.status() == 0
        items.may_go_on.release()
        await until(items.is_closed.is_set)

    run(test)


def test_a_stream_of_text_that_fails_breaks_off_without_a_record(registry: Registry) -> None:
    def items(data: Any) -> Iterator[bytes]:
        yield b"text"
        raise ValueError

    registry.model_loader(lambda: None)
    registry.predictor(items)

    async def test() -> None:
        call = await ask(asgi.app(registry), "POST", "/invocations", b"1")
        assert bodies(call) == [b"text"]
        assert is_broken(call)

    run(test)


def test_a_stream_of_text_that_takes_too_long_breaks_off_without_a_record(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGEMAKER_STREAM_IDLE_TIMEOUT", "1")

    async def items(data: Any) -> AsyncIterator[bytes]:
        yield b"text"
        await asyncio.sleep(60)

    registry.model_loader(lambda: None)
    registry.predictor(items)

    async def test() -> None:
        application = asgi.app(registry)
        call = await ask(application, "POST", "/invocations", b"1")
        assert bodies(call) == [b"text"]
        assert is_broken(call)
        page = (await ask(application, "GET", "/metrics")).text
        assert 'requests_total{path="/invocations",status="504"} 1' in page

    run(test)


def test_an_item_over_the_limit_is_a_failure(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGEMAKER_MAX_RESPONSE_IN_MB", "1")
    registry.model_loader(lambda: None)
    registry.predictor(lambda data: iter([1, ["x" * (1 << 20)]]))

    async def test() -> None:
        call = await ask(asgi.app(registry), "POST", "/invocations", b"1")
        small, record = bodies(call)
        assert small == b"1\n"
        assert "SAGEMAKER_MAX_RESPONSE_IN_MB" in json.loads(record)["error"]["message"]

    run(test)


def test_a_stream_whose_headers_cannot_be_sent_is_a_failure(registry: Registry) -> None:
    def predict(data: Any, model: None, context: Context) -> Any:
        context.response_headers = {"not a name": "1"}
        return iter([1])

    registry.model_loader(lambda: None)
    registry.predictor(predict)

    async def test() -> None:
        call = await ask(asgi.app(registry), "POST", "/invocations", b"1")
        assert await call.status() == 500
        assert "'not a name' is not the name of a header" in call.text

    run(test)


@pytest.mark.parametrize("is_async", [False, True])
def test_what_a_program_raises_when_it_is_closed_is_logged(
    registry: Registry, *, is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def items(data: Any) -> Iterator[Any]:
        try:
            yield 1
            yield {1: object()}  # cannot be written
        finally:
            raise ValueError(data)

    async def async_items(data: Any) -> AsyncIterator[Any]:
        try:
            yield 1
            yield {1: object()}
        finally:
            raise ValueError(data)

    registry.model_loader(lambda: None)
    registry.predictor(async_items if is_async else items)

    async def test() -> None:
        call = await ask(asgi.app(registry), "POST", "/invocations", b'"at the end"')
        assert is_broken(call)

    run(test)
    assert "the end of a stream failed" in caplog.text
    assert "ValueError: at the end" in caplog.text


def test_what_a_program_raises_when_it_is_cancelled_is_logged(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    is_waiting, is_over = threading.Event(), threading.Event()

    async def items(data: Any) -> AsyncIterator[Any]:
        yield 1
        try:
            is_waiting.set()
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            is_over.set()
            raise ValueError(data) from None

    registry.model_loader(lambda: None)
    registry.predictor(items)

    async def test() -> None:
        call = Call(asgi.app(registry), "POST", "/invocations").body(b'"at the end"')
        await until(lambda: len(call.sent) == 2)
        # Before, it would be closed at its first item, and not cancelled.
        await until(is_waiting.is_set)
        call.hang_up()
        await call.task
        await until(lambda: "ValueError: at the end" in caplog.text)

    run(test)
    assert is_over.is_set()


def test_streams_of_a_batch_are_sent_in_turn(registry: Registry) -> None:
    has_all = threading.Event()

    def predict(batch: Any) -> Iterator[Any]:
        yield batch
        assert has_all.wait(10)
        yield [2 * data for data in batch]

    registry.model_loader(lambda: None)
    registry.predictor(max_batch_size=2, max_batch_delay=10)(predict)
    application = asgi.app(registry)

    async def test() -> None:
        calls = [Call(application, "POST", "/invocations").body(body) for body in (b"1", b"2")]
        await until(lambda: all(len(call.sent) == 2 for call in calls))
        has_all.set()
        assert [await call.status() for call in calls] == [200, 200]
        assert [b"".join(bodies(call)) for call in calls] == [b"1\n2\n", b"2\n4\n"]

    run(test)


def test_streams_are_captured(
    registry: Registry, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGEMAKER_CAPTURE", str(tmp_path))
    registry.model_loader(lambda: None)
    registry.predictor(lambda data: iter([data, 2]))

    async def test() -> None:
        application = asgi.app(registry)
        await ask(application, "POST", "/invocations", b"1")
        application.stop()

    run(test)

    def captured() -> str:
        return "".join(path.read_text() for path in tmp_path.rglob("*.jsonl"))

    wait_until(captured)
    assert json.loads(captured())["captureData"]["endpointOutput"]["data"] == "1\n2\n"
