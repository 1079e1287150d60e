"""Spans of OpenTelemetry, where a program or ``opentelemetry-instrument`` has set it up.

https://opentelemetry.io/docs/specs/semconv/http/http-spans/

A request has a span, which the program's own spans belong to, with one for each of decoding,
predicting and encoding in it. Its parent is named by the request's headers, as the propagators read
them, or by ``traceparent=...`` in the custom attributes, since SageMaker passes on no other header.
"""

from __future__ import annotations

import re
import sys
from time import time_ns
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagemaker_inference._http.messages import Request, Response
    from sagemaker_inference._inference.inference_handler import InferenceHandler

_PARENT: Final = "traceparent"
_IN_ATTRIBUTES: Final = re.compile(
    r"traceparent\W{1,5}(00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2})(?![0-9a-f-])"
)
_CUSTOM_ATTRIBUTES: Final = "x-amzn-sagemaker-custom-attributes"
_FAILED: Final = 500
_NANOSECONDS: Final = 1_000_000_000
# For a collector that is slow or gone, when a worker ends.
_FLUSH_MILLISECONDS: Final = 2000


def configured_provider() -> Any | None:
    """What makes tracers, if somebody has set it up; nothing is imported otherwise."""
    trace: Any = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    provider = trace.get_tracer_provider()
    is_idle = isinstance(provider, (trace.ProxyTracerProvider, trace.NoOpTracerProvider))
    return None if is_idle else provider


def trace(handler: InferenceHandler, provider: Any) -> None:
    """Have a handler make spans for the requests that it answers from now on."""
    spans = _Spans(provider.get_tracer("sagemaker_inference"))
    answer, close = handler.answer, handler.close

    async def traced_answer(requests: Sequence[Request]) -> list[Response]:
        if len(requests) == 1:
            return await spans.around(requests[0], answer(requests))
        start = time_ns()
        responses = await answer(requests)
        for request, response in zip(requests, responses, strict=True):
            spans.end(spans.start(request, start), start, response)
        return responses

    def traced_close() -> None:
        close()
        if hasattr(provider, "force_flush"):
            provider.force_flush(_FLUSH_MILLISECONDS)

    handler.answer = traced_answer  # type: ignore[method-assign]
    handler.close = traced_close  # type: ignore[method-assign]


class _Spans:
    def __init__(self, tracer: Any) -> None:
        from opentelemetry import context, propagate, trace

        self._context: Any = context
        self._propagate: Any = propagate
        self._trace: Any = trace
        self._tracer = tracer

    async def around(self, request: Request, answering: Any) -> list[Response]:
        """Answer a request, with its span as the current one."""
        start = time_ns()
        span = self.start(request, start)
        token = self._context.attach(self._trace.set_span_in_context(span))
        try:
            responses: list[Response] = await answering
        except BaseException:
            # It was given up: whoever did that knows why.
            span.end()
            raise
        finally:
            self._context.detach(token)
        self.end(span, start, responses[0])
        return responses

    def start(self, request: Request, start: int) -> Any:
        return self._tracer.start_span(
            f"POST {request.path}",
            context=self._parent(request),
            kind=self._trace.SpanKind.SERVER,
            attributes={
                "http.request.method": "POST",
                "http.route": request.path,
                "http.request.body.size": len(request.body),
                "sagemaker_inference.request_id": request.id,
            },
            start_time=start,
        )

    def end(self, span: Any, start: int, response: Response) -> None:
        span.set_attribute("http.response.status_code", int(response.status))
        if response.status >= _FAILED:
            span.set_status(self._trace.Status(self._trace.StatusCode.ERROR))
        inside = self._trace.set_span_in_context(span)
        steps = (
            ("decode", response.decode_seconds),
            ("predict", response.predict_seconds),
            ("encode", response.encode_seconds),
        )
        for name, seconds in steps:
            step = self._tracer.start_span(name, context=inside, start_time=start)
            start += int(seconds * _NANOSECONDS)
            step.end(start)
        span.end(max(start, time_ns()))

    def _parent(self, request: Request) -> Any:
        fields = self._propagate.get_global_textmap().fields
        headers = request.headers
        carrier = {name: value for name in fields if (value := headers.get(name))}
        if _PARENT not in carrier:
            found = _IN_ATTRIBUTES.search(headers.get(_CUSTOM_ATTRIBUTES) or "")
            if found:
                carrier[_PARENT] = found[1]
        return self._propagate.extract(carrier)
