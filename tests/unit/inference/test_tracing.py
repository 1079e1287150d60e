"""Spans of requests, where a program has set OpenTelemetry up."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from sagemaker_inference import Registry, Request
from sagemaker_inference._inference import assembly
from sagemaker_inference._inference.inference_handler import run_without_loop

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference._inference.inference_handler import InferenceHandler

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HEADER = f"00-{TRACE}-{PARENT}-01"


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> TracerProvider:
    made = TracerProvider()
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: made)
    return made


@pytest.fixture
def spans(provider: TracerProvider) -> Callable[[], Any]:
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter.get_finished_spans


def loaded(predict: Callable[..., object], **options: Any) -> InferenceHandler:
    registry = Registry()
    registry.model_loader(lambda: None)
    registry.predictor(**options)(predict)
    handler = assembly.assemble(registry)
    handler.load(".")
    return handler


def ask(handler: InferenceHandler, *bodies: bytes, **headers: str) -> list[int]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    requests = [
        Request.from_body(body, "application/json", headers=named, id=f"id{index}")
        for index, body in enumerate(bodies)
    ]
    return [int(response.status) for response in run_without_loop(handler.answer(requests))]


def test_a_request_has_a_span_with_its_steps(spans: Callable[[], Any]) -> None:
    tracer = trace.get_tracer_provider().get_tracer("program")

    def predict(data: Any) -> Any:
        with tracer.start_as_current_span("mine"):
            return data

    assert ask(loaded(predict), b"[1]", traceparent=HEADER) == [200]
    by_name = {span.name: span for span in spans()}
    root = by_name["POST /invocations"]
    assert root.kind is trace.SpanKind.SERVER
    assert format(root.context.trace_id, "032x") == TRACE
    assert format(root.parent.span_id, "016x") == PARENT
    assert dict(root.attributes) == {
        "http.request.method": "POST",
        "http.route": "/invocations",
        "http.request.body.size": 3,
        "sagemaker_inference.request_id": "id0",
        "http.response.status_code": 200,
    }
    for name in ("decode", "predict", "encode", "mine"):
        span = by_name[name]
        assert span.parent.span_id == root.context.span_id
        assert root.start_time <= span.start_time <= span.end_time <= root.end_time
    assert not trace.get_current_span().get_span_context().is_valid


@pytest.mark.parametrize(
    ("attributes", "is_found"),
    [
        (f"traceparent={HEADER}", True),
        (f'{{"traceparent": "{HEADER}"}}', True),
        (f"user=1,traceparent:{HEADER},b=2", True),
        (f"traceparent={HEADER}0", False),
        ("traceparent=00-1-2-01", False),
        (HEADER, False),
    ],
)
def test_custom_attributes_may_name_the_parent(
    spans: Callable[[], Any], attributes: str, *, is_found: bool
) -> None:
    ask(loaded(lambda data: data), b"[1]", X_Amzn_SageMaker_Custom_Attributes=attributes)
    root = next(span for span in spans() if span.name == "POST /invocations")
    assert (format(root.context.trace_id, "032x") == TRACE) is is_found
    assert (root.parent is not None) is is_found


def test_each_request_of_a_batch_has_its_own_span(spans: Callable[[], Any]) -> None:
    handler = loaded(lambda batch: batch, max_batch_size=4)
    assert ask(handler, b"[1]", b"nonsense", b"[2]") == [200, 400, 200]
    roots = [span for span in spans() if span.name == "POST /invocations"]
    ids = [span.attributes["sagemaker_inference.request_id"] for span in roots]
    assert ids == ["id0", "id1", "id2"]
    statuses = [span.attributes["http.response.status_code"] for span in roots]
    assert statuses == [200, 400, 200]
    assert len({span.context.trace_id for span in roots}) == 3


def test_only_failures_of_the_server_are_errors(spans: Callable[[], Any]) -> None:
    def fail(data: Any) -> Any:
        raise RuntimeError(data)

    assert ask(loaded(fail), b"[1]") == [500]
    assert ask(loaded(fail), b"nonsense") == [400]
    codes = [span.status.status_code for span in spans() if span.name == "POST /invocations"]
    assert codes == [trace.StatusCode.ERROR, trace.StatusCode.UNSET]


def test_a_request_that_is_given_up_has_a_span_all_the_same(spans: Callable[[], Any]) -> None:
    async def wait(data: Any) -> Any:
        del data
        await asyncio.sleep(60)

    handler = loaded(wait)

    async def give_up() -> None:
        request = Request.from_body(b"[1]", "application/json")
        await asyncio.wait_for(handler.answer([request]), 0.05)

    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(give_up())
    assert [span.name for span in spans()] == ["POST /invocations"]


def test_spans_are_sent_when_a_worker_ends(
    provider: TracerProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed = []
    monkeypatch.setattr(provider, "force_flush", flushed.append)
    loaded(lambda data: data).close()
    assert flushed == [2000]


def test_a_provider_need_not_be_the_sdks(monkeypatch: pytest.MonkeyPatch) -> None:
    class Own:
        def get_tracer(self, _name: str) -> Any:
            return trace.NoOpTracer()

    monkeypatch.setattr(trace, "get_tracer_provider", Own)
    handler = loaded(lambda data: data)
    assert ask(handler, b"[1]") == [200]
    handler.close()


@pytest.mark.parametrize("setup", ["", "import opentelemetry.trace"])
def test_nothing_is_imported_or_changed_where_nobody_has_set_it_up(setup: str) -> None:
    code = f"""if True:
        import sys
        {setup or "pass"}
        from sagemaker_inference import Registry
        from sagemaker_inference._inference import assembly
        registry = Registry()
        registry.model_loader(lambda: None)
        registry.predictor(lambda data: data)
        handler = assembly.assemble(registry)
        before = handler.answer
        handler.load(".")
        assert handler.answer == before
        assert "opentelemetry.propagate" not in sys.modules
        assert {bool(setup)} or "opentelemetry" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", code], check=True)
