"""What type checkers must accept; checked by mypy and pyright, never run."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from typing_extensions import assert_type

import sagemaker_inference.decoder
from sagemaker_inference import (
    Context,
    Registry,
    before_load,
    decoder,
    default_registry,
    encoder,
    health_check,
    model_loader,
    on_shutdown,
    predictor,
    serve,
    transformer,
    warmup,
)
from sagemaker_inference.testing import ServerSentEvent, Stream, TestClient
from sagemaker_inference.transformer import Transformer

if TYPE_CHECKING:
    from collections.abc import Callable


@before_load
def prepare(model_dir: str) -> None: ...


@model_loader
def load(model_dir: str, context: Context) -> dict[str, float]:
    return {model_dir: context.gpu_id or 0.0}


@warmup
def warm(model_dir: str, model: dict[str, float], context: Context) -> None: ...


@decoder("application/json", "text/csv")
def read(body: bytes, content_type: str) -> list[float]:
    return [len(body), len(content_type)]


@predictor
def predict(data: list[float], model: dict[str, float]) -> float:
    return sum(data) + len(model)


@predictor("/embed")
@predictor("/v1/embeddings", max_batch_size=2)
def embed(data: list[float]) -> list[float]:
    return data


@transformer("/text")
def transform_text(model: dict[str, float], body: str) -> str:
    return body


@encoder("text/plain")
def write(prediction: float) -> tuple[bytes, str]:
    return str(prediction).encode(), "text/plain"


@health_check
def check(model: dict[str, float]) -> bool:
    return bool(model)


@health_check(interval=30)
def check_without_model() -> None: ...


@on_shutdown()
def clean_up() -> None: ...


app = Registry()


@app.transformer
def whole(
    model: object, body: memoryview, content_type: str, accept: str, context: Context
) -> bytes:
    context.custom_attributes = f"{model} {content_type} {accept}"
    return bytes(body)


@transformer()
def called(model: object, body: bytes) -> bytes:
    return body


@app.predictor(max_batch_size=8, collate="concatenate")
async def batched(data: list[float], *, context: list[Context]) -> list[float]:
    return data[: len(context)]


class Model:
    """Methods and objects that can be called are handlers as well."""

    def predict(self, data: list[float]) -> float:
        return data[0]

    def __call__(self, data: list[float], model: object = None, size: int = 1) -> float:
        return data[size]


app.predictor(Model().predict)
app.predictor(Model())
app.predictor(functools.partial(predict, model={}))


def functions_keep_their_own_types() -> None:
    assert_type(predict([1.0], {}), float)
    assert_type(read(b"", ""), "list[float]")
    assert_type(load("", Context()), "dict[str, float]")
    assert_type(called(None, b""), bytes)
    same: Callable[[str], None] = prepare
    same("model")


def decoder_encoder_and_transformer_are_modules_too() -> None:
    found: Any = decoder.decode(b"[1]", "application/json")
    assert_type(sagemaker_inference.decoder.decode(found, "text/csv"), Any)
    assert_type(encoder.encode(found, "text/csv"), Any)
    assert_type(transformer.Transformer(), Transformer)


with default_registry.isolated() as isolated:
    assert_type(isolated, Registry)

serve(__name__, model_dir="model", port=8080, registry=app)


def read_streams(client: TestClient) -> None:
    """What the test client's streams give."""
    with client.stream({"a": 1}, accept="text/event-stream", path="/v1/completions") as stream:
        assert_type(stream.raise_for_status(), Stream)
        for chunk in stream:
            assert_type(chunk, bytes)
        for line in stream.iter_lines():
            assert_type(line, str)
        for value in stream.iter_json():
            assert_type(value, Any)
        for event in stream.iter_events():
            assert_type(event, ServerSentEvent)
            assert_type(event.retry, "int | None")
        assert_type(stream.error, "BaseException | None")
