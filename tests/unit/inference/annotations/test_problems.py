"""Wrong fields are named in one wording, whatever library validates."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import uuid
from enum import Enum
from typing import Annotated, Any, Literal, TypedDict, get_origin

import annotated_types
import attrs
import msgspec
import pydantic
import pytest
from support.annotated import converted, message_of

from sagemaker_inference import Upload, _budget
from sagemaker_inference._inference.annotations.problems import SHOWN, of_msgspec, of_pydantic
from sagemaker_inference.errors import PayloadTooLargeError, UnprocessableInputError


class Size(Enum):
    SMALL = "small"
    LARGE = "large"


FIELDS: dict[str, Any] = {
    "area": float,
    "heating": Literal["gas", "district"],
    "size": Size,
    "built": dt.date,
    "seen": dt.datetime,
    "key": uuid.UUID,
    "tags": list[int],
    "pair": tuple[int, str],
    "near": int | None,
    "places": dict[str, int],
}
GOOD: dict[str, Any] = {
    "area": 1.5, "heating": "gas", "size": "small", "built": "2026-01-31",
    "seen": "2026-01-31T12:00:00Z", "key": "01234567-89ab-4cde-8f01-23456789abcd", "tags": [1],
    "pair": [1, "a"], "near": None, "places": {"a": 1},
}  # fmt: skip
BAD: dict[str, Any] = {
    "area": "big", "heating": "coal", "size": 5, "built": "in winter", "seen": "never",
    "key": "no key", "tags": [1, "x"], "pair": [1, 2], "near": "y", "places": {"a": 1, "b": "z"},
}  # fmt: skip
WORDS = [
    "area: expected float, got str",
    "heating: expected 'gas' or 'district', got 'coal'",
    "size: expected 'small' or 'large', got 5",
    "built: expected date, got 'in winter'",
    "seen: expected datetime, got 'never'",
    "key: expected uuid, got 'no key'",
    "tags.1: expected int, got str",
    "pair.1: expected str, got int",
    "near: expected int, got str",
    "places.b: expected int, got str",
]
LIBRARIES = [
    pydantic.create_model("Model", **{name: (kind, ...) for name, kind in FIELDS.items()}),
    msgspec.defstruct("Struct", list(FIELDS.items())),
    dataclasses.make_dataclass("Data", list(FIELDS.items())),
    attrs.make_class("Class", {name: attrs.field(type=kind) for name, kind in FIELDS.items()}),
    TypedDict("Named", FIELDS),
    pydantic.dataclasses.dataclass(dataclasses.make_dataclass("Checked", list(FIELDS.items()))),
]


def message(hint: Any, value: Any, content_type: str = "application/json") -> str:
    return message_of(hint, json.dumps(value).encode(), content_type)


@pytest.mark.parametrize("library", LIBRARIES)
def test_every_wrong_field_is_named(library):
    assert sorted(message(library, BAD).split("; ")) == sorted(WORDS)
    assert sorted(message(library, {}).split("; ")) == sorted(f"{name}: missing" for name in FIELDS)
    assert message(library, [1]) == "the body: expected object, got array"


@pytest.mark.parametrize("library", LIBRARIES)
def test_every_wrong_item_of_a_list_is_named(library):
    items = [{**GOOD, "area": None}, GOOD, {**GOOD, "tags": 1}, 5]
    words = [
        "0.area: expected float, got null",
        "2.tags: expected array, got int",
        "3: expected object, got int",
    ]
    assert message(list[library], items).split("; ") == words
    assert message(list[library], {"instances": items}).split("; ") == words
    named = dict(zip("abcd", items, strict=True))
    assert message(dict[str, library], named).split("; ") == [
        f"{'abcd'[int(text[0])]}{text[1:]}" for text in words
    ]


@pytest.mark.parametrize("library", LIBRARIES)
def test_json_lines_are_named_like_a_list(library):
    lines = "\n".join(json.dumps(item) for item in (GOOD, {**GOOD, "near": "y"}, {}))
    with pytest.raises(UnprocessableInputError) as caught:
        converted(list[library], lines.encode(), "application/jsonlines")
    assert caught.value.message.startswith("1.near: expected int, got str; 2.")
    assert caught.value.message.endswith(": missing; and more")


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_message_names_as_many_fields_as_people_read(library):
    texts = message(list[library], [1] * 50_000).split("; ")
    assert (len(texts), texts[-1]) == (SHOWN + 1, "and more")


class Ours(pydantic.BaseModel, extra="forbid"):
    size: Annotated[int, pydantic.Field(ge=1)] = 1
    code: Annotated[str, pydantic.Field(min_length=2, pattern="^a")] = "ab"
    step: Annotated[int, pydantic.Field(multiple_of=5)] = 5
    few: Annotated[list[int], pydantic.Field(max_length=1)] = []
    other: int | Ours = 1

    @pydantic.field_validator("few")
    @classmethod
    def check(cls, value):
        if value == [0]:
            raise ValueError("Zero is not a number here")
        return value


class Theirs(msgspec.Struct, forbid_unknown_fields=True):
    size: Annotated[int, msgspec.Meta(ge=1)] = 1
    code: Annotated[str, msgspec.Meta(min_length=2, pattern="^a")] = "ab"
    step: Annotated[int, msgspec.Meta(multiple_of=5)] = 5
    few: Annotated[list[int], msgspec.Meta(max_length=1)] = []


@pytest.mark.parametrize("kind", [Ours, Theirs])
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"size": 0}, "size: must be >= 1"),
        ({"code": "a"}, "code: must have a length >= 2"),
        ({"code": "bc"}, "code: must match '^a'"),
        ({"step": 6}, "step: must be a multiple of 5"),
        ({"few": [1, 2]}, "few: must have a length <= 1"),
        ({"big": 2}, "big: unknown"),
    ],
)
def test_limits_are_named(kind, wrong, words):
    assert message(kind, wrong) == words


def test_both_of_a_union_are_named_where_pydantic_tries_both():
    words = "other: expected int, got object; other.size: must be >= 1"
    assert message(Ours, {"other": {"size": 0}}) == words


def test_what_a_validator_raises_is_named_in_its_own_words():
    assert message(Ours, {"few": [0]}) == "few: Zero is not a number here"
    assert message(Raising, {"x": 1}) == "the body: x is 1"


class Raising(msgspec.Struct):
    x: int

    def __post_init__(self):
        message = f"x is {self.x}"
        raise ValueError(message)


class Flat(msgspec.Struct, tag="flat"):
    area: int
    inner: list[Flat | Garage] = []


class Garage(msgspec.Struct, tag="garage"):
    cars: int


class FlatModel(pydantic.BaseModel):
    type: Literal["flat"]
    area: int


class GarageModel(pydantic.BaseModel):
    type: Literal["garage"]
    cars: int


MODELS = Annotated[FlatModel | GarageModel, pydantic.Field(discriminator="type")]


@pytest.mark.parametrize("union", [Flat | Garage, MODELS])
def test_a_tag_that_there_is_not_is_named_with_those_that_there_are(union):
    assert message(union, {"type": "car"}) == "type: expected 'flat' or 'garage', got 'car'"
    assert message(union, {}) == "type: missing"
    assert message(union, {"type": "flat", "area": "x"}) == "area: expected int, got str"
    assert message(list[union], [{"type": "garage"}]) == "0.cars: missing"


def test_what_is_deep_within_is_named_by_its_path():
    value: Any = {"type": "flat", "area": "x"}
    for _ in range(40):
        value = {"type": "flat", "area": 1, "inner": [value]}
    text = message(Flat, value)
    assert text.endswith(": expected int, got str")
    assert text.startswith("inner.0.inner.0.")


class Rows(msgspec.Struct, array_like=True):
    x: int
    y: int


def test_values_without_fields_have_the_words_of_msgspec():
    assert message(Rows, [1, "y"]) == "1: expected int, got str"
    assert message(Rows, {"x": 1}) == "the body: expected array, got object"
    assert message(dict[int, int], {"a": 1}) == "the body: expected int, got str"
    assert message(Literal["a"], "b") == "the body: expected 'a', got 'b'"
    assert message(bytes | int, "?") == "the body: expected base64"
    assert message(dt.timedelta | None, []) == "the body: expected timedelta, got array"
    assert message(dt.timedelta, "x") == "the body: expected timedelta, got 'x'"
    assert message(tuple[int, int], [1]) == "the body: must have a length of 2, got 1"
    assert message(Rows, [1]) == "the body: must have a length >= 2, got 1"
    files = dict[str, dict[str, Upload]]
    for value, kind in (({}, "object"), ([], "array"), (None, "null"), (1, "int")):
        words = f"a.b: expected a file, got {kind}"
        assert message(files, {"a": {"b": value}}) == words


@pytest.mark.parametrize(
    "content_type",
    ["application/x-www-form-urlencoded", "application/json", "application/jsonlines"],
)
def test_json_within_a_text_is_named_where_it_is_none(content_type):
    model = pydantic.create_model("Model", a=(pydantic.Json[list[int]], ...), b=(int, ...))
    bodies = {
        "application/x-www-form-urlencoded": (model, b"a=[1&b=x", ""),
        "application/json": (model, b'{"a": "[1", "b": "x"}', ""),
        "application/jsonlines": (list[model], b'{"a": "[1", "b": "x"}\n', "0."),
    }
    hint, body, at = bodies[content_type]
    words = f"{at}a: expected JSON, got '[1'; {at}b: expected int, got str"
    assert message_of(hint, body, content_type) == words
    model = pydantic.create_model("Model", a=(pydantic.Json, ...))
    assert message_of(model, b'{"a": 1}') == "a: expected str, got int"


def test_a_text_that_is_no_url_is_shown():
    model = pydantic.create_model("Model", a=(pydantic.HttpUrl, ...), b=(pydantic.AnyUrl, ...))
    words = "a: expected url, got 'here'; b: expected url, got int"
    assert message(model, {"a": "here", "b": 1}) == words


def test_renamed_fields_are_named_as_clients_know_them():
    renamed = msgspec.defstruct("Renamed", [("a_b", int)], rename="camel")
    assert message(renamed, {}) == "aB: missing"
    assert message(renamed, {"aB": "x"}) == "aB: expected int, got str"
    alias = pydantic.create_model("Alias", a_b=(int, pydantic.Field(alias="aB")))
    assert message(alias, {"aB": "x"}) == "aB: expected int, got str"


@pytest.mark.parametrize("kind", [Theirs, Ours])
def test_of_large_inputs_the_first_is_named(kind):
    items = [{"size": 0}, {"size": 0}] + [{"size": 1}] * (_budget.SMALL // 10)
    assert message(list[kind], items) == "0.size: must be >= 1"


def test_an_error_of_a_library_to_come_keeps_its_words():
    assert of_msgspec(ValueError("Something `new`")).text == "Something new"
    error = {"loc": ("a",), "type": "new_error", "msg": "Something new"}
    assert of_pydantic([error])[0] == (("a",), "something new")
    assert of_pydantic([{**error, "msg": "URL of nothing"}])[0].text == "URL of nothing"


def test_annotated_types_hold_in_pydantic():
    hint = Annotated[list[int], annotated_types.MinLen(2)]
    assert message(hint, [1]) == "the body: must have a length >= 2"
    assert get_origin(hint) is Annotated
    with pytest.raises(PayloadTooLargeError):
        converted(hint, b"[" + b"[]," * 8_000_000 + b"1]")
