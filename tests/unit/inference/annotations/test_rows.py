"""Cells of CSV are read by their own annotation, whatever the other cells of a request are."""

from __future__ import annotations

import datetime as dt
import math
import re
from enum import IntEnum
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import numpy as np
import pydantic
import pytest
from support.annotated import CSV, converted

from sagemaker_inference import _budget
from sagemaker_inference.errors import UnprocessableInputError

Size = Annotated[int, msgspec.Meta(ge=0)]
Count = Annotated[int, pydantic.Field(ge=0)]


class Rooms(IntEnum):
    ONE = 1


class Named(NamedTuple):
    rooms: int
    area: float
    name: str


class Packed(msgspec.Struct, array_like=True):
    rooms: int
    area: float
    name: str


class Tagged(msgspec.Struct, array_like=True, tag="flat"):
    rooms: int


MIXED = [
    list[tuple[int, float, str]],
    tuple[tuple[int, float, str], ...],
    list[Named],
    list[Packed],
    list[tuple[Count, float, str]],
    list[Annotated[Named, pydantic.Field()]],
    Annotated[list[tuple[int, float, str]], msgspec.Meta(min_length=1)],
]


def rows(hint: Any, body: bytes) -> list[tuple[Any, ...]]:
    found = converted(hint, body, CSV)
    return [
        msgspec.structs.astuple(row) if isinstance(row, msgspec.Struct) else tuple(row)
        for row in found
    ]


def message(hint: Any, body: bytes) -> str:
    with pytest.raises(UnprocessableInputError) as caught:
        converted(hint, body, CSV)
    return caught.value.message


@pytest.mark.parametrize("hint", MIXED)
def test_rows_fit_whatever_the_other_cells_are(hint):
    assert rows(hint, b"1,2.5,x\n") == [(1, 2.5, "x")]
    assert rows(hint, b"1,2.5,7\n") == [(1, 2.5, "7")]
    assert rows(hint, b"1,2,007\n+3,.5, y\n") == [(1, 2.0, "007"), (3, 0.5, " y")]
    assert rows(hint, b"rooms,area,name\n1,2.5,x\n") == [(1, 2.5, "x")]
    assert math.isnan(rows(hint, b"1,,x\n2,2,x")[0][1])


@pytest.mark.parametrize("hint", MIXED)
def test_the_cell_that_is_wrong_is_named(hint):
    assert message(hint, b"1,2.5,a\n2,3.5,b\nz,1,c\n") == "2.0: expected int, got str"
    assert message(hint, b"1,2,a\n1.5,x,a") == (
        "1.0: expected int, got float; 1.1: expected float, got str"
    )
    many = b"1,2.5,a\n" * (_budget.SMALL // 8) + b"z,2.5,a\n"
    assert message(hint, many).startswith(f"{_budget.SMALL // 8}.0: expected int")


@pytest.mark.parametrize("hint", [hint for hint in MIXED if hint != list[Packed]])
def test_a_row_of_another_length_is_refused_for_that(hint):
    assert "expected" not in message(hint, b"1,2.5\n")
    # pydantic before 2.10 counts the cells of a NamedTuple as arguments.
    assert re.search("length|unexpected positional argument", message(hint, b"1,2.5,a,b\n"))


@pytest.mark.parametrize("size", [Size, Count])
def test_limits_of_cells_are_named(size):
    assert message(list[tuple[size, str]], b"-1,a\n1,a") == "0.0: must be >= 0"


@pytest.mark.parametrize("name", [str, Annotated[str, pydantic.Field(max_length=3)]])
def test_cells_of_any_type_are_read(name):
    hint = list[tuple[bool, Rooms, Literal[1, 2], dt.date, Any, int | str, name]]
    body = b"True,1,2,2026-01-31,1.5,7,a\nfalse, 1,1, 2026-01-31,x,y,\n"
    day = dt.date(2026, 1, 31)
    assert rows(hint, body) == [
        (True, Rooms.ONE, 2, day, 1.5, 7, "a"),
        (False, Rooms.ONE, 1, day, "x", "y", ""),
    ]
    assert converted(list[Tagged], b"flat,1\n", CSV) == [Tagged(1)]


@pytest.mark.parametrize("extra", [(), (pydantic.Field(),)])
def test_an_empty_cell_is_none_where_the_annotation_says_so(extra):
    def kind(of: Any) -> Any:
        return Annotated[(of, *extra)] if extra else of

    gap = kind(int) | None
    assert rows(list[list[gap]], b"1,2\n,4") == [(1, 2), (None, 4)]
    assert rows(list[tuple[gap, str | None]], b"1,\n,x") == [(1, ""), (None, "x")]
    assert rows(list[tuple[kind(float) | None, int]], b",1\n2,2") == [(None, 1), (2.0, 2)]
    many = b"1,2\n" * (_budget.SMALL // 4) + b",4\n"
    assert rows(list[list[gap]], many)[-1] == (None, 4)


@pytest.mark.parametrize("kind", [int, Count])
def test_among_cells_of_one_type_those_that_are_wrong_are_named(kind):
    assert message(list[list[kind]], b"1,2\n3,x\n") == "1.1: expected int, got str"
    assert message(list[list[kind]], b"1,2.5\n3,4\n") == "0.1: expected int, got float"


def test_numbers_fit_alike_in_small_and_large_bodies():
    for count in (1, _budget.SMALL // 4):
        assert "expected int, got float" in message(list[list[int]], b"1.0,2\n" * count)


def test_other_bodies_and_annotations_are_read_as_before():
    assert converted(list[list[float]], b"1,2\n", CSV) == [[1.0, 2.0]]
    with pytest.raises(UnprocessableInputError, match=r"^0\.0: expected int, got str"):
        converted(list[tuple[int, str]], b'["1", "a"]', "application/jsonlines")
    with pytest.raises(UnprocessableInputError, match=r"^0: expected int, got array"):
        converted(list[int], b"1\n", CSV)
    np.testing.assert_array_equal(converted(np.ndarray, b"1,2\n", CSV), [[1, 2]])
