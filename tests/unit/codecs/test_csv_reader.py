from __future__ import annotations

import io
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sagemaker_inference.codecs import _csv_blocks, _csv_reader, csv
from sagemaker_inference.errors import DecodeError, PayloadTooLargeError

fixtures_stay = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
NAN = math.nan


def same(array, expected):
    assert array.dtype == expected.dtype
    assert array.shape == expected.shape
    assert array.tobytes() == expected.tobytes()


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
    array = csv.decode(body)
    assert array.dtype == object
    assert repr(array.tolist()) == repr(expected)


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
def test_the_header_parameter_decides(backend, small, body, content_type, expected):
    array = csv.decode(body, content_type)
    assert array.tolist() == expected


def test_the_header_argument_overrides_the_parameter():
    assert csv.decode(b"1\n2", "text/csv; header=absent", header=True).tolist() == [[2]]
    assert csv.decode(b"a\n2", header=False).tolist() == [["a"], ["2"]]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b" \n\t\r\n", "empty"),
        (b"1,2\n3", "row 2 has 1 column, and row 1 has 2"),
        (b"a,b\n1,2\n3,4,5", "row 3 has 3 columns"),
        (b"a,b\n1\n2", "row 2 has 1 column"),
        (b'1\n"a', "line 2"),
        (b'"a"b,1', "line 1"),
        (b"\xff", "byte 0"),
        (b"1,2,3\n4,5\n6", "row 2 has 2"),
    ],
)
def test_the_refusal_of_a_malformed_text_has_the_position(backend, small, body, words):
    with pytest.raises(DecodeError, match=words):
        csv.decode(body)


def test_a_header_alone_is_refused():
    with pytest.raises(DecodeError, match="a header and no rows"):
        csv.decode(b"a,b", header=True)


def test_dtype_converts_the_cells():
    same(csv.decode(b"1,2", dtype=np.float32), np.array([[1, 2]], np.float32))
    assert csv.decode(b"1,a", dtype=str).tolist() == [["1", "a"]]
    assert csv.decode(b"n\n1", dtype=object).tolist() == [["1"]]
    with pytest.raises(DecodeError, match="float32"):
        csv.decode(b"1,a", dtype="float32")


def test_other_charsets_are_decoded():
    array = csv.decode("é;1".encode("utf-16"), "text/csv; charset=utf-16")
    assert array.tolist() == [["é;1"]]


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
def test_long_texts_with_empty_cells_are_read_like_short_ones(
    tiny_pieces, monkeypatch, body, header
):
    def read():
        try:
            array = csv.decode(body, header=header)
        except DecodeError as error:
            return error.message
        return array.dtype, array.shape, repr(array.tolist())

    expected = read()
    monkeypatch.setattr(_csv_reader, "_LONG", 8)
    assert read() == expected


def test_a_name_with_digits_and_an_underscore_is_no_number():
    assert csv.decode(b"1_0,x\n1,2\n").tolist() == [[1, 2]]


def test_a_long_text_with_words_is_read_in_pieces(tiny_pieces, monkeypatch):
    monkeypatch.setattr(_csv_blocks, "_ROWS", 2)
    for quote in ("", '"'):
        body = "".join(f"{quote}w{row}{quote},{row}\n" for row in range(7)).encode()
        assert csv.decode(body).tolist() == [[f"w{row}", row] for row in range(7)]
        assert csv.decode(b"a,b\n" + body).tolist() == [[f"w{row}", row] for row in range(7)]
        with pytest.raises(DecodeError, match="row 8 has 1 column"):
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
def test_long_texts_are_read_like_short_ones(tiny_pieces, rows, header, dtype):
    body = "\n".join(",".join(row) for row in rows).encode()

    def read():
        try:
            array = csv.decode(body, header=header, dtype=dtype)
        except DecodeError as error:
            return error.message
        return array.dtype, array.shape, repr(array.tolist())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_csv_blocks, "_ROWS", 2)
        once = read()
        patch.setattr(_csv_reader, "_LONG", 0)
        assert read() == once


def test_the_last_cell_may_decide_the_kind_of_a_column(tiny_pieces, monkeypatch):
    monkeypatch.setattr(_csv_reader, "_LONG", 8)
    rows = b"1,true,x\n" * 9
    assert csv.decode(rows).tolist() == [[1, True, "x"]] * 9
    assert csv.decode(rows + b"2.5,no,y")[0].tolist() == [1.0, "true", "x"]
    assert csv.decode(rows + b"a,false,y")[[0, 9]].tolist() == [["1", True, "x"], ["a", False, "y"]]
    assert csv.decode(b"a,b,c\n" + rows).shape == (9, 3)
    assert csv.decode(rows, dtype=str)[0].tolist() == ["1", "true", "x"]


def test_ragged_rows_in_pieces_are_refused(tiny_pieces, backend):
    with pytest.raises(DecodeError, match="row 3"):
        csv.decode(b"1,2,3,4\n5,6,7,8\n9,10,11\n")


@pytest.mark.once
def test_a_wide_first_row_before_many_lines_takes_memory_for_its_cells_only():
    wide = b",".join([b"1"] * 100_000)
    with pytest.raises(DecodeError, match="row 2 has 1 column, and row 1 has 100000"):
        csv.decode(wide + b"\n" + b"1\n" * 500_000)
    assert csv.decode(wide + b"\n" * 500_000 + wide).shape == (2, 100_000)
    assert csv.decode(wide + b",\n" + b"\n" * 500_000 + wide + b",").shape == (2, 100_001)


def test_over_250000_columns_are_read_as_plain_numbers_only():
    wide = b",".join([b"+1"] * 250_002)
    for body in (wide, b'"a",' + wide):
        with pytest.raises(PayloadTooLargeError, match="Over 250000 columns"):
            csv.decode(body)
    assert csv.decode(wide.replace(b"+", b"")).shape == (1, 250_002)


def test_doubled_quotes_take_no_extra_memory():
    tracemalloc.start()
    with pytest.raises(DecodeError, match="a quote is not closed"):
        csv.decode(b'"' * 200_001)
    # tracemalloc also sees what re keeps for repeated groups.
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


def test_columns_of_text_are_recognized_without_parsing_numbers(monkeypatch):
    tried = []
    monkeypatch.setattr(_csv_reader, "_parse_numbers", tried.append)
    assert csv.decode(b"a,b\nc,d\n", header=False).tolist() == [["a", "b"], ["c", "d"]]
    assert tried == []


def test_records_of_over_10000_fields_are_refused():
    with pytest.raises(PayloadTooLargeError, match="in over 10000 columns"):
        csv.as_records(csv.decode(b"a," + b"1," * 10_000 + b"1\n", header=False))


def test_records_that_need_far_more_memory_than_the_text_are_refused():
    table = csv.decode(b"x" * 10_000_000 + b"\n" + b"y\n" * 10, header=False)
    with pytest.raises(PayloadTooLargeError):
        csv.as_records(table)


@pytest.mark.parametrize(
    ("body", "dtype"), [(b"nan", int), (b"300", "u1"), (b"1.5,2", int), (b"-1", np.uint64)]
)
def test_numbers_that_do_not_fit_a_dtype_are_refused(body, dtype):
    with pytest.raises(DecodeError, match="does not fit dtype"):
        csv.decode(body, dtype=dtype)
    assert csv.decode(b"1.0,2", dtype="u1").tolist() == [[1, 2]]


def test_the_first_name_of_a_header_may_be_empty_as_pandas_writes_it():
    assert csv.decode(b",a,b\n0,1,2\n1,3,4\n").tolist() == [[0, 1, 2], [1, 3, 4]]
    assert csv.decode(b",a\nx,1\n").tolist() == [["x", 1]]
    assert np.isnan(csv.decode(b",1\n2,3\n")[0, 0])


def test_with_names_gives_each_column_its_own_dtype():
    names, columns = csv.with_names(b"id,p\n9007199254740993,1.5\n", "text/csv")
    assert (names, [list(column) for column in columns]) == (
        ["id", "p"],
        [[9007199254740993], [1.5]],
    )
    names, columns = csv.with_names(b"1.5,2.5", "text/csv; header=absent")
    assert (names, [column.dtype for column in columns]) == (None, [np.float64] * 2)
    names, columns = csv.with_names(b'"a","b ""c"""\n1,x\n', "text/csv; header=present")
    assert (names, [list(column) for column in columns]) == (["a", 'b "c"'], [[1], ["x"]])
    for number, dtype in (("1", "i8"), ("1.", "O"), ("1.00", "O"), ("1e3", "O"), ("-0", "O")):
        _, columns = csv.with_names(f"{number},2.05\n{number},3.5".encode(), "text/csv")
        assert columns[0].dtype == dtype
        assert np.array(columns[0].tolist()).dtype == ("i8" if number in {"1", "-0"} else "f8")


numbers = st.one_of(st.floats(), st.integers(-(2**70), 2**70))


@fixtures_stay
@given(
    st.integers(1, 4).flatmap(
        lambda n: st.lists(st.lists(numbers, min_size=n, max_size=n), min_size=1)
    )
)
def test_numbers_are_read_bit_for_bit_like_float(backend, small, rows):
    body = "\n".join(",".join(map(repr, row)) for row in rows).encode()
    array = csv.decode(body)
    if all(isinstance(cell, int) and -(2**63) <= cell < 2**63 for row in rows for cell in row):
        same(array, np.array(rows, np.int64))
    else:
        same(array, np.array([[float(repr(cell)) for cell in row] for row in rows]))


@pytest.mark.parametrize(
    "text",
    [
        b"a,b\n1,2\n3,4",
        b"a,b\n\n1,2\n \n3,4",
        b" \na,b\n1,2",
        b"a,b,\n,,\n1,,2",
        b"a\n\nb\n \t\nc",
        b" \nab",
        b"a,b\n1\n2,3,4",
        b"a,b\n1,2,3\n4",
        b"a\nb,c",
        b"a,b\n1,2\n3",
    ],
)
def test_lines_split_at_once_are_those_split_one_by_one(tiny_pieces, monkeypatch, text):
    def read():
        try:
            blocks = list(_csv_blocks.split(text))
        except DecodeError as error:
            return error.message
        return [list(map(str, row)) for block in blocks for row in zip(*block, strict=True)]

    at_once = read()
    monkeypatch.setattr(_csv_blocks, "_regular_columns", lambda *_: None)
    assert at_once == read()
