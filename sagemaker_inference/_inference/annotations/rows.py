"""Rows of CSV that no array can hold: each cell is read from its text, by its own annotation.

An array has one type: an integer beside a fraction becomes a float, and ``007`` becomes 7. What an
annotation says of a cell holds whatever the other cells of a request are.

====================  ==========================================================================
annotation            a cell of text becomes
====================  ==========================================================================
``int``, ``float``    a number; an empty cell of ``float`` is NaN
``str``               itself
``X | None``          None if it is empty, unless X is ``str``
any other             what becomes of such a text in a form
====================  ==========================================================================
"""

from __future__ import annotations

import contextlib
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Literal, get_args, get_origin

from sagemaker_inference._errors import UnprocessableInputError
from sagemaker_inference._inference.annotations.forms import text_reader
from sagemaker_inference._inference.annotations.hints import LISTS, UNIONS, bare, cells_of, core
from sagemaker_inference._inference.annotations.large import decoding, format_of
from sagemaker_inference._inference.annotations.problems import is_searched

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from sagemaker_inference._inference.annotations.protocols import Convert, Decode
    from sagemaker_inference.codecs import Body

_NAN: Final = float("nan")
_NUMBERS: Final = {int, float}
_ANY: Final = {int, float, str}


def by_rows(convert: Convert, hint: Any) -> Convert:
    """A converter that reads rows of CSV by their texts, where an array does not do.

    That is where the cells of a row differ in type; of other rows, where the array does not fit:
    a column of one text is text.
    """
    cells = _cells_of_rows(hint)
    if not cells:
        return convert
    are_mixed = any(cell != cells[0] for cell in cells)
    # Texts say which of them is wrong, but do not help.
    are_numbers = all(_types_of(cell) <= _NUMBERS for cell in cells)
    read = RowReader(cells, is_strict=are_numbers and not are_mixed)

    def convert_rows(body: Body, content_type: str, /, decode: Decode) -> Any:
        if format_of(decode) != "csv":
            return convert(body, content_type, decode=decode)
        if not are_mixed:
            try:
                return convert(body, content_type, decode=decode)
            except UnprocessableInputError:
                if are_numbers and not is_searched(body):
                    raise
        with decoding(body, decode, numbers=False):
            return convert(body, content_type, decode=read)

    return convert_rows


class RowReader:
    """Reads CSV as rows of Python's values, each from the text of its cell.

    Args:
        cells: the annotations of the cells of a row; one, if it is that of all.
        is_strict: whether its values have to be of their types, as those of an array have.
    """

    def __init__(self, cells: Sequence[Any], *, is_strict: bool) -> None:
        self.is_strict = is_strict
        self._readers = list(map(_reader, cells))

    def __call__(self, body: Body, content_type: str, /) -> list[tuple[Any, ...]]:
        """Read a body.

        Raises:
            DecodeError: it is not CSV.
            PayloadTooLargeError: its cells need more memory than the budget allows.
        """
        from sagemaker_inference.codecs import csv

        texts = csv.decode(body, content_type, dtype=str).T
        # Too many cells are refused with those that there may be.
        last = self._readers[-1]
        readers = [*self._readers, *[last] * (len(texts) - len(self._readers))]
        columns = [read(column) for read, column in zip(readers, texts, strict=False)]
        return list(zip(*columns, strict=True))


def _cells_of_rows(hint: Any) -> list[Any]:
    """The annotations of the cells of a row; one, if it is that of all; [] without rows."""
    kind = core(hint)[0]
    items = [each for each in get_args(kind) if each is not Ellipsis]
    if get_origin(kind) not in LISTS or len(items) != 1:
        return []
    return cells_of(core(items[0])[0])


def _reader(cell: Any) -> Callable[[NDArray[Any]], list[Any]]:
    """What reads the texts of a column."""
    kinds = _types_of(cell)
    is_text = str in kinds
    numbers: list[Callable[[str], Any]] = [kind for kind in (int, float) if kind in kinds]
    if is_text and not numbers:
        return lambda column: column.tolist()
    # An integer is read of a text such as 1.5, too, so that it is called a float.
    numbers = [int, float] if int in kinds else numbers
    empty = None if type(None) in kinds else _NAN if float in kinds else ""
    read_text = text_reader([cell])

    def read(text: str) -> Any:
        stripped = text.strip()
        if not stripped and not is_text:
            return empty
        for number in numbers:
            with contextlib.suppress(ValueError):
                return number(stripped)
        return text if is_text else read_text(stripped)

    def read_all(column: NDArray[Any]) -> list[Any]:
        for number in numbers[:1]:
            with contextlib.suppress(ValueError):
                return list(map(number, column))
        return list(map(read, column))

    return read_all


def _types_of(cell: Any) -> set[Any]:
    """The types that a cell may have, as far as its text is read by them."""
    kind = bare(cell)
    if get_origin(kind) in UNIONS:
        return set().union(*map(_types_of, get_args(kind)))
    if get_origin(kind) is Literal:
        return set(map(type, get_args(kind)))
    if kind is Any or kind is object:
        return _ANY
    if isinstance(kind, type) and issubclass(kind, Enum):
        return {type(member.value) for member in kind}
    return {kind}
