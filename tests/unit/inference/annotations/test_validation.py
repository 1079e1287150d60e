"""Annotations that msgspec and pydantic validate."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, TypedDict

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd  # noqa: TC002 - read by msgspec
import pydantic
import pytest
from support.annotated import (
    CSV,
    JSON,
    Flower,
    Model,
    Row,
    Struct,
    converted,
    served,
)

from sagemaker_inference._inference import annotations
from sagemaker_inference.errors import (
    DecodeError,
    InferenceError,
    RegistrationError,
    StartError,
    UnprocessableInputError,
    UnsupportedMediaTypeError,
)


@pydantic.dataclasses.dataclass
class Positive:
    x: int = pydantic.Field(gt=0)


@dataclasses.dataclass
class Nested:
    models: list[Model]
    other: Nested | None = None


@pytest.mark.parametrize(
    ("hint", "good", "expected", "bad", "words"),
    [
        (Positive, b'{"x": 1}', Positive(1), b'{"x": -5}', "x: must be > 0"),
        (Positive, b'{"x": 1}', Positive(1), b"{}", "x: missing"),
        (list[Model], b'[{"x": 1}]', [Model(x=1)], b'[{"x": 1}, {}]', "1.x: missing"),
        (dict[str, Model], b'{"a": {"x": 1}}', {"a": Model(x=1)}, b'{"a": {}}', "a.x: missing"),
        (Model, b'{"instances": {"x": 1}}', Model(x=1), b'{"instances": {}}', "x: missing"),
        (Nested, b'{"models": [{"x": 1}]}', Nested([Model(x=1)]), b'{"models": [1]}', "models.0"),
        (
            Annotated[list[float], pydantic.Field(min_length=2)],
            b"[1, 2]", [1.0, 2.0], b"[1]", "the body: must have a length >= 2",
        ),
        (
            Annotated[list[float], msgspec.Meta(min_length=2)],
            b"[1, 2]", [1.0, 2.0], b"[1]", "the body: must have a length >= 2",
        ),
        (
            list[Annotated[float, msgspec.Meta(ge=0)]],
            b"[1]", [1.0], b"[-1]", "^0: must be >= 0.0$",
        ),
    ],
)  # fmt: skip
def test_constraints_hold_wherever_they_stand(hint, good, expected, bad, words):
    assert converted(hint, good) == expected
    with pytest.raises(UnprocessableInputError, match=words):
        converted(hint, bad)


@dataclasses.dataclass
class Scan:
    image: np.ndarray
    weights: npt.NDArray[np.float64]
    boxes: list[float]
    note: object = None


def test_fields_may_be_arrays():
    found = converted(Scan, b'{"image": [[1, 2]], "weights": [0.5], "boxes": [3], "note": [4]}')
    assert (found.image.tolist(), found.weights.tolist()) == ([[1, 2]], [0.5])
    assert (found.boxes, found.note) == ([3.0], [4])
    with pytest.raises(UnprocessableInputError, match=r"^image: .*nested unevenly"):
        converted(Scan, b'{"image": [[1], [[2]]], "weights": [], "boxes": []}')


def test_a_list_of_a_pydantic_model_is_read_from_other_formats():
    assert converted(list[Model], b'{"x": 1}\n{"x": 2}\n', "application/jsonlines")[1].x == 2


@dataclasses.dataclass
class Tree:
    name: str
    branches: list[Tree] = dataclasses.field(default_factory=list)


def test_a_class_may_refer_to_itself():
    found = converted(Tree, b'{"name": "a", "branches": [{"name": "b"}]}')
    assert found == Tree("a", [Tree("b")])


@dataclasses.dataclass
class Mixed:
    image: np.ndarray
    model: Model


def test_what_pydantic_cannot_read_is_refused_at_the_start():
    with pytest.raises(RegistrationError, match=r"needs .*Model, which no body can be"):
        annotations.converter_for(Mixed)


@dataclasses.dataclass
class Cached:
    x: float
    path: Path = Path()
    frame: pd.DataFrame | None = None


@pytest.mark.parametrize(
    ("hint", "body", "expected"),
    [
        (Cached, b'{"x": 1}', Cached(1.0)),
        (Iterable[float], b"[1]", [1.0]),
        (Iterable, b"[1]", [1]),
        (Annotated[np.ndarray, pydantic.Field(description="rows")], b"[1]", np.array([1])),
        (Annotated[list, pydantic.Field(max_length=1)], b"[1]", [1]),
        (pydantic.AwareDatetime, b'"2026-01-01T00:00:00Z"', None),
        (bytes | str, b"[1]", b"[1]"),
    ],
)
def test_what_can_be_made_is_not_refused(hint, body, expected):
    found = converted(hint, body)
    assert expected is None or type(found) is type(expected)
    assert expected is None or found == expected


def test_types_that_refer_to_each_other_are_read_once():
    names = [f"Node{index}" for index in range(12)]
    fields = [(name.lower(), f"{name} | None", None) for name in names]
    module = sys.modules[__name__]
    try:
        for name in names:
            found = msgspec.defstruct(name, fields, module=__name__, kw_only=True)
            setattr(module, name, found)
        assert converted(module.Node0, b'{"node1": {"node2": {}}}').node1.node2 is not None
    finally:
        for name in names:
            delattr(module, name)


def test_deep_values_are_refused_where_they_do_not_fit():
    deep = b'{"x": ' * 1000 + b"1" + b"}" * 1000
    for hint in (Struct, Model):
        with pytest.raises(UnprocessableInputError):
            converted(hint, deep, "text/json")


@pytest.mark.parametrize("hint", [Model, list[Model], Struct, dict])
def test_instances_that_end_too_early_are_400(hint):
    with pytest.raises(DecodeError, match="Invalid JSON"):
        converted(hint, b'{"instances": [{"x": 1}, {"x":')


def test_instances_are_unwrapped_where_there_is_no_place_for_the_whole():
    class Whole(TypedDict):
        instances: list[float]

    body = b'{"instances": [1, 2]}'
    assert converted(list[float], body) == [1.0, 2.0]
    assert converted(list[Struct], b'{"instances": [{"x": 1}]}') == [Struct(1)]
    assert converted(Whole, body) == {"instances": [1.0, 2.0]}
    assert converted(dict, body) == {"instances": [1, 2]}
    for wrong in (b'{"instances": [1], "more": 1}', b'{"instances": ["x"]}'):
        with pytest.raises(UnprocessableInputError):
            converted(list[float], wrong)


@pytest.mark.parametrize(
    ("hint", "body", "expected"),
    [
        (list[float], b"[1, 2.5]", [1.0, 2.5]),
        (Flower, b'{"name": "iris", "petals": [1, 2]}', Flower("iris", [1.0, 2.0])),
        (list[Row], b'[{"x": 1, "y": 2}]', [{"x": 1.0, "y": 2}]),
        (Struct, b'{"x": 1}', Struct(1.0)),
        (Model, b'{"x": 1}', Model(x=1)),
    ],
)
def test_structures_are_validated(hint, body, expected):
    assert converted(hint, body) == expected


@pytest.mark.parametrize("hint", [Flower, Model])
def test_structures_are_read_by_the_charset_of_the_body(hint):
    text = '{"name": "é", "petals": [], "x": 1, "names": ["é"]}'
    for charset in ("utf-8", "utf-8-sig", "utf-16", "latin-1"):
        found = converted(hint, text.encode(charset), f"{JSON}; charset={charset}")
        assert "é" in str(found)
    assert "é" in str(converted(hint, text.encode("utf-8-sig")))
    with pytest.raises(UnsupportedMediaTypeError, match="Charset 'nope'"):
        converted(hint, text.encode(), f"{JSON}; charset=nope")


def test_what_pydantic_cannot_read_is_said_to_be_invalid_once():
    with pytest.raises(DecodeError, match=r"^Invalid JSON: (?!Invalid)"):
        converted(Model, b"[1")


def test_structures_come_from_other_formats_too():
    assert converted(list[list[float]], b"1,2\n3,4\n", CSV) == [[1.0, 2.0], [3.0, 4.0]]
    body = b'{"x": 1}\n{"x": 2}\n'
    assert converted(list[Struct], body, "application/jsonlines") == [Struct(1), Struct(2)]
    with pytest.raises(UnprocessableInputError):
        converted(Model, body, "application/jsonlines")


@pytest.mark.parametrize(
    ("hint", "body", "field"),
    [
        (list[float], b'[1, "x"]', "^1: expected float, got str"),
        (Flower, b'{"name": "iris"}', "petals"),
        (Flower, b'{"name": 1, "petals": []}', "^name: expected str, got int"),
        (list[Row], b'[{"x": 1, "y": "z"}]', "^0.y: expected int, got str"),
        (Model, b'{"x": 1, "names": [1]}', "names.0"),
        (Model, b"[]", "the body"),
    ],
)
def test_a_field_that_does_not_fit_is_named(hint, body, field):
    with pytest.raises(UnprocessableInputError, match=field):
        converted(hint, body)


@pytest.mark.parametrize("hint", [list[float], Model])
@pytest.mark.parametrize("body", [b"[1, 2", b"", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_400(hint, body):
    with pytest.raises(InferenceError) as caught:
        converted(hint, body)
    assert caught.value.status_code in (400, 422)


def test_a_missing_msgspec_is_told_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "msgspec", None)
    with pytest.raises(RegistrationError, match=r"sagemaker-inference\[types\]"):
        annotations.converter_for(list[float])
    with pytest.raises(StartError, match=r"sagemaker-inference\[types\]"):
        served(list[float])


def test_objects_that_are_no_models_of_pydantic_may_be_many():
    body = b"[" + b",".join([b'{"euros":1.5}'] * 100_000) + b"]"
    data = converted(list[dict[str, Annotated[float, pydantic.Field(gt=0)]]], body, JSON)
    assert len(data) == 100_000
    assert data[-1] == {"euros": 1.5}
