"""Predictions as Arrow tables, and the checks that tables of clients need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference._errors import DecodeError, EncodeError
from sagemaker_inference.codecs import _arrays, _objects
from sagemaker_inference.codecs._extras import needed

if TYPE_CHECKING:
    from sagemaker_inference._budget import Budget


# Between the bit of a boolean and the reference of a Python object.
_CELL_BYTES: Final = 4
# They have a length, and are one cell.
_CELLS: Final = (str, bytes, bytearray, dict)


def pyarrow(format_name: str, module: str = "pyarrow") -> Any:
    """Import pyarrow, or a module of it.

    Raises:
        UnsupportedMediaTypeError: it is not installed.
    """
    return needed(module, f"{format_name} content")


def checked(table: Any, budget: Budget, format_name: str) -> Any:
    """Check that the offsets, lengths and texts of a table are valid, and return it.

    Raises:
        DecodeError: they are not.
        PayloadTooLargeError: it has more cells than the budget allows.
    """
    try:
        # Lengths alone: pyarrow ends the process at a nested array whose length is wrong.
        table.validate()
        cells = sum(_cells(chunk) for column in table.columns for chunk in column.chunks)
        budget.take(_CELL_BYTES * max(table.num_rows, cells), format_name)
        # Without this check, compiled code follows offsets to any address.
        table.validate(full=True)
    except (ValueError, TypeError, NotImplementedError) as error:
        msg = f"Invalid {format_name}: {str(error)[:200]}"
        raise DecodeError(msg) from None
    return table


def _cells(array: Any) -> int:
    """How many cells an array has, with those of nested ones: nulls take no bytes in a body."""
    nested: list[Any] = []
    if hasattr(array, "flatten") and array.type.num_fields and hasattr(array, "field"):
        nested = [array.field(index) for index in range(array.type.num_fields)]
    elif hasattr(array, "values"):  # lists, maps and runs
        nested = [array.values]
    return len(array) + sum(map(_cells, nested))


def as_table(prediction: Any, format_name: str) -> Any:
    """Convert a prediction to a table with a row for each item of its first dimension.

    Accepts Arrow tables and record batches, pandas objects, dicts of columns, dicts of single
    values as one row, lists of dicts, instances of classes with fields in place of these dicts, and
    arrays of one or two dimensions, whose columns are named "0", "1" and so on.

    Raises:
        EncodeError: it has no form as a table.
    """
    pa = pyarrow(format_name)
    try:
        prediction = _objects.without_instances(prediction)
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
    except Exception as error:  # noqa: BLE001 - libraries and objects of the program
        raise _arrays.unencodable(prediction, format_name, str(error)) from _arrays.if_users(error)


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
        is_row = prediction and not any(map(_is_column, prediction.values()))
        return pa.Table.from_pylist([prediction]) if is_row else pa.table(prediction)
    if isinstance(prediction, (list, tuple)) and prediction and isinstance(prediction[0], dict):
        return pa.Table.from_pylist(list(prediction))
    return None


def _is_column(value: Any) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, _CELLS)
