"""CSV text read into an array, by the fastest way that its cells allow."""

from __future__ import annotations

import csv
import re
from functools import reduce
from itertools import chain, islice, repeat
from operator import and_
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sagemaker_inference._errors import (
    DecodeError,
    PayloadTooLargeError,
    UnprocessableInputError,
)
from sagemaker_inference.codecs import _csv_size, _numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import DTypeLike, NDArray

    from sagemaker_inference._budget import Budget

_NAN: Final = float("nan")
# Rows with quotes whose cells are in memory at a time.
_ROWS: Final = 1 << 12
# Other cells than plain numbers cost a str for each cell of a row, and work for each column.
_MAX_COLUMNS: Final = 250_000
# From here on, a Python object for every cell at once takes too much memory.
_LONG: Final = 1 << 20
# Kinds of cells, named like kinds of numpy dtypes.
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
# Ends at the first of doubled quotes: a repeated group for them would take 130 bytes for each pair.
_CELL: Final = re.compile(r'[ \t]*"([^"]*)"(?:(?=("))|[ \t]*(,|\n|\Z))|([^",\n][^,\n]*|)(,|\n|\Z)')
_UNQUOTED_CELL: Final = re.compile(r'([^",\n][^,\n]*)(,|\n|\Z)')
# Where a cell begins that is not a number, whatever its quotes are like.
_OTHER_CELL: Final = re.compile(
    rb"(?:[,\n]|\A)(?![ \t\r\f\v\x1c-\x1f\"]*"
    rb"(?:[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|[-+]?(?:nan|inf(?:inity)?))?"
    rb"[ \t\r\f\v\x1c-\x1f\"]*(?:[,\n]|\Z))",
    re.IGNORECASE,
)
_LONGEST_SHOWN: Final = 60
# The start of everything that `_number` accepts; trying to parse takes ten times as long.
_LIKE_NUMBER: Final = re.compile(r"\s*(?:[-+.\d]|nan|inf|\Z)", re.IGNORECASE)


def normalized(text: bytes | bytearray) -> bytes | bytearray:
    """The text with LF between lines and none at either end.

    Raises:
        DecodeError: it is empty.
    """
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if text[:1] == b"\n" or text[-1:] == b"\n":
        text = text.strip(b"\n")
    if not text.strip(b" \t\n"):
        msg = "The body is empty: CSV expected"
        raise DecodeError(msg)
    return text


def read(
    text: bytes | bytearray,
    header: bool | None,  # noqa: FBT001
    budget: Budget | None = None,
) -> tuple[NDArray[Any], bool]:
    """Read rows by columns; the second result is whether a header was left out."""
    if budget is not None:
        _csv_size.attempt_numbers(text, budget)
    result = _plain_numbers(text, header)
    if result is not None:
        return result
    is_regular = budget is not None and _csv_size.take_cells(text, budget)
    if budget is not None and budget.expects_numbers:
        _check_numbers(text, header, budget)
    if len(text) > _LONG:
        result = _numbers_in_pieces(text, header)
    if result is None:
        result = read_by_columns(text, header, is_regular=is_regular)
    if budget is not None and result[0].dtype != object:
        _csv_size.give_back_cells(text, budget)
    return result


def read_by_columns(
    text: bytes | bytearray,
    header: bool | None,  # noqa: FBT001
    *,
    as_text: bool = False,
    separate: bool = False,
    is_regular: bool = False,
) -> tuple[NDArray[Any], bool]:
    """Read rows by columns, of the kind that fits all cells, else of each column's own kind.

    A long text is read twice: its last cell may decide the kind of a column, and all cells as str
    at once would take many times the memory of the text.

    Args:
        text: as `normalized` returns it.
        header: as for `csv.decode`.
        as_text: keep every cell a str.
        separate: give each column its own kind even if one kind fits all cells.
        is_regular: whether Python's csv module reads the text as we do, and faster.

    Returns:
        The array, and whether a header was left out.
    """
    saved = () if len(text) > _LONG else tuple(_blocks(text, is_regular=is_regular))

    def blocks() -> Iterator[list[list[str]]]:
        return iter(saved) if saved else _blocks(text, is_regular=is_regular)

    first = next(blocks())[0]
    kinds, are_filled, count = [""] * len(first), [False] * len(first), 0
    for rows in _without_first(blocks()):
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
    common = _TEXT if as_text or separate else reduce(_common_kind, kinds)
    if as_text or common != _TEXT:
        kinds = [common] * len(kinds)
    array = np.empty((count, len(kinds)), _DTYPES[common])
    end = 0
    for rows in _without_first(blocks()) if header else blocks():
        start, end = end, end + len(rows)
        for index, cells in enumerate(zip(*rows, strict=True)):
            array[start:end, index] = _CONVERT[kinds[index]](cells)
    return array, bool(header)


def first_row(text: bytes | bytearray) -> list[str]:
    """The cells of the first row."""
    return next(_blocks(text))[0]


def _check_numbers(
    text: bytes | bytearray,
    header: bool | None,  # noqa: FBT001
    budget: Budget,
) -> None:
    place = _place_of_text(text, header)
    if place is None:
        _csv_size.look_at_cells(text, budget)
    elif place:
        msg = f"Expected a number in {place}."
        raise UnprocessableInputError(msg)


def _place_of_text(
    text: bytes | bytearray,
    header: bool | None,  # noqa: FBT001
) -> str | None:
    """Where the first text is among numbers; None where it takes longer to see whether there is."""
    end = text.find(b"\n")
    line = text[: len(text) if end < 0 else end]
    if line.count(b'"') % 2 or not line.strip(b" \t"):
        return None
    has_header = header or (header is None and end > 0 and _are_names(first_row(line)))
    start = end + 1 if has_header else 0
    match = _OTHER_CELL.search(text, max(0, start - 1))
    if match is None:
        return ""
    place = match.start() + (match.start() > 0 or has_header)
    cell = re.split(rb"[,\n]", bytes(text[place : place + _LONGEST_SHOWN]), maxsplit=1)[0]
    cell = cell.strip(b' \t"')
    if not cell.isascii() or cell.lower() in {b"true", b"false"}:
        # There are other digits, too, and columns of booleans.
        return None
    row = text.count(b"\n", start, place) + 1
    column = text.count(b",", text.rfind(b"\n", 0, place) + 1, place) + 1
    return f"row {row}, column {column}, not str {cell.decode()!r:.40}"


def _plain_numbers(
    text: bytes | bytearray,
    header: bool | None,  # noqa: FBT001
) -> tuple[NDArray[Any], bool] | None:
    """Rows of plain numbers, with or without a header; None for anything else."""
    if header is not True and text[0] in _NUMBER_START:
        array = _numbers.table(text)
        if array is not None:
            return array, False
    if header is False or len(text) > _LONG:
        return None
    end = text.find(b"\n")
    if end < 0 or text.find(b'"', end) >= 0:
        return None
    first = _rows(text[:end])
    if len(first) != 1 or (header is None and not _are_names(first[0])):
        return None
    array = _numbers.table(text[end + 1 :])
    return (array, True) if array is not None and array.shape[1] == len(first[0]) else None


def _numbers_in_pieces(
    text: bytes | bytearray,
    header: bool | None,  # noqa: FBT001
) -> tuple[NDArray[Any], bool] | None:
    """Rows of numbers in any spelling and with empty cells; None for anything else."""
    if b'"' in text:
        return None
    end = text.find(b"\n")
    first = _rows(text[: len(text) if end < 0 else end])
    if end < 0 or len(first) != 1:
        return None
    columns = len(first[0])
    start = end + 1 if header or (header is None and _are_names(first[0])) else 0
    total = 1 + text.count(b"\n", start)
    if not _numbers.fits(total, columns, text):
        return None
    array: NDArray[Any] | None = None
    dtypes = set()
    count = 0
    for piece in _numbers.lines(text, start):
        rows = _rows_of_numbers(piece)
        if rows is None or rows.shape[1] != columns:
            return None
        array = _numbers.into(array, rows, count, (total, columns))
        count += len(rows)
        dtypes.add(rows.dtype)
    if array is None or (len(dtypes) > 1 and b"-0" in text):
        return None
    return array[:count], start > 0


def _rows_of_numbers(text: bytes | bytearray) -> NDArray[Any] | None:
    array = _numbers.table(text)
    if array is not None:
        return array
    try:
        rows = _rows(text)
    except DecodeError:
        return None
    numbers = _parse_numbers(list(chain.from_iterable(rows))) if rows else None
    return None if numbers is None else numbers.reshape(len(rows), -1)


def _rows(text: bytes | bytearray) -> list[list[str]]:
    return list(chain.from_iterable(_blocks(text)))


def _blocks(text: bytes | bytearray, *, is_regular: bool = False) -> Iterator[list[list[str]]]:
    """The cells of some rows at a time: those of a long text would take much memory."""
    columns = count = 0
    split = _regular_blocks if is_regular else _quoted_blocks
    for rows in split(text) if b'"' in text else _unquoted_blocks(text):
        for row in rows:
            count += 1
            columns = columns or _checked_columns(len(row))
            if len(row) != columns:
                msg = f"Invalid CSV: row {count} has {len(row)} columns, and row 1 has {columns}"
                raise DecodeError(msg)
        if rows:
            yield rows


def _checked_columns(columns: int) -> int:
    if columns > _MAX_COLUMNS:
        msg = f"Over {_MAX_COLUMNS} columns that are not plain numbers"
        raise PayloadTooLargeError(msg)
    return columns


def _unquoted_blocks(text: bytes | bytearray) -> Iterator[list[list[str]]]:
    start = 0
    end = text.find(b"\n")
    _checked_columns(text.count(b",", 0, len(text) if end < 0 else end))
    for piece in _numbers.lines(text):
        lines = _characters(piece, start).split("\n")
        yield [line.split(",") for line in lines if line.strip(" \t")]
        start += len(piece) + 1


def _regular_blocks(text: bytes | bytearray) -> Iterator[list[list[str]]]:
    rows = filter(_has_cells, csv.reader(_lines(text), strict=True))
    while block := list(islice(rows, _ROWS)):
        yield block


def _has_cells(row: list[str]) -> bool:
    """Whether a row of a table with several columns is not a blank line."""
    return len(row) > 1 or (len(row) == 1 and row[0].strip(" \t") != "")


def _lines(text: bytes | bytearray) -> Iterator[str]:
    start = 0
    for piece in _numbers.lines(text):
        yield from (line + "\n" for line in _characters(piece, start).split("\n"))
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
            quoted, is_doubled, quoted_end, unquoted, unquoted_end = match.groups()
            position = match.end()
            if is_doubled:
                parts.append(quoted)
                continue
            if quoted is None:
                cell, end = unquoted, unquoted_end
            else:
                cell, end = '"'.join((*parts, quoted)) if parts else quoted, quoted_end
        else:
            # A quote that is not closed is plain text if blanks precede it.
            match = _UNQUOTED_CELL.match(text, start) if parts else None
            if match is None:
                line = text.count("\n", 0, start) + 1
                msg = f"Invalid CSV: a quote is not closed, or text follows one, in line {line}"
                raise DecodeError(msg)
            quoted = None
            cell, end = match.groups()
            position = match.end()
        row.append(cell)
        _checked_columns(len(row))
        parts.clear()
        start = position
        if end != ",":
            if len(row) > 1 or quoted is not None or row[0].strip(" \t"):
                yield row
            row = []
            if not end:
                return


def _without_first(blocks: Iterator[list[list[str]]]) -> Iterator[list[list[str]]]:
    yield next(blocks)[1:]
    yield from blocks


def _kind_with(kind: str, cells: Sequence[str]) -> str:
    """The kind of a column with further cells; "" is that of a column without any."""
    if kind == _TEXT:
        return kind
    values = _parse(cells)
    return _common_kind(kind, _TEXT if values is None else values.dtype.kind)


def _common_kind(one: str, other: str) -> str:
    """The kind that fits values of both."""
    if one == other or not one:
        return other
    return _FLOAT if {one, other} == _NUMERIC else _TEXT


def _parse(cells: Sequence[str]) -> NDArray[Any] | None:
    """The cells as numbers or as booleans; None if any is text."""
    if cells[0][:1] in _BOOLEAN_START:
        words = [cell.strip().lower() for cell in cells]
        if set(words) <= {"true", "false"}:
            return np.array([word == "true" for word in words])
    if _LIKE_NUMBER.match(cells[0]) is None:
        return None
    return _parse_numbers(cells)


def _parse_numbers(cells: Sequence[str]) -> NDArray[Any] | None:
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
    # Python allows underscores between digits.
    if "_" in cell:
        raise ValueError(cell)
    return float(cell)


def _are_names(cells: Sequence[str]) -> bool:
    """Whether all are text; pandas leaves the name of the first column, its index, empty."""
    for cell in cells[1:] if len(cells) > 1 and not cells[0] else cells:
        try:
            _number(cell)
        except ValueError:
            continue
        return False
    return True


_CONVERT: Final[dict[str, Callable[[Sequence[str]], Sequence[Any]]]] = {
    _BOOLEAN: lambda cells: [cell.strip().lower() == "true" for cell in cells],
    _INTEGER: lambda cells: list(map(int, cells)),
    _FLOAT: lambda cells: list(map(_number, cells)),
    _TEXT: lambda cells: cells,
}
