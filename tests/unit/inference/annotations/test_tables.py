"""Annotations that ask for tables, dicts and lists."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from support.annotated import (
    CSV,
    converted,
)

from sagemaker_inference._inference.annotations import tables
from sagemaker_inference.codecs import json
from sagemaker_inference.errors import (
    UnprocessableInputError,
)


def test_integers_of_a_csv_table_stay_integers():
    frame = converted(pd.DataFrame, b"id,p\n9007199254740993,1.5\n1,2.5\n", CSV)
    assert frame["id"].tolist() == [9007199254740993, 1]
    assert frame.dtypes.astype(str).tolist() == ["int64", "float64"]
    assert converted(pd.DataFrame, b"1.0,2\n", CSV).dtypes.astype(str).tolist()[0] == "float64"
    assert list(converted(pd.DataFrame, b",a\n0,1.5\n1,2.5\n", CSV).columns) == ["", "a"]


def test_tables_have_their_columns_names():
    frame = converted(pd.DataFrame, b"a,b\n1,x\n2,y\n", CSV)
    assert list(frame.columns) == ["a", "b"]
    assert frame["a"].tolist() == [1, 2]
    assert frame["a"].dtype == np.int64
    assert list(converted(pd.DataFrame, b"1,2\n3,4\n", CSV).columns) == [0, 1]
    frame = converted(pd.DataFrame, b'[{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]')
    assert list(frame.columns) == ["a", "b"]
    with pytest.raises(UnprocessableInputError, match="is not a table"):
        converted(pd.DataFrame, b'{"a": 1}')


def test_a_table_that_comes_as_one_stays_one():
    frame = pd.DataFrame({"a": [1.5, 2.5], "b": [1, 2]})
    body, kind = frame.to_parquet(), "application/x-parquet"
    assert converted(pd.DataFrame, body, kind).equals(frame)
    assert converted(np.ndarray, body, kind).tolist() == [[1.5, 1], [2.5, 2]]
    assert converted(list[dict[str, float]], body, kind) == frame.to_dict("records")
    assert converted(pa.Table, body, kind).column_names == ["a", "b"]
    with pytest.raises(UnprocessableInputError, match="Expected a Table"):
        converted(pa.Table, b"[1]")
    words = pd.DataFrame({"a": ["x"]}).to_parquet()
    with pytest.raises(UnprocessableInputError, match="Expected an array of numbers"):
        converted(np.ndarray, words, kind)


@pytest.mark.parametrize("body", [b"null", b"1", b'"a"', b'{"a": 1}', b"[[[1]]]"])
def test_what_is_not_a_table_is_refused_with_our_message(body):
    with pytest.raises(UnprocessableInputError, match="is not a table; send rows, records"):
        converted(pd.DataFrame, body)


def test_dicts_and_lists_are_checked():
    assert converted(dict, b'{"a": 1}') == {"a": 1}
    assert converted(list, b"[1, 2]") == [1, 2]
    with pytest.raises(UnprocessableInputError, match="Expected a dict"):
        converted(dict, b"[1, 2]")
    with pytest.raises(UnprocessableInputError, match="Expected a list"):
        converted(list, b'{"a": 1}')


@pytest.mark.parametrize("body", [b'[{"a": null}]', b'{"a": [null]}', b"[[null]]", b'[{"a": 1.5}]'])
def test_a_column_without_values_has_the_dtype_of_numbers(body):
    frame = tables.as_frame(body, "application/json", decode=json.decode)
    assert [str(dtype) for dtype in frame.dtypes] == ["float64"]
