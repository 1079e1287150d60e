"""JSON (RFC 8259).

What `decode` gives:

===========================================  ====================================================
body                                         result
===========================================  ====================================================
``[[1.5, 2], [3, 4]]``, any depth            float64 array of shape (2, 2)
``[1, 2, 3]``, all integers                  int64 array (uint64 beyond int64) of shape (3,)
``[true, false]``, all booleans              bool array; among numbers they count as 1 and 0
``[1.5, null]``                              float64 array; null is NaN among numbers
``[]``, ``[[], []]``                         float64 arrays of shapes (0,) and (2, 0)
``{"instances": [[1, 2]]}``, no other key    what ``[[1, 2]]`` gives
other objects                                dict, lists in it staying lists
lists with text, objects, or of ragged rows  list
integers beyond uint64                       Python integers, in a list if they came in one
``1.5``, ``true``, ``null``, ``"text"``      float (or int), bool, None, str
``NaN``, ``Infinity``, ``-Infinity``         taken, as Python's json does, though JSON has them not
an empty body                                DecodeError
===========================================  ====================================================

Numbers are those of Python's ``float``, bit for bit; nesting ends at 1,024 levels.

What `encode` takes: plain Python values, numpy arrays and scalars of any shape, pandas objects,
torch tensors, dataclasses, dates, and lists and dicts of all these. JSON has no NaN and no
infinities: they are written as null. float32 and float16 are written with the digits that read
back as the same float32. Datetimes are ISO 8601.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson

from sagemaker_inference.codecs import _json_writer, _numbers
from sagemaker_inference.codecs._charset import utf8
from sagemaker_inference.errors import DecodeError
from sagemaker_inference.limits import check_unpacked

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

    from sagemaker_inference.codecs import Body

CONTENT_TYPES: Final = ("application/json", "text/json")

_MAX_DEPTH: Final = 1024
_WHITESPACE: Final = b" \t\r\n"
_SMALL: Final = _numbers.SMALL
_POINT: Final = ord(".")
_array: Final = np.array
_loads: Final = orjson.loads
_dumps: Final = orjson.dumps
_plain: Final = _json_writer.plain
_ndarray: Final = np.ndarray
_FLOAT64: Final = np.dtype(np.float64)
_NUMPY: Final = orjson.OPT_SERIALIZE_NUMPY
_NUMBERS_AND_LISTS: Final = {int, float, bool, type(None), list}
_INSTANCES: Final = re.compile(rb'\{\s*"instances"\s*:\s*(?=\[)')


def decode(
    body: Body | str, content_type: str = CONTENT_TYPES[0], *, dtype: DTypeLike | None = None
) -> Any:
    """Read a JSON text; the table above says what comes out.

    Args:
        body: the text; UTF-8 unless the content type names another charset.
        content_type: the Content-Type header, for its charset.
        dtype: makes the result an array of this type whatever was found.

    Raises:
        DecodeError: the text is not JSON, or does not fit the dtype.
        UnsupportedMediaTypeError: the charset is unknown.
    """
    found: Any
    # A few numbers are what most bodies are: here every call and look-up counts.
    if type(body) is bytes and len(body) <= _SMALL and dtype is None and ";" not in content_type:
        try:
            if type(found := _loads(body)) is list:
                found = _array(found)
                if (found.dtype is _FLOAT64 and _POINT in body) or _numbers.is_exact(found, body):
                    return found
        except ValueError:
            pass
    text = utf8(body, content_type)
    if text[:1] != b"[":
        text = text.strip(_WHITESPACE)
    found = _read(text)
    return found if dtype is None else _as_dtype(found, dtype)


def _read(text: bytes | bytearray) -> Any:
    found: Any = None
    if text[:1] == b"[":
        found = _numbers.nested(text)
    elif (match := _INSTANCES.match(text)) is not None and text.endswith(b"}"):
        found = _numbers.nested(text[match.end() : -1])
    if found is None:
        found = loads(text)
        if type(found) is dict and len(found) == 1 and "instances" in found:
            found = found["instances"]
        if type(found) is list:
            found = as_array_of_numbers(found)
    return found


def encode(prediction: object, content_type: str = CONTENT_TYPES[0]) -> bytes:  # noqa: ARG001
    """Write a prediction as JSON in UTF-8; NaN and infinities become null.

    Raises:
        EncodeError: something in it has no JSON form.
    """
    # What _json_writer does with it, without the way there.
    if type(prediction) is _ndarray and prediction.dtype is _FLOAT64:
        return _dumps(prediction, _plain, _NUMPY)
    return _json_writer.dumps(prediction)


def to_array(body: Body | str, dtype: DTypeLike | None = None) -> NDArray[Any]:
    """Read a JSON text as the AWS toolkit does: ``np.array(json.loads(body), dtype)``.

    Raises:
        DecodeError: the text is not JSON, ragged, or does not fit the dtype.
        PayloadTooLargeError: numpy gives every text the room of the longest, and that is far more
            than there is text.
    """
    text = utf8(body, CONTENT_TYPES[0])
    stripped = text.strip(_WHITESPACE)
    found: Any = _numbers.nested(stripped) if stripped[:1] == b"[" else None
    if found is None:
        found = loads(text)
        if type(found) is list:
            _check_width(found, len(text))
    return _as_dtype(found, dtype)


def loads(text: bytes | bytearray) -> Any:
    """Read a JSON text into plain Python values; integers of any length stay exact.

    Raises:
        DecodeError: it is not JSON, or nested deeper than 1,024 levels.
    """
    if not _numbers.has_long_integer(text):
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            pass
    return _loads_slowly(text)


def _loads_slowly(text: bytes | bytearray) -> Any:
    """What orjson refuses: NaN and infinities, and the place of an error."""
    if not text.strip(_WHITESPACE):
        msg = "The body is empty: JSON expected"
        raise DecodeError(msg)
    if text.count(b"[") + text.count(b"{") > _MAX_DEPTH and _depth(text) > _MAX_DEPTH:
        msg = f"JSON nested deeper than {_MAX_DEPTH} levels"
        raise DecodeError(msg)
    try:
        return json.loads(text.decode())
    except UnicodeDecodeError as error:
        msg = f"Invalid JSON: not UTF-8 at byte {error.start}"
        raise DecodeError(msg) from None
    except json.JSONDecodeError as error:
        msg = f"Invalid JSON: {error.msg} at line {error.lineno} column {error.colno}"
        raise DecodeError(msg) from None
    except (RecursionError, ValueError):
        msg = "Invalid JSON: nested too deeply, or an integer of too many digits"
        raise DecodeError(msg) from None


def _depth(text: bytes | bytearray) -> int:
    brackets = re.sub(rb'"[^"\\]*(?:\\.[^"\\]*)*"', b"", text, flags=re.DOTALL)
    deepest = level = 0
    for code in re.sub(rb"[^\[\]{}]+", b"", brackets):
        level += 1 if code in b"[{" else -1
        deepest = max(deepest, level)
    return deepest


def as_array_of_numbers(values: list[Any]) -> Any:
    """An array if these are numbers in rows of equal length, else the list itself."""
    # Text would make np.array as wide as the longest for every item, whatever memory it takes.
    if not set(map(type, values)) <= _NUMBERS_AND_LISTS:
        return values
    items = _leaves(values)
    leaves = set(map(type, items))
    if not leaves <= _NUMBERS_AND_LISTS or leaves == {type(None)}:
        return values
    # Integers alone stay integers; null is NaN among any numbers.
    dtypes: tuple[Any, ...] = (np.float64,)
    if leaves <= {int, bool}:
        dtypes = (None, np.uint64) if min(items, default=0) >= 0 else (None,)
    for dtype in dtypes:
        try:
            found = np.array(values, dtype)
        except (ValueError, TypeError, OverflowError):
            continue
        if found.dtype.kind in "biu" or (found.dtype == np.float64 and dtype) or not leaves:
            return found
    return values


def _as_dtype(value: Any, dtype: DTypeLike | None) -> NDArray[Any]:
    if isinstance(value, np.ndarray) and (dtype is None or value.dtype == dtype):
        return value
    try:
        return np.array(value, dtype)
    except (TypeError, ValueError, OverflowError):
        wanted = "an array" if dtype is None else f"an array of {np.dtype(dtype).name}"
        msg = f"The JSON value does not make {wanted}: rows differ in length, or items in kind"
        raise DecodeError(msg) from None


def _check_width(values: list[Any], body_size: int) -> None:
    lengths = [len(leaf) for leaf in _leaves(values) if type(leaf) is str]
    check_unpacked(4 * max(lengths, default=0) * len(lengths), body_size, "JSON")


def _leaves(values: list[Any]) -> list[Any]:
    """All that is in nested lists, the lists left out."""
    leaves: list[Any] = []
    lists = [values]
    while lists:
        nested = [part for part in lists[-1] if type(part) is list]
        leaves += [part for part in lists.pop() if type(part) is not list]
        lists += nested
    return leaves
