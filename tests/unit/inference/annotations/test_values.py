"""Dates, enums and unions by a tag, in each format and with each library."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import uuid
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal, TypedDict
from urllib.parse import urlencode

import attrs
import msgspec
import pydantic
import pytest
from support.annotated import CSV, converted, served
from support.forms import TYPE, form, part

from sagemaker_inference import Registry
from sagemaker_inference.errors import StartError, UnprocessableInputError
from sagemaker_inference.testing import TestClient


class Size(Enum):
    SMALL = "small"
    LARGE = "large"


class Rooms(IntEnum):
    ONE = 1
    TWO = 2


FIELDS: dict[str, Any] = {
    "day": dt.date,
    "seen": dt.datetime,
    "opens": dt.time,
    "takes": dt.timedelta,
    "size": Size,
    "rooms": Rooms,
    "key": uuid.UUID,
    "price": Decimal,
    "kind": Literal["a", 1],
}
SENT: dict[str, Any] = {
    "day": "2026-01-31", "seen": "2026-01-31T12:00:00Z", "opens": "12:00:00", "takes": "P1D",
    "size": "small", "rooms": 2, "key": "01234567-89ab-4cde-8f01-23456789abcd", "price": "1.5",
    "kind": "a",
}  # fmt: skip
VALUES: dict[str, Any] = {
    "day": dt.date(2026, 1, 31),
    "seen": dt.datetime(2026, 1, 31, 12, tzinfo=dt.timezone.utc),
    "opens": dt.time(12),
    "takes": dt.timedelta(days=1),
    "size": Size.SMALL,
    "rooms": Rooms.TWO,
    "key": uuid.UUID(SENT["key"]),
    "price": Decimal("1.5"),
    "kind": "a",
}
LIBRARIES = [
    pydantic.create_model("Model", **{name: (kind, ...) for name, kind in FIELDS.items()}),
    msgspec.defstruct("Struct", list(FIELDS.items())),
    dataclasses.make_dataclass("Data", list(FIELDS.items())),
    attrs.make_class("Class", {name: attrs.field(type=kind) for name, kind in FIELDS.items()}),
    TypedDict("Named", FIELDS),
]


def received(hint: Any, body: bytes, content_type: str) -> Any:
    """What a predictor gets of a request."""
    registry, got = Registry(), []
    registry.model_loader(lambda: None)

    def predict(data, model):
        got.append(data)

    predict.__annotations__ = {"data": hint}
    registry.predictor(predict)
    with TestClient(registry) as client:
        reply = client.invoke(body, content_type=content_type)
    assert reply.status_code == 200, reply.text
    return got[0]


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (json.dumps(SENT).encode(), "application/json"),
        (urlencode(SENT).encode(), "application/x-www-form-urlencoded"),
        (form(*[part(name, str(text).encode()) for name, text in SENT.items()]), TYPE),
    ],
)
def test_fields_have_these_types(library, body, content_type):
    found = received(library, body, content_type)
    found = found if isinstance(found, dict) else {name: getattr(found, name) for name in FIELDS}
    assert found == VALUES


@pytest.mark.parametrize("name", [name for name in FIELDS if name not in {"opens", "takes"}])
def test_cells_of_csv_and_lines_of_json_have_these_types(name):
    kind, text, value = FIELDS[name], SENT[name], VALUES[name]
    assert converted(list[list[kind]], f"{text},{text}\n".encode(), CSV) == [[value, value]]
    row = f"1.5,{text}\n2,{text}\n".encode()
    assert converted(list[tuple[float, kind]], row, CSV) == [(1.5, value), (2.0, value)]
    lines = f"{json.dumps(text)}\n".encode()
    assert converted(list[kind], lines, "application/jsonlines") == [value]


def test_cells_of_csv_that_differ_in_type_are_read_by_their_texts():
    rows = list[tuple[float, int, str]]
    assert converted(rows, b"1.5,2,007\n2,3,1\n", CSV) == [(1.5, 2, "007"), (2.0, 3, "1")]
    named = b"area,rooms\n1.5,2\n"
    assert converted(list[tuple[float, int]], named, CSV) == [(1.5, 2)]
    for wrong in (b"x,2\n", b"1.5,2\n1.5,2.5\n"):
        with pytest.raises(UnprocessableInputError, match=r"expected (int|float), got"):
            converted(list[tuple[float, int]], wrong, CSV)
    with pytest.raises(UnprocessableInputError, match=r"0\.1: expected int, got float"):
        converted(list[tuple[float, int]], b"[1.5, 2.5]\n", "application/jsonlines")


class Flat(msgspec.Struct, tag="flat"):
    day: dt.date


class Garage(msgspec.Struct, tag="garage"):
    cars: int


class FlatModel(pydantic.BaseModel):
    type: Literal["flat"]
    day: dt.date


class GarageModel(pydantic.BaseModel):
    type: Literal["garage"]
    cars: int


MODELS = Annotated[FlatModel | GarageModel, pydantic.Field(discriminator="type")]


@pytest.mark.parametrize("union", [Flat | Garage, MODELS, FlatModel | GarageModel])
def test_a_union_is_told_by_its_tag(union):
    for body, content_type in (
        (b'{"type": "flat", "day": "2026-01-31"}', "application/json"),
        (b"type=flat&day=2026-01-31", "application/x-www-form-urlencoded"),
    ):
        found = received(union, body, content_type)
        assert (type(found).__name__[:4], found.day) == ("Flat", VALUES["day"])
    assert received(union, form(part("type", b"garage"), part("cars", b"2")), TYPE).cars == 2
    lines = b'{"type": "garage", "cars": 1}\n{"type": "flat", "day": "2026-01-31"}\n'
    found = converted(list[union], lines, "application/jsonlines")
    assert [type(one).__name__[:4] for one in found] == ["Gara", "Flat"]


def test_a_union_of_classes_without_tags_is_refused_at_the_start():
    one = dataclasses.make_dataclass("One", [("x", int)])
    two = dataclasses.make_dataclass("Two", [("y", int)])
    with pytest.raises(StartError, match="more than one dataclass"):
        served(one | two)
