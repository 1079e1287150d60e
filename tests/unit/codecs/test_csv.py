from __future__ import annotations

import io
import math
import tracemalloc
from datetime import date, timedelta
from decimal import Decimal
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sagemaker_inference.codecs import csv
from sagemaker_inference.errors import DecodeError, EncodeError, PayloadTooLargeError

fixtures_stay = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
NAN = math.nan


def same(found, expected):
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"1", [[1]]),
        (b"1,2", [[1, 2]]),
        (b"1\n2", [[1], [2]]),
        (b"1,2\n3,4", [[1, 2], [3, 4]]),
        (b"1,2\r\n3,4\r\n", [[1, 2], [3, 4]]),
        (b"1,2\r3,4\r", [[1, 2], [3, 4]]),
        (b"\n\n1,2\n\n3,4\n\n", [[1, 2], [3, 4]]),
        (b"1,2\n \t\n3,4", [[1, 2], [3, 4]]),
        (b" 1 ,\t2", [[1, 2]]),
        (b'"1","2"', [[1, 2]]),
        (b"+1,2", [[1, 2]]),
        (b"-0", [[0]]),
        (b"1.5,2", [[1.5, 2.0]]),
        (b"-0,1.5", [[-0.0, 1.5]]),
        (b"0,1.5", [[0.0, 1.5]]),
        (b"-0.0,1", [[-0.0, 1.0]]),
        (b"1,,3", [[1.0, NAN, 3.0]]),
        (b"1, ,3", [[1.0, NAN, 3.0]]),
        (b",", [[NAN, NAN]]),
        (b'""', [[NAN]]),
        (b'1\n""\n2', [[1.0], [NAN], [2.0]]),
        (b"nan,inf,-inf,NaN,Infinity", [[NAN, math.inf, -math.inf, NAN, math.inf]]),
        (b".5,1.,1e3", [[0.5, 1.0, 1000.0]]),
        (b"9223372036854775807", [[2**63 - 1]]),
        (b"9223372036854775808", [[2.0**63]]),
        (b"99999999999999999999,1", [[1e20, 1.0]]),
        (b"True,false", [[True, False]]),
        (b" True\nFALSE", [[True], [False]]),
        (b"\xef\xbb\xbf1,2", [[1, 2]]),
        (b"a,b\n1,2", [[1, 2]]),
        (b'"a","b"\n1,2\n', [[1, 2]]),
        (b"a,b\n1.5,\n,2", [[1.5, NAN], [NAN, 2.0]]),
        (b' \n"a"\n1', [[1]]),
    ],
)
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_numbers_are_rows_by_columns(backend, small, kind, body, expected):
    same(csv.decode(kind(body)), np.array(expected))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"hello", [["hello"]]),
        (b"a,b", [["a", "b"]]),
        (b"tom,1", [["tom", 1]]),
        (b"x\x1c", [["x\x1c"]]),
        (b" \nname\nbob", [["name"], ["bob"]]),
        (b"a,1\nb,2.5", [["a", 1.0], ["b", 2.5]]),
        (b"a,1\nb,2", [["a", 1], ["b", 2]]),
        (b"a,\nb,2", [["a", NAN], ["b", 2.0]]),
        (b"a,True\nb,False", [["a", True], ["b", False]]),
        (b"a,b\nc,d", [["a", "b"], ["c", "d"]]),
        (b"a\n", [["a"]]),
        (b"a,\n,b", [["a", ""], ["", "b"]]),
        (b"1_0,2", [["1_0", 2]]),
        (b"#1,2", [["#1", 2]]),
        (b"[1,2]", [["[1", "2]"]]),
        (b"1\n[2]", [["1"], ["[2]"]]),
        (b"{}", [["{}"]]),
        (b"0x10", [["0x10"]]),
        (b"null", [["null"]]),
        (b'"a,b",1', [["a,b", 1]]),
        (b'"a ""b""\n c",1', [['a "b"\n c', 1]]),
        (b' "a" , "b" ', [["a", "b"]]),
        (b'a"b,1', [['a"b', 1]]),
        (b'"a"\n\n"b"\n', [["a"], ["b"]]),
        (b'"a",\n', [["a", NAN]]),
        ("é,ü".encode(), [["é", "ü"]]),
        (b"name,age\nbob,3\neve,4", [["bob", 3], ["eve", 4]]),
        (b"name,age\nbob,\neve,4", [["bob", NAN], ["eve", 4.0]]),
        (b"name,city\nbob,rome", [["name", "city"], ["bob", "rome"]]),
    ],
)
def test_text_makes_an_array_of_objects(backend, small, body, expected):
    found = csv.decode(body)
    assert found.dtype == object
    assert repr(found.tolist()) == repr(expected)


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b"1,2\n3,4", "text/csv; header=present", [[3, 4]]),
        (b"1,2\n3,4", "text/csv; header=absent", [[1, 2], [3, 4]]),
        (b"a\n1", "text/csv; header=absent", [["a"], ["1"]]),
        (b'"a"\n1', "text/csv; header=PRESENT; charset=utf-8", [[1]]),
        (b"a\n1", "text/csv; header=perhaps", [[1]]),
        (b'a\n"1"', "text/csv", [[1]]),
    ],
)
def test_the_header_parameter_settles_it(backend, small, body, content_type, expected):
    found = csv.decode(body, content_type)
    assert found.tolist() == expected


def test_the_header_argument_goes_before_the_parameter():
    assert csv.decode(b"1\n2", "text/csv; header=absent", header=True).tolist() == [[2]]
    assert csv.decode(b"a\n2", header=False).tolist() == [["a"], ["2"]]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b" \n\t\r\n", "empty"),
        (b"1,2\n3", "row 2 has 1 columns, and row 1 has 2"),
        (b"a,b\n1,2\n3,4,5", "row 3 has 3 columns"),
        (b"a,b\n1\n2", "row 2 has 1 columns"),
        (b'1\n"a', "line 2"),
        (b'"a"b,1', "line 1"),
        (b"\xff", "byte 0"),
        (b"1,2,3\n4,5\n6", "row 2 has 2"),
    ],
)
def test_a_malformed_text_is_refused_with_its_place(backend, small, body, words):
    with pytest.raises(DecodeError, match=words):
        csv.decode(body)


def test_a_header_alone_is_refused():
    with pytest.raises(DecodeError, match="a header and no rows"):
        csv.decode(b"a,b", header=True)


def test_dtype_is_what_the_cells_become():
    same(csv.decode(b"1,2", dtype=np.float32), np.array([[1, 2]], np.float32))
    assert csv.decode(b"1,a", dtype=str).tolist() == [["1", "a"]]
    assert csv.decode(b"n\n1", dtype=object).tolist() == [["1"]]
    with pytest.raises(DecodeError, match="float32"):
        csv.decode(b"1,a", dtype="float32")


def test_other_charsets_are_decoded():
    found = csv.decode("é;1".encode("utf-16"), "text/csv; charset=utf-16")
    assert found.tolist() == [["é;1"]]


@pytest.mark.parametrize(
    "body",
    [
        b"1,2,3,4\n5,6,7,8\n9,10,11,12",
        b"1,2,3,4\n5,6,7,8.5\n9,10,11,12",
        b"1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11",
        b"1.5,2,3,4,5,6,7,8,9,10,11",
        b"1111111111\n2222222222\n",
    ],
)
def test_long_texts_are_read_in_pieces(tiny_pieces, backend, body):
    expected = np.genfromtxt(io.BytesIO(body), delimiter=",", ndmin=2)
    if expected.shape[0] == 1 or b"," not in body:
        expected = expected.reshape(-1, body.split(b"\n")[0].count(b",") + 1)
    if b"." not in body:
        expected = expected.astype(np.int64)
    same(csv.decode(body), expected)


def test_negative_zero_keeps_its_sign_when_a_float_comes_later(tiny_pieces, backend):
    same(csv.decode(b"-0,1\n2,3\n4,5.5\n"), np.array([[-0.0, 1], [2, 3], [4, 5.5]]))
    same(csv.decode(b"-0,1\n2,3\n4,5\n"), np.array([[0, 1], [2, 3], [4, 5]]))


@pytest.mark.parametrize(
    "body",
    [
        b"1,,3,4\n5,6,7,8\n9,10,11,+12\n,,,\n1,2,3,4",
        b"a,b,c,d\n1,,3,4\n5,6,7,8\n9,10,11,12",
        b"a,b\n1,x\n5,6\n9,10\n11,12",
        b"1,2,3,4\n5,6,7,8\n9,10,11\n",
        b"1,,3,4\n5,6,7\n9,10,11\n",
        b"1,,3,4\n5,6,7\n,\n8,9,10",
        b"1,2,3,-0\n5,6,7,8\n9,10,11,.5",
        b"1,2,3,4\n         \n \n5,6,7,.5",
        b'1,2,3,4\n5,6,7,"8"',
        b",,,,,,,,,,",
        b"a,b\n1,2,,4\n5,6,7,8\n9,10,11,12",
        b"  \na,b\n1,\n5,6\n9,10\n11,12",
    ],
)
@pytest.mark.parametrize("header", [None, True, False])
def test_long_texts_with_empty_cells_are_what_short_ones_are(
    tiny_pieces, monkeypatch, body, header
):
    def read():
        try:
            found = csv.decode(body, header=header)
        except DecodeError as error:
            return error.message
        return found.dtype, found.shape, repr(found.tolist())

    expected = read()
    monkeypatch.setattr(csv, "_LONG", 8)
    assert read() == expected


def test_a_long_text_with_words_is_read_in_pieces(tiny_pieces, monkeypatch):
    monkeypatch.setattr(csv, "_ROWS", 2)
    for quote in ("", '"'):
        body = "".join(f"{quote}w{row}{quote},{row}\n" for row in range(7)).encode()
        assert csv.decode(body).tolist() == [[f"w{row}", row] for row in range(7)]
        assert csv.decode(b"a,b\n" + body).tolist() == [[f"w{row}", row] for row in range(7)]
        with pytest.raises(DecodeError, match="row 8 has 1 columns"):
            csv.decode(body + b"1\n")
        with pytest.raises(DecodeError, match=f"not UTF-8 at byte {len(body)}"):
            csv.decode(body + b"\xff,1\n")
        blanks = b" " * 20 + b"\n"
        assert csv.decode(body + blanks + b"x,1").shape == (8, 2)


CELLS = st.sampled_from(
    ["1", "-0", "2.5", "", " ", "true", "False", "word", '"1"', '"a, b"', "9" * 20]
)


@fixtures_stay
@given(
    st.integers(1, 3).flatmap(
        lambda n: st.lists(st.lists(CELLS, min_size=n, max_size=n), min_size=1, max_size=12)
    ),
    st.sampled_from([None, True, False]),
    st.sampled_from([None, str, float]),
)
def test_what_is_read_twice_is_what_is_read_once(tiny_pieces, rows, header, dtype):
    body = "\n".join(",".join(row) for row in rows).encode()

    def read():
        try:
            found = csv.decode(body, header=header, dtype=dtype)
        except DecodeError as error:
            return error.message
        return found.dtype, found.shape, repr(found.tolist())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv, "_ROWS", 2)
        once = read()
        patch.setattr(csv, "_LONG", 0)
        assert read() == once


def test_the_last_cell_may_decide_what_a_column_is(tiny_pieces, monkeypatch):
    monkeypatch.setattr(csv, "_LONG", 8)
    rows = b"1,true,x\n" * 9
    assert csv.decode(rows).tolist() == [[1, True, "x"]] * 9
    assert csv.decode(rows + b"2.5,no,y")[0].tolist() == [1.0, "true", "x"]
    assert csv.decode(rows + b"a,false,y")[[0, 9]].tolist() == [["1", True, "x"], ["a", False, "y"]]
    assert csv.decode(b"a,b,c\n" + rows).shape == (9, 3)
    assert csv.decode(rows, dtype=str)[0].tolist() == ["1", "true", "x"]


def test_ragged_rows_in_pieces_are_refused(tiny_pieces, backend):
    with pytest.raises(DecodeError, match="row 3"):
        csv.decode(b"1,2,3,4\n5,6,7,8\n9,10,11\n")


def test_a_wide_first_row_before_many_lines_takes_no_more_room_than_there_are_cells():
    wide = b",".join([b"1"] * 100_000)
    with pytest.raises(DecodeError, match="row 2 has 1 columns, and row 1 has 100000"):
        csv.decode(wide + b"\n" + b"1\n" * 500_000)
    assert csv.decode(wide + b"\n" * 500_000 + wide).shape == (2, 100_000)
    assert csv.decode(wide + b",\n" + b"\n" * 500_000 + wide + b",").shape == (2, 100_001)


def test_columns_beyond_all_measure_are_read_as_plain_numbers_only():
    wide = b",".join([b"+1"] * 250_002)
    for body in (wide, b'"a",' + wide):
        with pytest.raises(PayloadTooLargeError, match="Over 250000 columns"):
            csv.decode(body)
    assert csv.decode(wide.replace(b"+", b"")).shape == (1, 250_002)


def test_records_of_very_many_fields_are_refused():
    with pytest.raises(PayloadTooLargeError, match="in over 10000 columns"):
        csv.as_records(csv.decode(b"a," + b"1," * 10_000 + b"1\n", header=False))


@pytest.mark.parametrize(
    ("body", "dtype"), [(b"nan", int), (b"300", "u1"), (b"1.5,2", int), (b"-1", np.uint64)]
)
def test_numbers_are_not_made_others_to_fit(body, dtype):
    with pytest.raises(DecodeError, match="does not fit dtype"):
        csv.decode(body, dtype=dtype)
    assert csv.decode(b"1.0,2", dtype="u1").tolist() == [[1, 2]]


def test_the_index_that_pandas_writes_has_no_name():
    assert csv.decode(b",a,b\n0,1,2\n1,3,4\n").tolist() == [[0, 1, 2], [1, 3, 4]]
    assert csv.decode(b",a\nx,1\n").tolist() == [["x", 1]]
    assert np.isnan(csv.decode(b",1\n2,3\n")[0, 0])


def test_names_and_columns_of_their_own_kinds():
    names, found = csv.with_names(b"id,p\n9007199254740993,1.5\n", "text/csv")
    assert (names, [list(column) for column in found]) == (["id", "p"], [[9007199254740993], [1.5]])
    names, found = csv.with_names(b"1.5,2.5", "text/csv; header=absent")
    assert (names, [column.dtype for column in found]) == (None, [np.float64] * 2)
    names, found = csv.with_names(b'"a","b ""c"""\n1,x\n', "text/csv; header=present")
    assert (names, [list(column) for column in found]) == (["a", 'b "c"'], [[1], ["x"]])
    for whole, dtype in (("1", "i8"), ("1.", "O"), ("1.00", "O"), ("1e3", "O"), ("-0", "O")):
        _, found = csv.with_names(f"{whole},2.05\n{whole},3.5".encode(), "text/csv")
        assert found[0].dtype == dtype
        assert np.array(found[0].tolist()).dtype == ("i8" if whole in {"1", "-0"} else "f8")


def test_integers_of_a_table_stay_integers():
    mixed = pd.DataFrame({"id": [2**53 + 1], "score": [0.5]})
    assert csv.encode(mixed) == b"9007199254740993,0.5\n"
    assert csv.encode(pd.Series([2**53 + 1, None], dtype="Int64")) == b'9007199254740993\n""\n'
    assert csv.encode(pd.DataFrame({"a": [1.5]})) == b"1.5\n"


def test_short_floats_keep_their_digits_beside_nan():
    assert csv.encode(np.array([0.1, NAN], "f4")) == b"0.1\nnan\n"


def test_timedeltas_are_written_in_full():
    assert csv.encode(np.array([10**18], "m8[ns]")) == b"1000000000000000000 nanoseconds\n"
    assert csv.encode([timedelta(hours=1)]) == b"3600000000 microseconds\n"


def test_a_cell_of_blanks_is_a_row_again():
    assert csv.decode(csv.encode(np.array([" ", "a", "\t"]))).tolist() == [[" "], ["a"], ["\t"]]


numbers = st.one_of(st.floats(), st.integers(-(2**70), 2**70))


@fixtures_stay
@given(
    st.integers(1, 4).flatmap(
        lambda n: st.lists(st.lists(numbers, min_size=n, max_size=n), min_size=1)
    )
)
def test_every_number_is_read_as_by_float(backend, small, rows):
    body = "\n".join(",".join(map(repr, row)) for row in rows).encode()
    found = csv.decode(body)
    if all(isinstance(cell, int) and -(2**63) <= cell < 2**63 for row in rows for cell in row):
        same(found, np.array(rows, np.int64))
    else:
        same(found, np.array([[float(repr(cell)) for cell in row] for row in rows]))


@given(
    hnp.arrays(
        st.sampled_from([np.float64, np.int64, np.float32]),
        st.tuples(st.integers(1, 5), st.integers(1, 4)),
    )
)
def test_numbers_come_back_as_they_were(array):
    found = csv.decode(csv.encode(array), header=False)
    if array.dtype == np.int64:
        same(found, array)
    else:
        np.testing.assert_array_equal(found.astype(array.dtype), array)


cells = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=6)


@given(
    st.integers(1, 3).flatmap(
        lambda n: st.lists(st.lists(cells, min_size=n, max_size=n), min_size=1, max_size=4)
    )
)
def test_text_comes_back_as_it_was(rows):
    array = np.array(rows, object)
    written = csv.encode(array)
    if not written.strip(b" \t\n"):
        return
    found = csv.decode(written, header=False, dtype=str)
    if any(
        cell.strip(" \t") != cell or (len(row) == 1 and not cell.strip())
        for row in rows
        for cell in row
    ):
        return
    assert found.tolist() == rows


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
def test_predictions_are_written_one_row_a_line(prediction, expected):
    assert csv.encode(prediction).decode() == expected


@pytest.mark.parametrize("value", [np.zeros((1, 1, 1)), [[1], [2, 3]], np.array(["\ud800"])])
def test_what_is_no_table_is_an_encode_error(value):
    with pytest.raises(EncodeError, match="cannot be written as CSV"):
        csv.encode(value)


def test_records_are_refused_where_numpy_would_need_much_more_room():
    table = csv.decode(b"x" * 10_000_000 + b"\n" + b"y\n" * 10, header=False)
    with pytest.raises(PayloadTooLargeError):
        csv.as_records(table)


@pytest.mark.parametrize(
    "value", [{"a": [1, 2]}, object(), [object()], [{"a": 1}, None], {1}, np.ones(2)]
)
def test_what_is_no_single_value_has_no_cell(value):
    array = np.empty(1, object)
    array[0] = value
    with pytest.raises(EncodeError, match="cannot be written as a cell of CSV"):
        csv.encode(array)


def test_single_values_of_any_kind_have_cells():
    values = ["a", Decimal("1.5"), date(2020, 1, 2), 1 + 2j, np.float32(0.5), None, pd.NA]
    array = np.array([[*values, UUID(int=1)]], object)
    expected = b"a,1.5,2020-01-02,(1+2j),0.5,,,00000000-0000-0000-0000-000000000001\n"
    assert csv.encode(array) == expected


def test_doubled_quotes_take_no_memory_of_their_own():
    tracemalloc.start()
    with pytest.raises(DecodeError, match="a quote is not closed"):
        csv.decode(b'"' * 200_001)
    # What re keeps for a group that repeats is Python's own memory, too.
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'"a""b",c', [['a"b', "c"]]),
        (b'""""', [['"']]),
        (b'x,"1""\n2"""\ny,z', [["x", '1"\n2"'], ["y", "z"]]),
        (b'1, "b""', [["1", ' "b""']]),
    ],
)
def test_doubled_quotes_stand_for_one(body, expected):
    assert csv.decode(body, header=False, dtype=str).tolist() == expected


def test_columns_of_text_are_told_without_trying_to_read_a_number(monkeypatch):
    tried = []
    monkeypatch.setattr(csv, "_numbers_of", tried.append)
    assert csv.decode(b"a,b\nc,d\n", header=False).tolist() == [["a", "b"], ["c", "d"]]
    assert tried == []


@pytest.mark.parametrize("shape", [(1, 1), (7, 1), (5, 3), (2, 9), (1, 9), (4, 4)])
def test_numbers_are_written_in_blocks(shape, monkeypatch):
    monkeypatch.setattr(csv, "_BLOCK", 4)
    array = np.arange(np.prod(shape), dtype=np.uint64).reshape(shape) + np.uint64(2**63)
    expected = "".join(",".join(map(str, row)) + "\n" for row in array.tolist())
    assert csv.encode(array).decode() == expected
