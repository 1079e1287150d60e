"""CSV (RFC 4180), rows by columns.

`decode` always returns two dimensions, so that ``data @ weights`` means the same for one row and
for many: one row of three values has shape (1, 3), three rows of one value (3, 1), one value
(1, 1).

=============================  ===================================================================
body                           result
=============================  ===================================================================
all integers of 64 bits        int64
any other numbers              float64, bit for bit as Python's ``float``; an empty cell is NaN
all ``True`` or ``False``      bool; case does not matter
any text                       object: the cells of a column that has text are str, those of other
                               columns int, float or bool
=============================  ===================================================================

Numbers are what ``float`` accepts: ``nan``, ``inf``, ``+1``, ``.5``, with spaces around. Cells may
be quoted; quoted cells may contain commas, line ends and doubled quotes. Lines end with LF, CRLF
or CR; blank lines are skipped, and ``#`` is not special. The first row is a header, and is left
out, if all its cells are text (the first may be empty, as pandas writes it) and some column has
only numbers below it. The parameter ``header=present`` or ``header=absent`` of the content type
overrides this. Line ends within quotes become LF. More than 250,000 columns are read only if all
cells are plain numbers.

`encode` writes one row per line, without a header: the rows of a matrix, or each value of a
one-dimensional prediction. NaN is ``nan``, infinity ``inf``, booleans ``True`` and ``False``, None
an empty cell; a record, a dict or an instance of a class with fields is a row of its fields, and a
list of them has the same fields in all; text is quoted if needed, and timedeltas are
numpy's text in full (``3600000000 microseconds``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sagemaker_inference import _budget
from sagemaker_inference import _content_types as content_types
from sagemaker_inference._errors import DecodeError, PayloadTooLargeError
from sagemaker_inference.codecs import _csv_reader, _csv_size, _csv_writer, _numbers
from sagemaker_inference.codecs._charset import utf8

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

    from sagemaker_inference.codecs import Body

__all__ = ["decode", "encode"]

# numpy needs over 600 bytes for each field of a record.
_MAX_FIELDS: Final = 10_000
# Without a match, a float column of integral values was written as integers.
_INTEGRAL_FLOAT: Final = re.compile(rb"\.0*(?:[,\n \t]|\Z)|[0-9.][eE]|-0(?![.0-9])")
# From here on, floats do not represent every integer.
_FIRST_INEXACT: Final = 2.0**53


def decode(
    body: Body | str,
    content_type: str = "",
    *,
    header: bool | None = None,
    dtype: DTypeLike | None = None,
) -> NDArray[Any]:
    r"""Read rows by columns.

    >>> decode("a,b\n1,2.5\n")
    array([[1. , 2.5]])
    >>> decode("007", dtype=str)
    array([['007']], dtype=object)

    Args:
        body: the text; UTF-8 unless the content type names another charset.
        content_type: the Content-Type header, for its parameters ``charset`` and ``header``.
        header: whether the first row names the columns and is left out; None leaves it to the
            content type, or to what the cells look like.
        dtype: the dtype of the array; None chooses it by the cells. ``str`` keeps them as text.

    Raises:
        DecodeError: the body is empty, its rows have different lengths, a quote is not closed, or
            a cell does not fit the dtype.
        PayloadTooLargeError: it has over 250,000 columns that are not plain numbers, or its cells
            need more memory than the budget allows.
        UnsupportedMediaTypeError: the charset is unknown.
    """
    budget = _budget.if_large(body)
    text = _csv_reader.normalized(utf8(body, content_type))
    header = _header_parameter(content_type) if header is None else header
    as_text = dtype is not None and np.dtype(dtype).kind in "OU"
    is_regular = as_text and budget is not None and _csv_size.take_cells(text, budget)
    array, _ = (
        _csv_reader.read_by_columns(text, header, as_text=True, is_regular=is_regular)
        if as_text
        else _csv_reader.read(text, header, budget)
    )
    if dtype is None or as_text:
        return array
    try:
        return _numbers.cast(array, dtype)
    except (TypeError, ValueError, OverflowError):
        msg = f"Invalid CSV: a cell does not fit dtype {np.dtype(dtype).name}"
        raise DecodeError(msg) from None


def with_names(body: Body, content_type: str) -> tuple[list[str] | None, list[NDArray[Any]]]:
    """Read a table; each column has its own dtype.

    Returns:
        The header row, or None if there is none; and the columns: int64, float64, bool or object.

    Raises:
        DecodeError: as for `decode`.
        PayloadTooLargeError: as for `decode`.
        UnsupportedMediaTypeError: the charset is unknown.
    """
    text = _csv_reader.normalized(utf8(body, content_type))
    header = _header_parameter(content_type)
    array, has_header = _csv_reader.read(text, header, _budget.if_large(body))
    columns = list(array.T)
    is_float = array.dtype == np.float64
    are_integral = [is_float and bool((column == np.floor(column)).all()) for column in columns]
    if any(are_integral):
        if _INTEGRAL_FLOAT.search(text) or np.abs(array[:, are_integral]).max() >= _FIRST_INEXACT:
            array, has_header = _csv_reader.read_by_columns(text, header, separate=True)
            columns = list(array.T)
        else:
            columns = [
                column.astype(np.int64) if is_integral else column
                for column, is_integral in zip(columns, are_integral, strict=True)
            ]
    return _csv_reader.first_row(text) if has_header else None, columns


def encode(prediction: Any, content_type: str = "") -> bytes:  # noqa: ARG001
    r"""Write a prediction of at most two dimensions, one row per line.

    >>> encode([[1, 2.5], [3, None]])
    b'1,2.5\n3,\n'

    >>> encode([{"a": 1, "b": "x"}, {"a": 2, "b": "y"}])
    b'1,x\n2,y\n'

    Raises:
        EncodeError: the prediction is not an array, has more dimensions, has cells that are not
            single values, or rows with other fields than the first.
    """
    return _csv_writer.write(prediction)


def as_records(table: NDArray[Any]) -> NDArray[Any]:
    """Type an array of objects as `numpy.genfromtxt` does: text, or a record of columns.

    Returns:
        An array of ``U`` of the same shape if every cell is text; otherwise one of shape (rows,)
        with the fields f0, f1 and so on.

    Raises:
        PayloadTooLargeError: there are over 10,000 columns, or the array would be far larger than
            the text: numpy stores every text of a column in the size of the longest.
    """
    if table.shape[1] > _MAX_FIELDS:
        msg = f"Numbers and text in over {_MAX_FIELDS} columns"
        raise PayloadTooLargeError(msg)
    columns = [list(column) for column in table.T]
    texts = [column for column in columns if isinstance(column[0], str)]
    size = sum(sum(map(len, column)) for column in texts)
    widened = sum(4 * max(map(len, column)) * len(column) for column in texts)
    _budget.Budget(size).take(widened, "CSV")
    if len(texts) == len(columns):
        return table.astype(np.str_)
    arrays = [np.array(column) for column in columns]
    records = np.empty(
        len(table), [(f"f{index}", array.dtype) for index, array in enumerate(arrays)]
    )
    for index, array in enumerate(arrays):
        records[f"f{index}"] = array
    return records


def _header_parameter(content_type: str) -> bool | None:
    if ";" not in content_type:
        return None
    value = content_types.parse(content_type).parameters.get("header", "").lower()
    return {"present": True, "absent": False}.get(value)
