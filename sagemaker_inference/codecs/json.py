"""JSON (RFC 8259).

`decode` returns:

===========================================  ====================================================
body                                         result
===========================================  ====================================================
``[[1.5, 2], [3, 4]]``, any depth            float64 array of shape (2, 2)
``[1, 2, 3]``, all integers                  int64 array (uint64 beyond int64) of shape (3,)
``[true, false]``, all booleans              bool array; among numbers they are 1 and 0
``[1.5, null]``                              float64 array; null is NaN among numbers
``[]``, ``[[], []]``                         float64 arrays of shapes (0,) and (2, 0)
``{"instances": [[1, 2]]}``, no other key    the same as for ``[[1, 2]]``
other objects                                dict; lists in it stay lists
lists with text, objects, or of ragged rows  list
integers beyond uint64                       Python integers, in a list if they are in one
``1.5``, ``true``, ``null``, ``"text"``      float (or int), bool, None, str
``NaN``, ``Infinity``, ``-Infinity``         accepted like in Python's json, though not JSON
an empty body                                DecodeError
===========================================  ====================================================

Numbers are those of Python's ``float``, bit for bit; nesting is limited to 1,024 levels.

`encode` accepts plain Python values, numpy arrays and scalars of any shape, pandas objects, torch
tensors, dataclasses, models of pydantic and msgspec, dates, and lists and dicts of all these. JSON
has no NaN and no infinities: they become null. float32 and float16 are written with the digits that
read back as the same float32. Datetimes are ISO 8601, with an offset if they have a time zone;
timedeltas are numpy's text in full ("3600000000 microseconds", the unit of `datetime.timedelta`);
periods and intervals of pandas are their text; NaT and NA are null. A DataFrame with two columns of
the same name is refused, since one of them would be lost.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson

from sagemaker_inference import _budget
from sagemaker_inference._errors import DecodeError
from sagemaker_inference.codecs import _json_size, _json_writer, _numbers
from sagemaker_inference.codecs._charset import utf8

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

    from sagemaker_inference._budget import Budget
    from sagemaker_inference.codecs import Body

__all__ = ["decode", "encode"]

_MAX_DEPTH: Final = 1024
_LONG: Final = 1 << 20
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
_NAME: Final = "JSON"
# A number of the same length in their place, which is as valid there, or as invalid, as they are.
_CONSTANTS: Final = (
    (b"-Infinity", b"    1    "),
    (b"Infinity", b"   1    "),
    (b"NaN", b" 1 "),
)
_INSTANCES: Final = re.compile(rb'\{\s*"instances"\s*:\s*(?=\[)')


class JsonDecodeError(DecodeError, json.JSONDecodeError):
    """400: the body is not JSON; a `json.JSONDecodeError` as well, which AWS's toolkit raises.

    Args:
        message: the message for the client.
        doc: the text, if it was kept.
        pos: where in the text parsing failed.
    """

    def __init__(self, message: str, doc: str = "", pos: int = 0) -> None:
        # Not super().__init__, which would pass a status on to json.JSONDecodeError.
        Exception.__init__(self, self.status, message, None)
        self.status_code, self.message, self.phrase = self.status, message, None
        self.msg, self.doc, self.pos = message, doc, pos
        self.lineno = doc.count("\n", 0, pos) + 1
        self.colno = pos - doc.rfind("\n", 0, pos)


def decode(body: Body | str, content_type: str = "", *, dtype: DTypeLike | None = None) -> Any:
    """Read a JSON text; the table above has the results.

    >>> decode("[[1, 2], [3, 4]]").shape
    (2, 2)
    >>> decode('{"name": "cat"}')
    {'name': 'cat'}

    Args:
        body: the text; UTF-8 unless the content type names another charset.
        content_type: the Content-Type header, for its charset.
        dtype: the dtype of the result, which is then always an array.

    Raises:
        DecodeError: the text is not JSON, or does not fit the dtype.
        PayloadTooLargeError: its values need more memory than the budget allows.
        UnsupportedMediaTypeError: the charset is unknown.
    """
    value: Any
    # Most bodies are a few numbers: here every call and look-up counts.
    if type(body) is bytes and len(body) <= _SMALL and dtype is None and ";" not in content_type:
        try:
            if type(value := _loads(body)) is list:
                value = _array(value)
                if (value.dtype is _FLOAT64 and _POINT in body) or _numbers.is_exact(value, body):
                    return value
        except ValueError:
            pass
    text = utf8(body, content_type)
    if text[:1] != b"[":
        text = text.strip(_WHITESPACE)
    value = _read(text, _budget.if_large(body))
    return value if dtype is None else _as_dtype(value, dtype)


def _read(text: bytes | bytearray, budget: Budget | None) -> Any:
    value: Any = None
    if text[:1] == b"[":
        value = numbers(text, budget)
    elif (match := _INSTANCES.match(text)) is not None and text.endswith(b"}"):
        value = numbers(text[match.end() : -1], budget)
    if value is None:
        if budget is not None:
            _json_size.take(text, budget, _NAME)
        value = loads(text)
        if type(value) is dict and len(value) == 1 and "instances" in value:
            value = value["instances"]
        if type(value) is list:
            value = as_array_of_numbers(value)
    return value


def numbers(
    text: bytes | bytearray, budget: Budget | None, name: str = _NAME, *, takes_null: bool = True
) -> NDArray[Any] | None:
    """The same as `_numbers.nested`, once its array is within the budget."""
    if budget is not None and b'"' not in text[:64]:
        budget.attempt(_json_size.Structure.at_most(text).array(), name)
    return _numbers.nested(text, takes_null=takes_null)


def encode(prediction: object, content_type: str = "") -> bytes:  # noqa: ARG001
    """Write a prediction as JSON in UTF-8; NaN and infinities become null.

    >>> encode({"scores": [0.5, float("nan")]})
    b'{"scores":[0.5,null]}'

    Raises:
        EncodeError: the prediction, or something in it, has no JSON form.
    """
    # The same as _json_writer.dumps, without the call.
    if type(prediction) is _ndarray and prediction.dtype is _FLOAT64:
        return _dumps(prediction, _plain, _NUMPY)
    return _json_writer.dumps(prediction)


def to_array(body: Body | str, dtype: DTypeLike | None = None) -> NDArray[Any]:
    """Read a JSON text as the AWS toolkit does: ``np.array(json.loads(body), dtype)``.

    Raises:
        DecodeError: the text is not JSON, ragged, or does not fit the dtype.
        PayloadTooLargeError: the array would be far larger than the text: numpy stores every text
            in the size of the longest.
    """
    text = utf8(body, "")
    budget = _budget.if_large(body)
    stripped = text.strip(_WHITESPACE)
    value: Any = None
    if stripped[:1] == b"[":
        # np.array makes an array of objects if null is among the numbers.
        value = numbers(stripped, budget, takes_null=False)
    if value is None:
        if budget is not None:
            _json_size.take(text, budget, _NAME)
        value = loads(text)
        if type(value) is list:
            _check_width(value, _budget.of(body))
    return _as_dtype(value, dtype)


def loads(text: bytes | bytearray) -> Any:
    """Read a JSON text into plain Python values; integers of any length stay exact.

    Raises:
        DecodeError: the text is not JSON, or is nested deeper than 1,024 levels.
    """
    if not _numbers.has_long_integer(text):
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError as error:
            # Python's parser would make an object for each number up to the error. It is still
            # needed for text that is not UTF-8, since orjson does not report the position.
            if len(text) > _LONG and "UTF-8" not in error.msg and not has_constants(text):
                raise _invalid(error) from None
    if len(text) > _LONG:
        check(text)
    return loads_slowly(text)


def check(text: bytes | bytearray) -> None:
    """Check a text that Python's parser has to read, which makes objects up to an error.

    Raises:
        DecodeError: it is not JSON, apart from NaN and infinities.
    """
    try:
        orjson.loads(without_constants(text))
    except orjson.JSONDecodeError as error:
        if "UTF-8" not in error.msg:
            raise _invalid(error) from None


def without_constants(text: bytes | bytearray) -> bytes | bytearray:
    """A text with numbers in place of NaN and infinities, for parsers that do not read these."""
    for name, number in _CONSTANTS:
        text = text.replace(name, number)
    return text


def has_constants(text: bytes | bytearray) -> bool:
    """Whether NaN or Infinity is in a text: orjson does not read them."""
    return b"NaN" in text or b"Infinity" in text


def _invalid(error: orjson.JSONDecodeError) -> JsonDecodeError:
    position = f"line {error.lineno} column {error.colno}"
    return JsonDecodeError(f"Invalid JSON: {error.msg} at {position}"[:300])


def loads_slowly(text: bytes | bytearray) -> Any:
    """Read what orjson refuses: NaN and infinities; also finds the position of an error."""
    if not text.strip(_WHITESPACE):
        msg = "The body is empty: JSON expected"
        raise JsonDecodeError(msg)
    if text.count(b"[") + text.count(b"{") > _MAX_DEPTH and _json_size.depth(text) > _MAX_DEPTH:
        msg = f"JSON nested deeper than {_MAX_DEPTH} levels"
        raise JsonDecodeError(msg)
    try:
        return json.loads(text.decode())
    except UnicodeDecodeError as error:
        msg = f"Invalid JSON: not UTF-8 at byte {error.start}"
        raise JsonDecodeError(msg) from None
    except json.JSONDecodeError as error:
        msg = f"Invalid JSON: {error.msg} at line {error.lineno} column {error.colno}"
        raise JsonDecodeError(msg, error.doc, error.pos) from None
    except (RecursionError, ValueError):
        msg = "Invalid JSON: nested too deeply, or an integer of too many digits"
        raise JsonDecodeError(msg) from None


def as_array_of_numbers(values: list[Any]) -> Any:
    """Convert numbers in rows of equal length to an array; return other lists as they are."""
    # With text, np.array would give every item the size of the longest, regardless of memory.
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
            array = np.array(values, dtype)
        except (ValueError, TypeError, OverflowError):
            continue
        if array.dtype.kind in "biu" or (array.dtype == np.float64 and dtype) or not leaves:
            return array
    return values


def _as_dtype(value: Any, dtype: DTypeLike | None) -> NDArray[Any]:
    try:
        if not isinstance(value, np.ndarray):
            return np.array(value, dtype)
        return value if dtype is None or value.dtype == dtype else _numbers.cast(value, dtype)
    except (TypeError, ValueError, OverflowError):
        kind = "an array" if dtype is None else f"an array of {np.dtype(dtype).name}"
        msg = f"The JSON value cannot become {kind}: rows differ in length, or items in type"
        raise DecodeError(msg) from None


def _check_width(values: list[Any], budget: Budget) -> None:
    leaves = _leaves(values)
    longest = max((len(leaf) for leaf in leaves if type(leaf) is str), default=0)
    # Numbers beside text become text of up to 32 characters.
    numbers = 0 if set(map(type, leaves)) <= {str} else 32
    width = max(longest, numbers) if longest else 0
    budget.take(4 * width * len(leaves), _NAME)


def _leaves(values: list[Any]) -> list[Any]:
    """The items of nested lists that are not lists."""
    leaves: list[Any] = []
    lists = [values]
    while lists:
        nested = [part for part in lists[-1] if type(part) is list]
        leaves += [part for part in lists.pop() if type(part) is not list]
        lists += nested
    return leaves
