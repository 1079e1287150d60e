"""CSV text read into an array, by the fastest way that its cells allow."""

from __future__ import annotations

import re
from functools import reduce
from itertools import chain
from operator import and_
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sagemaker_inference._errors import DecodeError, UnprocessableInputError
from sagemaker_inference.codecs import _csv_blocks, _csv_size, _numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import DTypeLike, NDArray

    from sagemaker_inference._budget import Budget

_NAN: Final = float("nan")
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
# Where a cell begins that is not a number, whatever its quotes are like. Of two repetitions in a
# row, none takes what the other takes: else a cell of 100 KB of digits and a letter takes minutes.
_OTHER_CELL: Final = re.compile(
    rb"(?:[,\n]|\A)(?![ \t\r\f\v\x1c-\x1f\"]*"
    rb"(?:(?:[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?|[-+]?(?:nan|inf(?:inity)?))"
    rb"[ \t\r\f\v\x1c-\x1f\"]*)?(?:[,\n]|\Z))",
    re.IGNORECASE,
)
_LONGEST_SHOWN: Final = 60
# The start of everything that `_number` accepts, behind blanks; trying to parse takes ten times as
# long.
_LIKE_NUMBER: Final = re.compile(r"[-+.\d]|nan|inf|\Z", re.IGNORECASE)


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
    saved = () if len(text) > _LONG else tuple(_csv_blocks.split(text, is_regular=is_regular))

    def blocks() -> Iterator[_csv_blocks.Block]:
        return iter(saved) if saved else _csv_blocks.split(text, is_regular=is_regular)

    first = [cells[0] for cells in next(blocks())]
    kinds, are_filled, count = [""] * len(first), [False] * len(first), 0
    for block in _without_first_row(blocks()):
        count += len(block[0])
        for index, cells in enumerate(block):
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
    for block in _without_first_row(blocks()) if header else blocks():
        start, end = end, end + len(block[0])
        for index, cells in enumerate(block):
            array[start:end, index] = _CONVERT[kinds[index]](cells)
    return array, bool(header)


def first_row(text: bytes | bytearray) -> list[str]:
    """The cells of the first row."""
    return [cells[0] for cells in next(_csv_blocks.split(text))]


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


def _rows(text: bytes | bytearray) -> list[tuple[str, ...]]:
    return [row for block in _csv_blocks.split(text) for row in zip(*block, strict=True)]


def _without_first_row(blocks: Iterator[_csv_blocks.Block]) -> Iterator[_csv_blocks.Block]:
    block = [cells[1:] for cells in next(blocks)]
    if block[0]:
        yield block
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
    if _LIKE_NUMBER.match(cells[0].lstrip()) is None:
        return None
    return _parse_numbers(cells)


def _parse_numbers(cells: Sequence[str]) -> NDArray[Any] | None:
    """int64 if all cells are integers of 64 bits, float64 if all are numbers, else None."""
    # Python allows underscores between digits.
    if "_" in "".join(cells):
        return None
    try:
        return np.array(list(map(int, cells)), np.int64)
    except (ValueError, OverflowError):
        pass
    try:
        return np.array(_floats(cells), np.float64)
    except ValueError:
        return None


def _floats(cells: Sequence[str]) -> list[float]:
    try:
        return list(map(float, cells))
    except ValueError:
        # Some are empty.
        return list(map(_number, cells))


def _number(cell: str) -> float:
    if not cell or cell.isspace():
        return _NAN
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
    _FLOAT: _floats,
    _TEXT: lambda cells: cells,
}
