"""Bodies over 1 MiB that cannot fit an annotation, and those that only look like it."""

from __future__ import annotations

import io
import json
from typing import Annotated, Any, TypedDict

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pydantic
import pytest
import scipy.sparse
from support.annotated import CSV, JSON, Flower, Model, Row, Struct, converted

from sagemaker_inference import _budget, codecs
from sagemaker_inference._inference.annotations import by_pydantic, large
from sagemaker_inference.codecs import _json_size
from sagemaker_inference.errors import (
    DecodeError,
    PayloadTooLargeError,
    UnprocessableInputError,
)

pytestmark = pytest.mark.once

JSON_LINES, NPY = "application/jsonlines", "application/x-npy"
ARROW = "application/vnd.apache.arrow.stream"


def rows(row: str, last: str = "", first: str = "") -> bytes:
    """Lines of over 1 MiB."""
    count = _budget.SMALL // (len(row) + 1) + 1
    return "\n".join([*filter(None, [first]), *[row] * count, *filter(None, [last])]).encode()


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


class Arrays(msgspec.Struct, array_like=True):
    x: int


@pytest.mark.parametrize(
    ("hint", "kind", "item", "numbers"),
    [
        (list[int], large.LIST, large.SCALAR, True),
        (list[list[float]] | None, large.LIST, large.LIST, True),
        (tuple[bool, ...], large.LIST, large.SCALAR, True),
        (list[int | str], large.LIST, large.ANYTHING, False),
        (list[Row], large.LIST, large.OBJECT, False),
        (list[Annotated[int, msgspec.Meta(ge=0)]], large.LIST, large.ANYTHING, False),
        (tuple[int, str], large.LIST, large.ANYTHING, False),
        (dict[int, float], large.OBJECT, large.ANYTHING, False),
        (Flower, large.OBJECT, large.ANYTHING, False),
        (Struct, large.OBJECT, large.ANYTHING, False),
        (Arrays, large.ANYTHING, large.ANYTHING, False),
        (Model, large.ANYTHING, large.ANYTHING, False),
        (str, large.SCALAR, large.ANYTHING, False),
        (Any, large.ANYTHING, large.ANYTHING, False),
    ],
)
def test_what_an_annotation_takes(hint: Any, kind: str, item: str, *, numbers: bool) -> None:
    assert large.Expected.by(hint)[:3] == (kind, item, numbers)


def test_which_annotations_have_floats() -> None:
    hints = [list[list[float]] | None, list[int | float], tuple[float, str]]
    assert all(large.Expected.by(hint).has_floats for hint in hints)
    assert not any(large.Expected.by(hint).has_floats for hint in [list[list[int]], list, Row])


OBJECTS = "Expected an object, but this Content-Type holds rows"
SCALARS = "Expected scalars, but the rows of CSV are arrays"
ITEMS = "Expected objects, but the rows of CSV are arrays"
NOT_A_NUMBER = "Expected a number in row {}, column 2, not str 'x'."
CASES: list[tuple[Any, bytes, str, str]] = [
    (dict, rows("1,2"), CSV, OBJECTS),
    (Row, rows("[1,2]"), JSON_LINES, OBJECTS),
    (Model, rows("1,2"), CSV, OBJECTS),
    (Flower, npy(np.zeros(200_000)), NPY, OBJECTS),
    (dict[str, float], rows("1,2"), CSV, OBJECTS),
    (list[float], rows("1,2"), CSV, SCALARS),
    (list[str], rows("a,2"), CSV, SCALARS),
    (list[Row], rows("a,2"), CSV, ITEMS),
    (list[Model], rows("a,2"), CSV, ITEMS),
    (pa.Table, rows("1,2"), CSV, "Expected a Table; send Parquet or Arrow."),
    (np.ndarray, rows("1,2", "1,x", "a,b"), CSV, NOT_A_NUMBER.format(rows("1,2").count(b"\n") + 2)),
    (np.ndarray, rows('"1",', '2,"x"'), CSV, NOT_A_NUMBER.format(rows('"1",').count(b"\n") + 2)),
    (np.ndarray, rows("1,2", first="1,x"), CSV, NOT_A_NUMBER.format(1)),
    (scipy.sparse.csr_matrix, rows("1,2", "1,x"), CSV, "column 2, not str 'x'"),
    (list[list[float]], rows("1,2", "1,x"), CSV, "column 2, not str 'x'"),
    (list[list[int]], npy(np.zeros((200_000, 1))), NPY, "0.0: expected int, got float"),
    (list[int], npy(np.zeros((200_000, 2), np.int64)), NPY, "0: expected int, got array"),
    (np.ndarray, rows('["a", 1]'), JSON_LINES, "Expected a number in row 1, column 1, not str 'a'"),
    (list[Model], b"[[" + b"1," * 700_000 + b"1]]", JSON, "0: expected object"),
    (Model, b"[1" + b",1" * 700_000 + b"]", JSON, "the body: expected object"),
    (list[Model], b'["' + b"1" * 1_500_000 + b'"]', JSON, "0: expected object"),
    (list[Model], b"[ 1" + b",1" * 700_000 + b"]", JSON, "0: expected object"),
    (list[Model], b"[null" + b",1" * 700_000 + b"]", JSON, "0: expected object"),
    (list[Model], b'"' + b"1" * 1_500_000 + b'"', JSON, "the body: expected array"),
    (list[float], b"[1" + b",1" * 700_000 + b",{}]", JSON, "expected float, got object"),
]


@pytest.mark.parametrize(("hint", "body", "content_type", "words"), CASES)
def test_what_does_not_fit_is_refused(
    hint: Any, body: bytes, content_type: str, words: str
) -> None:
    with pytest.raises(UnprocessableInputError) as caught:
        converted(hint, body, content_type)
    assert words in str(caught.value)


def test_a_text_with_others_is_refused_before_all_get_its_size() -> None:
    """As an array, these are 8 GB."""
    body = json.dumps([["a" * 2_000_000], *[["b"]] * 1000]).encode()
    for content_type in (JSON, JSON_LINES):
        with pytest.raises(UnprocessableInputError, match="Expected a"):
            converted(np.ndarray, body, content_type)


FITS: list[tuple[Any, bytes, str, Any]] = [
    (np.ndarray, rows('"1.5",', " +2 ,-.5e1"), CSV, [2, -5]),
    (np.ndarray, rows("1,2", "3,nan", '"a","b"'), CSV, [3, np.nan]),
    (np.ndarray, rows("1,", "3,\u0664"), CSV, [3, 4]),
    (np.ndarray, rows("1,", "3,4", '"a\n",b'), CSV, [3, 4]),
    (np.ndarray, rows("1,", "3,4", "  "), CSV, [3, 4]),
    (np.ndarray, rows("True,false"), CSV, [True, False]),
    (list[list[float]], rows("1,23456.78901", "3,4.5"), CSV, [3.0, 4.5]),
    (list[list[str]], rows("a,b", "c,1"), CSV, ["c", "1"]),
    (list[tuple[str, int]], rows("a,2", "b,3"), CSV, ("b", 3)),
    (list[float], npy(np.arange(200_000.0)), NPY, 199_999),
    (list[Model], rows('{"x": 1}', '{"x": 2}'), JSON_LINES, Model(x=2)),
    (list[list[int]], b"[[1]" + b",[1]" * 300_000 + b",[2]]", JSON, [2]),
    (list[Model | None], b"[null" + b",null" * 300_000 + b',{"x": 2}]', JSON, Model(x=2)),
]


@pytest.mark.parametrize(("hint", "body", "content_type", "last"), FITS)
def test_what_fits_is_converted(hint: Any, body: bytes, content_type: str, last: Any) -> None:
    found = converted(hint, body, content_type)[-1]
    if isinstance(found, np.ndarray):
        np.testing.assert_array_equal(found, last)
    else:
        assert found == last


@pytest.mark.parametrize("wrapped", [b"%b", b' {"instances": %b }'])
def test_records_become_a_data_frame(wrapped: bytes) -> None:
    records = b"[" + b'{"a": 1.5, "b": "text"},' * 60_000 + b'{"a": null, "b": "last"}]'
    frame = converted(pd.DataFrame, wrapped % records)
    assert frame.shape == (60_001, 2)
    assert frame.b.iloc[-1] == "last"


def test_records_with_others_need_memory_that_may_be_in_vain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_budget, "_LEAST_ATTEMPTED", 1)
    monkeypatch.setattr(_budget, "_TIMES_ATTEMPTED", 2)
    with pytest.raises(PayloadTooLargeError, match="to be checked"):
        converted(pd.DataFrame, b"[" + b'{"a": 1.5, "b": "text"},' * 60_000 + b"1]")


class Summed(pydantic.BaseModel):
    total: float

    @pydantic.model_validator(mode="before")
    @classmethod
    def add(cls, values: Any) -> Any:
        return {"total": sum(values)} if values else values


def test_a_validator_of_the_program_sees_rows_before_they_are_refused() -> None:
    assert converted(list[Summed], rows("1,234567890"), CSV)[-1].total == 234567891
    assert converted(Summed, npy(np.ones(200_000)), NPY).total == 200_000


def test_a_codec_of_the_program_may_make_anything() -> None:
    class Total(TypedDict):
        total: int

    with codecs.isolated():
        codecs.register(codecs.Codec("csv", (CSV,), lambda body, _: {"total": len(body)}))
        assert converted(Total, rows("1,2"), CSV)["total"] > _budget.SMALL


def test_objects_of_a_large_array_are_within_the_budget() -> None:
    few = npy(np.full(4_000_000, -100, np.int8))
    with pytest.raises(PayloadTooLargeError, match="bytes of memory"):
        converted(list, few, NPY)
    with pytest.raises(PayloadTooLargeError, match="bytes of memory"):
        converted(list, npy(np.zeros((1_050_000, 1, 1), np.int8)), NPY)
    table = pa.table({"a": pa.array(np.zeros(8_000_000, np.bool_))})
    with pytest.raises(PayloadTooLargeError, match="The Arrow body"):
        converted(list, bytes(codecs.for_content_type(ARROW).encode(table, "")), ARROW)


SHORT = 2_400_000
IN_BUDGET: list[tuple[Any, bytes, str, Any]] = [
    (list, b"1,2\n" * (SHORT // 4), CSV, [1, 2]),
    (list[list[int]], b"1,2\n" * (SHORT // 4), CSV, [1, 2]),
    (list[list[int]], b"a,b\n" + b"1,2\n" * (SHORT // 4), CSV, [1, 2]),
    (list, b"1.5, 2\n" * (SHORT // 7), CSV, [1.5, 2.0]),
    (list[list[bool]], b"true,false\n" * (SHORT // 11), CSV, [True, False]),
    (list, npy(np.zeros(4_000_000, np.int8)), NPY, 0),
]


@pytest.mark.parametrize(("hint", "body", "content_type", "last"), IN_BUDGET)
def test_lists_count_as_what_they_are(hint: Any, body: bytes, content_type: str, last: Any) -> None:
    """Python has one object of each small integer, and cells of numbers were never all text."""
    assert converted(hint, body, content_type)[-1] == last


def test_integers_that_become_floats_are_within_the_budget() -> None:
    with pytest.raises(PayloadTooLargeError, match="The array body"):
        converted(list[list[float]], b"1,2\n" * (SHORT // 4), CSV)


@pytest.mark.parametrize("hint", [list, list[float], list[Model], dict, Row, np.ndarray])
def test_an_array_without_dimensions_is_converted_or_does_not_fit(hint: Any) -> None:
    body = npy(np.array(1.5))
    if hint is np.ndarray:
        assert converted(hint, body, NPY).tolist() == 1.5
    else:
        with pytest.raises(UnprocessableInputError, match=r"[Ee]xpected"):
            converted(hint, body, NPY)


@pytest.mark.parametrize("piece", [1 << 20, 7, 1])
@pytest.mark.parametrize(
    ("text", "is_even"),
    [
        (b"[[1],[2,3]]", True),
        (b'[{"a":1},{"b":[1,2]}]', True),
        (b'{"a":[1,2],"b":[3,4]}', True),
        (b'{"a":{"x":1},"b":{}}', True),
        (b'{"a":[[1,2],3],"b":[1,"x,y\\","]}', True),
        (b'{"a,[":[1,2]}', True),
        (b'[1,{"a":1}]', False),
        (b'[[1],{"a":1}]', False),
        (b'{"a":[1,2],"b":[3]}', False),
        (b'{"a":1}', False),
        (b"[1,2]", False),
        (b"[]", False),
        (b"1", False),
    ],
)
def test_texts_that_look_like_tables(
    monkeypatch: pytest.MonkeyPatch, piece: int, text: bytes, *, is_even: bool
) -> None:
    monkeypatch.setattr(_json_size, "_PIECE", piece)
    assert _json_size.is_even(text) is is_even


def test_an_empty_body_stays_an_error_of_its_format() -> None:
    with pytest.raises(DecodeError, match="The body is empty"):
        converted(np.ndarray, b"\n" * (_budget.SMALL + 1), CSV)


class Inner(pydantic.BaseModel):
    a: int = 0
    b: int = 0
    c: int = 0


class Outer(pydantic.BaseModel):
    inner: Inner | None = None
    any: dict[str, int] = {}


class Open(pydantic.BaseModel, extra="allow"):
    a: int = 0


@pytest.mark.parametrize(
    ("hint", "most"), [(list[Inner], 3), (dict[str, Outer], 3), (list[Open], 100), (list[int], 0)]
)
def test_how_many_fields_a_model_can_have(hint: Any, most: int) -> None:
    assert by_pydantic._most_fields(pydantic.TypeAdapter(hint).core_schema) == most


@pytest.mark.parametrize(("text", "content_type"), [(b"{%b},", JSON), (b"{%b}\n", JSON_LINES)])
def test_models_of_many_fields_count_by_their_memory(text: bytes, content_type: str) -> None:
    wide: Any = pydantic.create_model("Wide", **{f"f{index}": (int, 0) for index in range(20)})
    fields = b",".join(b'"f%d":1' % index for index in range(20))
    line = text % fields
    assert len(converted(list[wide], _rows_of(line, 8000, content_type), content_type)) == 8000
    with pytest.raises(PayloadTooLargeError, match="bytes of memory to be checked"):
        converted(list[wide], _rows_of(line, 60_000, content_type), content_type)


def _rows_of(line: bytes, count: int, content_type: str) -> bytes:
    rows = line * count
    return b"[%b]" % rows[:-1] if content_type == JSON else rows
