from __future__ import annotations

import dataclasses
import json as standard
import math
from collections import UserDict
from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sagemaker_inference.codecs import jsonlines
from sagemaker_inference.errors import DecodeError, EncodeError

fixtures_stay = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"[1,2]\n[3,4]\n", np.array([[1, 2], [3, 4]])),
        (b"[1,2]\r\n\r\n[3,4]\r\n", np.array([[1, 2], [3, 4]])),
        (b"\n[1.5]\n \t\n[2]", np.array([[1.5], [2]])),
        (b"[[1],[2]]\n[[3],[4]]", np.array([[[1], [2]], [[3], [4]]])),
        (b"1\n2\n3", np.array([1, 2, 3])),
        (b"7", np.array([7])),
        (b"[1,2] \n[3,4]", np.array([[1, 2], [3, 4]])),
        (b"1\r\n2\r\n", np.array([1, 2])),
        (b"[1,\r2]\r\n[3,4]\r", np.array([[1, 2], [3, 4]])),
        (b"[[1],[2] ]\n[[3],[4]]", np.array([[[1], [2]], [[3], [4]]])),
        (b"[ [1],[2]]\n[[3],[4]]", np.array([[[1], [2]], [[3], [4]]])),
        (b"[1,null]\n[2,3]", np.array([[1, math.nan], [2, 3]])),
        (b"NaN\n1", np.array([math.nan, 1])),
    ],
)
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_rows_of_numbers_make_an_array(backend, small, kind, body, expected):
    decoded = jsonlines.decode(kind(body))
    assert decoded.dtype == expected.dtype
    np.testing.assert_array_equal(decoded, expected)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"a": 1}\n{"a": [2]}', [{"a": 1}, {"a": [2]}]),
        (b'{"instances": [1]}', [{"instances": [1]}]),
        (b"[1]\n[2, 3]", [[1], [2, 3]]),
        (b'["a"]\n["b"]', [["a"], ["b"]]),
        (b'1\n"a"\nnull', [1, "a", None]),
    ],
)
def test_other_lines_make_a_list(backend, small, body, expected):
    assert jsonlines.decode(body) == expected


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b" \r\n\n", "empty"),
        (b"[1,2],[3,4]", "Line 1: Invalid JSON"),
        (b"[1]\n\n[2", "Line 3: Invalid JSON"),
        (b"1,2", "Line 1"),
        (b"[[1\n2]]", "Line 1"),
        (b"[1,2],[3,4]\n[5,\n6]", "Line 1"),
    ],
)
def test_the_refusal_of_a_malformed_line_has_its_number(backend, small, body, words):
    with pytest.raises(DecodeError, match=words):
        jsonlines.decode(body)


values = st.recursive(
    st.integers(-9, 9) | st.floats(allow_nan=False) | st.text(max_size=2) | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=5,
)


@fixtures_stay
@given(st.lists(values, min_size=1, max_size=4))
def test_lines_are_read_like_a_list_of_them(backend, small, lines):
    from sagemaker_inference.codecs import json

    body = "\n".join(map(standard.dumps, lines)).encode()
    decoded, expected = jsonlines.decode(body), json.decode(standard.dumps(lines))
    assert type(decoded) is type(expected)
    if isinstance(decoded, np.ndarray):
        np.testing.assert_array_equal(decoded, expected)
    else:
        assert decoded == expected


@given(hnp.arrays(np.int64, hnp.array_shapes(max_dims=3, max_side=4)))
def test_arrays_survive_a_round_trip(array):
    np.testing.assert_array_equal(jsonlines.decode(jsonlines.encode(array)), array)


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [
        (np.array([[1.5, math.nan], [2, 3]]), "[1.5,null]\n[2.0,3.0]\n"),
        (np.array([1, 2]), "1\n2\n"),
        (np.zeros((2, 1, 1)), "[[0.0]]\n[[0.0]]\n"),
        (np.array(1.5), "1.5\n"),
        (np.array(["a"]), '"a"\n'),
        (np.array([]), ""),
        ([1, {"a": np.array([1])}, "b"], '1\n{"a":[1]}\n"b"\n'),
        ({"a": 1}, '{"a":1}\n'),
        ("text", '"text"\n'),
        (b"bytes", '"bytes"\n'),
        (3.5, "3.5\n"),
        (None, "null\n"),
        (pd.DataFrame({"a": [1, 2]}), '{"a":1}\n{"a":2}\n'),
        (scipy.sparse.csr_matrix([[0, 1]]), "[0,1]\n"),
        ((x for x in (1, 2)), "1\n2\n"),
    ],
)
def test_each_item_is_a_line(prediction, expected):
    assert jsonlines.encode(prediction).decode() == expected


def test_a_lone_carriage_return_is_not_a_line_end(backend, small):
    with pytest.raises(DecodeError, match="Line 1"):
        jsonlines.decode(b"1\r2\n3")


@pytest.mark.parametrize(
    "body",
    [
        b"[[1,2]\n[3,4]],[[5,6],[7,8]]",
        b"[ [1,2]\n[3,4]],[[5,6],[7,8]]",
        b"[[[1]]\n[[2]]],[[[3]],[[4]]]",
    ],
)
def test_a_line_end_within_a_row_is_refused(backend, small, body):
    with pytest.raises(DecodeError, match="Line 1"):
        jsonlines.decode(body)


class Model:
    def model_dump(self):
        return {"a": 1}

    def __iter__(self):
        return iter([("a", 1)])


@dataclasses.dataclass
class Point:
    a: int

    def __iter__(self):
        return iter([self.a])


@pytest.mark.parametrize(
    "prediction", [Model(), Point(1), UserDict(a=1), MappingProxyType({"a": 1})]
)
def test_an_object_is_one_line(prediction):
    assert jsonlines.encode(prediction) == b'{"a":1}\n'
    assert jsonlines.encode([prediction] * 2) == b'{"a":1}\n{"a":1}\n'


def test_a_struct_of_msgspec_is_one_line():
    msgspec = pytest.importorskip("msgspec")
    struct = msgspec.defstruct("S", ["a"], namespace={"__iter__": lambda self: iter([self.a])})
    assert jsonlines.encode(struct(1)) == b'{"a":1}\n'


def test_columns_with_the_same_name_are_an_encode_error():
    with pytest.raises(EncodeError, match="rename one of the columns 'a'"):
        jsonlines.encode(pd.DataFrame([[1, 2]], columns=["a", "a"]))


def test_values_without_a_json_form_are_an_encode_error():
    with pytest.raises(EncodeError):
        jsonlines.encode([object()])
