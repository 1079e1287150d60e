"""CSV (RFC 4180), rows by columns.

`decode` always gives two dimensions, so that ``data @ weights`` means the same for one row and
for many: one row of three values has shape (1, 3), three rows of one value (3, 1), one value
(1, 1).

=============================  ===================================================================
body                           result
=============================  ===================================================================
all integers of 64 bits        int64
any other numbers              float64, bit for bit as Python's ``float``; an empty cell is NaN
all ``True`` or ``False``      bool, in any case
any text                       object: the cells of a column that has text are str, those of other
                               columns int, float or bool
=============================  ===================================================================

Numbers are what ``float`` takes: ``nan``, ``inf``, ``+1``, ``.5``, spaces around. Cells may be
quoted; quoted cells may hold commas, line ends and doubled quotes. Lines end with LF, CRLF or
CR; blank lines are passed over, and ``#`` is not special. A first row counts as a header and is
left out if all its cells are text, of which the first may be empty as pandas writes it, and some
column has nothing but numbers below it; the parameter ``header=present`` or ``header=absent`` of
the content type settles it. Line ends within quotes come as LF. Over 250,000 columns are read if
they are plain numbers.

`encode` writes one row per line: a matrix's rows, or each value of a one-dimensional prediction
on a line of its own, without a header. NaN is ``nan``, infinity ``inf``, booleans ``True`` and
``False``, None an empty cell; text is quoted where it must be, and timedeltas are numpy's
text in full (``3600000000 microseconds``).
"""

from __future__ import annotations

import re
from datetime import timedelta
from functools import reduce
from itertools import chain, islice, repeat
from operator import and_
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson

from sagemaker_inference import _content_types as content_types
from sagemaker_inference._budget import check_unpacked
from sagemaker_inference._errors import DecodeError, PayloadTooLargeError
from sagemaker_inference.codecs import _arrays, _numbers
from sagemaker_inference.codecs._charset import utf8

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import DTypeLike, NDArray

    from sagemaker_inference.codecs import Body

_NAN: Final = float("nan")
_COMMA: Final = ord(",")
_LINE_END: Final = ord("\n")
# So many numbers are written at once: more would take more memory, and no less time.
_BLOCK: Final = 1 << 16
# So many rows with quotes are lists of their cells at once.
_ROWS: Final = 1 << 12
# A text for each cell of a row, and work for each column, that are no plain numbers.
_MOST_COLUMNS: Final = 250_000
# A field of a record takes numpy over 600 bytes.
_MOST_FIELDS: Final = 10_000
# From here on, a Python object for every cell at once takes too much memory.
_LONG: Final = 1 << 20
# Kinds of cells, as numpy names those of dtypes.
_BOOLEAN, _INTEGER, _FLOAT, _TEXT = "b", "i", "f", "O"
_NUMERIC: Final = {_INTEGER, _FLOAT}
_DTYPES: Final[dict[str, DTypeLike]] = {
    _BOOLEAN: np.bool_,
    _INTEGER: np.int64,
    _FLOAT: np.float64,
    _TEXT: object,
}
_BOOLEAN_START: Final = ("t", "T", "f", "F", " ")
_NUMBER_START: Final = b"0123456789-+., \tnNiI"
# Up to the first of doubled quotes: as a group that repeats, these would take 130 bytes a pair.
_CELL: Final = re.compile(r'[ \t]*"([^"]*)"(?:(?=("))|[ \t]*(,|\n|\Z))|([^",\n][^,\n]*|)(,|\n|\Z)')
_PLAIN: Final = re.compile(r'([^",\n][^,\n]*)(,|\n|\Z)')
# How anything begins that `_number` takes; to try takes ten times as long.
_LIKE_NUMBER: Final = re.compile(r"\s*(?:[-+.\d]|nan|inf|\Z)", re.IGNORECASE)
# Those that orjson writes with the digits of their own precision.
_FLOAT_SIZES: Final = (4, 8)
_NUMBERS: Final = (int, float, complex)
# With none of these, a column of whole numbers has integers; beyond 2**53, floats are not exact.
_FLOAT_THAT_IS_WHOLE: Final = re.compile(rb"\.0*(?:[,\n \t]|\Z)|[0-9.][eE]|-0(?![.0-9])")
_EXACT: Final = 2.0**53
_QUOTED: Final = re.compile(r'[",\r\n]')


def decode(
    body: Body | str,
    content_type: str = "",
    *,
    header: bool | None = None,
    dtype: DTypeLike | None = None,
) -> NDArray[Any]:
    """Read rows by columns.

    Args:
        body: the text; UTF-8 unless the content type names another charset.
        content_type: the Content-Type header, for its charset and its ``header`` parameter.
        header: whether the first row names the columns and is left out; None leaves it to the
            content type, or to what the cells look like.
        dtype: what the array is made of; None chooses by the cells. ``str`` keeps them as text.

    Raises:
        DecodeError: the body is empty, its rows are of different lengths, a quote is not closed,
            or a cell does not fit the dtype.
        PayloadTooLargeError: it has over 250,000 columns of other than plain numbers.
        UnsupportedMediaTypeError: the charset is unknown.
    """
    text = _lines(utf8(body, content_type))
    header = _said(content_type) if header is None else header
    as_text = dtype is not None and np.dtype(dtype).kind in "OU"
    found, _ = _from_columns(text, header, as_text=True) if as_text else _read(text, header)
    if dtype is None or as_text:
        return found
    try:
        return _numbers.cast(found, dtype)
    except (TypeError, ValueError, OverflowError):
        msg = f"Invalid CSV: a cell does not fit dtype {np.dtype(dtype).name}"
        raise DecodeError(msg) from None


def with_names(body: Body, content_type: str) -> tuple[list[str] | None, list[NDArray[Any]]]:
    """Read a table whose columns have each a dtype of its own.

    Returns:
        The header row, None where there is none; and the columns: int64, float64, bool or object.

    Raises:
        DecodeError: as for `decode`.
        UnsupportedMediaTypeError: the charset is unknown.
    """
    text = _lines(utf8(body, content_type))
    header = _said(content_type)
    found, has_header = _read(text, header)
    is_float = found.dtype == np.float64
    are_whole = [is_float and bool((column == np.floor(column)).all()) for column in found.T]
    columns = list(found.T)
    if any(are_whole):
        if _FLOAT_THAT_IS_WHOLE.search(text) or np.abs(found[:, are_whole]).max() >= _EXACT:
            found, has_header = _from_columns(text, header, alone=True)
            columns = list(found.T)
        else:
            columns = [
                column.astype(np.int64) if is_whole else column
                for column, is_whole in zip(columns, are_whole, strict=True)
            ]
    return next(_blocks(text))[0] if has_header else None, columns


def _said(content_type: str) -> bool | None:
    if ";" not in content_type:
        return None
    named = content_types.parse(content_type).parameters.get("header", "").lower()
    return {"present": True, "absent": False}.get(named)


def _read(text: bytes | bytearray, header: bool | None) -> tuple[NDArray[Any], bool]:  # noqa: FBT001
    """Rows by columns, and whether a header was left out."""
    found = _fast(text, header)
    if found is None and len(text) > _LONG:
        found = _in_pieces(text, header)
    return found or _from_columns(text, header)


def encode(prediction: Any, content_type: str = "") -> bytes:  # noqa: ARG001
    """Write a prediction of at most two dimensions, one row per line.

    Raises:
        EncodeError: the prediction makes no array, one of more dimensions, or one of objects
            that are no single values.
    """
    array = _arrays.as_array(prediction, "CSV")
    if array.dtype.kind == "f" and _has_integers(prediction):
        array = _arrays.as_array(prediction.to_numpy(dtype=object), "CSV")
    if array.ndim > 2:  # noqa: PLR2004
        raise _arrays.unencodable(prediction, "CSV", f"it has {array.ndim} dimensions")
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


def as_records(table: NDArray[Any]) -> NDArray[Any]:
    """An array of objects as `numpy.genfromtxt` types it: text, or a record of columns.

    Gives an array of ``U`` of the same shape where every cell is text, else one of shape (rows,)
    with the fields f0, f1 and so on.

    Raises:
        PayloadTooLargeError: numpy gives every text the room of its column's longest, and that
            is far more than there is text; or there are over 10,000 columns.
    """
    if table.shape[1] > _MOST_FIELDS:
        msg = f"Numbers and text in over {_MOST_FIELDS} columns"
        raise PayloadTooLargeError(msg)
    columns = [list(column) for column in table.T]
    texts = [column for column in columns if isinstance(column[0], str)]
    size = sum(sum(map(len, column)) for column in texts)
    check_unpacked(sum(4 * max(map(len, column)) * len(column) for column in texts), size, "CSV")
    if len(texts) == len(columns):
        return table.astype(np.str_)
    arrays = [np.array(column) for column in columns]
    records = np.empty(
        len(table), [(f"f{index}", array.dtype) for index, array in enumerate(arrays)]
    )
    for index, array in enumerate(arrays):
        records[f"f{index}"] = array
    return records


def _lines(text: bytes | bytearray) -> bytes | bytearray:
    """The text with LF between lines and none around."""
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if text[:1] == b"\n" or text[-1:] == b"\n":
        text = text.strip(b"\n")
    if not text.strip(b" \t\n"):
        msg = "The body is empty: CSV expected"
        raise DecodeError(msg)
    return text


def _fast(
    text: bytes | bytearray,
    header: bool | None,  # noqa: FBT001
) -> tuple[NDArray[Any], bool] | None:
    """Rows of plain numbers, with or without a header; None for anything else."""
    if header is not True and text[0] in _NUMBER_START:
        found = _numbers.table(text)
        if found is not None:
            return found, False
    if header is False or len(text) > _LONG:
        return None
    end = text.find(b"\n")
    if end < 0 or text.find(b'"', end) >= 0:
        return None
    first = _cells(text[:end])
    if len(first) != 1 or (header is None and not _are_names(first[0])):
        return None
    found = _numbers.table(text[end + 1 :])
    return (found, True) if found is not None and found.shape[1] == len(first[0]) else None


def _in_pieces(
    text: bytes | bytearray,
    header: bool | None,  # noqa: FBT001
) -> tuple[NDArray[Any], bool] | None:
    """Rows of numbers in any spelling and with empty cells; None for anything else."""
    if b'"' in text:
        return None
    end = text.find(b"\n")
    first = _cells(text[: len(text) if end < 0 else end])
    if end < 0 or len(first) != 1:
        return None
    columns = len(first[0])
    start = end + 1 if header or (header is None and _are_names(first[0])) else 0
    total = 1 + text.count(b"\n", start)
    if not _numbers.fits(total, columns, text):
        return None
    found: NDArray[Any] | None = None
    dtypes = set()
    count = 0
    for piece in _numbers.lines(text, start):
        rows = _rows_of_numbers(piece)
        if rows is None or rows.shape[1] != columns:
            return None
        found = _numbers.into(found, rows, count, (total, columns))
        count += len(rows)
        dtypes.add(rows.dtype)
    if found is None or (len(dtypes) > 1 and b"-0" in text):
        return None
    return found[:count], start > 0


def _rows_of_numbers(text: bytes | bytearray) -> NDArray[Any] | None:
    rows = _numbers.table(text)
    if rows is not None:
        return rows
    try:
        cells = _cells(text)
    except DecodeError:
        return None
    numbers = _numbers_of(list(chain.from_iterable(cells))) if cells else None
    return None if numbers is None else numbers.reshape(len(cells), -1)


def _cells(text: bytes | bytearray) -> list[list[str]]:
    return list(chain.from_iterable(_blocks(text)))


def _blocks(text: bytes | bytearray) -> Iterator[list[list[str]]]:
    """The rows, some at a time: of a long text, all lists of cells would take much memory."""
    columns = count = 0
    for rows in _quoted_blocks(text) if b'"' in text else _plain_blocks(text):
        for row in rows:
            count += 1
            columns = columns or _few(len(row))
            if len(row) != columns:
                msg = f"Invalid CSV: row {count} has {len(row)} columns, and row 1 has {columns}"
                raise DecodeError(msg)
        if rows:
            yield rows


def _few(columns: int) -> int:
    if columns > _MOST_COLUMNS:
        msg = f"Over {_MOST_COLUMNS} columns of other than plain numbers"
        raise PayloadTooLargeError(msg)
    return columns


def _plain_blocks(text: bytes | bytearray) -> Iterator[list[list[str]]]:
    start = 0
    end = text.find(b"\n")
    _few(text.count(b",", 0, len(text) if end < 0 else end))
    for piece in _numbers.lines(text):
        lines = _characters(piece, start).split("\n")
        yield [line.split(",") for line in lines if line.strip(" \t")]
        start += len(piece) + 1


def _quoted_blocks(text: bytes | bytearray) -> Iterator[list[list[str]]]:
    rows = _quoted_rows(_characters(text))
    while block := list(islice(rows, _ROWS)):
        yield block


def _characters(text: bytes | bytearray, start: int = 0) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        msg = f"Invalid CSV: not UTF-8 at byte {start + error.start}"
        raise DecodeError(msg) from None


def _quoted_rows(text: str) -> Iterator[list[str]]:
    row: list[str] = []
    parts: list[str] = []
    start = position = 0
    while True:
        match = _CELL.match(text, position)
        if match is not None:
            quoted, is_doubled, quoted_end, plain, plain_end = match.groups()
            position = match.end()
            if is_doubled:
                parts.append(quoted)
                continue
            if quoted is None:
                cell, end = plain, plain_end
            else:
                cell, end = '"'.join((*parts, quoted)) if parts else quoted, quoted_end
        else:
            # A quote that ends nowhere: with blanks before it, it is text like any other.
            match = _PLAIN.match(text, start) if parts else None
            if match is None:
                line = text.count("\n", 0, start) + 1
                msg = f"Invalid CSV: a quote is not closed, or text follows one, in line {line}"
                raise DecodeError(msg)
            quoted = None
            cell, end = match.groups()
            position = match.end()
        row.append(cell)
        _few(len(row))
        parts.clear()
        start = position
        if end != ",":
            if len(row) > 1 or quoted is not None or row[0].strip(" \t"):
                yield row
            row = []
            if not end:
                return


def _from_columns(
    text: bytes | bytearray,
    header: bool | None,  # noqa: FBT001
    *,
    as_text: bool = False,
    alone: bool = False,
) -> tuple[NDArray[Any], bool]:
    """Rows by columns, of the kind that fits all cells, or else each column of its own kind.

    Texts of all cells can be asked for instead, or for each column its own kind in any case; the
    second result is whether a header was left out.

    A long text is read twice: its last cell may decide what a column is made of, and all cells as
    text at once would take many times the memory of the text.
    """
    saved = () if len(text) > _LONG else tuple(_blocks(text))

    def blocks() -> Iterator[list[list[str]]]:
        return iter(saved) if saved else _blocks(text)

    first = next(blocks())[0]
    kinds, are_filled, count = [""] * len(first), [False] * len(first), 0
    for rows in _below_first(blocks()):
        count += len(rows)
        for index, cells in enumerate(zip(*rows, strict=True)):
            kinds[index] = _kind_with(kinds[index], cells)
            are_filled[index] |= any(cells)
    if header is None:
        are_numeric = [kind in _NUMERIC for kind in kinds]
        header = any(map(and_, are_numeric, are_filled)) and _are_names(first)
    if not header:
        count += 1
        kinds = [_kind_with(kind, (cell,)) for kind, cell in zip(kinds, first, strict=True)]
    elif not count:
        msg = "Invalid CSV: a header and no rows"
        raise DecodeError(msg)
    common = _TEXT if as_text or alone else reduce(_either, kinds)
    if as_text or common != _TEXT:
        kinds = [common] * len(kinds)
    found = np.empty((count, len(kinds)), _DTYPES[common])
    end = 0
    for rows in _below_first(blocks()) if header else blocks():
        start, end = end, end + len(rows)
        for index, cells in enumerate(zip(*rows, strict=True)):
            found[start:end, index] = _CONVERTED[kinds[index]](cells)
    return found, bool(header)


def _below_first(blocks: Iterator[list[list[str]]]) -> Iterator[list[list[str]]]:
    yield next(blocks)[1:]
    yield from blocks


def _kind_with(kind: str, cells: Sequence[str]) -> str:
    """What a column is made of that is of some kind so far, with further cells."""
    if kind == _TEXT:
        return kind
    values = _values_of(cells)
    return _either(kind, _TEXT if values is None else values.dtype.kind)


def _either(one: str, other: str) -> str:
    """What values of two kinds are together."""
    if one == other or not one:
        return other
    return _FLOAT if {one, other} == _NUMERIC else _TEXT


def _values_of(cells: Sequence[str]) -> NDArray[Any] | None:
    """The cells as numbers or as booleans; None if any is text."""
    if cells[0][:1] in _BOOLEAN_START:
        words = [cell.strip().lower() for cell in cells]
        if set(words) <= {"true", "false"}:
            return np.array([word == "true" for word in words])
    if _LIKE_NUMBER.match(cells[0]) is None:
        return None
    return _numbers_of(cells)


def _numbers_of(cells: Sequence[str]) -> NDArray[Any] | None:
    """int64 if all cells are integers of 64 bits, float64 if all are numbers, else None."""
    try:
        if not any(map(str.__contains__, cells, repeat("_"))):
            return np.array(list(map(int, cells)), np.int64)
    except (ValueError, OverflowError):
        pass
    try:
        return np.array([_number(cell) for cell in cells], np.float64)
    except ValueError:
        return None


def _number(cell: str) -> float:
    if not cell or cell.isspace():
        return _NAN
    if "_" in cell:
        raise ValueError(cell)
    return float(cell)


def _are_names(cells: Sequence[str]) -> bool:
    """Whether all are text; pandas writes no name for the first column, its index."""
    for cell in cells[1:] if len(cells) > 1 and not cells[0] else cells:
        try:
            _number(cell)
        except ValueError:
            continue
        return False
    return True


_CONVERTED: Final[dict[str, Callable[[Sequence[str]], Sequence[Any]]]] = {
    _BOOLEAN: lambda cells: [cell.strip().lower() == "true" for cell in cells],
    _INTEGER: lambda cells: list(map(int, cells)),
    _FLOAT: lambda cells: list(map(_number, cells)),
    _TEXT: lambda cells: cells,
}


def _from_numbers(rows: NDArray[Any]) -> memoryview:
    """Rows of finite numbers: a JSON array of all of them, in which a row's last comma ends it."""
    columns = rows.shape[1]
    text = bytearray(orjson.dumps(rows.reshape(-1), option=orjson.OPT_SERIALIZE_NUMPY))
    codes = np.frombuffer(text, np.uint8)
    codes[(codes == _COMMA).nonzero()[0][columns - 1 :: columns]] = _LINE_END
    codes[-1] = _LINE_END
    return memoryview(text)[1:]


def _has_integers(prediction: Any) -> bool:
    """Whether columns of integers stand in a table of pandas, beside floats or with NA."""
    dtypes = getattr(prediction, "dtypes", ())
    kinds = [dtypes] if hasattr(dtypes, "kind") else dtypes
    return any(getattr(dtype, "kind", "") in ("i", "u") for dtype in kinds)


def _from_values(array: NDArray[Any]) -> bytes:
    kind = array.dtype.kind
    if kind in "mM":
        array = _arrays.texts_of_times(array)
    write = str if kind in "fb" else _cell
    # As numpy's scalars, those of other precision than Python's have digits of their own.
    rows = array if kind == "f" and array.dtype != np.float64 else array.tolist()
    # A blank line would be no row.
    lines = (",".join(map(write, row)) or '""' for row in rows)
    try:
        return ("\n".join(lines) + "\n").encode()
    except UnicodeEncodeError as error:
        raise _arrays.unencodable(array, "CSV", "lone surrogates") from error


def _cell(value: object) -> str:
    if value is None or type(value).__name__ == "NAType":  # pandas' own None
        return ""
    # Without a __str__ of its own, an object's is its repr: only Python reads that.
    is_repr = type(value).__str__ is object.__str__ and not isinstance(value, _NUMBERS)
    if is_repr or isinstance(value, np.ndarray):
        raise _arrays.unencodable(value, "a cell of CSV")
    if isinstance(value, bytes):
        text = value.decode("utf-8", "replace")
    else:
        text = _arrays.text_of_duration(value) if isinstance(value, timedelta) else str(value)
    # A blank line would be no row.
    if text.isspace():
        return f'"{text}"'
    return '"' + text.replace('"', '""') + '"' if _QUOTED.search(text) else text
