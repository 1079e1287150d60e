from __future__ import annotations

import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from sagemaker_inference import encoder, errors


@given(hnp.arrays(np.float64, hnp.array_shapes(max_dims=2), elements={"allow_nan": False}))
def test_the_same_numbers_as_aws_s_are_written(array):
    finite = np.nan_to_num(array)
    text = encoder.encode(finite, "application/json")
    assert json.loads(text) == finite.tolist()
    text = encoder.encode(array, "text/csv")
    buffer = io.StringIO()
    np.savetxt(buffer, array, delimiter=",", fmt="%s")
    written = [[float(cell) for cell in line.split(",")] for line in text.splitlines()]
    assert written == [[float(c) for c in x.split(",")] for x in buffer.getvalue().splitlines()]


@pytest.mark.parametrize(
    "array_like",
    [
        1,
        1.5,
        None,
        "x",
        [1, 2],
        [[1, 2.5]],
        {"a": 1},
        [True],
        np.arange(3),
        np.array(3),
        np.int64(3),
    ],
)
def test_json_is_the_same_value_as_text(array_like):
    expected = array_like.tolist() if hasattr(array_like, "tolist") else array_like
    text = encoder.encode(array_like, "application/json")
    assert isinstance(text, str)
    assert json.loads(text) == expected


@pytest.mark.parametrize(
    ("array_like", "expected"),
    [([1, 2], "1\n2\n"), ([[1, 2], [3, 4]], "1,2\n3,4\n"), ([True, False], "True\nFalse\n"),
     (["a", "b"], "a\nb\n"), (np.array([0.1], np.float32), "0.1\n")],
)  # fmt: skip
def test_csv_is_one_row_a_line_of_text(array_like, expected):
    assert encoder.encode(array_like, "text/csv") == expected


def test_npy_is_what_numpy_saves():
    buffer = io.BytesIO()
    np.save(buffer, [[1.5, 2]])
    assert encoder.encode([[1.5, 2]], "application/x-npy") == buffer.getvalue()


def test_case_and_parameters_do_not_matter():
    assert encoder.encode([1], "Application/JSON; charset=utf-8") == "[1]"


@pytest.mark.parametrize("content_type", ["application/x-unknown", "application/x-npz", None])
def test_another_type_is_refused_in_aws_s_words(content_type):
    with pytest.raises(errors.UnsupportedFormatError, match="is not supported by this framework"):
        encoder.encode([1], content_type)


def test_the_supported_types_are_a_set():
    assert {
        "application/json", "text/csv", "application/x-npy",
    } == encoder.SUPPORTED_CONTENT_TYPES  # fmt: skip
    assert set(encoder._encoder_map) == encoder.SUPPORTED_CONTENT_TYPES
