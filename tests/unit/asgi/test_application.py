"""Routes, limits and errors of the ASGI application, message by message."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from typing import Any

import pytest
from support.asgi_server import Call, Life, ask, run, until

from sagemaker_inference import Context, Registry, asgi, metrics
from sagemaker_inference.asgi import _exchange, _routes


def waiting(application: asgi.Application) -> int:
    """How many requests wait for the program."""
    assert application._model is not None
    return application._model.waiting


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("POST", "/invocations", 200, None),
        ("POST", "/models/model/invoke", 200, None),
        ("POST", "/predictions/model", 200, None),
        ("GET", "/ping", 200, None),
        ("HEAD", "/ping", 200, None),
        ("POST", "/ping", 200, None),
        ("PUT", "/ping", 405, "method_not_allowed"),
        ("GET", "/invocations", 405, "method_not_allowed"),
        ("GET", "/predictions/model", 405, "method_not_allowed"),
        ("POST", "/predictions/other", 404, "model_not_found"),
        ("GET", "/models/other/invoke", 404, "model_not_found"),
        ("GET", "/models//invoke", 404, "not_found"),
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/execution-parameters", 200, None),
        ("POST", "/execution-parameters", 405, "method_not_allowed"),
        ("GET", "/metrics", 200, None),
        ("DELETE", "/metrics", 405, "method_not_allowed"),
    ],
)
def test_routes(
    doubles: asgi.Application, method: str, path: str, status: int, code: str | None
) -> None:
    async def test() -> None:
        call = await ask(doubles, method, path, b"[1]")
        assert await call.status() == status
        assert len(call.headers[b"x-request-id"]) == 36
        if method != "HEAD":
            assert int(call.headers[b"content-length"]) == len(call.text.encode())
        if code is not None:
            assert json.loads(call.text)["error"]["code"] == code
        assert (b"allow" in call.headers) == (status == 405)

    run(test)


def test_errors_are_text_where_the_client_prefers_that(doubles: asgi.Application) -> None:
    async def test() -> None:
        call = await ask(doubles, "GET", "/nothing", headers=[(b"accept", b"text/plain")])
        assert call.text == "There is nothing at /nothing"

    run(test)


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"query_string": b"model_name=model"}, 200),
        ({"query_string": b"model_name=other"}, 404),
        ({"headers": [(b"x-amzn-sagemaker-target-model", b"model")]}, 200),
        ({"headers": [(b"x-amzn-sagemaker-target-model", b"other")]}, 404),
    ],
)
def test_a_model_can_be_named(doubles: asgi.Application, more: dict[str, Any], status: int) -> None:
    async def test() -> None:
        assert await (await ask(doubles, "POST", "/invocations", b"1", **more)).status() == status

    run(test)


def test_it_may_be_mounted(doubles: asgi.Application) -> None:
    async def test() -> None:
        call = await ask(doubles, "GET", "/model/nothing", root_path="/model")
        assert "There is nothing at /nothing" in call.text

    run(test)


def test_a_body_comes_in_parts(doubles: asgi.Application) -> None:
    async def test() -> None:
        call = Call(doubles, "POST", "/invocations").body(b"[1,", more=True).body(b"2]")
        assert await call.status() == 200
        assert call.text == "[2,4]"

    run(test)


@pytest.mark.parametrize("is_announced", [True, False])
def test_a_body_over_the_limit_is_refused(
    doubles: asgi.Application, monkeypatch: pytest.MonkeyPatch, *, is_announced: bool
) -> None:
    monkeypatch.setenv("SAGEMAKER_MAX_PAYLOAD_IN_MB", "1")
    size = (1 << 20) + 65537
    headers = [(b"content-length", str(size).encode())] if is_announced else []

    async def test() -> None:
        call = Call(doubles, "POST", "/invocations", headers=headers)
        if not is_announced:
            call.body(b"x" * size, more=True)
        assert await call.status() == 413
        what = f"The body has {size} bytes" if is_announced else "The body is too large"
        expected = f"{what}; at most 1048576 bytes are allowed"
        assert json.loads(call.text)["error"]["message"] == expected
        fits = Call(doubles, "POST", "/invocations").body(b" " * (size - 2) + b"1")
        assert await fits.status() == 200

    run(test)


def test_a_response_over_the_limit_is_a_failure(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGEMAKER_MAX_RESPONSE_IN_MB", "1")
    registry.model_loader(lambda: None)
    registry.transformer(lambda model, body: bytes((1 << 20) + 1))

    async def test() -> None:
        call = await ask(asgi.app(registry), "POST", "/invocations")
        assert await call.status() == 500
        assert "SAGEMAKER_MAX_RESPONSE_IN_MB allows 1048576" in call.text

    run(test)


def test_headers_of_the_program_are_sent_and_framing_is_the_servers(registry: Registry) -> None:
    def predict(data: Any, model: None, context: Context) -> Any:
        context.response_headers = {"X-More": "a\r\nb", "Connection": "close", "Expires": "0"}
        context.status = 204 if data == 0 else 200
        return data

    registry.model_loader(lambda: None)
    registry.predictor(predict)
    application = asgi.app(registry)

    async def test() -> None:
        call = await ask(application, "POST", "/invocations", b"1")
        assert call.headers[b"x-more"] == b"a b"
        assert call.headers[b"expires"] == b"0"
        assert call.headers[b"cache-control"].startswith(b"no-cache")
        assert b"connection" not in call.headers
        call = await ask(application, "POST", "/invocations", b"0")
        assert await call.status() == 204
        assert b"content-length" not in call.headers

    run(test)


def test_a_client_that_has_its_answer_soon_is_not_listened_to(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_exchange, "_DEAF_SECONDS", 10)
    registry.model_loader(lambda: None)
    registry.predictor(lambda data: data)
    asked: list[int] = []
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        asked.append(len(sent))
        return {"type": "http.request", "body": b"1", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    async def test() -> None:
        application = asgi.app(registry)
        life = Life(application)
        await life.start()
        scope = {"type": "http", "method": "POST", "path": "/invocations", "headers": []}
        await application(scope, receive, send)
        await life.stop()

    run(test)
    assert asked == [0]
    assert sent[0]["status"] == 200


def test_clients_that_hang_up_leave_the_queue(registry: Registry) -> None:
    may_go_on = threading.Event()
    predicted: list[Any] = []

    def predict(data: Any) -> Any:
        predicted.append(data)
        may_go_on.wait(10)
        return data

    registry.model_loader(lambda: None)
    registry.predictor(predict)
    application = asgi.app(registry)

    async def test() -> None:
        life = Life(application)
        await life.start()
        first = Call(application, "POST", "/invocations").body(b'"first"')
        await until(lambda: predicted)
        second = Call(application, "POST", "/invocations").body(b'"second"')
        second.body(b"behind the end")
        third = Call(application, "POST", "/invocations").body(b'"third"', more=True)
        fourth = Call(application, "POST", "/invocations").body(b'"fourth"')
        fifth = Call(application, "POST", "/invocations").body(b'"fifth"')
        for call in (second, third, first):
            call.hang_up()
            assert await call.status() == 0
        await until(lambda: waiting(application) == 2)
        fifth.task.cancel()
        await asyncio.wait([fifth.task])
        may_go_on.set()
        assert await fourth.status() == 200
        assert predicted == ["first", "fourth"]
        page = (await ask(application, "GET", "/metrics")).text
        assert 'requests_total{path="/invocations",status="499"} 3' in page
        await life.stop()

    run(test)


def test_a_full_queue_refuses(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGEMAKER_MAX_QUEUE_SIZE", "1")
    may_go_on, has_begun = threading.Event(), threading.Event()
    registry.model_loader(lambda: None)
    registry.predictor(lambda data: (has_begun.set(), may_go_on.wait(10)) and data)
    application = asgi.app(registry)

    async def test() -> None:
        life = Life(application)
        await life.start()
        first = Call(application, "POST", "/invocations").body(b"1")
        await until(has_begun.is_set)
        second = Call(application, "POST", "/invocations").body(b"2")
        await until(lambda: waiting(application))
        page = (await ask(application, "GET", "/metrics")).text
        assert "requests_running 1\n" in page
        assert "requests_waiting 1\n" in page
        third = await ask(application, "POST", "/invocations", b"3")
        assert await third.status() == 503
        assert third.headers[b"retry-after"] == b"1"
        assert "The queue is full: 1 request(s) are waiting" in third.text
        may_go_on.set()
        assert [await first.status(), await second.status()] == [200, 200]
        await life.stop()

    run(test)


@pytest.mark.parametrize("is_async", [False, True])
def test_a_prediction_that_takes_too_long_is_given_up(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, *, is_async: bool
) -> None:
    monkeypatch.setenv("SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS", "1")
    may_go_on = threading.Event()

    async def predict_async(data: Any) -> Any:
        await asyncio.sleep(60 if data else 0)
        return data

    registry.model_loader(lambda: None)
    registry.predictor(
        predict_async if is_async else lambda data: data and may_go_on.wait(10) and data
    )
    application = asgi.app(registry)

    async def test() -> None:
        life = Life(application)
        await life.start()
        call = Call(application, "POST", "/invocations").body(b"1")
        await until(lambda: application._model and application._model.running)
        behind = Call(application, "POST", "/invocations").body(b"0")
        assert await call.status() == 504
        message = json.loads(call.text)["error"]["message"]
        assert message == "No prediction within 1 s."
        if is_async:
            assert await behind.status() == 200
        else:
            assert await behind.status() == 504
            assert "No worker took the request within 1 s" in behind.text
        may_go_on.set()
        assert await (await ask(application, "POST", "/invocations", b"0")).status() == 200
        await life.stop()

    run(test)


def test_an_async_program_that_blocks_is_given_up_as_well(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS", "1")
    monkeypatch.setattr(_routes, "_ASYNC_PATIENCE", 0.1)
    may_go_on = threading.Event()

    async def predict(data: Any) -> Any:
        may_go_on.wait(10)
        return data

    registry.model_loader(lambda: None)
    registry.predictor(predict)
    application = asgi.app(registry)

    async def test() -> None:
        life = Life(application)
        await life.start()
        call = await ask(application, "POST", "/invocations", b"1")
        assert await call.status() == 504
        may_go_on.set()
        await life.stop()

    run(test)


def test_a_mistake_of_ours_is_a_response(
    doubles: asgi.Application, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_routes.Routes, "_ping", lambda *_: 1 / 0)

    async def test() -> None:
        call = await ask(doubles, "GET", "/ping")
        assert await call.status() == 500
        assert '"code": "internal_error", "message": "The server failed"' in call.text
        assert "ZeroDivisionError" in caplog.text

    run(test)


def test_metrics_are_those_of_the_server(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    hits = metrics.counter("hits", "Hits.")
    registry.model_loader(lambda: None)
    registry.predictor(max_batch_size=4)(lambda batch: (hits.inc(), batch)[1])
    application = asgi.app(registry)

    async def test() -> None:
        calls = [Call(application, "POST", "/invocations").body(b"1") for _ in range(4)]
        for call in calls:
            await call.task
        await ask(application, "GET", "/elsewhere")
        call = await ask(application, "GET", "/metrics")
        assert call.headers[b"content-type"] == b"text/plain; version=0.0.4; charset=utf-8"
        for line in (
            'sagemaker_inference_requests_total{path="/invocations",status="200"} 4',
            'sagemaker_inference_requests_total{path="other",status="404"} 1',
            'sagemaker_inference_request_duration_seconds_count{path="/invocations"} 4',
            'sagemaker_inference_request_bytes_total{path="/invocations"} 4',
            'sagemaker_inference_response_bytes_total{path="/invocations"} 4',
            "sagemaker_inference_predict_seconds_count 4",
            'sagemaker_endpoint_health{state="healthy"} 1',
            'sagemaker_endpoint_health{state="critical"} 0',
        ):
            assert f"{line}\n" in call.text
        assert "hits_total " in call.text
        assert "model_load_seconds " in call.text
        assert 'front_end="ASGI"' in call.text

    run(test)


def test_what_prometheus_client_counts_is_on_the_page(doubles: asgi.Application) -> None:
    import prometheus_client

    counter = prometheus_client.Counter("tokens", "Tokens.")
    counter.inc(3)

    async def test() -> None:
        assert "tokens_total 3.0\n" in (await ask(doubles, "GET", "/metrics")).text

    run(test)
    prometheus_client.REGISTRY.unregister(counter)


def test_without_prometheus_client_nothing_of_it_is_imported(
    doubles: asgi.Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.delitem(sys.modules, "prometheus_client", raising=False)

    async def test() -> None:
        assert "python_info" not in (await ask(doubles, "GET", "/metrics")).text
        assert "prometheus_client" not in sys.modules

    run(test)


def test_the_page_can_be_turned_off(
    doubles: asgi.Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGEMAKER_METRICS", "false")

    async def test() -> None:
        assert await (await ask(doubles, "GET", "/metrics")).status() == 404

    run(test)


def test_other_connections_are_refused(doubles: asgi.Application) -> None:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    async def test() -> None:
        await doubles({"type": "websocket", "path": "/x", "headers": []}, receive, send)
        reason = "There is no WebSocket at /x; this program has none"
        assert sent == [{"type": "websocket.close", "code": 1008, "reason": reason}]
        with pytest.raises(ValueError, match="connections of type ftp are not supported"):
            await doubles({"type": "ftp"}, receive, send)

    run(test)


def test_failures_are_logged_as_by_the_server(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    registry.model_loader(lambda: None)
    registry.predictor(lambda data: 1 / data)

    async def test() -> None:
        with caplog.at_level(logging.ERROR):
            call = await ask(asgi.app(registry), "POST", "/invocations", b"0")
        request_id = json.loads(call.text)["error"]["request_id"]
        assert call.headers[b"x-request-id"].decode() == request_id
        assert f"request {request_id}: the predictor failed" in caplog.text

    run(test)
