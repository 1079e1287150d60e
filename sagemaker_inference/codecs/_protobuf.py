"""The wire format of protocol buffers, as far as Amazon's records use it.

https://protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import DTypeLike, NDArray

    from sagemaker_inference._budget import Budget

    # Short messages are copied: bytes are sliced and read faster than views.
    Message: TypeAlias = bytes | memoryview

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
FIXED32: Final = 5

_FIXED: Final = {FIXED64: 8, FIXED32: 4}
_LONGEST_VARINT: Final = 10
_MAX_ONE_BYTE: Final = 127
_CONTINUED: Final = bytes(range(128, 256))
# Fields that are counted at a time.
_FIELDS: Final = 64
_STEPS: Final = 2 * _FIELDS
_PIECE: Final = 1 << 16


def fields(message: Message, budget: Budget) -> Iterator[tuple[int, int, Message]]:
    """Yield each field of a message: its number, wire type, and bytes without tag and length.

    Raises:
        PayloadTooLargeError: there are more fields than the budget allows.
        ValueError: the message is truncated, or has an unknown wire type.
    """
    position, size = 0, len(message)
    count = 0
    while position < size:
        count += 1
        if not count % _FIELDS:
            budget.step(_STEPS, "RecordIO")
        tag = message[position]
        position += 1
        if tag > _MAX_ONE_BYTE:
            tag, position = _varint(message, position - 1)
        wire = tag & 7
        if wire == BYTES:
            length = message[position] if position < size else _MAX_ONE_BYTE + 1
            position += 1
            if length > _MAX_ONE_BYTE:
                length, position = _varint(message, position - 1)
            end = position + length
        elif wire == VARINT:
            _, end = _varint(message, position)
        elif wire in _FIXED:
            end = position + _FIXED[wire]
        else:
            error = f"wire type {wire}"
            raise ValueError(error)
        if end > size:
            error = f"a field of {end - position} bytes where {size - position} are left"
            raise ValueError(error)
        yield tag >> 3, wire, message[position:end]
        position = end


def varints(data: bytes | bytearray, dtype: DTypeLike = np.uint64) -> NDArray[Any]:
    """Read packed varints; values that do not fit the dtype lose their upper bits.

    Raises:
        ValueError: the last one is truncated, or one has over ten bytes.
    """
    values: NDArray[Any] = np.empty(count_varints(data), dtype)
    start = filled = 0
    # In pieces, since each varint needs over ten bytes of working memory.
    while start < len(data):
        end = min(start + _PIECE, len(data))
        if end < len(data):
            # Split after the last varint that ends in this piece.
            complete = data[start:end].rstrip(_CONTINUED)
            end = start + len(complete) if complete else end
        part = _varints_of(data[start:end])
        values[filled : filled + len(part)] = part
        filled += len(part)
        start = end
    return values


def _varints_of(data: bytes | bytearray) -> NDArray[np.uint64]:
    codes = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(codes < 128)  # noqa: PLR2004
    if len(codes) and (not len(ends) or ends[-1] != len(codes) - 1):
        error = "a varint is cut off"
        raise ValueError(error)
    starts = np.concatenate(([0], ends[:-1] + 1)) if len(ends) else ends
    lengths = ends - starts + 1
    longest = int(np.max(lengths, initial=0))
    if longest > _LONGEST_VARINT:
        error = f"a varint of {longest} bytes"
        raise ValueError(error)
    values = np.zeros(len(ends), np.uint64)
    for index in range(longest):
        longer = np.flatnonzero(lengths > index)
        bits = codes[starts[longer] + index] & np.uint8(127)
        values[longer] |= bits.astype(np.uint64) << np.uint64(7 * index)
    return values


def count_varints(data: Any) -> int:
    """Count the varints that end in these bytes."""
    return int(np.count_nonzero(np.frombuffer(data, np.uint8) < 128))  # noqa: PLR2004


def varint(value: int) -> bytes:
    """Write an integer; a negative one as its 64 bits in two's complement."""
    value &= (1 << 64) - 1
    written = bytearray()
    while value > 127:  # noqa: PLR2004
        written.append(value & 127 | 128)
        value >>= 7
    written.append(value)
    return bytes(written)


def field(number: int, content: bytes) -> bytes:
    """Write a length-delimited field."""
    return varint(number << 3 | BYTES) + varint(len(content)) + content


def _varint(message: Message, position: int) -> tuple[int, int]:
    value = shift = 0
    for position in range(position, min(position + _LONGEST_VARINT, len(message))):  # noqa: B020, PLR1704
        code = message[position]
        value |= (code & 127) << shift
        if code < 128:  # noqa: PLR2004
            return value, position + 1
        shift += 7
    error = "a varint is cut off, or has over ten bytes"
    raise ValueError(error)
