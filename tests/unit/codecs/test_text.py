from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagemaker_inference.codecs import text
from sagemaker_inference.errors import DecodeError, EncodeError, UnsupportedMediaTypeError


@given(st.text(st.characters(codec="utf-8")))
def test_text_survives_a_round_trip(value):
    assert text.decode(text.encode(value)) == value.removeprefix("\ufeff")


@pytest.mark.parametrize("charset", ["latin-1", "utf-16", "ascii", "utf-8"])
def test_charsets_are_read_and_written(charset):
    value = "e" if charset == "ascii" else "é"
    header = f"text/plain; charset={charset}"
    assert text.decode(value.encode(charset), header) == value
    assert text.encode(value, header) == value.encode(charset)


def test_text_outside_its_charset_is_refused():
    with pytest.raises(DecodeError, match="byte 1"):
        text.decode(b"a\xff")
    with pytest.raises(UnsupportedMediaTypeError):
        text.decode(b"a", "text/plain; charset=klingon")
    with pytest.raises(UnsupportedMediaTypeError):
        text.decode(b"9" * 2_000_000, "text/plain; charset=punycode")
    for value, charset in (("é", "ascii"), ("a", "klingon"), ("\ud800", "utf-8")):
        with pytest.raises(EncodeError):
            text.encode(value, f"text/plain; charset={charset}")


def test_an_empty_body_is_an_empty_text():
    assert text.decode(b"") == ""


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [
        (b"a", b"a"),
        (bytearray(b"a"), bytearray(b"a")),
        (3, b"3"),
        (1.5, b"1.5"),
        (True, b"True"),
        (None, b"None"),
        (np.float32(0.5), b"0.5"),
        (np.array(2), b"2"),
        (["a", "b"], b"a\nb"),
        (np.array([1.5, 2]), b"1.5\n2.0"),
        (np.array([0.1, 1e16]), b"0.1\n1e+16"),
        (np.array([0.1, np.nan], np.float32), b"0.1\nnan"),
        (np.array([0.1], np.float16), b"0.1"),
        (np.float32(0.1), b"0.1"),
        ([b"xy", b"\xff"], "xy\n\ufffd".encode()),
        (np.array([b"xy", 1], object), b"xy\n1"),
        (np.array(["2020-01-02T03:04", "NaT"], "M8[ns]"), b"2020-01-02T03:04:00.000000000\nNaT"),
        (np.array([10**18], "m8[ns]"), b"1000000000000000000 nanoseconds"),
        (np.array([[10**18, 1]], "m8[ns]"), b"1000000000000000000 nanoseconds,1 nanoseconds"),
        (dt.timedelta(hours=1), b"3600000000 microseconds"),
        ([dt.timedelta(hours=1), 1], b"3600000000 microseconds\n1"),
        (pd.Timestamp("2020-01-02"), b"2020-01-02 00:00:00"),
        (pd.Timestamp("2020-01-02", tz="Asia/Tokyo"), b"2020-01-02 00:00:00+09:00"),
        ([], b""),
        (np.array([[1.5, 2], [3, np.nan]]), b"1.5,2.0\n3.0,nan"),
        ([["a", 1], ["b,c", 2]], b'a,1\n"b,c",2'),
        (pd.DataFrame({"a": [1, 2], "b": [3, 4]}), b"1,3\n2,4"),
        ({"a": [1.5, None]}, b'{"a":[1.5,null]}'),
        ([{"a": 1}], b'[{"a":1}]'),
        ([[1], [2, 3]], b"[[1],[2,3]]"),
        (np.zeros((1, 2, 1), int), b"[[[0],[0]]]"),
        (np.zeros(1, [("a", "i4")]), b"[[0]]"),
    ],
)
def test_values_are_written_one_per_line_rows_as_csv_and_the_rest_as_json(prediction, expected):
    assert text.encode(prediction) == expected


def test_values_without_a_json_form_either_are_an_encode_error():
    with pytest.raises(EncodeError, match="cannot be written as JSON"):
        text.encode({"a": object()})
