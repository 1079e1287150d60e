"""Arrays of Python objects are written without a pickle."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagemaker_inference.codecs import csv, npy, npz
from sagemaker_inference.errors import EncodeError


def objects(*values):
    array = np.empty(len(values), object)
    array[:] = values
    return array


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (["a", "bb"], "<U2"),
        ([np.str_("a")], "<U1"),
        ([1, -(2**63)], "<i8"),
        ([np.int8(1), 2**63 - 1], "<i8"),
        ([1, 2**64 - 1], "<u8"),
        ([1.5, np.float32(2)], "<f8"),
        ([1.5, 2, None, pd.NA], "<f8"),
        ([True, np.False_], "|b1"),
    ],
)
def test_values_of_one_kind_have_its_dtype(values, dtype):
    expected = [np.nan if value is None or value is pd.NA else value for value in values]
    for array in (
        npy.decode(npy.encode(objects(*values))),
        npz.decode(npz.encode({"a": objects(*values)}))["a"],
    ):
        assert array.dtype.str == dtype
        np.testing.assert_array_equal(array, np.array(expected, dtype))


@pytest.mark.parametrize(
    "values",
    [
        ["a", 1],
        ["a", None],
        [b"a"],
        [True, 1],
        [1, None],
        [None],
        [2**64],
        [-1, 2**63],
        [2**60, 0.5],
        [{}],
        [[1], [1, 2]],
    ],
)
def test_other_values_are_refused(values):
    with pytest.raises(EncodeError, match="holds Python objects other than"):
        npy.encode(objects(*values))


def test_an_empty_array_of_objects_is_refused_and_its_shape_is_kept_otherwise():
    with pytest.raises(EncodeError):
        npy.encode(objects())
    assert npy.decode(npy.encode(objects(*"abcd").reshape(2, 2))).tolist() == [
        ["a", "b"],
        ["c", "d"],
    ]


def test_a_long_text_among_many_short_ones_is_refused():
    with pytest.raises(EncodeError):
        npy.encode(objects("x" * 20_000, *["a"] * 2000))


def test_records_of_a_data_frame_are_npy_and_csv():
    frame = pd.DataFrame({"a": [1, 2], "b": objects("x", "y, z"), "c": [1.5, np.nan]})
    records = frame.to_records(index=False)
    array = npy.decode(npy.encode(records))
    assert array.dtype.descr == [("a", "<i8"), ("b", "<U4"), ("c", "<f8")]
    assert array.tolist()[0] == (1, "x", 1.5)
    assert csv.encode(records) == b'1,x,1.5\n2,"y, z",nan\n'
    assert csv.encode(records[:1].reshape(())) == b"1,x,1.5\n"
    assert csv.encode(records[0]) == b"1,x,1.5\n"


def test_fields_of_records_are_written_as_columns_of_their_dtype_are():
    days = np.array([("2026-01-02", np.float32(0.1))], [("d", "M8[D]"), ("f", "f4")])
    assert csv.encode(days) == b"2026-01-02,0.1\n"


@pytest.mark.parametrize("field", [("a", "i4", (2,)), ("a", [("b", "i4")])])
def test_records_with_nested_fields_are_no_csv(field):
    with pytest.raises(EncodeError, match="field 'a' is not a column"):
        csv.encode(np.zeros(2, [field]))


def test_records_with_other_objects_are_refused():
    with pytest.raises(EncodeError):
        npy.encode(np.array([({},)], [("a", object)]))


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=1)
)
def test_any_text_survives(texts):
    assert npy.decode(npy.encode(objects(*texts))).tolist() == texts
