"""CSV text split into cells, of some rows at a time."""

from __future__ import annotations

import csv
import re
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeAlias

from sagemaker_inference._errors import DecodeError, PayloadTooLargeError
from sagemaker_inference._words import counted
from sagemaker_inference.codecs import _numbers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# The cells of some rows, by columns, of which there is at least one.
Block: TypeAlias = "Sequence[Sequence[str]]"

# Rows with quotes whose cells are in memory at a time.
_ROWS: Final = 1 << 12
# Other cells than plain numbers cost a str for each cell of a row, and work for each column.
_MAX_COLUMNS: Final = 250_000
# Ends at the first of doubled quotes: a repeated group for them would take 130 bytes for each pair.
_CELL: Final = re.compile(r'[ \t]*"([^"]*)"(?:(?=("))|[ \t]*(,|\n|\Z))|([^",\n][^,\n]*|)(,|\n|\Z)')
_UNQUOTED_CELL: Final = re.compile(r'([^",\n][^,\n]*)(,|\n|\Z)')


def split(text: bytes | bytearray, *, is_regular: bool = False) -> Iterator[Block]:
    """Split a text into cells; those of a long text at once would take much memory.

    Args:
        text: without blank lines at either end.
        is_regular: whether Python's csv module reads the text as we do, and faster.

    Raises:
        DecodeError: a row has other columns than the first, a quote is not closed, or the text is
            not UTF-8.
        PayloadTooLargeError: a row has too many columns.
    """
    if b'"' not in text:
        yield from _unquoted_blocks(text)
        return
    rows_seen = columns = 0
    for rows in (_regular_rows if is_regular else _quoted_rows)(text):
        columns = columns or _checked_columns(len(rows[0]))
        yield _by_columns(rows, columns, rows_seen)
        rows_seen += len(rows)


def _by_columns(rows: list[list[str]], columns: int, rows_before: int) -> Block:
    for number, row in enumerate(rows, rows_before + 1):
        if len(row) != columns:
            found = counted(len(row), "column")
            msg = f"Invalid CSV: row {number} has {found}, and row 1 has {columns}"
            raise DecodeError(msg)
    return list(zip(*rows, strict=True))


def _unquoted_blocks(text: bytes | bytearray) -> Iterator[Block]:
    start = rows_seen = columns = 0
    end = text.find(b"\n")
    _checked_columns(text.count(b",", 0, len(text) if end < 0 else end))
    for piece in _numbers.lines(text):
        characters = _characters(piece, start)
        start += len(piece) + 1
        block = _regular_columns(
            characters, columns or characters.partition("\n")[0].count(",") + 1
        )
        if block is None:
            lines = characters.split("\n")
            rows = [line.split(",") for line in lines if line.strip(" \t")]
            block = rows and _by_columns(rows, columns or len(rows[0]), rows_seen)
        if block and block[0]:
            yield block
            columns = len(block)
            rows_seen += len(block[0])


def _regular_columns(text: str, columns: int) -> Block | None:
    """Split all lines at once, in a fifth of the time; None if they differ, or some are blank."""
    if columns == 1:
        lines = text.split("\n")
        return None if "," in text else [[line for line in lines if line.strip(" \t")]]
    cells = text.replace("\n", ",\n").split(",")
    # Of each cell that begins a line, but the first, a line end is the first character.
    first = "".join(cells[::columns]).split("\n")
    if len(first) != text.count("\n") + 1 or len(cells) != columns * len(first):
        return None
    return [first, *(cells[index::columns] for index in range(1, columns))]


def _checked_columns(columns: int) -> int:
    if columns > _MAX_COLUMNS:
        msg = f"Over {_MAX_COLUMNS} columns that are not plain numbers"
        raise PayloadTooLargeError(msg)
    return columns


def _regular_rows(text: bytes | bytearray) -> Iterator[list[list[str]]]:
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


def _quoted_rows(text: bytes | bytearray) -> Iterator[list[list[str]]]:
    rows = _each_quoted_row(_characters(text))
    while block := list(islice(rows, _ROWS)):
        yield block


def _characters(text: bytes | bytearray, start: int = 0) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        msg = f"Invalid CSV: not UTF-8 at byte {start + error.start}"
        raise DecodeError(msg) from None


def _each_quoted_row(text: str) -> Iterator[list[str]]:
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
