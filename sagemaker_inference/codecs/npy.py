"""NPY, one array in numpy's own format (NEP 1, versions 1.0 to 3.0).

`decode` returns the array as it was saved: dtype, byte order, shape and memory order. It can be
changed in place: it shares memory with a body that is writable, and is a copy of any other.
Bool, integers, floats, complex numbers, datetimes, fixed-length text and bytes are read, and
structured dtypes of these, nested or with padding too. The header is parsed, not evaluated, and its
shape must fit the length of the body before an array is created. An array of Python objects is a
pickle, which can run any code of the sender: it is refused unless the switch SAGEMAKER_ALLOW_PICKLE
is on.

`encode` writes the same bytes as `numpy.save`, for anything that can be an array, except what
`decode` does not read: field names outside Latin-1, and headers of over 10,000 bytes. Arrays of
dtype object, as scikit-learn's labels and pandas' columns are, are written without a pickle: as
``U``, ``i8``, ``f8`` or ``?`` if they hold only text, integers, floats or booleans.
"""

from __future__ import annotations

import ast
import io
import logging
import math
import re
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from sagemaker_inference import _variables
from sagemaker_inference._errors import DecodeError, EncodeError, UnsupportedMediaTypeError
from sagemaker_inference.codecs import _arrays

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sagemaker_inference.codecs import Body

__all__ = ["decode", "encode"]

_logger = logging.getLogger("sagemaker-inference")

_MAGIC: Final = b"\x93NUMPY"
# numpy's limit for untrusted headers.
_MAX_HEADER: Final = 10_000
_MAX_DEPTH: Final = 32
# The shape of an array without bytes cannot be checked against the length of the body.
_MAX_EMPTY: Final = 1 << 20
_DESCR: Final = r"'[<>|=]?(?:[biufcSUV?][0-9]{0,9}|[mM]8(?:\[[0-9A-Za-z/]{1,20}\])?|O[0-9]{0,2})'"
_SHAPE: Final = r"\((?:[0-9]{1,19}L?(?:, ?[0-9]{1,19}L?)*,?)?\)"
# Text as Python's repr writes it, in which unprintable characters are escaped.
_ESCAPE: Final = r"\\(?:[\\'nrt]|x[0-9a-f]{2}|u[0-9a-f]{4}|U00(?:0[0-9a-f]|10)[0-9a-f]{4})"
_TEXT: Final = rf"'(?:[^'\\\x00-\x1f]|{_ESCAPE})*'|\"(?:[^\"\\\x00-\x1f]|{_ESCAPE})*\""
_HEADER: Final = re.compile(
    rf"\{{'descr': (?:({_DESCR})|(\[.*\])), "
    rf"'fortran_order': (True|False), 'shape': ({_SHAPE}),? ?\}}\s*"
)
# A field is (name, type) or (name, type, shape), and a name may have a title: (title, name).
_TITLED: Final = rf"\((?:{_TEXT}), (?:{_TEXT})\)"
_FIELD_BEGIN: Final = re.compile(rf"\(({_TEXT}|{_TITLED}), (?:({_DESCR})|(?=\[))")
_FIELD_END: Final = re.compile(rf"(?:, ({_SHAPE}))?\)(?:(, )|\])")
_NUMBER: Final = re.compile(r"[0-9]+")
_MIXED: Final = "it holds Python objects other than text alone or numbers alone"


class _Header(NamedTuple):
    dtype: np.dtype[Any]
    fortran: bool
    shape: tuple[int, ...]
    size: int
    has_objects: bool
    has_text: bool


def decode(body: Body, content_type: str = "") -> NDArray[Any]:  # noqa: ARG001
    """Read one array, without copying it if the body is writable.

    >>> decode(encode([[1.5, 2.5]]))
    array([[1.5, 2.5]])

    Raises:
        DecodeError: the header is malformed, or does not fit the length of the data.
        UnsupportedMediaTypeError: the array holds Python objects.
    """
    prefix, start = _split(body)
    try:
        header = _read_header(prefix)
    except ValueError as error:
        msg = f"Invalid NPY: {error}"
        raise DecodeError(msg) from None
    if header.has_objects:
        return _unpickled(body)
    count = header.size
    expected = count * header.dtype.itemsize
    if expected != len(body) - start:
        msg = (
            f"Invalid NPY: {header.dtype.str} of shape {str(header.shape)[:80]} needs {expected} "
            f"bytes from byte {start}, and the body has {len(body) - start}"
        )
        raise DecodeError(msg)
    if memoryview(body).readonly:
        # Programs change their input in place, whatever its format and size.
        body, start = bytearray(memoryview(body)[start:]), 0
    try:
        array: NDArray[Any] = np.ndarray(
            header.shape, header.dtype, body, start, order="F" if header.fortran else "C"
        )
    except (ValueError, TypeError) as error:
        msg = f"Invalid NPY: {str(error)[:200]}"
        raise DecodeError(msg) from None
    if header.has_text and not _is_text_valid(array):
        msg = "Invalid NPY: a text has characters outside Unicode"
        raise DecodeError(msg)
    return array


def encode(prediction: object, content_type: str = "") -> bytes:  # noqa: ARG001
    r"""Write an array as `numpy.save` does, with the shortest header.

    >>> encode([1, 2])[:6]
    b'\x93NUMPY'

    Raises:
        EncodeError: the prediction cannot be an array, or only one of Python objects.
    """
    array = _arrays.as_array(prediction, "NPY")
    if array.dtype.hasobject:
        array = _arrays.without_objects(array)
    dtype = array.dtype
    if dtype.hasobject:
        raise _arrays.unencodable(prediction, "NPY", _MIXED)
    if not array.flags.c_contiguous:
        if array.flags.f_contiguous:
            header = _header(dtype, True, array.shape)  # noqa: FBT003
            return b"".join((header, array.T.tobytes()))
        array = np.ascontiguousarray(array)
    header = _header(dtype, False, array.shape)  # noqa: FBT003
    if dtype.kind in "biufc" and array.size:
        return b"".join((header, array.data))
    return b"".join((header, array.tobytes()))


def _split(body: Body) -> tuple[bytes, int]:
    """The major version followed by the header, and the position of the data."""
    start = bytes(body[:12])
    if start[:6] != _MAGIC:
        msg = "Invalid NPY: the body does not begin with \\x93NUMPY"
        raise DecodeError(msg)
    major = start[6:7]
    begin = 10 if major == b"\x01" else 12
    if major not in (b"\x01", b"\x02", b"\x03") or len(start) < begin:
        msg = "Invalid NPY: unknown version, or cut off within the first 12 bytes"
        raise DecodeError(msg)
    length = int.from_bytes(start[8:begin], "little")
    end = begin + length
    if length > _MAX_HEADER or end > len(body):
        msg = f"Invalid NPY: header length {length} is over 10,000, or beyond the end of the body"
        raise DecodeError(msg)
    return major + bytes(body[begin:end]), end


@lru_cache(maxsize=64)
def _read_header(prefix: bytes) -> _Header:
    """Parse the major version and the header that follows it.

    Raises:
        ValueError: numpy would not write this header, or no array can have its shape.
    """
    text = prefix[1:].decode("utf-8" if prefix[0] == 3 else "latin-1")  # noqa: PLR2004
    match = _HEADER.fullmatch(text)
    if match is None:
        msg = f"unknown header {repr(text.strip())[:80]}"
        raise ValueError(msg)
    descr, fields, fortran, shape = match.groups()
    try:
        dtype = np.dtype(descr[1:-1]) if descr else _structure(fields)
    except (TypeError, ValueError, OverflowError) as error:
        msg = f"unknown dtype: {str(error)[:80]}"
        raise ValueError(msg) from None
    dimensions = _numbers_in(shape)
    size = math.prod(dimensions)
    if size * dtype.itemsize == 0 and math.prod(filter(None, dimensions)) > _MAX_EMPTY:
        msg = f"an array without data of shape {str(dimensions)[:80]}"
        raise ValueError(msg)
    has_text = "U" in (descr or fields)
    return _Header(dtype, fortran == "True", dimensions, size, dtype.hasobject, has_text)


def _is_text_valid(array: NDArray[Any]) -> bool:
    """Whether all characters are Unicode: with others, Python would create an invalid str."""
    if array.dtype.names is not None:
        return all(_is_text_valid(array[name]) for name in array.dtype.names)
    if array.dtype.kind != "U" or array.size * array.dtype.itemsize == 0:
        return True
    codes = np.ascontiguousarray(array).view(array.dtype.byteorder + "u4")
    return bool(codes.max() <= sys.maxunicode)


def _structure(fields: str) -> np.dtype[Any]:
    descr, end = _fields(fields, 0, 1)
    if end != len(fields):
        msg = f"{fields[end : end + 80]!r} after the fields"
        raise ValueError(msg)
    dtype: np.dtype[Any] = np.lib.format.descr_to_dtype(descr)
    return dtype


def _fields(text: str, position: int, depth: int) -> tuple[list[Any], int]:
    """The fields within the bracket at a position, and the position after the bracket."""
    if depth > _MAX_DEPTH:
        msg = f"structures deeper than {_MAX_DEPTH} levels"
        raise ValueError(msg)
    fields: list[Any] = []
    position += 1
    while True:
        begin = _match(_FIELD_BEGIN, text, position)
        name, descr = begin.groups()
        kind, position = (
            (descr[1:-1], begin.end()) if descr else _fields(text, begin.end(), depth + 1)
        )
        end = _match(_FIELD_END, text, position)
        shape, more = end.groups(default="")
        dimensions = _numbers_in(shape)
        if math.prod(dimensions) > _MAX_EMPTY:
            msg = f"field of shape {shape[:60]}"
            raise ValueError(msg)
        # The pattern has matched only string literals, or a tuple of two.
        fields.append((ast.literal_eval(name), kind, dimensions))
        position = end.end()
        if not more:
            return fields, position


def _match(pattern: re.Pattern[str], text: str, position: int) -> re.Match[str]:
    match = pattern.match(text, position)
    if match is None:
        msg = f"field {text[position : position + 40]!r}"
        raise ValueError(msg)
    return match


def _numbers_in(shape: str) -> tuple[int, ...]:
    return tuple(map(int, _NUMBER.findall(shape)))


@lru_cache(maxsize=256)
def _header(dtype: np.dtype[Any], fortran: bool, shape: tuple[int, ...]) -> bytes:  # noqa: FBT001
    buffer = io.BytesIO()
    try:
        np.lib.format.write_array_header_1_0(
            buffer,
            {
                "descr": np.lib.format.dtype_to_descr(dtype),
                "fortran_order": fortran,
                "shape": shape,
            },
        )
        header = buffer.getvalue()
        if dtype.names is not None:
            _read_header(_split(header)[0])
    except (ValueError, DecodeError) as error:
        msg = (
            f"Fields {str(dtype.names)[:80]} cannot be written as NPY ({str(error)[:100]}): "
            "use few and short names in Latin-1, and list the fields in memory order"
        )
        raise EncodeError(msg) from error
    return header


def pickles_allowed() -> bool:
    """Whether the switch SAGEMAKER_ALLOW_PICKLE is on, which lets senders run code."""
    return _variables.is_on(_variables.ALLOW_PICKLE)


def _unpickled(body: Body) -> NDArray[Any]:
    if not pickles_allowed():
        msg = (
            "NPY arrays of Python objects are pickles and are not accepted; "
            "send an array of numbers or of fixed-length text"
        )
        raise UnsupportedMediaTypeError(msg)
    _logger.warning("SAGEMAKER_ALLOW_PICKLE is on: unpickling an NPY body, which may run any code")
    try:
        array: NDArray[Any] = np.load(io.BytesIO(body), allow_pickle=True)
    except Exception:  # noqa: BLE001  # the sender's code ran
        msg = "Invalid NPY: the pickled array cannot be read"
        raise DecodeError(msg) from None
    return array
