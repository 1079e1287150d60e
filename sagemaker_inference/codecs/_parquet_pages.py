"""How much the pages of a Parquet file unpack to: Arrow allocates what their headers claim.

The sizes at the end of a file are there for planning, and may claim less. Headers of pages are
structs of Thrift's compact protocol:
https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagemaker_inference._budget import Budget
    from sagemaker_inference.codecs import Body

_STEPS_A_PAGE: Final = 20
# Fields of a page's header.
_UNCOMPRESSED_SIZE, _COMPRESSED_SIZE = 2, 3
# Types of Thrift.
_BOOLEANS: Final = (1, 2)
_BYTE, _DOUBLE, _BINARY = 3, 7, 8
_INTEGERS: Final = (4, 5, 6)
_LISTS: Final = (9, 10)
_STRUCT: Final = 12
_MAX_DEPTH: Final = 4
_MAX_ITEMS: Final = 1000
_LONG_LIST: Final = 15


def unpacked_size(body: Body, metadata: Any, budget: Budget) -> int:
    """The bytes that all pages claim to unpack to.

    Args:
        body: the file.
        metadata: what pyarrow has read at its end.
        budget: what counts the work.

    Raises:
        IndexError, ValueError: a page's header cannot be read.
        PayloadTooLargeError: there are too many pages.
    """
    view = memoryview(body)
    total = 0
    for start, end in _chunks(metadata):
        position = start
        while position < end:
            budget.step(_STEPS_A_PAGE, "Parquet")
            header = _Header(view, position)
            total += max(0, header.sizes.get(_UNCOMPRESSED_SIZE, 0))
            packed = header.sizes.get(_COMPRESSED_SIZE, -1)
            if packed < 0:
                message = f"a page at byte {position} without a size"
                raise ValueError(message)
            position = header.end + packed
    return total


def _chunks(metadata: Any) -> Iterator[tuple[int, int]]:
    """Where the pages of each column of each row group are."""
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for column in map(group.column, range(group.num_columns)):
            if not column.num_values:
                # Arrow reads no page of it, and its offsets may be 0.
                continue
            starts = [column.data_page_offset]
            if column.has_dictionary_page:
                starts.append(column.dictionary_page_offset)
            start = min(starts)
            if start < 0:
                message = f"a column at byte {start}"
                raise ValueError(message)
            yield start, start + column.total_compressed_size


class _Header:
    """The header of a page.

    Attributes:
        sizes: its integers by the number of their field.
        end: the position after it.
    """

    def __init__(self, body: memoryview, position: int) -> None:
        self._body = body
        self.end = position
        self.sizes: dict[int, int] = {}
        self._read_struct(self.sizes, 0)

    def _read_struct(self, integers: dict[int, int], depth: int) -> None:
        if depth > _MAX_DEPTH:
            message = f"a page's header deeper than {_MAX_DEPTH} levels"
            raise ValueError(message)
        number = 0
        while byte := self._next():
            difference, kind = byte >> 4, byte & 15
            number = number + difference if difference else self._integer()
            if kind in _INTEGERS:
                integers[number] = self._integer()
            elif kind not in _BOOLEANS:
                self._skip(kind, depth)

    def _skip(self, kind: int, depth: int) -> None:
        if kind == _BINARY:
            length = self._varint()
            self.end += length
        elif kind in _LISTS:
            sizes = self._next()
            count, item = sizes >> 4, sizes & 15
            count = self._varint() if count == _LONG_LIST else count
            if count > _MAX_ITEMS:
                message = f"a list of {count} items in a page's header"
                raise ValueError(message)
            for _ in range(count):
                self._skip(_BYTE if item in _BOOLEANS else item, depth)
        elif kind == _STRUCT:
            self._read_struct({}, depth + 1)
        elif kind in _INTEGERS:
            self._varint()
        elif kind in (_BYTE, _DOUBLE):
            self.end += 1 if kind == _BYTE else 8
        else:
            message = f"type {kind} in a page's header"
            raise ValueError(message)

    def _next(self) -> int:
        byte: int = self._body[self.end]
        self.end += 1
        return byte

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._next()
            value |= (byte & 127) << shift
            shift += 7
            if byte >> 7 == 0:
                return value
            if shift > 63:  # noqa: PLR2004 - the longest integer has 64 bits
                message = "an integer of over 64 bits in a page's header"
                raise ValueError(message)

    def _integer(self) -> int:
        """A zigzag integer: the last bit is the sign."""
        value = self._varint()
        return value >> 1 ^ -(value & 1)
