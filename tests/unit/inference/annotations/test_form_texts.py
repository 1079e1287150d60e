"""Texts of forms, as browsers send them."""

from __future__ import annotations

import dataclasses
import datetime as dt
from enum import Enum, IntEnum, IntFlag
from typing import Annotated, Any, Literal

import msgspec
import pydantic
import pytest
from support.annotated import CSV, converted, message_of

FORM = "application/x-www-form-urlencoded"


class Floor(IntEnum):
    GROUND = 0
    FIRST = 1


class Mixed(Enum):
    ONE = 1
    HALF = 0.5
    TEXT = "x"


class Rights(IntFlag):
    READ = 4
    WRITE = 2


NOON = dt.datetime(2026, 1, 31, 12, 0)  # noqa: DTZ001 - as browsers send it
READ: list[tuple[Any, str, Any]] = [
    (Floor, "1", Floor.FIRST),
    (Floor | None, "0", Floor.GROUND),
    (list[Floor], "1", [Floor.FIRST]),
    (Rights, "6", Rights.READ | Rights.WRITE),
    (Literal[1], "1", 1),
    (Literal[1, "one"], "1", 1),
    (Literal[1, "one"], "one", "one"),
    (Literal[True], "true", True),
    (list[Literal[1, 2]], "2", [2]),
    (dt.datetime, "2026-01-31T12:00", NOON),
    (dt.datetime, "2026-01-31T12:00:00", NOON),
    (Annotated[dt.datetime, "local"] | None, "2026-01-31T12:00", NOON),
    (dt.time, "12:00", dt.time(12)),
    (dt.date, "2026-01-31", dt.date(2026, 1, 31)),
    (bool, "on", True),
    (bool, "off", False),
    (int | None, "", None),
    (int | bool, "1", 1),
    (dt.datetime | None, "", None),
    (Literal["gas"] | None, "", None),
    (str | None, "", ""),
    (list[int | None], "", [None]),
]
OF_PYDANTIC: list[tuple[Any, str, Any]] = [
    (Mixed, "1", Mixed.ONE),
    (Mixed, "0.5", Mixed.HALF),
    (Mixed, "x", Mixed.TEXT),
    (Literal[Floor.FIRST], "1", Floor.FIRST),
    (Literal[1, "1"], "1", "1"),
    (pydantic.Json, "[1]", [1]),
    (pydantic.Json[list[int]], "[1]", [1]),
    (pydantic.Json[list[int]] | None, "[1]", [1]),
    (pydantic.Json[int] | None, "", None),
]


def forms_of(kind: Any) -> list[Any]:
    """Annotations of a form with a field of this one."""
    return [
        pydantic.create_model("Model", a=(kind, ...)),
        msgspec.defstruct("Struct", [("a", kind)]),
        dataclasses.make_dataclass("Data", [("a", kind)]),
    ]


def field(hint: Any, text: str) -> Any:
    return converted(hint, f"a={text}".encode(), FORM).a


@pytest.mark.parametrize(("kind", "text", "value"), READ)
def test_a_text_becomes_what_it_stands_for(kind, text, value):
    for hint in forms_of(kind):
        got = field(hint, text)
        assert (got, type(got)) == (value, type(value))
    assert converted(dict[str, kind], f"a={text}".encode(), FORM) == {"a": value}


@pytest.mark.parametrize(("kind", "text", "value"), OF_PYDANTIC)
def test_a_text_becomes_what_only_pydantic_has(kind, text, value):
    got = field(forms_of(kind)[0], text)
    assert (got, type(got)) == (value, type(value))


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        (Floor, "3", "expected 0 or 1, got '3'"),
        (Literal[1, "one"], "2", "expected 1 or 'one', got '2'"),
        (dt.datetime, "12:00", "expected datetime, got '12:00'"),
        (dt.time, "12", "expected time, got '12'"),
        (bool, "maybe", "expected bool, got str"),
        (int, "", "expected int, got str"),
    ],
)
def test_a_text_that_stands_for_nothing_is_named(kind, text, words):
    for hint in forms_of(kind):
        assert message_of(hint, f"a={text}".encode(), FORM) == f"a: {words}"


def test_only_what_is_wrong_is_named():
    fields = {"at": dt.datetime, "floor": Literal[1], "few": int | None, "size": int}
    body = b"at=2026-01-31T12:00&floor=1&few=&size=x"
    hints = [
        pydantic.create_model("Model", **{name: (kind, ...) for name, kind in fields.items()}),
        msgspec.defstruct("Struct", list(fields.items())),
    ]
    for hint in hints:
        assert message_of(hint, body, FORM) == "size: expected int, got str"


class First(pydantic.BaseModel):
    version: Literal[1]
    names: list[str] = []


class Second(pydantic.BaseModel):
    version: Literal[2]
    names: list[str] = []


def test_a_number_tells_the_classes_of_a_union():
    union = Annotated[First | Second, pydantic.Field(discriminator="version")]
    assert converted(union, b"version=2&names=a", FORM) == Second(version=2, names=["a"])
    assert converted(First | Second, b"version=1&names=a", FORM) == First(version=1, names=["a"])
    assert message_of(union, b"version=3", FORM) == "version: expected 1 or 2, got '3'"


class Halved(pydantic.BaseModel):
    size: int | None

    @pydantic.field_validator("size", mode="before")
    @classmethod
    def default(cls, value):
        return value or 5


def test_a_validator_of_the_program_is_asked_first():
    assert converted(Halved, b"size=", FORM).size == 5


def test_only_forms_are_read_so():
    model, struct, _ = forms_of(Literal[1])
    for hint in (model, struct):
        assert message_of(hint, b'{"a": "1"}') == "a: expected 1, got '1'"
        assert message_of(list[hint], b'{"a": "1"}\n', "application/jsonlines").startswith("0.a: ")


def test_cells_of_csv_are_texts_too():
    rows = list[tuple[int, bool, dt.time, Literal[1, "x"]]]
    assert converted(rows, b"1,on,12:00,1\n2,off,12:00:01,x\n", CSV) == [
        (1, True, dt.time(12), 1),
        (2, False, dt.time(12, 0, 1), "x"),
    ]
