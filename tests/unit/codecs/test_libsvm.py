from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import scipy.sparse
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sagemaker_inference.codecs import libsvm
from sagemaker_inference.errors import (
    DecodeError,
    EncodeError,
    PayloadTooLargeError,
    UnsupportedMediaTypeError,
)


def test_a_line_is_a_row_and_an_index_a_column():
    body = b"1 0:1.5 3:2 # comment\n\n-1 qid:7 1:1e3\n0\n2:4\n# nothing\n"
    decoded = libsvm.decode(body)
    assert decoded.format == "csr"
    assert decoded.dtype == np.float64
    assert decoded.toarray().tolist() == [
        [1.5, 0, 0, 2],
        [0, 1000, 0, 0],
        [0, 0, 0, 0],
        [0, 0, 4, 0],
    ]
    labels = libsvm.read_labels(body)
    assert labels[:3].tolist() == [1, -1, 0]
    assert math.isnan(labels[3])


def test_the_number_of_columns_can_be_passed():
    assert libsvm.decode(b"1 0:1", features=9).shape == (1, 9)
    assert libsvm.decode(b"1 0:1", "text/libsvm; features=7").shape == (1, 7)
    assert libsvm.decode(b"1 0:1", "text/libsvm; features=many").shape == (1, 1)
    assert libsvm.decode(b"1").shape == (1, 0)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b" # only a comment\n", "empty"),
        (b"1 0:1\n1 x:2", "'x:2' in line 2"),
        (b"1 0:", "line 1"),
        (b"1 5", "line 1"),
        (b"1 0:1\n\n1 1:3 -1:3\n1 -2:1", "index -1 in record 2 is not from 0 to 1"),
        (b"1 9999999999:1", "index 9999999999 in record 1 is not from 0 to 2147483646"),
        (b"1 99999999999999999999:1", "line 1"),
        (b"\xff", "byte 0"),
    ],
)
def test_the_refusal_of_a_malformed_line_has_its_number(body, words):
    with pytest.raises(DecodeError, match=words):
        libsvm.decode(body)


def test_an_index_beyond_the_number_of_columns_is_refused():
    with pytest.raises(DecodeError, match="index 2 in record 1 is not from 0 to 1"):
        libsvm.decode(b"1 2:1", features=2)


def test_a_label_that_is_not_a_number_is_refused():
    with pytest.raises(DecodeError, match="label 'a' in line 1"):
        libsvm.read_labels(b"a 1:2")
    with pytest.raises(DecodeError, match="empty"):
        libsvm.read_labels(b"\n# nothing\n")


def test_scipy_is_an_extra(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "scipy.sparse", None)
    with pytest.raises(UnsupportedMediaTypeError, match="send one of: application/json, text/csv"):
        libsvm.decode(b"1 0:1")
    assert "pip install 'sagemaker-inference[scipy]'" in caplog.text


@given(
    hnp.arrays(
        np.float64,
        st.tuples(st.integers(1, 4), st.integers(1, 4)),
        elements=st.floats(allow_nan=False, allow_infinity=False),
    )
)
def test_matrices_survive_a_round_trip(array):
    for matrix in (array, scipy.sparse.csr_matrix(array), scipy.sparse.coo_matrix(array)):
        decoded = libsvm.decode(libsvm.encode(matrix), features=array.shape[1])
        np.testing.assert_array_equal(decoded.toarray(), array)


def test_a_vector_is_a_column():
    assert libsvm.encode([1, 0, 2.5]) == b"0 0:1.0\n0\n0 0:2.5\n"


@pytest.mark.parametrize("prediction", [np.zeros((1, 1, 1)), ["a"], {"a": 1}])
def test_values_that_are_not_a_matrix_of_numbers_are_an_encode_error(prediction):
    with pytest.raises(EncodeError, match="LIBSVM"):
        libsvm.encode(prediction)


def test_a_long_text_is_read_in_pieces(tiny_pieces):
    body = b"".join(b"1 %d:%d # row\r\n" % (row, row + 1) for row in range(20))
    assert libsvm.decode(body).toarray().tolist() == np.diag(range(1, 21)).tolist()
    assert libsvm.read_labels(body).tolist() == [1] * 20
    with pytest.raises(DecodeError, match=f"not UTF-8 at byte {len(body)}"):
        libsvm.decode(body + b"\xff:1\n")
    with pytest.raises(DecodeError, match="line 21"):
        libsvm.decode(body + b"1 a:1\n")


WORDS = (
    *(
        "1",
        "-1",
        " ",
        "\t",
        "0:1",
        "7:.5",
        "3:nan",
        "2:1e3",
        "qid:4",
        "#",
        "\n",
        "\r\n",
        "\r",
        "a:1",
    ),
    *("4:", ":4", "1::2", "1:2:3", "1.0:2", "-1:2", "01:2", "9999999999:1", "é", "\x0b"),
    *(f"{2**70}:1", f"1:{2**70}", f"1:{2**63 - 1}"),
)


@given(st.lists(st.sampled_from(WORDS), max_size=14))
@example(["1", " ", "0:1", "\n", "\n", "qid:4", " ", "3:nan", "#", "1::2"])
def test_well_formed_lines_are_read_as_one_by_one(parts):
    """In blocks, by other means."""
    text = "".join(parts).encode()
    rows, one_by_one = libsvm._Rows(), libsvm._Rows()
    try:
        for number, line in enumerate(text.decode().splitlines(), 1):
            if tokens := line.partition("#")[0].split():
                one_by_one.add(number, tokens)
    except DecodeError:
        assert not rows.add_regular(text)
    else:
        if rows.add_regular(text):
            assert (rows.indices, rows.ends) == (one_by_one.indices, one_by_one.ends)
            np.testing.assert_array_equal(rows.values, one_by_one.values)


def test_lines_in_any_spelling_are_read_in_blocks():
    rows = libsvm._Rows()
    assert rows.add_regular(b"1 qid:7 0:.5 3:nan # comment\r\n\n2\n+1 1:+1\r")
    assert rows.indices.tolist() == [0, 3, 1]
    assert rows.ends.tolist() == [0, 2, 2, 3]
    assert not rows.add_regular(b"1 0:x")


def test_odd_control_characters_cost_more():
    body = b"1 0:1 1:1 2:1\x0b3:1 4:1\n" * 100_000
    assert libsvm.decode(body[: len(body) // 2]).shape == (100_000, 5)
    with pytest.raises(PayloadTooLargeError, match="LIBSVM body of 6600000 bytes takes"):
        libsvm.decode(body * 3)
