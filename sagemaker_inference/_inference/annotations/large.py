"""Large bodies that cannot fit an annotation: refused before their values take memory and time.

Small ones are read and converted, which costs little, and says best what is wrong with them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple, get_args, get_origin

from sagemaker_inference import _budget
from sagemaker_inference._errors import UnprocessableInputError
from sagemaker_inference._inference.annotations.hints import LISTS, core, is_typed_dict
from sagemaker_inference._inference.annotations.json_bodies import WRAPPED
from sagemaker_inference.codecs import _charset

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from sagemaker_inference._inference.annotations.protocols import Decode
    from sagemaker_inference.codecs import Body

_CODECS: Final = "sagemaker_inference.codecs."
_CSV: Final = "csv"
_TABLES: Final = {"arrow", "parquet"}
# What is read from these is never an object, but an array, a list or a table.
_ROWS: Final = {_CSV, "jsonlines", "npy", "recordio", "libsvm", "image"} | _TABLES
# Values of these may turn out not to fit when they have been made.
_TEXTS: Final = {_CSV, "json", "jsonlines"}
_SCALARS: Final = (int, float, bool, str, bytes)
_NO_NUMBERS: Final = {str, type(None)}
_NUMBERS: Final = (int, float, bool, type(None))

OBJECT, SCALAR, LIST, ANYTHING = "object", "scalar", "list", ""


def kind_of(hint: Any) -> str:
    """What a value has to be in JSON: OBJECT, SCALAR, LIST, or ANYTHING, where it may be several.

    Classes of pydantic are ANYTHING here: their validators may accept it.
    """
    if get_origin(hint) is Annotated:  # whose metadata may be such a validator
        return ANYTHING
    hint = core(hint)[0]
    kind = get_origin(hint) or hint
    if not isinstance(kind, type) or hasattr(kind, "__pydantic_validator__"):
        return LIST if kind in LISTS else ANYTHING
    if kind in _SCALARS:
        return SCALAR
    if kind in LISTS:
        return LIST
    if issubclass(kind, dict) or dataclasses.is_dataclass(kind):
        return OBJECT
    is_struct = hasattr(kind, "__struct_config__") and not kind.__struct_config__.array_like
    return OBJECT if is_struct or is_typed_dict(kind) else ANYTHING


def item_of(hint: Any) -> Any:
    """The hint of the items of a list; None where it is not one, or they differ."""
    arguments = [each for each in get_args(core(hint)[0]) if each is not Ellipsis]
    return arguments[0] if kind_of(hint) == LIST and len(arguments) == 1 else None


def are_numbers(hint: Any) -> bool:
    """Whether all values within lists have to be numbers, booleans or null."""
    item = item_of(hint)
    if item is not None:
        return are_numbers(item)
    if kind_of(hint) == OBJECT:
        return False
    members = get_args(hint) or (hint,)
    return all(member in _NUMBERS for member in members)


def are_texts(hint: Any) -> bool:
    """Whether all values within lists have to be text, or null."""
    item = item_of(hint)
    members = get_args(hint) or (hint,)
    return are_texts(item) if item is not None else str in members and set(members) <= _NO_NUMBERS


def mentions_float(hint: Any) -> bool:
    """Whether floats are among the types of values within lists."""
    members = get_args(hint)
    return any(map(mentions_float, members)) if members else hint is float


class Expected(NamedTuple):
    """What an annotation takes at most.

    Attributes:
        kind: what the value has to be, as `kind_of` returns it.
        item: the same of its items.
        has_numbers_only: whether all values within lists have to be numbers, booleans or null.
        has_floats: whether some values within lists are floats, be they integers in the body.
        has_texts_only: whether all values within lists have to be text, or null.
    """

    kind: str = ANYTHING
    item: str = ANYTHING
    has_numbers_only: bool = False
    has_floats: bool = False
    has_texts_only: bool = False

    @classmethod
    def by(cls, hint: Any) -> Expected:
        """What a hint says."""
        item = item_of(hint)
        item_kind = ANYTHING if item is None else kind_of(item)
        return cls(
            kind_of(hint), item_kind, are_numbers(hint), mentions_float(hint), are_texts(hint)
        )

    def decoded(self, body: Body, content_type: str, decode: Decode) -> Any:
        """What a format decodes, if it may be what is expected.

        Raises:
            UnprocessableInputError: it cannot be.
        """
        refuse_formats(self.kind, self.item, body, decode)
        with decoding(body, decode, numbers=self.has_numbers_only):
            if self.has_texts_only and format_of(decode) == _CSV:
                from sagemaker_inference.codecs import csv

                return csv.decode(body, content_type, dtype=str)
            data = decode(body, content_type)
        return dense(data, body)

    def is_told_by_a_row(self, data: Any) -> bool:
        """Whether this is a large array of numbers that fits if its first row does."""
        is_array = hasattr(data, "dtype") and data.dtype.kind in "biuf" and data.ndim > 0
        return self.has_numbers_only and is_array and data.nbytes > _budget.SMALL


def dense(data: Any, body: Body) -> Any:
    """The array of one of scipy's sparse matrices; other data as they are.

    Raises:
        PayloadTooLargeError: it is far larger than the body.
    """
    if not hasattr(data, "toarray"):
        return data
    _budget.of(body).take(math.prod(data.shape) * data.dtype.itemsize, "sparse")
    return data.toarray()


def refuse_formats(kind: str, item: str, body: Body, decode: Decode) -> None:
    """Refuse a large body whose format has no such values.

    Raises:
        UnprocessableInputError: it has none.
    """
    name = format_of(decode) if len(body) > _budget.SMALL else ""
    if kind == OBJECT and name in _ROWS:
        message = "Expected an object, but this Content-Type holds rows; send JSON."
        raise UnprocessableInputError(message)
    if name == _CSV and kind == LIST and item in {OBJECT, SCALAR}:
        message = f"Expected {item}s, but the rows of CSV are arrays; send JSON or JSON Lines."
        raise UnprocessableInputError(message)


def refuse_other_than_tables(body: Body, decode: Decode) -> None:
    """Refuse a large body that is read, but not as an Arrow table.

    Raises:
        UnprocessableInputError: it is not.
    """
    name = format_of(decode)
    if len(body) > _budget.SMALL and name and name not in _TABLES:
        message = "Expected a Table; send Parquet or Arrow."
        raise UnprocessableInputError(message)


def decoding(body: Body, decode: Decode, *, numbers: bool) -> AbstractContextManager[None]:
    """What to decode a body in that an annotation may refuse afterwards.

    Args:
        body: the body.
        decode: its format.
        numbers: whether only numbers can fit.
    """
    name = format_of(decode) if len(body) > _budget.SMALL else ""
    if name == _CSV and numbers:
        return _budget.of_numbers(body)
    return _budget.tentative(body) if name in _TEXTS else contextlib.nullcontext()


def tabulating(body: Body, content_type: str, decode: Decode) -> AbstractContextManager[None]:
    """The same for a data frame: what looks like a table will be one."""
    name = format_of(decode) if len(body) > _budget.SMALL else ""
    if name == "json":
        from sagemaker_inference.codecs import _json_size

        text = _charset.utf8(body, content_type).strip()
        if match := WRAPPED.match(text):
            text = text[match.end() : -1].strip()
        size = _json_size.Structure.at_most(text).objects()
        if _budget.of(body).can_attempt(size) or _json_size.is_even(text):
            return contextlib.nullcontext()
    return _budget.tentative(body) if name in _TEXTS else contextlib.nullcontext()


def format_of(decode: Decode) -> str:
    """The name of the built-in format that a function reads; "" for others."""
    module = getattr(decode, "__module__", None) or ""
    return module.removeprefix(_CODECS) if module.startswith(_CODECS) else ""
