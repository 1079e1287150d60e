"""Python values, arrays and what other libraries make of them, written as JSON."""

from __future__ import annotations

import enum
import json
import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson

from sagemaker_inference.codecs import _arrays

if TYPE_CHECKING:
    from collections.abc import Callable

_FORMAT: Final = "JSON"
_NUMERIC: Final = "biuf"
_FLOAT64: Final = np.dtype(np.float64)


def dumps(value: object) -> bytes:
    """Compact JSON in UTF-8; NaN and infinities become null.

    Raises:
        EncodeError: something in it has no JSON form.
    """
    try:
        # orjson of some versions takes another byte order for this machine's.
        if type(value) is np.ndarray and (
            value.dtype is _FLOAT64 or (value.dtype.kind in _NUMERIC and value.dtype.isnative)
        ):
            return orjson.dumps(value, plain, orjson.OPT_SERIALIZE_NUMPY)
        # Arrays within go by way of plain: orjson has dates of its own for NaT.
        return orjson.dumps(value, plain)
    except TypeError:
        pass
    try:
        return orjson.dumps(value, plain, orjson.OPT_NON_STR_KEYS)
    except TypeError:
        return _dumps_slowly(value)


def plain(value: Any) -> Any:
    """Something that orjson does not know, as something that it does.

    Raises:
        TypeError: there is nothing.
    """
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain_array(_arrays.without_mask(value))
    if isinstance(value, (bytes, bytearray, memoryview)):
        return str(value, "utf-8")
    for matches, convert in _CONVERSIONS:
        if matches(value):
            return convert(value)
    message = f"no JSON form of {type(value).__name__}"
    raise TypeError(message)


def _has(*names: str) -> Callable[[Any], bool]:
    return lambda value: all(hasattr(value, name) for name in names)


# By what an object can do, since nothing is imported to ask for its type: pydantic models, named
# tuples, frames and arrays of pandas, torch, scipy and others, Mappings, iterators and sets.
_CONVERSIONS: Final[tuple[tuple[Callable[[Any], bool], Callable[[Any], Any]], ...]] = (
    # pandas' NA; and decimal's numbers, which databases give.
    (lambda value: type(value).__name__ == "NAType", lambda _value: None),
    (_has("as_integer_ratio", "quantize"), float),
    (_has("model_dump"), lambda value: value.model_dump()),
    (_has("to_dict", "columns"), lambda value: value.to_dict(orient="records")),
    (_has("detach"), lambda value: _arrays.as_array(value, _FORMAT)),
    (_has("toarray"), lambda value: _arrays.as_array(value, _FORMAT)),
    (_has("to_numpy"), lambda value: _arrays.as_array(value, _FORMAT)),
    (_has("__array__"), np.asarray),
    (_has("tolist"), lambda value: value.tolist()),
    (_has("keys", "__getitem__"), dict),
    (_has("__iter__"), list),
)


def _plain_array(array: np.ndarray[Any, Any]) -> Any:
    kind = array.dtype.kind
    if array.dtype.name.startswith(_arrays.SMALL_FLOATS):
        array = array.astype(np.float32)
    elif kind == "f" and array.dtype.itemsize > 8:  # noqa: PLR2004
        array = array.astype(np.float64)
    elif kind in "mM":
        texts = array.astype(str).astype(object)
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
    """What orjson refuses: integers beyond 64 bits, lone surrogates."""
    try:
        return json.dumps(
            _finite(value), allow_nan=False, separators=(",", ":"), default=_finite_plain
        ).encode()
    except (TypeError, ValueError, RecursionError, AttributeError) as error:
        raise _arrays.unencodable(value, _FORMAT, str(error)[:100]) from error


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
        # Dataclasses, dates and other things that orjson knows, and plain does not.
        return _finite(orjson.loads(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)))
    except TypeError:
        return _finite(plain(value))
