from __future__ import annotations

import math
from datetime import date, timedelta
from decimal import Decimal
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sagemaker_inference.codecs import _csv_writer, csv
from sagemaker_inference.errors import EncodeError

NAN = math.nan


def test_integers_of_a_data_frame_stay_exact():
    mixed = pd.DataFrame({"id": [2**53 + 1], "score": [0.5]})
    assert csv.encode(mixed) == b"9007199254740993,0.5\n"
    assert csv.encode(pd.Series([2**53 + 1, None], dtype="Int64")) == b'9007199254740993\n""\n'
    assert csv.encode(pd.DataFrame({"a": [1.5]})) == b"1.5\n"


def test_float32_beside_nan_has_its_own_digits():
    assert csv.encode(np.array([0.1, NAN], "f4")) == b"0.1\nnan\n"


def test_timedeltas_are_written_in_full():
    assert csv.encode(np.array([10**18], "m8[ns]")) == b"1000000000000000000 nanoseconds\n"
    assert csv.encode([timedelta(hours=1)]) == b"3600000000 microseconds\n"


def test_rows_of_blanks_survive_a_round_trip():
    assert csv.decode(csv.encode(np.array([" ", "a", "\t"]))).tolist() == [[" "], ["a"], ["\t"]]


@given(
    hnp.arrays(
        st.sampled_from([np.float64, np.int64, np.float32]),
        st.tuples(st.integers(1, 5), st.integers(1, 4)),
    )
)
def test_numbers_survive_a_round_trip(array):
    decoded = csv.decode(csv.encode(array), header=False)
    if array.dtype == np.int64:
        assert decoded.dtype == np.int64
    np.testing.assert_array_equal(decoded.astype(array.dtype), array)


cells = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=6)


@given(
    st.integers(1, 3).flatmap(
        lambda n: st.lists(st.lists(cells, min_size=n, max_size=n), min_size=1, max_size=4)
    )
)
def test_text_survives_a_round_trip(rows):
    array = np.array(rows, object)
    written = csv.encode(array)
    if not written.strip(b" \t\n"):
        return
    decoded = csv.decode(written, header=False, dtype=str)
    if any(
        cell.strip(" \t") != cell or (len(row) == 1 and not cell.strip())
        for row in rows
        for cell in row
    ):
        return
    assert decoded.tolist() == rows


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [
        ([[1, 2], [3, 4]], "1,2\n3,4\n"),
        ([1, 2], "1\n2\n"),
        (1.5, "1.5\n"),
        (np.arange(4.0).reshape(2, 2).T, "0.0,2.0\n1.0,3.0\n"),
        (np.array([[1.5, NAN], [math.inf, -math.inf]]), "1.5,nan\ninf,-inf\n"),
        (np.array([0.1], np.float32), "0.1\n"),
        (np.array([0.5], np.float16), "0.5\n"),
        (np.array([1.5], ">f8"), "1.5\n"),
        (np.array([200], np.uint8), "200\n"),
        ([True, False], "True\nFalse\n"),
        (np.array(["a", "b,c", 'd"e', "", None], object), 'a\n"b,c"\n"d""e"\n""\n""\n'),
        (np.array([["a", None, 1.5]], object), "a,,1.5\n"),
        (np.array([b"a"]), "a\n"),
        (np.array(["2020-01-02", "NaT"], "M8[D]"), "2020-01-02\nNaT\n"),
        (np.empty((0, 3)), ""),
        (np.empty((2, 0)), "\n\n"),
        ([], ""),
    ],
)
def test_predictions_are_written_one_row_per_line(prediction, expected):
    assert csv.encode(prediction).decode() == expected


@pytest.mark.parametrize("value", [np.zeros((1, 1, 1)), [[1], [2, 3]], np.array(["\ud800"])])
def test_values_that_are_not_a_table_are_an_encode_error(value):
    with pytest.raises(EncodeError, match="cannot be written as CSV"):
        csv.encode(value)


@pytest.mark.parametrize(
    "value", [{"a": [1, 2]}, object(), [object()], [{"a": 1}, None], {1}, np.ones(2)]
)
def test_objects_that_are_not_single_values_are_an_encode_error(value):
    array = np.empty(1, object)
    array[0] = value
    with pytest.raises(EncodeError, match="cannot be written as a cell of CSV"):
        csv.encode(array)


def test_single_values_of_any_type_are_written():
    values = ["a", Decimal("1.5"), date(2020, 1, 2), 1 + 2j, np.float32(0.5), None, pd.NA]
    array = np.array([[*values, UUID(int=1)]], object)
    expected = b"a,1.5,2020-01-02,(1+2j),0.5,,,00000000-0000-0000-0000-000000000001\n"
    assert csv.encode(array) == expected


@pytest.mark.parametrize("shape", [(1, 1), (7, 1), (5, 3), (2, 9), (1, 9), (4, 4)])
def test_numbers_are_written_in_blocks(shape, monkeypatch):
    monkeypatch.setattr(_csv_writer, "_BLOCK", 4)
    array = np.arange(np.prod(shape), dtype=np.uint64).reshape(shape) + np.uint64(2**63)
    expected = "".join(",".join(map(str, row)) + "\n" for row in array.tolist())
    assert csv.encode(array).decode() == expected
