"""Predictions written as CSV."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson

from sagemaker_inference.codecs import _arrays, _objects

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FORMAT: Final = "CSV"
_COMMA: Final = ord(",")
_LINE_END: Final = ord("\n")
# Numbers written at a time: more would take more memory, and no less time.
_BLOCK: Final = 1 << 16
# Floats of these sizes are written by orjson with the digits of their own precision.
_FLOAT_SIZES: Final = (4, 8)
_NUMBERS: Final = (int, float, complex)
_SINGLE: Final = frozenset({str, int, float, bool})
_NEEDS_QUOTES: Final = re.compile(r'[",\r\n]')


def write(prediction: Any) -> bytes:
    """Write a prediction of at most two dimensions, one row per line.

    Raises:
        EncodeError: as for `csv.encode`.
    """
    rows: Any = prediction
    if type(prediction) is not np.ndarray:
        rows = _objects.as_rows(prediction, _FORMAT)
    array = _arrays.as_array(rows, _FORMAT)
    if array.dtype.kind == "f" and _has_integers(rows):
        array = _arrays.as_array(rows.to_numpy(dtype=object), _FORMAT)
    if array.dtype.names is not None and array.ndim < 2:  # noqa: PLR2004
        array = _from_records(array)
    if array.ndim > 2:  # noqa: PLR2004
        raise _arrays.unencodable(prediction, _FORMAT, f"it has {array.ndim} dimensions")
    if array.ndim < 2:  # noqa: PLR2004
        array = array.reshape(-1, 1)
    if array.size == 0:
        return b"\n" * len(array)
    if array.dtype.kind in "iu" or (
        array.dtype.kind == "f"
        and array.dtype.itemsize in _FLOAT_SIZES
        and np.isfinite(array).all()
    ):
        array = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
        step = max(1, _BLOCK // array.shape[1])
        blocks = (array[start : start + step] for start in range(0, len(array), step))
        return b"".join(map(_from_numbers, blocks))
    return _from_values(array)


def _from_records(records: NDArray[Any]) -> NDArray[Any]:
    """A row for each record, a column for each field; one record is one row."""
    rows = records.reshape(-1)
    names = records.dtype.names or ()
    table = np.empty((len(rows), len(names)), object)
    for index, name in enumerate(names):
        column = rows[name]
        if column.ndim > 1 or column.dtype.names is not None:
            raise _arrays.unencodable(records, _FORMAT, f"field {name[:80]!r} is not a column")
        if column.dtype.kind in "mM":
            column = _arrays.texts_of_times(column)
        # Floats of another precision stay numpy scalars, as in `_from_values`.
        table[:, index] = list(column) if column.dtype.kind == "f" else column.tolist()
    return table


def _from_numbers(rows: NDArray[Any]) -> memoryview:
    """Rows of finite numbers: one JSON array, in which the last comma of each row ends it."""
    columns = rows.shape[1]
    text = bytearray(orjson.dumps(rows.reshape(-1), option=orjson.OPT_SERIALIZE_NUMPY))
    codes = np.frombuffer(text, np.uint8)
    codes[(codes == _COMMA).nonzero()[0][columns - 1 :: columns]] = _LINE_END
    codes[-1] = _LINE_END
    return memoryview(text)[1:]


def _has_integers(prediction: Any) -> bool:
    """Whether a pandas object has columns of integers, which its float array would round."""
    dtypes = getattr(prediction, "dtypes", ())
    kinds = [dtypes] if hasattr(dtypes, "kind") else dtypes
    return any(getattr(dtype, "kind", "") in ("i", "u") for dtype in kinds)


def _from_values(array: NDArray[Any]) -> bytes:
    kind = array.dtype.kind
    if kind in "mM":
        array = _arrays.texts_of_times(array)
    write_cell = str if kind in "fb" else _cell
    # Floats of another precision stay numpy scalars: as Python floats they would get more digits.
    rows = array if kind == "f" and array.dtype != np.float64 else array.tolist()
    # A blank line would not be a row.
    lines = (",".join(map(write_cell, row)) or '""' for row in rows)
    try:
        return ("\n".join(lines) + "\n").encode()
    except UnicodeEncodeError:
        raise _arrays.unencodable(array, _FORMAT, "lone surrogates") from None


def _cell(value: object) -> str:
    if value is None or _objects.is_na(value):
        return ""
    if type(value) not in _SINGLE:
        # An object without its own __str__ would be written as its repr, which only Python reads.
        is_repr = type(value).__str__ is object.__str__ and not isinstance(value, _NUMBERS)
        if is_repr or isinstance(value, np.ndarray) or _objects.is_object(value):
            raise _arrays.unencodable(value, "a cell of CSV")
    if isinstance(value, bytes):
        text = value.decode("utf-8", "replace")
    else:
        text = _arrays.text_of_duration(value) if isinstance(value, timedelta) else str(value)
    # A blank line would not be a row.
    if text.isspace():
        return f'"{text}"'
    return '"' + text.replace('"', '""') + '"' if _NEEDS_QUOTES.search(text) else text
