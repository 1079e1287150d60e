"""Parquet (application/x-parquet); the extra ``arrow``.

`decode` returns a `pyarrow.Table`; ``table.to_pandas()`` converts it to a DataFrame. `encode`
writes a table, a DataFrame, a dict of columns or of single values, a list of dicts, instances of
classes with fields in place of these dicts, or an array of one or two dimensions with columns "0",
"1" and so on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference import _budget
from sagemaker_inference._errors import DecodeError
from sagemaker_inference.codecs import _arrays, _parquet_pages, _tables

if TYPE_CHECKING:
    from sagemaker_inference._budget import Budget
    from sagemaker_inference.codecs import Body

__all__ = ["decode", "encode"]

_NAME: Final = "Parquet"
_CELL_BYTES: Final = 8
# To open a file, and each of its column chunks.
_STEPS: Final = 200


def decode(body: Body, content_type: str = "") -> Any:  # noqa: ARG001
    """Read a `pyarrow.Table`.

    >>> import pyarrow
    >>> body = encode(pyarrow.table({"a": [1, 2]}))
    >>> decode(body).column("a").to_pylist()
    [1, 2]

    Raises:
        DecodeError: the file is malformed or truncated.
        PayloadTooLargeError: it unpacks to more than the budget allows.
        UnsupportedMediaTypeError: pyarrow is not installed.
    """
    pa = _tables.pyarrow(_NAME)
    pq = _tables.pyarrow(_NAME, "pyarrow.parquet")
    budget = _budget.of(body)
    try:
        source = pa.BufferReader(pa.py_buffer(body))
        metadata = pq.read_metadata(source)
        arrow_schema = metadata.schema.to_arrow_schema()
        budget.step(_STEPS * (1 + metadata.num_row_groups * metadata.num_columns), _NAME)
        budget.unpack(_parquet_pages.unpacked_size(body, budget), _NAME)
        budget.take(metadata.num_rows * metadata.num_columns * _CELL_BYTES, _NAME)
        schema = metadata.schema
        texts = [
            column.path
            for column in map(schema.column, range(len(schema)))
            if column.physical_type == "BYTE_ARRAY" and column.max_repetition_level == 0
        ]
        source.seek(0)
        # A text repeated in a million rows is stored once in the file, and stays a dictionary until
        # its size is known.
        with pq.ParquetFile(source, read_dictionary=texts) as file:
            table = file.read(use_threads=False)
        table = _tables.checked(table, budget, _NAME)
        return _without_dictionaries(pa, table, arrow_schema, budget)
    except (
        pa.ArrowException,
        OSError,
        ValueError,
        TypeError,
        IndexError,
        KeyError,
        NotImplementedError,
        OverflowError,
        RuntimeError,
    ) as error:
        msg = f"Invalid Parquet: {str(error)[:200]}"
        raise DecodeError(msg) from None


def encode(prediction: object, content_type: str = "") -> memoryview:  # noqa: ARG001
    """Write a file, compressed with Snappy.

    >>> decode(encode([{"a": 1}, {"a": 2}])).to_pylist()
    [{'a': 1}, {'a': 2}]

    Raises:
        EncodeError: the prediction has no form as a table.
        UnsupportedMediaTypeError: pyarrow is not installed.
    """
    pa = _tables.pyarrow(_NAME)
    pq = _tables.pyarrow(_NAME, "pyarrow.parquet")
    sink = pa.BufferOutputStream()
    try:
        pq.write_table(_tables.as_table(prediction, _NAME), sink)
    except pa.ArrowException as error:
        raise _arrays.unencodable(prediction, _NAME, str(error)) from None
    return memoryview(sink.getvalue())


def _without_dictionaries(pa: Any, table: Any, schema: Any, budget: Budget) -> Any:
    """Convert dictionaries to the texts of the schema, once their total size is checked."""
    compute = _tables.pyarrow(_NAME, "pyarrow.compute")
    total = 0
    for index, field in enumerate(schema):
        column = table.column(index)
        if pa.types.is_dictionary(column.type) and not pa.types.is_dictionary(field.type):
            for chunk in column.chunks:
                lengths = compute.binary_length(chunk.dictionary)
                total += compute.sum(lengths.take(chunk.indices)).as_py() or 0
            budget.take(total, _NAME)
            total = 0
            table = table.set_column(index, field, column.cast(field.type))
    return table
