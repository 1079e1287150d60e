"""What JSON and CSV cost, by their text alone."""

from __future__ import annotations

import csv as csv_module
import io
import json as json_module

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sagemaker_inference import _budget
from sagemaker_inference._budget import Budget
from sagemaker_inference.codecs import (
    _csv_blocks,
    _csv_reader,
    _csv_size,
    _json_size,
    csv,
    json,
    jsonlines,
)
from sagemaker_inference.errors import (
    DecodeError,
    PayloadTooLargeError,
    UnprocessableInputError,
)

MIB = 1 << 20
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='a,[{:"\\]}é'),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=20,
)


@pytest.fixture
def tiny_pieces(monkeypatch):
    for module in (_json_size, _csv_size):
        monkeypatch.setattr(module, "_PIECE", 7)


def counted(value):
    """Commas, lists, dicts, colons and depth of a value."""
    if not isinstance(value, (list, dict)):
        return np.array([0, 0, 0, 0]), 0
    items = list(value.values() if isinstance(value, dict) else value)
    is_dict = isinstance(value, dict)
    total = np.array([max(0, len(items) - 1), not is_dict, is_dict, len(items) * is_dict])
    parts = [counted(item) for item in items]
    return total + sum(part for part, _ in parts), 1 + max((level for _, level in parts), default=0)


@pytest.mark.usefixtures("tiny_pieces")
@given(VALUES)
def test_the_structure_of_json_is_counted_outside_texts(value):
    text = json_module.dumps(value, ensure_ascii=False).encode()
    structure, depth = counted(value)
    assert list(_json_size.Structure.exactly(text)) == structure.tolist()
    assert all(np.array(_json_size.Structure.at_most(text)) >= structure)
    assert _json_size.depth(text) == depth


def test_commas_within_texts_are_no_values():
    text = b'["' + b"," * 6_000_000 + b'", "' + b"\\\\" * MIB + b'"]'
    assert json.decode(text) == ["," * 6_000_000, "\\" * MIB]


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_errors_behind_constants_are_found_before_python_reads(constant):
    item = f'{{"a": {constant}, "b": [{constant}]}},\n'.encode()
    text = b"[" + item * (MIB // len(item) + 9)
    with pytest.raises(DecodeError, match=r"end of data at line \d+ column \d+$"):
        json.decode(text)
    assert len(json.decode(text + constant.encode() + b"]")) > 9
    with pytest.raises(DecodeError, match="Invalid JSON"):
        json.decode(text + b"1" + constant.encode() + b"]")


TOKENS = (
    "NaN",
    "Infinity",
    "-Infinity",
    "-",
    "1",
    '"',
    "\\",
    "[",
    "]",
    ",",
    ":",
    "{",
    "}",
    " ",
    "u",
)


@given(st.lists(st.sampled_from(TOKENS), max_size=12).map("".join))
@example('["NaN", {"-Infinity": [-Infinity, Infinity]}]')
@example("[1NaN]")
@example("[NaN-Infinity]")
@example("[--Infinity]")
@example('["\\NaN"]')
def test_a_text_is_valid_with_numbers_in_place_of_constants_if_it_is_with_them(text):
    try:
        json_module.loads(text)
    except ValueError:
        with pytest.raises(DecodeError):
            json.check(text.encode())
    else:
        json.check(text.encode())


def test_text_that_is_not_utf8_behind_a_constant_has_its_position():
    text = b"[NaN" + b",1" * MIB + b',"\xff"]'
    with pytest.raises(DecodeError, match=f"not UTF-8 at byte {len(text) - 3}"):
        json.decode(text)


@pytest.mark.once
def test_long_lines_of_json_are_checked_before_they_are_kept():
    good = b'{"a": NaN}\n \n{"a": "text"}\n'
    text = good * (MIB // len(good) + 9)
    values = jsonlines.decode(text)
    assert len(values) == 2 * (len(text) // len(good))
    assert values[1] == {"a": "text"}
    with pytest.raises(DecodeError, match=f"Line {text.count(10) + 1}: Invalid JSON"):
        jsonlines.decode(text + b"{")
    with pytest.raises(PayloadTooLargeError, match="JSON Lines body of"):
        jsonlines.decode(b"{}\n" * (8 * MIB))


def rows_of(text, *, is_regular=False):
    blocks = _csv_blocks.split(text, is_regular=is_regular)
    return [list(row) for block in blocks for row in zip(*block, strict=True)]


def rows(text):
    return [row for row in csv_module.reader(io.StringIO(text.decode(), newline="")) if row]


CELLS = st.text(alphabet='a1,\n" é', max_size=9)


@pytest.mark.usefixtures("tiny_pieces")
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=9), st.booleans())
def test_regular_csv_is_read_alike_by_both_readers(table, quote_all):
    buffer = io.StringIO(newline="")
    quoting = csv_module.QUOTE_ALL if quote_all else csv_module.QUOTE_MINIMAL
    csv_module.writer(buffer, quoting=quoting, lineterminator="\n").writerows(table)
    text = buffer.getvalue().encode().strip(b"\n")
    if b'"' in text and _csv_size.take_cells(text, Budget(len(text))):
        assert rows_of(text, is_regular=True) == rows_of(text) == rows(text)


@pytest.mark.usefixtures("tiny_pieces")
@given(st.text(alphabet='a1,\n"é ', max_size=60))
def test_what_is_refused_before_reading_is_refused_by_the_reader(text):
    data = text.encode().strip(b"\n")
    if not data.strip():
        return
    try:
        _csv_size.take_cells(data, Budget(len(data)))
    except DecodeError:
        with pytest.raises(DecodeError):
            list(_csv_blocks.split(data))


@pytest.mark.once
@pytest.mark.usefixtures("tiny_pieces")
@pytest.mark.parametrize(
    ("text", "is_regular"),
    [
        (b'"a","b"\n"c","d"', True),
        (b'"a""b",c\n\n \n"d\ne",f', True),
        (b'"a"\n"b"', False),  # one column: a blank cell looks like a blank line
        (b'a"b,c', False),
        (b'"a" ,b', False),
        (b'"\0",b', False),
        (b"a,b", False),
        (b'"' + b"a" * 100_001 + b'",b', False),
        (b'"' + b"a" * 100_001 + b'",b\nc', False),  # nothing behind a long cell is looked at
        # Quotes beside the end of a piece of seven bytes.
        (b'a,bcde,"g"', True),
        (b'a,bcdef"g"', False),
        (b'"abcde",f', True),
        (b'"abcde"f,g', False),
    ],
)
def test_only_regular_quotes_are_left_to_pythons_reader(text, is_regular):
    assert _csv_size.take_cells(text, Budget(len(text))) is is_regular


@pytest.mark.usefixtures("tiny_pieces")
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"a,b\n\nc,d\ne", "row 3 has 1 column, and row 1 has 2"),
        (b'"a","b"\n"c"', "row 2 has 1 column"),
        (b'"a,b"\n"c","d', "a quote is not closed"),
        ("é,1\n".encode() * 9 + b"\xe9,1", "not UTF-8 at byte 45"),
    ],
)
def test_errors_are_found_by_the_text_alone(text, problem):
    with pytest.raises(DecodeError, match=problem):
        _csv_size.take_cells(text, Budget(len(text)))


@pytest.mark.once
def test_long_tables_of_quotes_are_read_by_pythons_reader():
    text = b'"a ""b""","1",x\n' * (MIB // 16 + 9)
    array = csv.decode(text)
    assert array.shape == (MIB // 16 + 9, 3)
    assert array[-1].tolist() == ['a "b"', 1, "x"]
    assert csv.decode(text, dtype=str)[-1].tolist() == ['a "b"', "1", "x"]


def test_long_tables_are_limited_by_their_cells():
    for text in (b"ab,c\n" * (5 * MIB), b'a"b,c\n' * MIB):
        for dtype in (None, str):
            with pytest.raises(PayloadTooLargeError, match="CSV body of"):
                csv.decode(text, dtype=dtype)


@pytest.mark.once
def test_one_long_row_is_read_in_pieces():
    assert csv.decode(b"1," * 300_000 + b"2").shape == (1, 300_001)
    assert csv.decode(b"1.5," * 200_000 + b"-0").tolist()[0][-2:] == [1.5, 0.0]
    assert csv.decode(b"1," * 200_000 + b"a").dtype == object


def test_parts_are_counted_be_they_small():
    budget = _budget.begin(100)
    budget.is_divided = True
    try:
        json.decode(b'[1, "a"]')
        csv.decode(b"1,a")
        assert budget.taken > 0
    finally:
        _budget.end()


@pytest.mark.parametrize("repeated", [b"1", b" ", b'"', b' "', b"1.1", b"1e1"])
def test_a_long_cell_that_is_not_a_number_is_looked_at_once(repeated):
    text = b"1.25,2.5\n" * 120_000 + repeated * (500_000 // len(repeated)) + b"x,1"
    error = pytest.raises(UnprocessableInputError, match="a number in row 120001, column 1, not")
    with _budget.of_numbers(text), error:
        csv.decode(text)


def test_rows_too_short_for_their_number_are_refused_without_an_array():
    with pytest.raises(DecodeError, match="row 2 has 1 column, and row 1 has 1001"):
        _csv_reader.read(b"1," * 1000 + b"1" + b"\n+1" * 400_000, None)
