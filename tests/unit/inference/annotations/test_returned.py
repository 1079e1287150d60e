"""A predictor's annotation of what it returns is checked, where it names a class with fields."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, TypedDict

import msgspec
import numpy as np
import pydantic
import pytest

from sagemaker_inference import assemble
from sagemaker_inference._http.messages import Request
from sagemaker_inference._inference.streams import whole_answers

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


@dataclass
class Price:
    euros: float
    rooms: int = 1


class Named(TypedDict):
    euros: float


class Packed(msgspec.Struct):
    euros: float


class Model(pydantic.BaseModel):
    euros: float
    rooms: int = 1


@dataclass
class Vector:
    values: np.ndarray


@dataclass
class Strange:
    value: complex


@pytest.fixture
def answers(registry) -> Callable[..., list[tuple[int, str]]]:
    def make(hint: Any, predict: Callable[..., Any], *bodies: bytes, **options: Any):
        predict.__annotations__ = {"return": hint}
        registry.model_loader(lambda: None)
        registry.predictor(**options)(predict)
        handler = assemble(registry)
        handler.load(".")
        requests = [Request.from_body(body, "application/json") for body in bodies or (b"1",)]
        try:
            responses = handler.run(whole_answers(handler, requests))
        finally:
            handler.close()
        return [(one.status, bytes(one.body).decode()) for one in responses]

    return make


@pytest.mark.parametrize(
    ("hint", "returned", "body"),
    [
        (Price, Price(1.5), '{"euros":1.5,"rooms":1}'),
        (Price, {"euros": np.float32(1.5), "rooms": np.int64(2)}, '{"euros":1.5,"rooms":2}'),
        (
            list[Price],
            [{"euros": 2}, Price(2)],
            '[{"euros":2.0,"rooms":1},{"euros":2.0,"rooms":1}]',
        ),
        (dict[str, Price], {"a": {"euros": 2}}, '{"a":{"euros":2.0,"rooms":1}}'),
        (Price | None, None, "null"),
        (Named, {"euros": 1}, '{"euros":1.0}'),
        (Packed, Packed(1.5), '{"euros":1.5}'),
        (Vector, Vector(np.array([1, 2])), '{"values":[1,2]}'),
        (Model, {"euros": "1.5"}, '{"euros":1.5,"rooms":1}'),
        (list[Model], [Price(1.5, 2)], '[{"euros":1.5,"rooms":2}]'),
        # Not classes with fields.
        (list[float], np.ones(2), "[1.0,1.0]"),
        (np.ndarray, [1, 2], "[1,2]"),
        (None, "x", '"x"'),
    ],
)
def test_what_fits_is_written_as_what_it_is(answers, hint, returned, body):
    assert answers(hint, lambda data, model: returned) == [(200, body)]


@pytest.mark.parametrize(
    ("hint", "returned", "field"),
    [
        (Price, {"rooms": 1}, "euros: missing"),
        (list[Price], [Price(1), {"euros": "one"}], "1.euros: expected float, got str"),
        (Price, object(), "object is not a value of JSON"),
        (list[Price], 5, "the prediction: expected array, got int"),
        (Model, {"rooms": 1}, "euros: missing"),
        (list[Model], [Price("one")], "0.euros: expected float"),
    ],
)
def test_what_does_not_fit_is_500_with_the_field_in_the_log(answers, caplog, hint, returned, field):
    ((status, body),) = answers(hint, lambda data, model: returned)
    assert status == 500
    assert "euros" not in body
    assert "returned what its annotation does not allow: " in caplog.text
    assert field in caplog.text


def test_an_async_predictor_is_checked(answers):
    async def predict(data, model):
        return {"euros": data}

    assert answers(Price, predict, b"1", b'"x"')[0] == (200, '{"euros":1.0,"rooms":1}')


def test_each_of_a_batch_is_checked(answers):
    def predict(batch, model):
        return [{"euros": data} for data in batch]

    got = answers(list[Price], predict, b"1", b'"x"', max_batch_size=4)
    assert [status for status, _ in got] == [200, 500]


def test_rows_of_one_array_are_not_checked(answers):
    def predict(data, model):
        return data

    got = answers(list[Price], predict, b"[[1]]", b"[[2]]", max_batch_size=4, collate="concatenate")
    assert [body for _, body in got] == ["[[1]]", "[[2]]"]


def test_streams_are_not_checked(answers):
    def yielding(data, model):
        yield {"rooms": 1}

    assert answers(Price, yielding)[0][0] == 200


def test_an_iterator_is_a_stream(answers):
    assert answers(Iterator[Price], lambda data, model: iter([{"a": 1}]))[0][0] == 200


@pytest.mark.parametrize(
    ("hint", "returned"),
    [
        (Price, Price("one")),
        (list[Price], [Price("one")]),
        (dict[str, Price], {"a": Price("one")}),
        (Annotated[list[Price], "of a house"], (Price("one"),)),
        (Price | None, Price("one")),
    ],
)
def test_what_is_of_its_class_stays_as_it_is(registry, hint, returned):
    """Its fields may be what only an encoder of the program understands."""
    seen = []
    predict = lambda data, model: returned  # noqa: E731 - it gets an annotation
    predict.__annotations__ = {"return": hint}
    registry.model_loader(lambda: None)
    registry.predictor(predict)
    registry.encoder("a/b")(lambda prediction: seen.append(prediction) or b"")
    handler = assemble(registry)
    handler.load(".")
    request = Request.from_body(b"1", "application/json", accept="a/b")
    handler.run(whole_answers(handler, [request]))
    handler.close()
    assert seen[0] is returned


def test_a_class_that_cannot_be_checked_is_not(answers, caplog):
    assert answers(Strange, lambda data, model: 1) == [(200, "1")]
    assert "is not checked: the annotation" in caplog.text
    assert "complex" in caplog.text


def test_a_missing_library_is_named(answers, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "msgspec", None)
    assert answers(Price, lambda data, model: 1) == [(200, "1")]
    assert "needs msgspec" in caplog.text
