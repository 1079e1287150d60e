from __future__ import annotations

import io
import json
import math

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from sagemaker_inference import content_types, decoder, errors


def as_aws(text):
    """AWS's toolkit, version 1.10.1, reads CSV by this call, and JSON by the one beside it."""
    return np.genfromtxt(io.StringIO(text), dtype=None, delimiter=",", encoding=None)


def same(found, expected):
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    "text",
    [
        "1",
        "1.5",
        "1,2",
        "1\n2",
        "1,2\n3,4",
        "1.5,2.5\n3.5,4.5\n",
        "1,2\r\n3,4\r\n",
        "\n1,2\n\n3,4",
        "hello",
        "a,b\n1,2",
        "a,bcd\nef,g",
        "a,1\nb,2",
        "a,1.5",
        "True,False",
        "nan,inf",
        "-0.0,1e3",
        "99999999999999999999",
    ],
)
def test_csv_is_as_aws_reads_it(text):
    for body in (text, text.encode(), bytearray(text.encode())):
        same(decoder.decode(body, "text/csv"), as_aws(text))


floats = st.floats(allow_nan=False) | st.sampled_from([5e-324, -0.0, 1e22, 0.1, 2.0**53 + 2])
tables = st.tuples(st.integers(1, 4), st.integers(1, 4)).flatmap(
    lambda shape: st.lists(
        st.lists(floats, min_size=shape[0], max_size=shape[0]), min_size=shape[1], max_size=shape[1]
    )
)


@given(tables)
def test_floats_are_aws_s_bit_for_bit(rows):
    text = "\n".join(",".join(map(repr, row)) for row in rows)
    same(decoder.decode(text, "text/csv"), as_aws(text))
    text = json.dumps(rows)
    same(decoder.decode(text, "application/json"), np.array(json.loads(text)))


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_integers_are_aws_s(numbers):
    text = json.dumps(numbers)
    same(decoder.decode(text, "application/json"), np.array(json.loads(text)))
    text = "\n".join(map(str, numbers))
    same(decoder.decode(text, "text/csv"), as_aws(text))


@pytest.mark.parametrize(
    "text",
    ["3", "[]", "[1, 2.5]", "[[1, 2], [3, 4]]", '["a", "bc"]', "[true, 1]", "[1e400]", "[NaN]",
     "[-0, 0.5]"],
)  # fmt: skip
def test_json_is_numpys_array_of_it(text):
    same(decoder.decode(text, "application/json"), np.array(json.loads(text)))


@pytest.mark.parametrize(
    "text", ['{"instances": [1]}', "null", "[1, null]", "[18446744073709551616]"]
)
def test_json_that_is_no_array_is_an_array_of_objects(text):
    found = decoder.decode(text, "application/json")
    assert found.dtype == object
    assert found.tolist() == json.loads(text)


def test_integers_beside_floats_and_empty_cells_are_floats():
    same(decoder.decode("1,2.5\n3,4", "text/csv"), np.array([[1, 2.5], [3, 4]]))
    same(decoder.decode("1,,3", "text/csv"), np.array([1, math.nan, 3]))


def test_dtype_is_taken():
    same(decoder._csv_to_numpy("1,2", dtype=np.float32), np.array([1, 2], np.float32))
    same(decoder._json_to_numpy("[1, 2]", dtype=np.float32), np.array([1, 2], np.float32))


def test_npy_and_npz_are_read():
    buffer = io.BytesIO()
    np.save(buffer, np.arange(3))
    same(decoder.decode(buffer.getvalue(), "application/x-npy"), np.arange(3))
    matrix = scipy.sparse.random(5, 4, density=0.5, format="csr")
    buffer = io.BytesIO()
    scipy.sparse.save_npz(buffer, matrix)
    found = decoder.decode(buffer.getvalue(), "application/x-npz")
    assert type(found) is type(matrix)
    assert (found != matrix).nnz == 0


def test_case_and_parameters_do_not_matter():
    assert decoder.decode("1", "Text/CSV; charset=utf-8").shape == ()


@pytest.mark.parametrize("content_type", ["application/x-unknown", "text/plain", "", None, 3])
def test_another_type_is_refused_in_aws_s_words(content_type):
    with pytest.raises(errors.UnsupportedFormatError) as caught:
        decoder.decode(b"", content_type)
    assert str(caught.value).startswith(
        f"Content type {content_type} is not supported by this framework"
    )


def test_the_table_is_looked_at_late(monkeypatch):
    assert set(decoder._decoder_map) == {
        content_types.NPY, content_types.CSV, content_types.JSON, content_types.NPZ,
    }  # fmt: skip
    monkeypatch.setitem(decoder._decoder_map, "text/csv", lambda body: (body,))
    assert decoder.decode("1", "text/csv") == ("1",)
