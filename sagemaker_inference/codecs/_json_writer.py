"""Python values, arrays and what other libraries make of them, written as JSON."""

from __future__ import annotations

import enum
import json
import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import orjson

from sagemaker_inference.codecs import _arrays

_FORMAT: Final = "JSON"
_OPTIONS: Final = orjson.OPT_SERIALIZE_NUMPY
_ODD_KEYS: Final = _OPTIONS | orjson.OPT_NON_STR_KEYS


def dumps(value: object) -> bytes:
    """Compact JSON in UTF-8; NaN and infinities become null.

    Raises:
        EncodeError: something in it has no JSON form.
    """
    try:
        return orjson.dumps(value, _plain, _OPTIONS)
    except TypeError:
        pass
    try:
        return orjson.dumps(value, _plain, _ODD_KEYS)
    except TypeError:
        return _dumps_slowly(value)


def _plain(value: Any) -> Any:  # noqa: ANN401, PLR0911
    """Something that orjson does not know, as something that it does.

    Raises:
        TypeError: there is nothing.
    """
    if isinstance(value, np.ndarray):
        return _plain_array(value)
    if isinstance(value, np.generic):
        return _plain_scalar(value)
    if isinstance(value, (set, frozenset, range)) or hasattr(value, "__next__"):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return str(value, "utf-8")
    for name in ("model_dump", "_asdict"):
        if hasattr(value, name):
            return getattr(value, name)()
    if _is_frame(value):
        return value.to_dict(orient="records")
    if hasattr(value, "detach") or hasattr(value, "toarray") or hasattr(value, "to_numpy"):
        return _arrays.as_array(value, _FORMAT)
    if hasattr(value, "__array__"):
        return np.asarray(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    message = f"no JSON form of {type(value).__name__}"
    raise TypeError(message)


def _is_frame(value: object) -> bool:
    return hasattr(value, "to_dict") and hasattr(value, "columns")


def _plain_array(array: np.ndarray[Any, Any]) -> Any:  # noqa: ANN401
    kind = array.dtype.kind
    if array.dtype.name.startswith(_arrays.SMALL_FLOATS):
        return array.astype(np.float32)
    if kind in "biuf" and array.dtype.itemsize <= 8:  # noqa: PLR2004
        if array.ndim == 0:
            return array[()]
        return np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    if kind == "f":
        return array.astype(np.float64)
    if kind in "mM":
        texts = array.astype(str).astype(object)
        texts[np.isnat(array)] = None
        return texts.tolist()
    if kind in "OUS" or array.dtype.names:
        return array.tolist()
    message = f"no JSON form of an array of {array.dtype.name}"
    raise TypeError(message)


def _plain_scalar(value: np.generic) -> Any:  # noqa: ANN401
    return _plain_array(np.asarray(value))


def _dumps_slowly(value: object) -> bytes:
    """What orjson refuses: integers beyond 64 bits, lone surrogates."""
    try:
        return json.dumps(
            _finite(value), allow_nan=False, separators=(",", ":"), default=_finite_plain
        ).encode()
    except (TypeError, ValueError, RecursionError, AttributeError) as error:
        raise _arrays.unencodable(value, _FORMAT, str(error)[:100]) from error


def _finite(value: Any) -> Any:  # noqa: ANN401
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


def _finite_plain(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biufOU":
        return _finite(value.tolist())
    try:
        return _finite(orjson.loads(orjson.dumps(value, option=_ODD_KEYS)))
    except TypeError:
        return _finite(_plain(value))
