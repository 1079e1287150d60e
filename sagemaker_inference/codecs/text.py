"""Plain text.

`decode` returns a str, decoded from the charset of the header, UTF-8 by default; for an empty body,
an empty str.

`encode` writes str and bytes unchanged, and a number or another single value as Python prints it. A
one-dimensional array or list is written one item per line (timedeltas, and arrays of datetimes, as
numpy writes them, bytes as UTF-8), and a two-dimensional one, or a table, in rows like text/csv.
Anything else, such as a dict, an instance of a class with fields or an array of more dimensions, is
written as JSON. No line end follows the last line.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sagemaker_inference import _content_types as content_types
from sagemaker_inference._errors import DecodeError, EncodeError
from sagemaker_inference.codecs import _arrays, _json_writer, _objects, csv
from sagemaker_inference.codecs._charset import utf8

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sagemaker_inference.codecs import Body

__all__ = ["decode", "encode"]

_NAME: Final = "text"
_ROWS: Final = 2
_FLOAT64_SIZE: Final = 8


def decode(body: Body | str, content_type: str = "") -> str:
    """Read a text.

    >>> decode("café".encode("latin-1"), "text/plain; charset=latin-1")
    'café'

    Raises:
        DecodeError: the body is not valid in its charset.
        UnsupportedMediaTypeError: the charset is unknown.
    """
    try:
        return utf8(body, content_type).decode()
    except UnicodeDecodeError as error:
        msg = f"The body is not UTF-8 at byte {error.start}"
        raise DecodeError(msg) from None


def encode(prediction: object, content_type: str = "") -> bytes | bytearray | memoryview:
    r"""Write a text, in UTF-8 or the charset of the content type.

    >>> encode("café")
    b'caf\xc3\xa9'

    Raises:
        EncodeError: the prediction has no JSON form either, or the charset lacks a character.
    """
    if isinstance(prediction, (bytes, bytearray, memoryview)):
        return prediction
    text = prediction if isinstance(prediction, str) else _lines(prediction)
    charset = "utf-8"
    if ";" in content_type:
        charset = content_types.parse(content_type).parameters.get("charset", charset)
    try:
        return text.encode(charset)
    except (UnicodeError, LookupError, ValueError) as error:
        raise _arrays.unencodable(prediction, f"{charset[:40]} text", str(error)) from None


def _lines(prediction: Any) -> str:
    if prediction is None or isinstance(prediction, (bool, int, float, datetime, np.generic)):
        return str(prediction)
    array = _array(prediction)
    if array is None:
        return _json_writer.dumps(prediction).decode()
    if array.dtype.kind in "mM":
        array = _arrays.texts_of_times(array)
    if array.ndim == _ROWS:
        return csv.encode(array).decode().removesuffix("\n")
    # As Python floats, float32 and float16 would get the digits of float64.
    is_short = array.dtype.kind == "f" and array.dtype.itemsize < _FLOAT64_SIZE
    items = array.reshape(-1)
    return "\n".join(map(_text, items if is_short else items.tolist()))


def _text(item: object) -> str:
    if isinstance(item, timedelta):
        return _arrays.text_of_duration(item)
    return item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item)


def _array(prediction: Any) -> NDArray[Any] | None:
    """An array of single values in at most two dimensions; None if it cannot be one."""
    if type(prediction) is not np.ndarray and _objects.holds_objects(prediction):
        return None
    try:
        array = _arrays.as_array(prediction, _NAME)
    except EncodeError:
        return None
    if array.ndim > _ROWS or array.dtype.names is not None:
        return None
    if array.dtype != object:
        return array
    # One of each type stands for all of it.
    items = {type(item): item for item in array.reshape(-1)}.values()
    nested = any(isinstance(item, (list, tuple)) or _objects.is_object(item) for item in items)
    return None if nested else array
