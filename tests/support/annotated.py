"""Programs whose predictors are annotated, and what they answer."""

from __future__ import annotations

import dataclasses
from typing import Any, TypedDict

import msgspec
import pydantic
import pytest

from sagemaker_inference import codecs
from sagemaker_inference._http.messages import Headers, Part, Request, Response
from sagemaker_inference._inference import annotations, assembly
from sagemaker_inference._inference.inference_handler import InferenceHandler, run_without_loop
from sagemaker_inference._program.registry import Registry
from sagemaker_inference.errors import UnprocessableInputError

JSON, CSV = "application/json", "text/csv"


@dataclasses.dataclass
class Flower:
    name: str
    petals: list[float]


class Row(TypedDict):
    x: float
    y: int


class Struct(msgspec.Struct):
    x: float


class Model(pydantic.BaseModel):
    x: float
    names: list[str] = []


def converted(hint: Any, body: bytes, content_type: str = JSON) -> Any:
    convert = annotations.converter_for(hint)
    assert convert is not None
    codec = codecs.for_content_type(content_type)
    assert codec is not None
    assert codec.decode is not None
    return convert(body, content_type, codec.decode)


def message_of(hint: Any, body: bytes, content_type: str = JSON) -> str:
    """The message that refuses a body."""
    with pytest.raises(UnprocessableInputError) as caught:
        converted(hint, body, content_type)
    return caught.value.message


FIELDS = [Part("a", "", b"1"), Part("b", "", b"2")]


def sent(hint: Any, parts: list[Part], kind: str = "application/x-www-form-urlencoded") -> Response:
    return sent_to(served(hint), parts, kind)


def sent_to(
    handler: InferenceHandler, parts: list[Part], kind: str = "application/x-www-form-urlencoded"
) -> Response:
    headers = Headers([("Content-Type", kind), ("Accept", "text/plain")])
    return run_without_loop(handler.answer([Request("id", headers, fields=parts)]))[0]


def served(hint: Any, **options: Any) -> InferenceHandler:
    """A program whose predictor says what it was given."""
    registry = Registry()
    registry.model_loader(lambda: None)

    def predict(data, model):
        return f"{type(data).__name__} {data}"

    def predict_all(data, model):
        return [f"{type(item).__name__} {item}" for item in data]

    function = predict_all if options else predict
    function.__annotations__ = {"data": hint}
    registry.predictor(**options)(function)
    handler = assembly.assemble(registry, "inference.py")
    handler.load(".")
    return handler


def asked(handler: InferenceHandler, body: bytes, content_type: str = JSON) -> Response:
    headers = Headers([("Content-Type", content_type), ("Accept", "text/plain")])
    request = Request("id", headers, body)
    return run_without_loop(handler.answer([request]))[0]
