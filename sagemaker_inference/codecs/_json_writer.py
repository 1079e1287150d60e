"""Python values, arrays and what other libraries make of them, written as JSON."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
import sys
from collections.abc import Mapping
from datetime import time, timedelta
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


def is_object(value: object) -> bool:
    """Whether a value is one JSON object, though it may give its items one by one."""
    return (
        isinstance(value, Mapping)
        or hasattr(value, "model_dump")
        or hasattr(value, "__struct_fields__")
        or dataclasses.is_dataclass(value)
    )


def records(frame: Any) -> list[dict[Any, Any]]:
    """The rows of a frame of pandas.

    Raises:
        EncodeError: two columns are of one name.
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
    # There is none unless msgspec has been imported.
    return sys.modules["msgspec"].to_builtins(struct, enc_hook=lambda v: json.loads(dumps(v)))


def _of_series(series: Any) -> Any:
    array = _arrays.as_array(series, _FORMAT)
    # Beside NA, pandas makes floats of integers, which are not exact.
    if array.dtype.kind == "f" and getattr(series.dtype, "kind", "f") in "iu":
        return series.tolist()
    return array


# By what an object can do, since nothing is imported to ask for its type: models of pydantic and
# msgspec, frames and arrays of pandas, torch, scipy and others, Mappings, iterators and sets.
_CONVERSIONS: Final[tuple[tuple[Callable[[Any], bool], Callable[[Any], Any]], ...]] = (
    # pandas' NA and NaT; and decimal's numbers, which databases give.
    (lambda value: type(value).__name__ in {"NAType", "NaTType"}, lambda _value: None),
    (_has("as_integer_ratio", "quantize"), float),
    (lambda value: isinstance(value, time) or _arrays.has_zone(value), lambda v: v.isoformat()),
    (lambda value: isinstance(value, timedelta), _arrays.text_of_duration),
    (lambda value: _is_of_pandas(value, "Period", "Interval"), str),
    (_has("model_dump"), lambda value: value.model_dump()),
    (_has("__struct_fields__"), _of_struct),
    (_has("to_dict", "columns"), records),
    (_has("detach"), lambda value: _arrays.as_array(value, _FORMAT)),
    (_has("toarray"), lambda value: _arrays.as_array(value, _FORMAT)),
    (_has("to_numpy"), _of_series),
    (_has("__array__"), np.asarray),
    (_has("tolist"), lambda value: value.tolist()),
    (_has("keys", "__getitem__"), dict),
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
