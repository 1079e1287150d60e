"""Tables in the orientations of pandas and MLflow, where the hint is DataFrame."""

import json

import pandas as pd
import pytest
from support.annotated import converted

from sagemaker_inference.errors import UnprocessableInputError

FRAME = pd.DataFrame({"a": [1, 2], "b": ["x", None], "c": [1.5, 2.5]})


def read(document):
    text = document if isinstance(document, str) else json.dumps(document)
    return converted(pd.DataFrame, text.encode())


@pytest.mark.parametrize("orient", ["split", "records", "index", "columns", "table"])
def test_what_pandas_writes_is_read_back(orient):
    pd.testing.assert_frame_equal(
        read(FRAME.to_json(orient=orient)), FRAME, check_names=False, check_index_type=False
    )


def test_an_index_of_names_is_kept_where_it_is_one():
    frame = FRAME.set_index(pd.Index(["r", "s"], name="id"))
    for orient in ("split", "columns", "table"):
        pd.testing.assert_frame_equal(read(frame.to_json(orient=orient)), frame, check_names=False)
    assert read(frame.to_json(orient="table")).index.name == "id"
    assert list(read({"schema": {}, "data": [{"a": 1}]}).columns) == ["a"]


def test_what_mlflow_sends_is_a_table():
    split = json.loads(FRAME.to_json(orient="split"))
    del split["index"]
    for document in (
        {"dataframe_split": split},
        {"dataframe_split": split, "params": {"temperature": 1}},
        {"dataframe_records": json.loads(FRAME.to_json(orient="records"))},
        {"instances": json.loads(FRAME.to_json(orient="records"))},
    ):
        pd.testing.assert_frame_equal(read(document), FRAME)


def test_rows_with_other_keys_have_gaps():
    frame = read({"1": {"a": 1}, "5": {"b": 2}})
    assert frame.index.tolist() == [1, 5]
    assert frame.isna().to_numpy().tolist() == [[False, True], [True, False]]


def test_numbers_as_names_of_both_are_columns_as_pandas_takes_them():
    frame = read({"0": {"0": 1, "1": 2}, "1": {"0": 3, "1": 4}})
    assert frame.columns.tolist() == ["0", "1"]
    assert frame["1"].tolist() == [3, 4]


@pytest.mark.parametrize(
    ("document", "columns"),
    [
        ({"columns": [1, 2], "data": [3, 4]}, ["columns", "data"]),
        ({"schema": [1], "data": [{"a": 1}]}, ["schema", "data"]),
        ({"columns": ["a"], "data": [[1]], "more": [2]}, ["columns", "data", "more"]),
        ({"dataframe_split": [1], "x": [2]}, ["dataframe_split", "x"]),
        ({"dataframe_records": {"0": 1}}, ["dataframe_records"]),
        ({"columns": ["a", "a"], "data": [[None, 1]]}, ["a", "a"]),
        ({}, []),
    ],
)
def test_columns_of_such_names_are_columns(document, columns):
    assert list(read(document).columns) == columns


@pytest.mark.parametrize(
    "document",
    [
        {"columns": ["a"], "data": [[1, 2]]},
        {"columns": ["a"], "data": [[1]], "index": [1, 2]},
        {"columns": 1, "data": [[1]]},
        {"dataframe_split": {"columns": ["a"], "data": [[1], [1, 2]]}},
        {"dataframe_split": {"a": 1}},
        {"columns": ["a"], "data": [[1]], "index": 1},
    ],
)
def test_what_does_not_fit_is_refused(document):
    with pytest.raises(UnprocessableInputError, match="is not a table"):
        read(document)
