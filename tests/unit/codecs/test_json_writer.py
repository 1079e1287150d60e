from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import json as standard
import math
import uuid
from collections import OrderedDict, UserDict
from decimal import Decimal
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sagemaker_inference.codecs import json
from sagemaker_inference.errors import EncodeError


@given(hnp.arrays(st.sampled_from([np.float64, np.int64]), hnp.array_shapes(max_dims=4)))
def test_arrays_come_back_as_they_were(array):
    found = json.decode(json.encode(array))
    expected = np.where(np.isfinite(array), array, np.nan) if array.dtype.kind == "f" else array
    if np.isnan(expected).all():
        return
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "dtype", ["i1", "i2", "i4", "u1", "u2", "u4", "u8", "f2", "f4", ">f8", "?"]
)
def test_every_numeric_dtype_is_written(dtype):
    array = np.array([[0, 1], [1, 0]], dtype)
    found = json.decode(json.encode(array))
    np.testing.assert_array_equal(found.astype(dtype), array)


@given(hnp.arrays(st.sampled_from([np.float32, np.float16]), 5, elements={"allow_nan": False}))
def test_short_floats_read_back_as_the_same(array):
    finite = array[np.isfinite(array)]
    found = json.decode(json.encode(finite))
    np.testing.assert_array_equal(found.astype(array.dtype), finite)


class Colour(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Point:
    x: float
    y: object


class Named(NamedTuple):
    a: int
    b: int


class Model:
    def model_dump(self):
        return {"a": np.float64(1.5)}


class ArrayLike:
    def __array__(self, dtype=None, copy=None):
        return np.array([1, 2], dtype)


class Listable:
    def tolist(self):
        return [1, 2]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.array([1.5, math.nan, math.inf]), "[1.5,null,null]"),
        ({"a": math.nan, "b": -math.inf}, '{"a":null,"b":null}'),
        (math.nan, "null"),
        (np.array(1.5), "1.5"),
        (np.array(math.nan), "null"),
        (np.float32(0.1), "0.1"),
        (np.float16(0.5), "0.5"),
        (np.int64(3), "3"),
        (np.bool_(True), "true"),  # noqa: FBT003
        (np.longdouble(1.5), "1.5"),
        (np.array([1.5], np.longdouble), "[1.5]"),
        (np.arange(4.0).reshape(2, 2).T, "[[0.0,2.0],[1.0,3.0]]"),
        (np.empty((0, 3)), "[]"),
        (np.array(["a", "b"]), '["a","b"]'),
        (np.array([b"a"]), '["a"]'),
        (np.array([{"a": 1}, None], object), '[{"a":1},null]'),
        (np.array([(1, 2.5)], [("a", "i8"), ("b", "f8")]), "[[1,2.5]]"),
        (np.array(["2020-01-02", "NaT"], "M8[D]"), '["2020-01-02",null]'),
        (np.array("2020-01-02", "M8[D]"), '"2020-01-02"'),
        (np.array("2020-01-02T03:04", "M8[ns]"), '"2020-01-02T03:04:00.000000000"'),
        ({"a": np.array(["NaT"], "M8[D]"), "b": np.datetime64("NaT", "D")},
         '{"a":[null],"b":null}'),
        (np.datetime64("NaT", "s"), "null"),
        (np.timedelta64(3, "s"), '"3 seconds"'),
        (np.str_("a"), '"a"'),
        ({"a": np.array([1]), "b": [np.float64(2)]}, '{"a":[1],"b":[2.0]}'),
        ({1: 2, None: 3}, '{"1":2,"null":3}'),
        ({np.int64(1): 2}, '{"1":2}'),
        ((1, "é"), '[1,"é"]'),
        ({3}, "[3]"),
        (range(3), "[0,1,2]"),
        (iter([1, 2]), "[1,2]"),
        (b"text", '"text"'),
        (bytearray(b"x"), '"x"'),
        (memoryview(b"y"), '"y"'),
        (Named(1, 2), "[1,2]"),
        (Model(), '{"a":1.5}'),
        (ArrayLike(), "[1,2]"),
        (Listable(), "[1,2]"),
        (UserDict(a=1), '{"a":1}'),
        (OrderedDict(b=1, a=2), '{"b":1,"a":2}'),
        (Point(1.5, np.array([1])), '{"x":1.5,"y":[1]}'),
        (Colour.RED, "1"),
        (dt.date(2020, 1, 2), '"2020-01-02"'),
        (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (2**64, str(2**64)),
        ([2**70, math.nan, 1.5], f"[{2**70},null,1.5]"),
        ({"big": 2**64, "a": np.array([1.5, math.nan]), 3: (1,)},
         '{"big":18446744073709551616,"a":[1.5,null],"3":[1]}'),
        ({"big": 2**64, "p": Point(math.nan, 1), "c": Colour.RED, "m": Model()},
         '{"big":18446744073709551616,"p":{"x":null,"y":1},"c":1,"m":{"a":1.5}}'),
        ({"big": 2**64, "i": iter([2**64])},
         '{"big":18446744073709551616,"i":[18446744073709551616]}'),
        ({Colour.RED: 2**64}, '{"Colour.RED":18446744073709551616}'),
        ("\ud800", '"\\ud800"'),
    ],
)  # fmt: skip
def test_predictions_are_written_as_valid_json(value, expected):
    written = json.encode(value).decode()
    assert written == expected
    standard.loads(written, parse_constant=pytest.fail)


def recursive():
    value = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    "value",
    [
        object(),
        {"a": object()},
        np.array([1 + 2j]),
        np.array([b"\x00"], "V1"),
        1j,
        b"\xff",
        recursive(),
        {"big": 2**64, "a": object()},
    ],
)
def test_what_has_no_json_form_is_an_encode_error(value):
    with pytest.raises(EncodeError, match="cannot be written as JSON") as caught:
        json.encode(value)
    assert len(caught.value.message) <= 300


def test_decimals_are_numbers_and_missing_values_null():
    assert json.encode({"a": [Decimal("1.5"), pd.NA]}) == b'{"a":[1.5,null]}'
    assert json.encode([Decimal("NaN"), 1 << 70, Decimal(2), pd.NA]) == (
        b"[null,1180591620717411303424,2.0,null]"
    )
    frame = pd.DataFrame({"a": pd.array([1, None], "Int64")})
    assert json.encode(frame) == b'[{"a":1},{"a":null}]'
