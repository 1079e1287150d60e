"""A text that a regular expression matches, made of it as Python reads it."""

from __future__ import annotations

import importlib
import math
import re
import string
import sys
from typing import Any, Final

# Longer ones show nothing.
_LONGEST: Final = 1000
# Those that most patterns are about come first.
_CHARACTERS: Final = f"a1A-_.{string.ascii_letters}{string.digits}{string.printable}"
# Of a place, and not of a character: whether they hold is seen by the complete text.
_PLACES: Final = {"AT", "ASSERT", "ASSERT_NOT"}
_REPEATS: Final = {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}


class _UnknownError(Exception):
    """A part of a pattern that no text is made of."""


def text_like(pattern: str, shortest: int = 0, longest: float = math.inf) -> str | None:
    """A text that a pattern matches; None where none is found.

    Args:
        pattern: the regular expression, perhaps one that Python cannot read.
        shortest: the least length of the text.
        longest: its greatest length.
    """
    # Nothing public reads one.
    parser = importlib.import_module("re._parser" if sys.version_info >= (3, 11) else "sre_parse")
    try:
        parts, search = parser.parse(pattern), re.compile(pattern).search
        for more in range(min(shortest, _LONGEST) + 1):
            text = _Maker(more).text(parts)
            if shortest <= len(text) <= longest and search(text):
                return text
    except (re.error, OverflowError, RecursionError, _UnknownError):
        pass
    return None


class _Maker:
    """Makes the text of one pattern.

    Args:
        more: how often what may be repeated is, beyond what it must be.
    """

    def __init__(self, more: int) -> None:
        self._more = more
        self._groups: dict[int, str] = {}

    def text(self, parts: Any) -> str:
        """The text of parts that follow each other.

        Raises:
            _UnknownError: one of them is not known, or it is too long.
        """
        text = ""
        for operation, value in parts:
            text += self._part(str(operation), value)
            if len(text) > _LONGEST:
                raise _UnknownError
        return text

    def _part(self, operation: str, value: Any) -> str:
        if operation in _PLACES:
            return ""
        if operation in _REPEATS:
            least, most, parts = value
            count = min(int(least) + self._more, int(most), _LONGEST + 1)
            return self.text(parts) * count if count else ""
        if operation == "SUBPATTERN":
            self._groups[value[0]] = text = self.text(value[-1])
            return text
        if operation == "BRANCH":
            return self.text(value[1][0])
        if operation == "GROUPREF" and value in self._groups:
            return self._groups[value]
        return _character(operation, value)


def _character(operation: str, value: Any) -> str:
    """The first character that a part of a pattern allows."""
    items = value if operation == "IN" else [(operation, value)]
    # Few texts have these.
    ends = [value[0] if isinstance(value, tuple) else value for _, value in items]
    named = "".join(chr(code) for code in ends if isinstance(code, int))
    for character in _CHARACTERS + named:
        if _accepts(items, character):
            return character
    raise _UnknownError


def _accepts(items: Any, character: str) -> bool:
    are_negated = str(items[0][0]) == "NEGATE"
    return any(_is_one(str(name), value, character) for name, value in items) is not are_negated


def _is_one(name: str, value: Any, character: str) -> bool:
    if name == "ANY":
        return character != "\n"
    if name == "LITERAL":
        return ord(character) == int(value)
    if name == "NOT_LITERAL":
        return ord(character) != int(value)
    if name == "RANGE":
        return bool(value[0] <= ord(character) <= value[1])
    # As in CATEGORY_NOT_DIGIT.
    is_not = "NOT_" in str(value)
    letter = {"DIGIT": "d", "SPACE": "s", "WORD": "w"}.get(str(value).rpartition("_")[2], "")
    return bool(letter and re.match(f"\\{letter}", character)) is not is_not
