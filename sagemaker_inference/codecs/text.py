"""Plain text.

`decode` gives a str in the charset that the header names, UTF-8 without one; an empty body the
empty str. `encode` writes str and bytes as they are, a number or another single value as Python
prints it, and a one-dimensional array or list one item a line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sagemaker_inference import content_types
from sagemaker_inference.codecs import _arrays
from sagemaker_inference.codecs._charset import utf8
from sagemaker_inference.errors import DecodeError

if TYPE_CHECKING:
    from sagemaker_inference.codecs import Body

CONTENT_TYPES: Final = ("text/plain",)

_NAME: Final = "text"


def decode(body: Body | str, content_type: str = CONTENT_TYPES[0]) -> str:
    """Read a text.

    Raises:
        DecodeError: the body is not written in the charset.
        UnsupportedMediaTypeError: the charset is unknown.
    """
    try:
        return utf8(body, content_type).decode()
    except UnicodeDecodeError as error:
        msg = f"The body is not UTF-8 at byte {error.start}"
        raise DecodeError(msg) from None


def encode(
    prediction: object, content_type: str = CONTENT_TYPES[0]
) -> bytes | bytearray | memoryview:
    """Write a text; ``text/plain; charset=latin-1`` chooses another charset than UTF-8.

    Raises:
        EncodeError: the prediction is no text, no single value and no line of them, or has
            characters that the charset lacks.
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
        raise _arrays.unencodable(prediction, f"{charset[:40]} text") from error


def _lines(prediction: Any) -> str:
    if prediction is None or isinstance(prediction, (bool, int, float, np.generic)):
        return str(prediction)
    if isinstance(prediction, dict):
        raise _arrays.unencodable(prediction, _NAME)
    array = _arrays.as_array(prediction, _NAME)
    if array.ndim > 1 or array.dtype.names is not None:
        raise _arrays.unencodable(prediction, _NAME)
    return "\n".join(map(str, array.reshape(-1).tolist()))
