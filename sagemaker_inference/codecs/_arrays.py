"""Predictions of any library as numpy arrays.

Objects are recognized by their methods, so that no library has to be imported.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sagemaker_inference._errors import EncodeError
from sagemaker_inference.codecs import _objects

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_PACKAGE: Final = str(Path(__file__).parents[1])
# ml_dtypes registers these dtypes with numpy; other libraries cannot read their buffers.
_SMALL_FLOATS: Final = ("bfloat16", "float4_", "float6_", "float8_")
_SMALL_INTEGERS: Final = ("int1", "int2", "int4", "uint1", "uint2", "uint4")
# The value of dtype.isbuiltin for a dtype that a library has registered.
_REGISTERED: Final = 2
_MICROSECOND: Final = timedelta(microseconds=1)
_SEQUENCES: Final = (list, tuple)
_MAX_DIMENSIONS: Final = 64
_BOOLEANS: Final = {bool, np.bool_}
_INTEGERS: Final = (int, np.integer)
_REAL: Final = (int, float, np.integer, np.floating)
_INT64_END: Final = 1 << 63
# Up to here floats represent every integer.
_EXACT: Final = 1 << 53
_WIDE: Final = 64 << 20
_TIMES: Final = 20


def as_array(prediction: object, format_name: str) -> NDArray[Any]:
    """Convert numpy, pandas, torch and scipy sparse objects, and all that np.asarray accepts.

    Masked values are replaced as in `without_mask`.

    Raises:
        EncodeError: the prediction is ragged, or its type has no array form.
    """
    if type(prediction) is np.ndarray and prediction.dtype.isbuiltin != _REGISTERED:
        return prediction
    try:
        array = np.asarray(_unwrapped(prediction))
    except Exception as error:  # noqa: BLE001 - libraries and objects of the program
        raise unencodable(prediction, format_name, str(error)) from if_users(error)
    return with_known_numbers(array)


def with_known_numbers(array: NDArray[Any]) -> NDArray[Any]:
    """Convert floats of ml_dtypes to float32 and its integers to int8; leave other arrays."""
    name = array.dtype.name
    if name.startswith(_SMALL_FLOATS):
        return array.astype(np.float32)
    return array.astype(np.int8) if name in _SMALL_INTEGERS else array


def without_objects(array: NDArray[Any]) -> NDArray[Any]:
    """Give an array of Python objects the dtype of its values, which readers need no pickle for.

    Text becomes ``U``, booleans ``?``, integers ``i8`` (or ``u8``), floats ``f8``; beside floats,
    integers that are not rounded and missing values become floats. So do the fields of records.

    Returns:
        The array itself if it has no objects, or objects that none of these dtypes holds.
    """
    if array.dtype.names is not None and array.dtype.hasobject:
        return _records_without_objects(array)
    if array.dtype != object:
        return array
    values = array.reshape(-1).tolist()
    dtype = _dtype_of(values)
    if dtype is None:
        return array
    if dtype is np.float64:
        values = [np.nan if _is_missing(value) else value for value in values]
    return np.array(values, dtype).reshape(array.shape)


def _records_without_objects(records: NDArray[Any]) -> NDArray[Any]:
    columns = {name: without_objects(records[name]) for name in records.dtype.names or ()}
    if any(column.dtype.hasobject for column in columns.values()):
        return records
    fields: list[Any] = [
        (name, column.dtype, column.shape[records.ndim :]) for name, column in columns.items()
    ]
    plain = np.empty(records.shape, fields)
    for name, column in columns.items():
        plain[name] = column
    return plain


def _dtype_of(values: list[Any]) -> Any:
    """The dtype that holds all of these values as they are; None without one."""
    kinds = set(map(type, values))
    if all(issubclass(kind, str) for kind in kinds):
        return None if _is_wide(values) or not kinds else np.str_
    if kinds <= _BOOLEANS:
        return np.bool_
    numbers = [value for value in values if not _is_missing(value)]
    types = set(map(type, numbers))
    if not types or types & _BOOLEANS or not all(issubclass(kind, _REAL) for kind in types):
        return None
    if all(issubclass(kind, _INTEGERS) for kind in types):
        if len(numbers) < len(values):
            return None
        low, high = min(numbers), max(numbers)
        is_signed = low >= -_INT64_END and high < _INT64_END
        return np.int64 if is_signed else np.uint64 if low >= 0 and high < 2 * _INT64_END else None
    are_exact = all(abs(value) <= _EXACT for value in numbers if isinstance(value, _INTEGERS))
    return np.float64 if are_exact else None


def _is_missing(value: object) -> bool:
    return value is None or _objects.is_na(value)


def _is_wide(texts: list[str]) -> bool:
    """Whether numpy would need far more memory than the texts: each has the longest's size."""
    size = 4 * max(map(len, texts), default=0) * len(texts)
    return size > max(_WIDE, _TIMES * sum(map(len, texts)))


def texts_of_times(times: NDArray[Any]) -> NDArray[Any]:
    """Write datetimes as ISO 8601, timedeltas as "3 seconds", and NaT as "NaT"."""
    if times.dtype.kind == "M":
        return times.astype(np.str_)
    # A cast would truncate timedeltas to 21 characters, even with a longer dtype.
    return np.array(list(map(str, times.reshape(-1))), np.str_).reshape(times.shape)


def text_of_duration(duration: Any) -> str:
    """Write a timedelta of Python or pandas like numpy's timedelta of the same value."""
    if hasattr(duration, "to_numpy"):
        return str(duration.to_numpy())
    # In Python's integers: the longest timedeltas do not fit numpy's.
    return f"{duration // _MICROSECOND} microseconds"


def has_zone(value: object) -> bool:
    """Whether this is a datetime (of pandas, too) with a time zone, which numpy does not store."""
    return isinstance(value, datetime) and value.tzinfo is not None


def without_mask(array: Any) -> NDArray[Any]:
    """Convert a numpy array or scalar to a plain array; masked values become NaN, NaT or None.

    Raises:
        TypeError: it is an array of records with masked values.
    """
    values = np.asarray(array)
    if not _is_masked(type(array)) or b"\1" not in array.mask.tobytes():
        return values
    kind = values.dtype.kind
    if kind == "V":
        message = "records with masked values have no plain form"
        raise TypeError(message)
    values = values.astype(values.dtype if kind in "fcmM" else object)
    values[array.mask] = (
        np.array("NaT", values.dtype) if kind in "mM" else np.nan if kind in "fc" else None
    )
    return values


def unencodable(prediction: object, format_name: str, reason: str = "") -> EncodeError:
    """The error for a prediction that a format cannot represent.

    Args:
        prediction: the prediction, or what of it cannot be written.
        format_name: the format.
        reason: what is wrong with it, or the text of the error that a library raised.
    """
    kind = type(prediction)
    name = (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else (f"{kind.__module__}.{kind.__qualname__}")
    )
    reason = reason.strip().partition("\n")[0][:100].rstrip(".")
    ending = f": {reason}" if reason else ""
    return EncodeError(
        f"A prediction of type {name[:80]} cannot be written as {format_name}{ending}. Return "
        "plain values or arrays, or write it with an @encoder."
    )


def if_users(error: Exception) -> Exception | None:
    """An error that code of the program raised, whose traceback shows where; else None.

    That of a library shows how this package has called it, and its text is in our message.
    """
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    file = trace.tb_frame.f_code.co_filename if trace else ""
    paths = sysconfig.get_paths()
    libraries = (_PACKAGE, *(paths[name] for name in ("stdlib", "purelib", "platlib")))
    # Compiled libraries name their sources by relative paths.
    return error if os.path.isabs(file) and not file.startswith(libraries) else None  # noqa: PTH117


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
    # numpy converts tensors in nested lists itself, but it would show what a mask hides there.
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
    # numpy imports numpy.ma on first use: until then there are no masked arrays.
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
