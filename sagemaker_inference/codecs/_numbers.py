"""Arrays of numbers in text, read without a Python object for each number.

simdjson reads a JSON array of any nesting into one flat buffer. The shape then follows from the
brackets and commas alone, which also shows ragged and mixed lists. If simdjson is not installed,
orjson does the same by way of Python objects.

Long texts are read in pieces: simdjson needs up to twelve bytes of working memory for each byte of
text.
"""

from __future__ import annotations

import math
import re
import threading
from importlib import import_module
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import DTypeLike, NDArray

    Numbers: TypeAlias = NDArray[Any]

SMALL: Final = 1024
_PIECE: Final = 1 << 18
_MAX_DEPTH: Final = 32
_DIGITS_TO_ZEROS: Final = bytes.maketrans(b"123456789", b"000000000")
_LONG_INTEGER: Final = b"0" * 19
_COMMA: Final = ord(",")
_SPACE: Final = ord(" ")
_OPENING: Final = ord("[")
_POINT: Final = ord(".")
_FLOAT64: Final = np.dtype(np.float64)
_NUMBERS_AND_NULL: Final = {int, float, type(None)}
_array: Final = np.array
_loads: Final = orjson.loads
_INTEGER_OF_19_DIGITS: Final = re.compile(rb"(?<![.0-9])[0-9]{19}")
_NUMBER_BYTES: Final = b"0123456789+-.eE \t"
_INTEGER_NEGATIVE_ZERO: Final = re.compile(rb"-0(?![.eE])")
_NUMBER_START: Final = b"-0123456789"
_CLOSING: Final = re.compile(rb"\s*\]")


def nested(text: bytes | bytearray, *, takes_null: bool = True) -> Numbers | None:
    """Read a JSON text that is a rectangular array of numbers, as int64 or float64.

    Returns None for everything that `codecs.json` has to read by other means: ragged, mixed and
    empty lists, nulls, integers beyond int64, invalid JSON.

    Args:
        text: the JSON text.
        takes_null: whether null among the numbers of a long text is NaN, instead of a reason to
            return None.
    """
    # A quick check for lists of text or of objects; the parser notices the others.
    if b'"' in text[:64]:
        return None
    size = len(text)
    if size <= SMALL:
        return short(text)
    if size > _PIECE:
        return None if b'"' in text else _nested_in_pieces(text, takes_null=takes_null)
    flat = _flat(text)
    if flat is None:
        return None
    shape = _matrix(text, flat.size) or _shape(_brackets(text))
    return flat.reshape(shape) if shape and math.prod(shape) == flat.size else None


def short(text: bytes | bytearray) -> Numbers | None:
    """The same as `nested`, in the fastest way for a few numbers."""
    try:
        array = _array(_loads(text))
    except ValueError:
        return None
    return array if is_exact(array, text) else None


def is_exact(array: Numbers, text: bytes | bytearray) -> bool:
    """Whether an array that np.array made from a JSON text has exactly the numbers of the text."""
    if array.dtype is _FLOAT64:
        # Beside a float, an integer of any length is read as a float anyway.
        return _POINT in text or not has_long_integer(text)
    return array.dtype.kind in "ib"


def table(text: bytes | bytearray) -> Numbers | None:
    """Read lines of comma-separated JSON numbers, as int64 or float64 of shape (lines, columns).

    Expects LF between lines and none at the end. Returns None for everything else.
    """
    if b'"' in text or b"[" in text:
        return None
    end = text.find(b"\n")
    columns = 1 + text.count(b",", 0, len(text) if end < 0 else end)
    if len(text) <= _PIECE:
        return _rows(text, columns)
    if end < 0:
        # One row has pieces at its commas, as an array of JSON has.
        return _single_row(text)
    total = 1 + text.count(b"\n")
    if not fits(total, columns, text):
        return None
    array: Numbers | None = None
    row = 0
    has_negative_zero = False
    for piece in lines(text):
        rows = _rows(piece, columns)
        if rows is None:
            return None
        has_negative_zero |= _has_integer_negative_zero(rows, piece)
        array = into(array, rows, row, (total, columns))
        row += len(rows)
    # An integer -0 loses its sign, but among floats it has to keep it.
    return None if has_negative_zero and array is not None and array.dtype == _FLOAT64 else array


def _single_row(text: bytes | bytearray) -> Numbers | None:
    row = nested(b"".join((b"[", text, b"]")), takes_null=False)
    if row is None or row.ndim > 1 or _has_integer_negative_zero(row, text):
        return None
    return row.reshape(1, -1)


def fits(rows: int, columns: int, text: bytes | bytearray) -> bool:
    """Whether a text is long enough for so many cells: each ends with a comma or a line end."""
    return rows * columns <= len(text) + 1


def has_long_integer(text: bytes | bytearray) -> bool:
    """Whether 19 digits in a row do not follow a point: an integer that may not fit int64.

    orjson rounds integers beyond 64 bits to floats, and np.array those that need uint64.
    """
    if len(text) <= SMALL:
        if _LONG_INTEGER not in text.translate(_DIGITS_TO_ZEROS):
            return False
        return _INTEGER_OF_19_DIGITS.search(text) is not None
    codes = np.frombuffer(text, np.uint8)
    for start in range(0, len(codes), _PIECE):
        piece = codes[max(0, start - 1) : start + _PIECE + len(_LONG_INTEGER) - 1]
        digits = (piece - ord("0")) < 10  # noqa: PLR2004
        runs = digits
        for shift in (1, 2, 4, 8, 3):
            runs = runs[:-shift] & runs[shift:]
        begins = np.flatnonzero(runs)
        # The digits begin the text, or follow something that is neither a digit nor a point.
        if len(begins) and begins[0] == 0 and start == 0:
            return True
        begins = begins[begins > 0] - 1
        if (~digits[begins] & (piece[begins] != _POINT)).any():
            return True
    return False


def _rows(text: bytes | bytearray, columns: int) -> Numbers | None:
    values = b"[" + text.replace(b"\n", b",") + b"]"
    small = len(values) <= SMALL
    flat = short(values) if small else _flat(values)
    if flat is None or flat.dtype == np.bool_:
        return None
    ends = bytes(text.translate(None, _NUMBER_BYTES)) if small else _marks(text, np.equal, b"\n")
    rows, rest = divmod(len(ends) + 1, columns)
    row = b"," * (columns - 1)
    if rest or flat.size != rows * columns or ends != (row + b"\n") * (rows - 1) + row:
        return None
    if flat.dtype == np.float64 and _has_integer_negative_zero(flat, text):
        return None
    return flat.reshape(rows, columns)


def _imported(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        return None


_simdjson: Final = _imported("simdjson")


class _Workspace(threading.local):
    """Memory that each thread reuses: allocating it takes longer than the work in it."""

    def __init__(self) -> None:
        self.parser: Any = _simdjson.Parser() if _simdjson else None
        self.marks = np.empty(_PIECE, np.bool_)
        self.more = np.empty(_PIECE, np.bool_)


_workspace: Final = _Workspace()


def _flat_by_simdjson(text: bytes | bytearray) -> Numbers | None:
    # A parser keeps memory for the longest text that it has read.
    is_long = len(text) > 2 * _PIECE
    parser = _simdjson.Parser() if is_long else _workspace.parser
    try:
        document = parser.parse(text)
        if b"." not in text:
            try:
                return np.frombuffer(document.as_buffer(of_type="i"), np.int64)
            except TypeError:
                pass
        return np.frombuffer(document.as_buffer(of_type="d"), np.float64)
    except (TypeError, ValueError, RuntimeError, AttributeError):
        return None


def _flat_by_orjson(text: bytes | bytearray) -> Numbers | None:
    # Beside a float, an integer of any length is read as a float anyway.
    if b"." not in text and has_long_integer(text):
        return None
    try:
        values = orjson.loads(text)
        while type(values[0]) is list:
            values = list(chain.from_iterable(values))
        array = np.array(values)
    except (ValueError, TypeError, IndexError):
        return None
    return array if array.dtype in (np.int64, np.float64) and array.ndim == 1 else None


_flat = _flat_by_simdjson if _simdjson else _flat_by_orjson


def in_order(text: bytes | bytearray) -> Numbers | None:
    """The numbers of a JSON array, in one dimension; None if there is anything else in it."""
    return _flat(text)


def _flat_with_nulls(text: bytes | bytearray) -> Numbers | None:
    if b"null" not in text:
        return None
    try:
        values = orjson.loads(text)
        while list in set(map(type, values)):
            values = list(chain.from_iterable(values))
    except (ValueError, TypeError):
        return None
    return np.array(values, np.float64) if set(map(type, values)) <= _NUMBERS_AND_NULL else None


def _matrix(text: bytes | bytearray, size: int) -> tuple[int, int] | None:
    """The shape of a matrix of ``size`` numbers; None for anything else and for unusual spaces.

    Expects a valid JSON array of numbers. In a matrix, two brackets open at the start and two close
    at the end, and at every n-th comma one closes and the next opens. If no other brackets open,
    each of these encloses a row of n numbers.
    """
    if text[1:2] != b"[" or text[2:3] not in _NUMBER_START or text[-2:] != b"]]":
        return None
    codes = np.frombuffer(text, np.uint8)
    marks = _workspace.marks[: len(codes)]
    rows = int(np.count_nonzero(np.equal(codes, _OPENING, out=marks))) - 1
    columns, rest = divmod(size, rows)
    if rest or not columns:
        return None
    commas = np.equal(codes, _COMMA, out=marks).nonzero()[0]
    positions = commas[columns - 1 :: columns] - 1
    if codes[positions].tobytes() != b"]" * (rows - 1):
        return None
    positions += 3 if rows > 1 and text[positions[0] + 2] == _SPACE else 2
    return (rows, columns) if codes[positions].tobytes() == b"[" * (rows - 1) else None


def _brackets(text: bytes | bytearray) -> bytes:
    # Only "e", "null" and the brackets are greater than "E" among the bytes of numbers.
    return _marks(text, np.greater, b"E").translate(None, b"enul")


def _marks(text: bytes | bytearray, compare: np.ufunc, byte: bytes) -> bytes:
    """The commas of a text and the bytes for which ``compare(code, byte)`` holds, in order."""
    codes = np.frombuffer(text, np.uint8)
    size = len(codes)
    if size > _PIECE:
        marks, more = np.empty((2, size), np.bool_)
    else:
        marks, more = _workspace.marks[:size], _workspace.more[:size]
    np.equal(codes, _COMMA, out=marks)
    compare(codes, byte[0], out=more)
    np.logical_or(marks, more, out=marks)
    return codes[marks.nonzero()[0]].tobytes()


def _shape(brackets: bytes | bytearray) -> tuple[int, ...] | None:
    """The shape of an array with these brackets and commas; None if they are not rectangular."""
    depth = len(brackets) - len(brackets.lstrip(b"["))
    if not 0 < depth <= _MAX_DEPTH:
        return None
    shape: list[int] = []
    block = b""
    for level in range(1, depth + 1):
        start = depth - level
        end = len(brackets) if start == 0 else brackets.find(b"]" * level) + level
        count, rest = divmod(end - start - 1, len(block) + 1)
        if rest or count < 1:
            return None
        shape.insert(0, count)
        many = (block + b",") * (count - 1)
        if start == 0 and brackets.startswith(many, 1) and brackets.endswith(block + b"]"):
            return tuple(shape)
        block = b"".join((b"[", many, block, b"]"))
    return None


def _nested_in_pieces(text: bytes | bytearray, *, takes_null: bool) -> Numbers | None:
    total = text.count(b",") + 1
    array: Numbers | None = None
    brackets = bytearray()
    filled = 0
    for piece, opened, closed in _pieces(text):
        flat = _flat(piece)
        if flat is None and takes_null:
            flat = _flat_with_nulls(piece)
        if flat is None:
            return None
        array = into(array, flat, filled, (total,))
        filled += flat.size
        marks = _brackets(piece)
        brackets += marks[opened : len(marks) - closed]
        brackets += b","
    del brackets[-1:]
    shape = _shape(brackets)
    if array is None or shape is None or math.prod(shape) != filled or filled != total:
        return None
    # Nulls alone are not numbers.
    return None if np.isnan(array).all() else array.reshape(shape)


def _pieces(text: bytes | bytearray) -> Iterator[tuple[bytes, int, int]]:
    """Split a text at commas, with brackets added so that each piece is JSON.

    All pieces are valid JSON if and only if the text is: an array may end before a comma, and
    may begin after one unless it closes right there. If the text cannot be split so, a piece is
    empty, which is not JSON.

    Yields:
        A piece, how many brackets were added in front of it, and how many behind it.
    """
    start = depth = 0
    while True:
        comma = text.find(b",", start + _PIECE)
        end = len(text) if comma < 0 else comma
        level = depth + text.count(b"[", start, end) - text.count(b"]", start, end)
        if comma < 0:
            yield b"[" * depth + text[start:], depth, 0
            return
        is_array = 0 < level <= _MAX_DEPTH and not _CLOSING.match(text, comma + 1)
        piece = b"".join((b"[" * depth, text[start:end], b"]" * level)) if is_array else b""
        yield piece, depth, level
        start, depth = comma + 1, level


def lines(text: bytes | bytearray, start: int = 0) -> Iterator[bytes | bytearray]:
    """Split a text at line ends, into pieces of a size that is fast to read."""
    while start < len(text):
        end = text.find(b"\n", start + _PIECE)
        end = len(text) if end < 0 else end
        yield text[start:end]
        start = end + 1


def _has_integer_negative_zero(numbers: Numbers, text: bytes | bytearray) -> bool:
    """Whether a cell is ``-0``: the integer zero in JSON, but negative zero among floats of CSV."""
    if np.count_nonzero(numbers) == numbers.size:
        return False
    return _INTEGER_NEGATIVE_ZERO.search(text) is not None


def into(array: Numbers | None, part: Numbers, start: int, shape: tuple[int, ...]) -> Numbers:
    """Copy a part into an array; integers become floats, in the same memory, when one arrives.

    Args:
        array: the array that collects the parts; None creates it.
        part: the values to copy.
        start: the index of its first item.
        shape: the shape of the array.
    """
    if array is None:
        array = np.empty(shape, part.dtype)
    elif array.dtype == np.int64 and part.dtype == np.float64:
        floats = array.view(np.float64)
        step = max(1, _PIECE // array[:1].nbytes)
        for begin in range(0, start, step):
            end = min(begin + step, start)
            floats[begin:end] = array[begin:end]
        array = floats
    array[start : start + len(part)] = part
    return array


def cast(array: Numbers, dtype: DTypeLike) -> Numbers:
    """Convert like ``astype``, but refuse to change a number to fit an integer dtype.

    Raises:
        OverflowError: a number does not fit.
        TypeError, ValueError: as for ``astype``.
    """
    with np.errstate(invalid="ignore"):
        converted: Numbers = array.astype(dtype)
    if (
        converted.dtype.kind in "iu"
        and array.dtype.kind in "biuf"
        and not np.array_equal(converted, array)
    ):
        message = f"not all numbers fit {converted.dtype.name}"
        raise OverflowError(message)
    return converted
