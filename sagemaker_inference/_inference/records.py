"""The records of a body: where they are, and how those of several answers become one body.

A batch transform job puts as many records into a request as fit, one after the other as they lie in
its file, and joins what comes back one by one.
"""

from __future__ import annotations

import csv
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson

from sagemaker_inference import _content_types as content_types
from sagemaker_inference import codecs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sagemaker_inference.codecs import Body

    Offsets = NDArray[np.int64]

# The names of codecs.
_CSV: Final = "csv"
_JSON: Final = "json"
_JSON_LINES: Final = "jsonlines"
_RECORDIO: Final = "recordio"
_PIECE: Final = 1 << 20
_LF, _CR, _QUOTE, _SPACE = b'\n\r" '
_FRAME: Final = struct.Struct("<II")
_LENGTH_MASK: Final = (1 << 29) - 1
_MAGIC: Final = 0xCED7230A


@dataclass(frozen=True, slots=True)
class Records:
    """Where the records of a body are.

    Attributes:
        body: the body.
        starts, ends: where each record begins and ends in it.
        header: what stands before the records, and belongs to each part of them.
        are_many: whether the format holds several; a body of another one is a record.
    """

    body: memoryview
    starts: Offsets
    ends: Offsets
    header: bytes = b""
    are_many: bool = True

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.starts)

    def part(self, first: int, last: int) -> bytes:
        """A body with the records from one on up to, and without, another one."""
        return self.header + bytes(self.body[self.starts[first] : self.ends[last - 1]])


@dataclass(frozen=True, slots=True)
class Output:
    """What one or several records have become.

    Attributes:
        count: how many they are.
        body: the body of their answer.
        error: in place of an answer, why there is none: what a placeholder says.
    """

    count: int
    body: bytes = b""
    error: dict[str, str] | None = None


def divide(body: Body, content_type: str) -> Records | None:
    """Find the records of a body.

    Args:
        body: the body.
        content_type: its type; the parameter ``header=present`` says that the first row of CSV
            names columns.

    Returns:
        The records; None where the format has none, or where nobody can tell.
    """
    name = format_of(content_type)
    view = memoryview(body).cast("B")
    if name == _RECORDIO:
        return _divide_frames(view)
    if name not in (_CSV, _JSON_LINES):
        return None
    parameters = content_types.parse(content_type).parameters
    if not _is_like_ascii(parameters.get("charset", "utf-8")):
        return None
    records = _divide_lines(view, is_csv=name == _CSV)
    has_header = name == _CSV and parameters.get("header", "").lower() == "present"
    if not has_header or not records.count:
        return records
    header = records.part(0, 1) + b"\n"
    return Records(view, records.starts[1:], records.ends[1:], header)


def single(body: Body) -> Records:
    """A body as one record."""
    view = memoryview(body).cast("B")
    return Records(view, np.zeros(1, np.int64), np.full(1, len(view)), are_many=False)


def format_of(content_type: str) -> str:
    """The name of the format of a content type, whichever of its names that is; "" for none."""
    codec = codecs.for_content_type(content_type) if content_type else None
    return "" if codec is None else codec.name


def columns_of(body: Body, content_type: str) -> int:
    """How many columns the first row of CSV has; 0 for other formats, and where it has no row."""
    if format_of(content_type) != _CSV:
        return 0
    first = bytes(memoryview(body).cast("B")[:_PIECE]).partition(b"\n")[0]
    try:
        return len(next(csv.reader([first.decode("utf-8", "replace")]), ()))
    except csv.Error:  # a null character, for Python 3.10, or a cell of over 128 KiB
        return 0


def holds_many(content_type: str) -> bool:
    """Whether a body of this type may hold several records, of which `divide` finds some."""
    return format_of(content_type) in (_CSV, _JSON_LINES, _RECORDIO)


def join(
    outputs: Sequence[Output], content_type: str, *, columns: int, are_many: bool
) -> bytes | None:
    """The body of several answers, with a placeholder for each record that has none.

    Args:
        outputs: what has become of the records, in their order.
        content_type: the type of the body.
        columns: how many columns a row of CSV has.
        are_many: whether there may be several records.

    Returns:
        The body; None where it has no place for placeholders, or the answers are not of a form
        that can be joined.
    """
    name = format_of(content_type)
    if name not in (_CSV, _JSON, _JSON_LINES):
        return None
    if name == _JSON:
        return _join_json(outputs) if are_many else _document(outputs[0])
    lines = []
    for output in outputs:
        if output.error is None:
            lines.append(output.body.removesuffix(b"\n"))
        elif name == _CSV:
            # A blank line would not be a row.
            lines.append(b"," * (columns - 1) or b'""')
        else:
            lines.append(_document(output))
    return b"\n".join(lines) + b"\n"


def _document(output: Output) -> bytes:
    return orjson.dumps({"error": output.error})


def _join_json(outputs: Sequence[Output]) -> bytes | None:
    items = []
    for output in outputs:
        if output.error is not None:
            items.append(_document(output))
            continue
        body = output.body.strip()
        try:
            values: Any = orjson.loads(body)
        except orjson.JSONDecodeError:
            return None
        if not isinstance(values, list) or len(values) != output.count:
            return None
        # As it was written: reading would round integers of any length.
        items.append(body[1:-1])
    return b"[" + b",".join(items) + b"]"


def _is_like_ascii(charset: str) -> bool:
    try:
        return "\n".encode(charset) == b"\n"
    except LookupError:
        return False


def _divide_lines(body: memoryview, *, is_csv: bool) -> Records:
    ends, is_open = _line_ends(body, has_quotes=is_csv, is_csv=is_csv)
    if is_open:
        # A quote that is not closed would swallow what follows. A job cuts at any line end.
        ends, _ = _line_ends(body, has_quotes=False, is_csv=is_csv)
    starts = np.concatenate((np.zeros(1, np.int64), ends + 1))
    ends = np.append(ends, len(body))
    are_filled = starts < ends
    starts, ends = starts[are_filled], ends[are_filled]
    codes = np.frombuffer(body, np.uint8)
    # Formats skip lines of white space. Few lines begin with some.
    are_blank = np.zeros(len(starts), bool)
    for index in np.flatnonzero(codes[starts] <= _SPACE):
        are_blank[index] = not bytes(body[starts[index] : ends[index]]).strip()
    return Records(body, starts[~are_blank], ends[~are_blank])


def _line_ends(body: memoryview, *, has_quotes: bool, is_csv: bool) -> tuple[Offsets, bool]:
    """Where lines end, but for ends within quotes; and whether a quote stays open."""
    codes = np.frombuffer(body, np.uint8)
    found = [np.zeros(0, np.int64)]
    is_inside = False
    for start in range(0, len(codes), _PIECE):
        piece = codes[start : start + _PIECE]
        are_ends = piece == _LF
        if is_csv:
            are_ends |= piece == _CR
        are_quotes = piece == _QUOTE
        if has_quotes and (is_inside or are_quotes.any()):
            # Not logical_xor.accumulate, which is wrong in numpy 1.24.0; a sum of bytes may wrap.
            is_odd = (np.cumsum(are_quotes, dtype=np.uint8) & 1).view(np.bool_)
            are_inside = is_odd ^ is_inside
            is_inside = bool(are_inside[-1])
            are_ends &= ~are_inside
        found.append(np.flatnonzero(are_ends) + start)
    return np.concatenate(found), is_inside


def _divide_frames(body: memoryview) -> Records | None:
    starts, ends, position = [], [], 0
    while position < len(body):
        if position + _FRAME.size > len(body):
            return None
        magic, length = _FRAME.unpack_from(body, position)
        end = position + _FRAME.size + (length & _LENGTH_MASK)
        # One in several parts cannot be decoded, and would not be one record.
        if magic != _MAGIC or length > _LENGTH_MASK or end > len(body):
            return None
        starts.append(position)
        position = end + -length % 4
        ends.append(min(position, len(body)))
    return Records(body, np.array(starts, np.int64), np.array(ends, np.int64))
