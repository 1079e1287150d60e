"""Python values, arrays and objects of other libraries written as JSON."""

from __future__ import annotations

import enum
import json
import math
import sys
from datetime import time, timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson

from sagemaker_inference._errors import EncodeError
from sagemaker_inference.codecs import _arrays, _objects

if TYPE_CHECKING:
    from collections.abc import Callable

_FORMAT: Final = "JSON"
_NUMERIC: Final = "biuf"
_FLOAT64: Final = np.dtype(np.float64)
# orjson asks for eight times the memory of a text before it writes it, and crashes where the system
# has not as much. Longer ones are written in pieces.
_LONG_TEXT: Final = 1 << 22
# No response can have more.
_LONGEST_TEXT: Final = 1 << 31
# Dicts of more items are not looked through.
_FEW: Final = 8


def dumps(value: Any) -> bytes:
    """Write compact JSON in UTF-8; NaN and infinities become null.

    Raises:
        EncodeError: the value, or something in it, has no JSON form.
    """
    kind = type(value)
    if kind is str and len(value) > _LONG_TEXT:
        value = _with_pieces(value)
    elif kind is dict and len(value) <= _FEW:
        for item in value.values():
            if type(item) is str and len(item) > _LONG_TEXT:
                value = _with_pieces(value)
                break
    try:
        # Some versions of orjson ignore the byte order of an array.
        if type(value) is np.ndarray and (
            value.dtype is _FLOAT64 or (value.dtype.kind in _NUMERIC and value.dtype.isnative)
        ):
            return orjson.dumps(value, plain, orjson.OPT_SERIALIZE_NUMPY)
        # Nested arrays go through plain: orjson writes NaT as a date.
        return orjson.dumps(value, plain)
    except TypeError:
        pass
    try:
        return orjson.dumps(value, plain, orjson.OPT_NON_STR_KEYS)
    except TypeError:
        pass
    return _dumps_slowly(value)


def _with_pieces(value: Any) -> Any:
    """A text that is long, or a dict that has such, with that written already."""
    if type(value) is dict:
        return {key: _with_pieces(item) for key, item in value.items()}
    if type(value) is not str or len(value) <= _LONG_TEXT:
        return value
    if len(value) > _LONGEST_TEXT:
        raise _arrays.unencodable(value, _FORMAT, f"a text of {len(value)} characters is too long")
    starts = range(0, len(value), _LONG_TEXT)
    try:
        pieces = [orjson.dumps(value[start : start + _LONG_TEXT])[1:-1] for start in starts]
    except TypeError:  # lone surrogates, which json writes
        return value
    return orjson.Fragment(b"".join([b'"', *pieces, b'"']))


def plain(value: Any) -> Any:
    """Convert an object that orjson does not support to one that it does.

    Raises:
        TypeError: there is no such conversion.
    """
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain_array(_arrays.without_mask(value))
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _with_pieces(str(value, "utf-8"))
    for matches, convert in _CONVERSIONS:
        if matches(value):
            return convert(value)
    message = f"no JSON form of {type(value).__name__}"
    raise TypeError(message)


def records(frame: Any) -> list[dict[Any, Any]]:
    """The rows of a pandas DataFrame.

    Raises:
        EncodeError: two columns have the same name.
    """
    names: set[str] = set()
    for name in map(str, frame.columns):
        if name in names:
            raise _arrays.unencodable(frame, _FORMAT, f"rename one of the columns {name[:80]!r}")
        names.add(name)
    rows: list[dict[Any, Any]] = frame.to_dict(orient="records")
    return rows


def _has(*names: str) -> Callable[[Any], bool]:
    return lambda value: all(hasattr(value, name) for name in names)


def _is_of_pandas(value: object, *names: str) -> bool:
    kind = type(value)
    return kind.__name__ in names and kind.__module__.partition(".")[0] == "pandas"


def _of_struct(struct: Any) -> Any:
    # A struct exists, so msgspec is imported.
    return sys.modules["msgspec"].to_builtins(struct, enc_hook=lambda v: json.loads(dumps(v)))


def _of_series(series: Any) -> Any:
    array = _arrays.as_array(series, _FORMAT)
    # pandas converts integers beside NA to floats, which are not exact.
    if array.dtype.kind == "f" and getattr(series.dtype, "kind", "f") in "iu":
        return series.tolist()
    return array


# Objects are recognized by their methods, so that no library has to be imported: models of pydantic
# and msgspec, frames and arrays of pandas, torch, scipy and others, Mappings, iterators and sets.
_CONVERSIONS: Final[tuple[tuple[Callable[[Any], bool], Callable[[Any], Any]], ...]] = (
    (lambda value: _objects.is_na(value, or_nat=True), lambda _value: None),
    # Decimal, which database drivers return.
    (_has("as_integer_ratio", "quantize"), float),
    (lambda value: isinstance(value, time) or _arrays.has_zone(value), lambda v: v.isoformat()),
    (lambda value: isinstance(value, timedelta), _arrays.text_of_duration),
    (lambda value: _is_of_pandas(value, "Period", "Interval"), str),
    (_has("model_dump"), _objects.fields),
    (_has("__struct_fields__"), _of_struct),
    (_has("__attrs_attrs__"), _objects.fields),
    (_has("to_dict", "columns"), records),
    (_has("detach"), lambda value: _arrays.as_array(value, _FORMAT)),
    (_has("toarray"), lambda value: _arrays.as_array(value, _FORMAT)),
    (_has("to_numpy"), _of_series),
    (_has("__array__"), np.asarray),
    (_has("tolist"), lambda value: value.tolist()),
    (_has("keys", "__getitem__"), dict),
    (_objects.is_address, str),
    (_has("__iter__"), list),
)


def _plain_array(array: np.ndarray[Any, Any]) -> Any:
    array = _arrays.with_known_numbers(array)
    kind = array.dtype.kind
    if kind == "f" and array.dtype.itemsize > 8:  # noqa: PLR2004
        array = array.astype(np.float64)
    elif kind in "mM":
        texts = _arrays.texts_of_times(array).astype(object)
        texts[np.isnat(array)] = None
        return texts.tolist()
    elif kind in "OUS" or array.dtype.names:
        return array.tolist()
    elif kind not in _NUMERIC:
        message = f"no JSON form of an array of {array.dtype.name}"
        raise TypeError(message)
    native = np.asarray(array, array.dtype.newbyteorder("="), order="C")
    written = orjson.dumps(native if native.ndim else native[()], option=orjson.OPT_SERIALIZE_NUMPY)
    return orjson.Fragment(written)


def _dumps_slowly(value: object) -> bytes:
    """Write what orjson refuses: integers beyond 64 bits, lone surrogates."""
    try:
        return json.dumps(
            _finite(value), allow_nan=False, separators=(",", ":"), default=_finite_plain
        ).encode()
    except EncodeError:  # says what is wrong; it is a TypeError, too
        raise
    except (TypeError, ValueError, RecursionError, AttributeError) as error:
        raise _arrays.unencodable(value, _FORMAT, str(error)) from _arrays.if_users(error)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, enum.Enum):
        return _finite(value.value)
    if isinstance(value, dict):
        return {
            key if isinstance(key, (str, int, float, bool, type(None))) else str(key): _finite(item)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def _finite_plain(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biufOUS":
        return _finite(value.tolist())
    try:
        # Dataclasses, dates and other types that orjson supports and plain does not convert.
        return _finite(orjson.loads(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)))
    except TypeError:
        pass
    return _finite(plain(value))
