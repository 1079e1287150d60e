"""A column that has no value in one request and numbers in the next has one dtype."""

from __future__ import annotations

import io
import json
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from support.annotated import CSV, JSON, converted

if TYPE_CHECKING:
    from collections.abc import Callable

LINES, ARROW = "application/jsonlines", "application/vnd.apache.arrow.stream"
PARQUET = "application/vnd.apache.parquet"
Table = list[list["float | None"]]


def named(rows: Table) -> list[dict[str, float | None]]:
    return [dict(zip("abc", row, strict=False)) for row in rows]


def columns(rows: Table) -> dict[str, list[float | None]]:
    return {
        name: list(column) for name, column in zip("abc", zip(*rows, strict=True), strict=False)
    }


def lines(values: list[Any]) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def cells(rows: Table) -> bytes:
    text = [",".join("" if cell is None else str(cell) for cell in row) for row in rows]
    # A row of one empty cell would be an empty line.
    return "".join(f"{line or 'nan'}\n" for line in text).encode()


def arrow(table: pa.Table) -> bytes:
    stream = io.BytesIO()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    return stream.getvalue()


def parquet(table: pa.Table) -> bytes:
    stream = io.BytesIO()
    pyarrow.parquet.write_table(table, stream)
    return stream.getvalue()


def orient_as(orient: Any, rows: Table) -> bytes:
    frame = pd.DataFrame(columns(rows))
    if orient == "tight":
        return json.dumps(frame.replace(np.nan, None).to_dict(orient), default=str).encode()
    return frame.to_json(orient=orient, double_precision=15).encode()


TABLES: dict[str, tuple[str, Callable[[Table], bytes]]] = {
    "rows": (JSON, lambda rows: json.dumps(rows).encode()),
    "instances": (JSON, lambda rows: json.dumps({"instances": rows}).encode()),
    "records": (JSON, lambda rows: json.dumps(named(rows)).encode()),
    "lists of columns": (JSON, lambda rows: json.dumps(columns(rows)).encode()),
    **{
        orient: (JSON, partial(orient_as, orient))
        for orient in ("split", "index", "columns", "tight", "table")
    },
    "dataframe_split": (
        JSON,
        lambda rows: b'{"dataframe_split": %b, "params": {"a": 1}}' % orient_as("split", rows),
    ),
    "dataframe_records": (
        JSON,
        lambda rows: json.dumps({"dataframe_records": named(rows)}).encode(),
    ),
    "lines of rows": (LINES, lines),
    "lines of records": (LINES, lambda rows: lines(named(rows))),
    "csv": (CSV, cells),
    "arrow": (ARROW, lambda rows: arrow(pa.table(columns(rows)))),
    "parquet": (PARQUET, lambda rows: parquet(pa.table(columns(rows)))),
}
ROWS = ("rows", "instances", "lines of rows", "csv", "arrow", "parquet")


# Each format is tried with so many tables.
FEW = settings(max_examples=20)


def dtypes(data: Any) -> list[str]:
    if isinstance(data, pd.DataFrame):
        return [str(dtype) for dtype in data.dtypes]
    if isinstance(data, pa.Table):
        return [str(kind) for kind in data.schema.types]
    return [str(data.dtype)]


@st.composite
def tables(draw: st.DrawFn) -> tuple[Table, Table]:
    """A table of fractions, and the same with any of its cells missing."""
    width = draw(st.integers(1, 3))
    numbers = st.floats(-1e6, 1e6).map(lambda number: number + 0.5)
    rows = draw(st.lists(st.lists(numbers, min_size=width, max_size=width), min_size=1, max_size=3))
    gaps = [[draw(st.booleans()) for _ in row] for row in rows]
    missing: Table = [
        [None if gap else cell for cell, gap in zip(row, line, strict=True)]
        for row, line in zip(rows, gaps, strict=True)
    ]
    return [list(row) for row in rows], missing


@pytest.mark.parametrize("kind", TABLES)
@FEW
@given(pair=tables())
def test_a_data_frame(kind: str, pair: tuple[Table, Table]) -> None:
    content_type, write = TABLES[kind]
    whole, missing = (converted(pd.DataFrame, write(rows), content_type) for rows in pair)
    assert dtypes(whole) == dtypes(missing) == ["float64"] * len(pair[0][0])
    assert missing.isna().to_numpy().tolist() == [[cell is None for cell in row] for row in pair[1]]
    np.testing.assert_allclose(whole.to_numpy(), pair[0], rtol=1e-12)


@pytest.mark.parametrize("hint", [np.ndarray, scipy.sparse.csr_matrix], ids=["array", "sparse"])
@pytest.mark.parametrize("kind", ROWS)
@FEW
@given(pair=tables())
def test_an_array(kind: str, hint: Any, pair: tuple[Table, Table]) -> None:
    content_type, write = TABLES[kind]
    whole, missing = (converted(hint, write(rows), content_type) for rows in pair)
    assert dtypes(whole) == dtypes(missing) == ["float64"]
    assert whole.shape == missing.shape


@pytest.mark.parametrize("kind", ["arrow", "parquet"])
@FEW
@given(pair=tables())
def test_an_arrow_table(kind: str, pair: tuple[Table, Table]) -> None:
    content_type, write = TABLES[kind]
    whole, missing = (converted(pa.Table, write(rows), content_type) for rows in pair)
    assert dtypes(whole) == dtypes(missing) == ["double"] * len(pair[0][0])


@pytest.mark.parametrize(
    ("kind", "values", "dtype"),
    [
        (pa.string(), ["x"], None),
        (pa.float32(), [1.5], "float32"),
        (pa.decimal128(5, 2), [Decimal("1.5")], "float64"),
        (pa.timestamp("s"), [0], "datetime64[s]"),
    ],
)
def test_a_typed_column_keeps_the_dtype_of_its_type(
    kind: pa.DataType, values: list[Any], dtype: str | None
) -> None:
    frames = [
        converted(pd.DataFrame, arrow(pa.table({"a": pa.array(column, kind)})), ARROW)
        for column in (values, [None])
    ]
    found = [frame["a"].dtype for frame in frames]
    assert found[0] == found[1]
    assert dtype is None or str(found[0]) == dtype


def test_flags_without_values_are_numbers() -> None:
    body = arrow(pa.table({"a": pa.array([None], pa.bool_())}))
    assert dtypes(converted(pd.DataFrame, body, ARROW)) == ["float64"]


def test_decimals_are_numbers_in_arrays_and_stay_in_arrow_tables() -> None:
    body = arrow(pa.table({"a": [Decimal("1.5")], "b": pa.nulls(1)}))
    np.testing.assert_array_equal(converted(np.ndarray, body, ARROW), [[1.5, np.nan]])
    assert dtypes(converted(pa.Table, body, ARROW)) == ["decimal128(2, 1)", "double"]
