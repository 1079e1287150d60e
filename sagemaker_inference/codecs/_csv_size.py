"""What a CSV text costs before it is split into cells, and whether its rows have as many cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sagemaker_inference._errors import DecodeError
from sagemaker_inference._words import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sagemaker_inference._budget import Budget

_NAME: Final = "CSV"
# Bytes of a number in an array and of the marks beside it; of a cell as a str in a list.
_NUMBER, _CELL = 10, 80
# How many cells Python reads in the time of a step, to tell whether they are text: in plain text,
# and where any is quoted or not ASCII.
_PLAIN_CELLS_A_STEP, _CELLS_A_STEP = 2, 1
# Bytes of working memory for each byte of a piece, which has whole lines.
_WORK: Final = 16
_LINES: Final = 1 << 20
# Bytes that are looked at together. The masks of more do not fit into the processor's cache, and
# take twice the time.
_PIECE: Final = 1 << 17
_QUOTE, _COMMA, _LINE, _SPACE, _TAB = (ord(character) for character in '",\n \t')
# The bytes of a character after its first.
_IS_WITHIN: Final = [0x80 <= code < 0xC0 for code in range(256)]  # noqa: PLR2004
# Python's csv module takes no cell of over 131,072 characters.
_LONGEST_CELL: Final = 100_000
# What may stand on the outer side of a quote, besides the ends of the text.
_EDGES: Final = b',\n"'


def attempt_numbers(text: bytes | bytearray, budget: Budget) -> None:
    """Check that an array of numbers is within the budget, be the cells numbers or not.

    Raises:
        PayloadTooLargeError: it is not.
    """
    longest = start = 0
    while b"\n" in text and start < len(text):
        end = text.find(b"\n", start + _LINES)
        end = len(text) if end < 0 else end
        longest, start = max(longest, end - start), end + 1
    budget.attempt(_NUMBER * _count_cells(text) + _WORK * longest, _NAME)


def take_cells(text: bytes | bytearray, budget: Budget) -> bool:
    """Count the cells of a text, before there are any.

    Returns:
        Whether Python's csv module reads it as we do.

    Raises:
        DecodeError: rows have different numbers of cells, a quote is not closed, or it is not
            UTF-8.
        PayloadTooLargeError: there are too many cells.
    """
    budget.take(_CELL * _count_cells(text), _NAME)
    if budget.is_tentative:
        look_at_cells(text, budget)
    for start in range(0, len(text), _PIECE):
        _check_utf8(text, start)
    if b'"' not in text:
        _is_regular(text)
        return False
    if _is_regular(text) and b"\0" not in text:
        return True
    # A regular expression reads it, cell by cell, and decides what is an error.
    budget.step(_count_cells(text) + text.count(b'"'), _NAME)
    return False


def give_back_cells(text: bytes | bytearray, budget: Budget) -> None:
    """Count the cells of a text as numbers in an array: as text, only some were there at a time."""
    budget.give_back((_CELL - _NUMBER) * _count_cells(text))


def look_at_cells(text: bytes | bytearray, budget: Budget) -> None:
    """Count the work to read cells that may be refused in the end.

    Raises:
        PayloadTooLargeError: they are too many.
    """
    is_plain = b'"' not in text and text.isascii()
    cells_a_step = _PLAIN_CELLS_A_STEP if is_plain else _CELLS_A_STEP
    budget.step(_count_cells(text) // cells_a_step, _NAME)


def _check_utf8(text: bytes | bytearray, start: int) -> None:
    end = start + _PIECE
    # A character has up to three bytes behind its first.
    while start and start < len(text) and _IS_WITHIN[text[start]]:
        start += 1
    while end < len(text) and end < start + _PIECE + 4 and _IS_WITHIN[text[end]]:
        end += 1
    try:
        text[start:end].decode()
    except UnicodeDecodeError as error:
        msg = f"Invalid CSV: not UTF-8 at byte {start + error.start}"
        raise DecodeError(msg) from None


def _count_cells(text: bytes | bytearray) -> int:
    return text.count(b",") + text.count(b"\n") + 1


def _is_regular(text: bytes | bytearray) -> bool:
    """Whether each quote begins or ends a cell, or is one of two in a quoted cell.

    Such cells of a table with several columns are read alike by all readers, unless they are long.

    Raises:
        DecodeError: it is so, and rows have different numbers of cells, or a quote is not closed.
    """
    codes = np.frombuffer(text, np.uint8)
    has_quotes = b'"' in text
    quotes = commas = filled = rows = last = 0
    columns = -1
    for start in range(0, len(codes), _PIECE):
        piece = codes[start : start + _PIECE]
        is_comma, is_line = piece == _COMMA, piece == _LINE
        if has_quotes:
            is_quote = piece == _QUOTE
            is_edge = is_comma | is_line | is_quote
            before = start == 0 or text[start - 1] in _EDGES
            after = start + _PIECE >= len(text) or text[start + _PIECE] in _EDGES
            # Only whether their number is even matters: it may overflow.
            counts = np.cumsum(is_quote, dtype=np.uint8) + np.uint8(quotes)
            is_inside = (counts & 1).astype(np.bool_)
            quotes = int(counts[-1]) & 1
            if not _are_at_edges(is_quote, is_inside, is_edge, before=before, after=after):
                return False
            is_comma &= ~is_inside
            is_line &= ~is_inside
            separators = np.flatnonzero(is_comma | is_line) + start
            gaps = np.diff(separators, prepend=last, append=min(start + _PIECE, len(codes)))
            if gaps.max() > _LONGEST_CELL:
                return False
            last = int(separators[-1]) if len(separators) else last
        ends = np.flatnonzero(is_line)
        if start + len(piece) == len(codes):
            # The last row has no line end.
            ends = np.append(ends, len(piece) - 1)
        in_rows, commas = _in_rows(is_comma, ends, commas)
        is_blank = (piece == _SPACE) | (piece == _TAB) | (piece == _LINE)
        fills, filled = _in_rows(~is_blank, ends, filled)
        # Blank lines are skipped.
        in_rows = in_rows[fills > 0]
        if len(in_rows):
            columns = int(in_rows[0]) if columns < 0 else columns
            wrong = np.flatnonzero(in_rows != columns)
            if len(wrong) and not quotes:
                row = rows + int(wrong[0]) + 1
                found = counted(int(in_rows[wrong[0]]) + 1, "column")
                msg = f"Invalid CSV: row {row} has {found}, and row 1 has {columns + 1}"
                raise DecodeError(msg)
        rows += len(in_rows)
    if quotes:
        msg = "Invalid CSV: a quote is not closed"
        raise DecodeError(msg)
    return columns > 0


def _in_rows(marks: NDArray[np.bool_], ends: NDArray[Any], before: int) -> tuple[NDArray[Any], int]:
    """How many marks are in each row that ends in a piece, and in the one that goes on.

    Args:
        marks: a piece.
        ends: where rows end in it.
        before: how many marks of its first row are in the pieces before.
    """
    counts = np.cumsum(marks, dtype=np.int32)
    at_ends = counts[ends]
    in_rows = np.diff(at_ends, prepend=np.int32(-before))
    return in_rows, int(counts[-1] - at_ends[-1]) if len(ends) else int(counts[-1]) + before


def _are_at_edges(
    is_quote: NDArray[np.bool_],
    is_inside: NDArray[np.bool_],
    is_edge: NDArray[np.bool_],
    *,
    before: bool,
    after: bool,
) -> bool:
    """Whether opening quotes follow a separator, and closing ones precede one, or another quote.

    Masks of a piece, and no positions: those of a text of quotes are eight times its size.

    Args:
        is_quote: where quotes are.
        is_inside: of a quote, whether it is an opening one.
        is_edge: where separators and quotes are.
        before: whether one of them, or the beginning of the text, precedes the piece.
        after: whether one of them, or the end of the text, follows it.
    """
    is_opening, is_closing = is_quote & is_inside, is_quote & ~is_inside
    return not (
        (is_opening[1:] & ~is_edge[:-1]).any()
        or (is_closing[:-1] & ~is_edge[1:]).any()
        or (is_opening[0] and not before)
        or (is_closing[-1] and not after)
    )
