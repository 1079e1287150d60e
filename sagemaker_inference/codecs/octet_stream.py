"""Bytes, unchanged.

`decode` returns bytes, copied unless the body already is bytes: a large one arrives as a
memoryview, which has few methods of theirs. `encode` writes bytes-like objects unchanged, a str in
UTF-8, and the bytes of an array in C order, without shape or dtype.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sagemaker_inference.codecs import _arrays

if TYPE_CHECKING:
    from sagemaker_inference.codecs import Body

__all__ = ["decode", "encode"]

_NAME: Final = "bytes"


def decode(body: Body, content_type: str = "") -> bytes:  # noqa: ARG001
    """Return the body as bytes.

    >>> decode(memoryview(b"any bytes"))
    b'any bytes'
    """
    return body if isinstance(body, bytes) else bytes(body)


def encode(
    prediction: object,
    content_type: str = "",  # noqa: ARG001
) -> bytes | bytearray | memoryview:
    """Write the bytes of a bytes-like object, a str or an array of numbers.

    >>> encode("any bytes")
    b'any bytes'

    Raises:
        EncodeError: the prediction is something else.
    """
    if isinstance(prediction, (bytes, bytearray, memoryview)):
        return prediction
    if isinstance(prediction, str):
        return encode_text(prediction)
    if isinstance(prediction, (list, tuple, dict, int, float)) or prediction is None:
        raise _arrays.unencodable(prediction, _NAME)
    array = _arrays.as_array(prediction, _NAME)
    if array.dtype.kind not in "biufc":
        raise _arrays.unencodable(prediction, _NAME)
    return array.tobytes()


def encode_text(text: str) -> bytes:
    """Write a str.

    Raises:
        EncodeError: it has lone surrogates.
    """
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise _arrays.unencodable(text, _NAME, "lone surrogates") from None
