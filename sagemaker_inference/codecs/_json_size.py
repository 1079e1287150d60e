"""What a JSON text costs before it is parsed: its values by their brackets, commas and colons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from sagemaker_inference._budget import Budget

_PIECE: Final = 1 << 20
_QUOTE: Final = ord('"')
# Bytes of Python objects: a float or a short text and its place in a list, the rest of a list, the
# rest of a dict, the rest of an item in a dict.
_VALUE, _LIST, _DICT, _ITEM = 48, 72, 200, 24
# orjson first parses the text into nodes of 16 bytes, beside a copy of the text.
_NODE: Final = 16
# An array of numbers takes 8 bytes for each; its brackets and commas are copied to see its shape.
_NUMBER, _MARK = 8, 4

_IS_MARK: Final = np.zeros(256, np.bool_)
_IS_MARK[list(b"[]{},")] = True
_STEPS: Final = np.zeros(256, np.int8)
_STEPS[list(b"[{")] = 1
_STEPS[list(b"]}")] = -1
# The level within a member of the outermost list or object.
_MEMBER: Final = 2


class Structure(NamedTuple):
    """How often these occur outside texts, or at most."""

    commas: int
    lists: int
    dicts: int
    colons: int

    @classmethod
    def at_most(cls, text: bytes | bytearray) -> Structure:
        """Count them, be they in texts or not."""
        return cls(*(text.count(mark) for mark in (b",", b"[", b"{", b":")))

    @classmethod
    def exactly(cls, text: bytes | bytearray) -> Structure:
        """Count them outside texts, which takes some five times as long."""
        total = np.zeros(4, np.int64)
        for codes in _outside_texts(text):
            total += [np.count_nonzero(codes == ord(mark)) for mark in ",[{:"]
        return cls(*total.tolist())

    def objects(self) -> int:
        """The bytes of its Python objects."""
        return (
            _VALUE * (self.commas + 1)
            + _LIST * self.lists
            + _DICT * self.dicts
            + _ITEM * self.colons
        )

    def nodes(self) -> int:
        """The bytes that orjson needs to parse it, beside a copy of the text."""
        return _NODE * (1 + self.commas + self.lists + self.dicts + self.colons)

    def array(self) -> int:
        """The bytes of an array of its numbers, and of what shows its shape."""
        return _NUMBER * (self.commas + 1) + _MARK * (self.commas + 2 * self.lists)


def take(text: bytes | bytearray, budget: Budget, name: str, lines: int = 0) -> None:
    """Count the objects of a text, before there are any.

    Args:
        text: what is going to be parsed.
        budget: what counts them.
        name: the name of the format.
        lines: how many values follow one another without a comma.

    Raises:
        PayloadTooLargeError: they are too many.
    """
    structure = Structure.at_most(text)
    size, work = _cost(structure, text, lines)
    if not (budget.can_take(size) and budget.can_attempt(work)):
        size, work = _cost(Structure.exactly(text), text, lines)
    budget.attempt(work, name)
    budget.take(size, name)


def _cost(structure: Structure, text: bytes | bytearray, lines: int) -> tuple[int, int]:
    return structure.objects() + _VALUE * lines, len(text) + structure.nodes() + _NODE * lines


def depth(text: bytes | bytearray) -> int:
    """How deeply lists and objects are nested, outside texts."""
    deepest = level = 0
    for codes in _outside_texts(text):
        steps = np.zeros(len(codes), np.int64)
        steps[(codes == ord("[")) | (codes == ord("{"))] = 1
        steps[(codes == ord("]")) | (codes == ord("}"))] = -1
        levels = np.cumsum(steps) + level
        deepest = max(deepest, int(np.max(levels, initial=0)))
        level = int(levels[-1]) if len(levels) else level
    return deepest


def is_even(text: bytes | bytearray) -> bool:
    """Whether a text looks like a table, as far as its brackets and commas show.

    That is a list of lists or of objects, or an object of objects, or of lists of one length.
    """
    kinds: set[int] = set()
    openings = level = 0
    lengths = np.zeros(1, np.int64)
    for codes in _outside_texts(text):
        marks = codes[_IS_MARK[codes]]
        steps = _STEPS[marks]
        levels = np.cumsum(steps, dtype=np.int32) + np.int32(level)
        level = int(levels[-1]) if len(levels) else level
        begins = (levels == _MEMBER) & (steps > 0)
        kinds.update(np.unique(marks[begins]).tolist())
        openings += int(np.count_nonzero(begins))
        # To which member each mark belongs, and how many commas each has.
        member = np.cumsum((levels == _MEMBER - 1) & (steps == 0)) + len(lengths) - 1
        commas = np.bincount(member[(levels == _MEMBER) & (steps == 0)], minlength=len(lengths))
        missing = max(int(np.max(member, initial=0)) + 1, len(commas)) - len(lengths)
        lengths = np.pad(lengths, (0, missing))
        lengths[: len(commas)] += commas
    if openings != len(lengths) or len(kinds) != 1:
        return False
    are_columns = kinds == {ord("[")} and text[:1] == b"{"
    return not are_columns or bool(np.all(lengths == lengths[0]))


def _outside_texts(text: bytes | bytearray) -> Iterator[NDArray[np.uint8]]:
    """The bytes of a text that are outside of JSON's texts, some at a time.

    A regular expression would need time or memory that grows with the square of its escapes.
    """
    if b"\\" in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    codes = np.frombuffer(text, np.uint8)
    quotes = 0
    for start in range(0, len(codes), _PIECE):
        piece = codes[start : start + _PIECE]
        # Only whether their number is even matters: it may overflow.
        counts = np.cumsum(piece == _QUOTE, dtype=np.uint8) + np.uint8(quotes)
        quotes = int(counts[-1]) & 1
        yield piece[counts & 1 == 0]
