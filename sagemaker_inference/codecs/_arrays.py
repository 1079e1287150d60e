"""Predictions as numpy arrays, whichever library made them.

Libraries are recognised by what their objects can do; none is imported for the purpose.
"""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sagemaker_inference._errors import EncodeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# Their buffers are not numpy's: ml_dtypes registers them as types of one or two bytes.
_SMALL_FLOATS: Final = ("bfloat16", "float4_", "float6_", "float8_")
_SMALL_INTEGERS: Final = ("int1", "int2", "int4", "uint1", "uint2", "uint4")
_REGISTERED: Final = 2
_MICROSECOND: Final = timedelta(microseconds=1)
_SEQUENCES: Final = (list, tuple)
_MAX_DIMENSIONS: Final = 64


def as_array(prediction: object, format_name: str) -> NDArray[Any]:
    """The prediction as an array: numpy, pandas, torch, scipy sparse, or what np.asarray takes.

    What a mask hides is what `without_mask` makes of it.

    Raises:
        EncodeError: it is ragged, or of a type that makes no array.
    """
    if type(prediction) is np.ndarray and prediction.dtype.isbuiltin != _REGISTERED:
        return prediction
    try:
        found = _unwrapped(prediction)
        array = np.asarray(found)
    except Exception as error:
        raise unencodable(prediction, format_name) from error
    return with_known_numbers(array)


def with_known_numbers(array: NDArray[Any]) -> NDArray[Any]:
    """The array, floats of ml_dtypes as float32 and integers as int8."""
    name = array.dtype.name
    if name.startswith(_SMALL_FLOATS):
        return array.astype(np.float32)
    return array.astype(np.int8) if name in _SMALL_INTEGERS else array


def texts_of_times(times: NDArray[Any]) -> NDArray[Any]:
    """Datetimes as ISO 8601, timedeltas as "3 seconds"; NaT is "NaT"."""
    if times.dtype.kind == "M":
        return times.astype(np.str_)
    # To cast them would cut them off at 21 characters, however long a text is asked for.
    return np.array(list(map(str, times.reshape(-1))), np.str_).reshape(times.shape)


def text_of_duration(duration: Any) -> str:
    """A timedelta of Python or of pandas as the equal one of numpy is written."""
    if hasattr(duration, "to_numpy"):
        return str(duration.to_numpy())
    # In Python's integers: the longest have no room in numpy's.
    return f"{duration // _MICROSECOND} microseconds"


def has_zone(value: object) -> bool:
    """Whether this is a datetime, maybe of pandas, with a zone, which numpy's have not."""
    return isinstance(value, datetime) and value.tzinfo is not None


def without_mask(array: Any) -> NDArray[Any]:
    """A numpy array or scalar as a plain array; what a mask hides is NaN, NaT or else None.

    Raises:
        TypeError: it is an array of records, some of them masked.
    """
    found = np.asarray(array)
    if not _is_masked(type(array)) or b"\1" not in array.mask.tobytes():
        return found
    kind = found.dtype.kind
    if kind == "V":
        message = "records with a mask have no plain form"
        raise TypeError(message)
    found = found.astype(found.dtype if kind in "fcmM" else object)
    found[array.mask] = (
        np.array("NaT", found.dtype) if kind in "mM" else np.nan if kind in "fc" else None
    )
    return found


def unencodable(prediction: object, format_name: str, reason: str = "") -> EncodeError:
    """What to raise for a prediction that a format has no way to write."""
    kind = type(prediction)
    name = (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else (f"{kind.__module__}.{kind.__qualname__}")
    )
    ending = f": {reason}" if reason else ""
    return EncodeError(
        f"A prediction of type {name[:80]} cannot be written as {format_name}{ending}"
    )


def _unwrapped(prediction: Any) -> Any:  # noqa: PLR0911 - one return for each kind
    if isinstance(prediction, np.ndarray):
        return without_mask(prediction)
    if hasattr(prediction, "detach"):
        return _of_tensor(prediction)
    if hasattr(prediction, "toarray"):
        return prediction.toarray()
    if hasattr(prediction, "to_numpy") and not has_zone(prediction):
        return prediction.to_numpy()
    if isinstance(prediction, (set, frozenset)) or hasattr(prediction, "__next__"):
        return _unwrapped(list(prediction))
    if isinstance(prediction, _SEQUENCES) and _holds_wrapped(prediction):
        return [_unwrapped(item) for item in prediction]
    return prediction


def _holds_wrapped(values: Sequence[Any]) -> bool:
    if hasattr(values[0] if values else None, "detach"):
        return True
    # Of tensors further in, numpy makes numbers; what a mask hides there, it would show.
    for _ in range(_MAX_DIMENSIONS if _masked_array() else 0):
        kinds = set(map(type, values))
        if any(map(_is_masked, kinds)):
            return True
        if kinds.isdisjoint(_SEQUENCES):
            break
        values = list(chain.from_iterable(value for value in values if type(value) in _SEQUENCES))
    return False


def _is_masked(kind: type) -> bool:
    masked_array = _masked_array()
    return masked_array is not None and issubclass(kind, masked_array)


def _masked_array() -> type | None:
    # Where nobody has imported numpy.ma there are none; numpy imports it when it is asked for.
    masked = sys.modules.get("numpy.ma")
    return None if masked is None else masked.MaskedArray


def _of_tensor(tensor: Any) -> NDArray[Any]:
    tensor = tensor.detach().cpu()
    if hasattr(tensor, "to_dense"):
        tensor = tensor.to_dense()
    if hasattr(tensor, "resolve_conj"):
        tensor = tensor.resolve_conj().resolve_neg()
    try:
        array: NDArray[Any] = tensor.numpy()
    except TypeError:
        array = tensor.float().numpy()
    return array
