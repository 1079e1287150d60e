"""Bodies of any format that do not fit an annotation are the client's mistake."""

from __future__ import annotations

import dataclasses
import io
import typing
from collections.abc import Container, Iterable, Reversible
from typing import Annotated, TypedDict

import msgspec
import numpy as np
import pydantic
import pytest
from PIL import Image
from support.annotated import JSON, asked, converted, served
from support.forms import TYPE, form, part

from sagemaker_inference.errors import PayloadTooLargeError, UnprocessableInputError

FORM = "application/x-www-form-urlencoded"
LIBSVM, NPY, NPZ = "text/libsvm", "application/x-npy", "application/x-npz"
SPARSE = b"1 1:2 3:4\n"


def npy(value) -> bytes:
    file = io.BytesIO()
    np.save(file, value)
    return file.getvalue()


def npz(**arrays) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


@dataclasses.dataclass
class Point:
    x: float


class Typed(TypedDict):
    x: float


class Struct(msgspec.Struct, tag=True):
    x: float


class Other(msgspec.Struct, tag=True):
    y: float


@pydantic.dataclasses.dataclass
class Checked:
    x: float


@dataclasses.dataclass
class Form:
    rows: list[list[float]]


@dataclasses.dataclass
class Ids:
    ids: Iterable[int]


@pytest.mark.parametrize(
    "hint",
    [
        Point,
        Point | None,
        list[Point],
        Typed,
        Struct,
        Struct | Other,
        Checked,
        list[Checked],
        dict[str, Point],
        int,
        bool,
        list[float],
        tuple[int, ...],
    ],
)
@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (SPARSE, LIBSVM),
        (npz(a=np.zeros(2)), NPZ),
        (npy(np.zeros((2, 3))), NPY),
        (npy(np.array("2026-01-01", dtype="M8[D]")), NPY),
        (npy(np.zeros(2, dtype=[("a", "f4")])), NPY),
    ],
)
def test_arrays_of_each_format_are_refused(hint, body, content_type):
    with pytest.raises(UnprocessableInputError):
        converted(hint, body, content_type)


@pytest.mark.parametrize("hint", [np.ndarray, np.ndarray | None, Image.Image, list[Image.Image]])
def test_one_date_is_not_an_array_of_numbers(hint):
    body = npy(np.array("2026-01-01", dtype="M8[D]"))
    with pytest.raises(UnprocessableInputError, match=r"of dtype datetime64\[D\]"):
        converted(hint, body, NPY)


def test_rows_of_a_sparse_matrix_are_lists_of_numbers():
    assert converted(list[list[float]], SPARSE, LIBSVM) == [[0, 2, 0, 4]]
    with pytest.raises(PayloadTooLargeError):
        converted(list[list[float]], b"1 2147483646:1\n", LIBSVM)


def test_fields_of_a_form_may_be_sparse():
    body = form(part("rows", SPARSE, content_type=LIBSVM))
    assert asked(served(Form), body, TYPE).status == 200
    assert asked(served(Point), form(part("x", SPARSE, content_type=LIBSVM)), TYPE).status == 422


@pytest.mark.parametrize("value", [np.zeros(2), np.zeros(2, dtype=[("x", "f4")])])
def test_fields_of_a_form_are_not_keys_of_an_array(value):
    body = form(part("point", npy(value), content_type=NPY))
    assert asked(served(dict[str, Point]), body, TYPE).status == 422


@pytest.mark.parametrize(
    ("hint", "body", "content_type", "problem"),
    [
        (Iterable[int], b'["x"]', JSON, "0: expected int, got str"),
        (Container[int], b'["x"]', JSON, "0: expected int, got str"),
        (Reversible[int], b'["x"]', JSON, "0: expected int, got str"),
        (Iterable[int], b'{"a": 1}', JSON, "the body: expected array, got object"),
        (Iterable[int] | None, b"[1, 2.5]", JSON, "1: expected int, got float"),
        (list[Iterable[int]], b'[["x"]]', JSON, "0.0: expected int, got str"),
        (dict[str, Iterable[int]], b'{"a": ["x"]}', JSON, "a.0: expected int, got str"),
        (Annotated[Iterable[int], msgspec.Meta(max_length=1)], b"[1, 2]", JSON, "length <= 1"),
        (Iterable[Checked], b'[{"x": "a"}]', JSON, "0.x: expected float, got str"),
        (list[Iterable[Checked]], b'[[{"x": "a"}]]', JSON, "0.0.x: expected float, got str"),
        (Ids, b'{"ids": [1, "x", 2.5]}', JSON, "ids.1: .*; ids.2: expected int, got float"),
        (Iterable[tuple[float, ...]], npy(np.zeros(2)), NPY, "0: expected array, got float"),
        (tuple[Iterable[int], ...], npy(np.full((9, 20000), 0.5)), NPY, "expected int, got float"),
    ],
)
def test_the_items_of_any_iterable_are_checked(hint, body, content_type, problem):
    with pytest.raises(UnprocessableInputError, match=problem):
        converted(hint, body, content_type)


def test_any_iterable_is_a_list():
    assert converted(Iterable[int], b"[1]") == [1]
    assert converted(Iterable[int] | None, b"null") is None
    assert converted(typing.Iterable, b"[1]") == [1]
    assert converted(Iterable[Checked], b'[{"x": 1}]') == [Checked(1)]


@pytest.mark.parametrize(
    ("body", "status", "answer"),
    [
        (b"ids=1&ids=2", 200, b"Ids(ids=[1, 2])"),
        (b"ids=1", 200, b"Ids(ids=[1])"),
        (b"ids=x", 422, b"ids.0: expected int, got str"),
    ],
)
def test_texts_of_a_form_are_read_as_items(body, status, answer):
    response = asked(served(Ids), body, FORM)
    assert response.status == status
    assert answer in response.body
