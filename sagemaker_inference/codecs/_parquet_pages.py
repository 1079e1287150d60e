"""How much the pages of a Parquet file unpack to: Arrow allocates what their headers claim.

The sizes at the end of a file are there for planning, and may claim less. Where the pages are is
read here and not by pyarrow, which ends the process at a column whose statistics are wrong.

The end of a file and the headers of pages are structs of Thrift's compact protocol. What Arrow
might read otherwise, such as a field that comes twice, is refused.
https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagemaker_inference._budget import Budget
    from sagemaker_inference.codecs import Body

# The type of a list's items, or those of the lists in a struct.
_Lists: TypeAlias = "dict[int, int | _Lists]"

_NAME: Final = "Parquet"
_STEPS_A_PAGE: Final = 20
# A file ends with the size of its metadata and a mark of four bytes each.
_TAIL: Final = 8
_ROW_GROUPS: Final = 4
_COLUMNS: Final = 1
_COLUMN_METADATA: Final = 3
_COLUMN_FIELDS: Final = (5, 7, 9, 11)
_VALUES, _CHUNK_SIZE, _DATA_PAGE, _DICTIONARY_PAGE = _COLUMN_FIELDS
_PAGE_FIELDS: Final = (2, 3)
_PAGE_SIZE, _PACKED_PAGE_SIZE = _PAGE_FIELDS
# Types of Thrift.
_BOOLEANS: Final = (1, 2)
_BYTE, _DOUBLE, _BINARY = 3, 7, 8
_INT_32, _INT_64 = 5, 6
_BITS: Final = {4: 16, _INT_32: 32, _INT_64: 64}
_LIST, _SET, _STRUCT = 9, 10, 12
_MAX_DEPTH: Final = 8
_LONG_LIST: Final = 15
# The items of lists, by field: Arrow reads these whatever type the file says.
_FILE_LISTS: Final[_Lists] = {2: _STRUCT, _ROW_GROUPS: _STRUCT, 5: _STRUCT, 7: _STRUCT}
_ROW_GROUP_LISTS: Final[_Lists] = {_COLUMNS: _STRUCT, 4: _STRUCT}
_CHUNK_LISTS: Final[_Lists] = {8: {2: {1: _BINARY}}}
_COLUMN_LISTS: Final[_Lists] = {
    2: _INT_32,
    3: _BINARY,
    8: _STRUCT,
    13: _STRUCT,
    16: {2: _INT_64, 3: _INT_64},
    17: {2: _INT_32},
}


def unpacked_size(body: Body, budget: Budget) -> int:
    """The bytes that all pages claim to unpack to.

    Args:
        body: the file.
        budget: what counts the work.

    Raises:
        IndexError, ValueError: the end of the file or a page's header cannot be read.
        PayloadTooLargeError: there are too many columns or pages.
    """
    view = memoryview(body)
    metadata = len(view) - _TAIL - int.from_bytes(view[-_TAIL:-4], "little")
    total = 0
    for start, end in _chunks(_Reader(view, metadata, budget)):
        position = start
        while position < end:
            budget.step(_STEPS_A_PAGE, _NAME)
            header = _Reader(view, position, budget)
            sizes = header.integers(_INT_32, _PAGE_FIELDS, {})
            total += max(0, sizes.get(_PAGE_SIZE, 0))
            packed = sizes.get(_PACKED_PAGE_SIZE, -1)
            if packed < 0:
                message = f"a page at byte {position} without a size"
                raise ValueError(message)
            position = header.position + packed
    return total


def _chunks(metadata: _Reader) -> Iterator[tuple[int, int]]:
    """Where the pages of each column of each row group are."""
    for _ in metadata.structs_of(_ROW_GROUPS, _FILE_LISTS):
        for _ in metadata.structs_of(_COLUMNS, _ROW_GROUP_LISTS):
            for number, kind in metadata.fields():
                if number != _COLUMN_METADATA:
                    metadata.skip(kind, _CHUNK_LISTS.get(number))
                    continue
                column = metadata.integers(_INT_64, _COLUMN_FIELDS, _COLUMN_LISTS)
                if not column.get(_VALUES):
                    # Arrow reads no page of it, and its offsets may be 0.
                    continue
                start = column.get(_DATA_PAGE, -1)
                if 0 < column.get(_DICTIONARY_PAGE, 0) < start:
                    start = column[_DICTIONARY_PAGE]
                if start < 0:
                    message = f"a column at byte {start}"
                    raise ValueError(message)
                yield start, start + column.get(_CHUNK_SIZE, 0)


class _Reader:
    """A reader of structs.

    Args:
        body: the file.
        position: where a struct begins.
        budget: what counts the work.

    Attributes:
        position: what is read next.
    """

    def __init__(self, body: memoryview, position: int, budget: Budget) -> None:
        self._body = body
        self._budget = budget
        self._depth = 0
        self.position = position

    def fields(self) -> Iterator[tuple[int, int]]:
        """The number and type of each field of a struct; the caller reads or skips its value."""
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            message = f"a struct deeper than {_MAX_DEPTH} levels"
            raise ValueError(message)
        numbers: set[int] = set()
        number = 0
        while byte := self._next():
            self._budget.step(1, _NAME)
            difference, kind = byte >> 4, byte & 15
            number = number + difference if difference else self._integer(16)
            if number in numbers:
                message = f"field {number} comes twice"
                raise ValueError(message)
            numbers.add(number)
            yield number, kind
        self._depth -= 1

    def structs_of(self, wanted: int, lists: _Lists) -> Iterator[None]:
        """Read a struct, and stop at each struct of the list in one of its fields."""
        for number, kind in self.fields():
            if number == wanted and kind == _LIST:
                for _ in range(self._list(_STRUCT)[0]):
                    yield
            else:
                self.skip(kind, lists.get(number))

    def integers(self, kind: int, wanted: tuple[int, ...], lists: _Lists) -> dict[int, int]:
        """Read a struct for the integers of some of its fields; those that lack are left out."""
        found: dict[int, int] = {}
        for number, its_kind in self.fields():
            if number in wanted and its_kind == kind:
                found[number] = self._integer(_BITS[kind])
            else:
                self.skip(its_kind, lists.get(number))
        return found

    def skip(self, kind: int, lists: int | _Lists | None) -> None:
        """Skip a value."""
        if kind in _BOOLEANS:  # the type is the value
            return
        if kind == _BINARY:
            length = self._varint()
            self.position += length
        elif kind in (_LIST, _SET):
            count, item = self._list(lists)
            for _ in range(count):
                self._budget.step(1, _NAME)
                self.skip(_BYTE if item in _BOOLEANS else item, None)
        elif kind == _STRUCT:
            for number, inner in self.fields():
                self.skip(inner, lists.get(number) if isinstance(lists, dict) else None)
        elif kind in _BITS:
            self._varint()
        elif kind in (_BYTE, _DOUBLE):
            self.position += 1 if kind == _BYTE else 8
        else:
            message = f"type {kind} of a field"
            raise ValueError(message)

    def _list(self, wanted: int | _Lists | None) -> tuple[int, int]:
        """The number and type of a list's items."""
        byte = self._next()
        count, item = byte >> 4, byte & 15
        if isinstance(wanted, int) and item != wanted:
            message = f"a list of type {item} instead of {wanted}"
            raise ValueError(message)
        return self._varint() if count == _LONG_LIST else count, item

    def _next(self) -> int:
        byte: int = self._body[self.position]
        self.position += 1
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
                message = "an integer of over 64 bits"
                raise ValueError(message)

    def _integer(self, bits: int) -> int:
        """A zigzag integer: the last bit is the sign."""
        value = self._varint()
        if value >> bits:
            message = f"an integer of over {bits} bits"
            raise ValueError(message)
        return value >> 1 ^ -(value & 1)
