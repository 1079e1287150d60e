from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import ipaddress
import json as standard
import math
import uuid
from collections import OrderedDict, UserDict
from decimal import Decimal
from typing import NamedTuple

import attrs
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sagemaker_inference.codecs import json, jsonlines
from sagemaker_inference.errors import EncodeError


@given(hnp.arrays(st.sampled_from([np.float64, np.int64]), hnp.array_shapes(max_dims=4)))
def test_arrays_survive_a_round_trip(array):
    decoded = json.decode(json.encode(array))
    expected = np.where(np.isfinite(array), array, np.nan) if array.dtype.kind == "f" else array
    if np.isnan(expected).all():
        return
    assert decoded.shape == expected.shape
    np.testing.assert_array_equal(decoded, expected)


@pytest.mark.parametrize(
    "dtype", ["i1", "i2", "i4", "u1", "u2", "u4", "u8", "f2", "f4", ">f8", "?"]
)
def test_every_numeric_dtype_is_written(dtype):
    array = np.array([[0, 1], [1, 0]], dtype)
    decoded = json.decode(json.encode(array))
    np.testing.assert_array_equal(decoded.astype(dtype), array)


@given(hnp.arrays(st.sampled_from([np.float32, np.float16]), 5, elements={"allow_nan": False}))
def test_float32_and_float16_survive_a_round_trip(array):
    finite = array[np.isfinite(array)]
    decoded = json.decode(json.encode(finite))
    np.testing.assert_array_equal(decoded.astype(array.dtype), finite)


class Colour(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Point:
    x: float
    y: object


@attrs.define
class Spot:
    x: float
    y: object = 2


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
        (Spot(1.5), '{"x":1.5,"y":2}'),
        ([Spot(1.5, [Spot(2)])], '[{"x":1.5,"y":[{"x":2,"y":2}]}]'),
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
def test_values_without_a_json_form_are_an_encode_error(value):
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


class Local(ipaddress.IPv6Network):
    """A network of the program's."""


@pytest.mark.parametrize(
    "value",
    [
        ipaddress.ip_address("192.0.2.1"),
        ipaddress.ip_interface("192.0.2.1/24"),
        ipaddress.ip_network("192.0.2.0/24"),
        Local("2001:db8::/32"),
    ],
)
def test_addresses_and_networks_are_text(value):
    assert json.encode({"a": value}) == f'{{"a":"{value}"}}'.encode()
    assert jsonlines.encode(value) == f'"{value}"\n'.encode()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.array([10**18, "NaT"], "m8[ns]"), '["1000000000000000000 nanoseconds",null]'),
        (np.array([[-(10**17)]], "m8[25s]"), '[["-2500000000000000000 seconds"]]'),
        (np.array(10**18, "m8[ns]"), '"1000000000000000000 nanoseconds"'),
        (pd.Timedelta(1, "h").as_unit("us"), '"3600000000 microseconds"'),
        (pd.Timedelta(1, "ns"), '"1 nanoseconds"'),
        (dt.timedelta(hours=1), '"3600000000 microseconds"'),
        ([dt.timedelta.max], '["86399999999999999999 microseconds"]'),
        (pd.DataFrame({"a": np.array([3_600_000_000, "NaT"], "m8[us]")}),
         '[{"a":"3600000000 microseconds"},{"a":null}]'),
    ],
)  # fmt: skip
def test_timedeltas_are_written_in_full(value, expected):
    assert json.encode(value).decode() == expected


NOON = pd.Timestamp("2020-07-01 12:00", tz="Europe/Paris")


class Half(dt.tzinfo):
    def utcoffset(self, when):
        return dt.timedelta(minutes=30)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (NOON, '"2020-07-01T12:00:00+02:00"'),
        (pd.Series([NOON, pd.NaT]), '["2020-07-01T12:00:00+02:00",null]'),
        (pd.DatetimeIndex([NOON]), '["2020-07-01T12:00:00+02:00"]'),
        (pd.DataFrame({"a": [NOON, pd.NaT]}), '[{"a":"2020-07-01T12:00:00+02:00"},{"a":null}]'),
        ({"big": 2**64, "a": NOON}, '{"big":18446744073709551616,"a":"2020-07-01T12:00:00+02:00"}'),
        (dt.datetime(2020, 1, 2, tzinfo=Half()), '"2020-01-02T00:00:00+00:30"'),
        (dt.time(1, 2, tzinfo=dt.timezone.utc), '"01:02:00+00:00"'),
        (pd.Timestamp("2020-07-01").as_unit("s"), '"2020-07-01T00:00:00"'),
        (pd.NaT, "null"),
    ],
)
def test_a_time_zone_is_written_as_its_offset(value, expected):
    assert json.encode(value).decode() == expected


@pytest.mark.parametrize("names", [["a", "a"], [1, "1"]])
def test_columns_with_the_same_name_are_an_encode_error(names):
    frame = pd.DataFrame([[1, 2]], columns=names)
    for value in (frame, {"table": frame}):
        with pytest.raises(EncodeError, match=f"rename one of the columns '{names[0]}'"):
            json.encode(value)


def test_periods_and_intervals_are_written_as_text():
    period, interval = pd.Period("2020-01", "M"), pd.Interval(0, 1)
    assert json.encode([period, interval]) == b'["2020-01","(0, 1]"]'
    frame = pd.DataFrame({"a": [period], "b": [interval]})
    assert json.encode(frame) == b'[{"a":"2020-01","b":"(0, 1]"}]'


def test_structs_of_msgspec_are_written_like_by_msgspec():
    msgspec = pytest.importorskip("msgspec")
    struct = msgspec.defstruct("S", ["a_b"], rename="camel")
    assert json.encode(struct([np.arange(2), struct(np.float32(0.1))])) == (
        b'{"aB":[[0,1],{"aB":0.1}]}'
    )
    assert json.encode(struct(2**64)) == b'{"aB":18446744073709551616}'
    with pytest.raises(EncodeError):
        json.encode(struct(object()))


@pytest.mark.parametrize("kind", ["Int64", "UInt64"])
def test_integers_beside_missing_values_stay_exact(kind):
    values = pd.array([2**53 + 1, None], kind)
    for value in (values, pd.Series(values), pd.Index(values)):
        assert json.encode({"a": value}) == b'{"a":[9007199254740993,null]}'
    assert json.encode(pd.Series([1.5, None], dtype="Float64")) == b"[1.5,null]"
