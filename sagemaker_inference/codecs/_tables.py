"""Predictions as Arrow tables, and the checks that tables of clients need."""

from __future__ import annotations

from typing import Any

from sagemaker_inference._budget import check_unpacked
from sagemaker_inference._errors import DecodeError, EncodeError
from sagemaker_inference.codecs import _arrays
from sagemaker_inference.codecs._extras import needed


def pyarrow(format_name: str, module: str = "pyarrow") -> Any:
    """Import pyarrow, or a module of it.

    Raises:
        UnsupportedMediaTypeError: it is not installed.
    """
    return needed(module, f"{format_name} content")


def checked(table: Any, body_size: int, format_name: str) -> Any:
    """Check that the offsets, lengths and texts of a table are valid, and return it.

    Raises:
        DecodeError: they are not.
        PayloadTooLargeError: it has more cells than a body of this size may have.
    """
    check_unpacked(table.num_rows * max(1, table.num_columns), body_size, format_name)
    try:
        # Without this check, compiled code follows offsets to any address.
        table.validate(full=True)
    except (ValueError, TypeError, NotImplementedError) as error:
        msg = f"Invalid {format_name}: {str(error)[:200]}"
        raise DecodeError(msg) from None
    return table


def as_table(prediction: Any, format_name: str) -> Any:
    """Convert a prediction to a table with a row for each item of its first dimension.

    Accepts Arrow tables and record batches, pandas objects, dicts of columns, lists of dicts, and
    arrays of one or two dimensions, whose columns are named "0", "1" and so on.

    Raises:
        EncodeError: it has no form as a table.
    """
    pa = pyarrow(format_name)
    try:
        table = _table(pa, prediction)
        if table is not None:
            return table
        array = _arrays.as_array(prediction, format_name)
        if array.ndim < 2:  # noqa: PLR2004
            array = array.reshape(-1, 1)
        columns = {str(index): column for index, column in enumerate(array.T)}
        # Columns of several dimensions are left to Arrow to refuse.
        return pa.table(columns)
    except EncodeError:
        raise
    except Exception as error:
        raise _arrays.unencodable(prediction, format_name) from error


def _table(pa: Any, prediction: Any) -> Any:
    if isinstance(prediction, pa.Table):
        return prediction
    if isinstance(prediction, pa.RecordBatch):
        return pa.Table.from_batches([prediction])
    if hasattr(prediction, "to_frame"):
        prediction = prediction.to_frame()
    if hasattr(prediction, "to_dict") and hasattr(prediction, "columns"):
        return pa.Table.from_pandas(prediction, preserve_index=False)
    if isinstance(prediction, dict):
        return pa.table(prediction)
    if isinstance(prediction, list) and prediction and isinstance(prediction[0], dict):
        return pa.Table.from_pylist(prediction)
    return None
