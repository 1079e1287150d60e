"""Arrays to bodies in the AWS toolkit's spelling; the work is done by the codecs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference import _content_types as content_types
from sagemaker_inference import _errors as errors

if TYPE_CHECKING:
    from collections.abc import Callable


def _array_to_json(array_like: object) -> str:
    """JSON text; NaN and infinities, which JSON has not, become null."""
    from sagemaker_inference.codecs import json

    return json.encode(array_like).decode()


def _array_to_npy(array_like: object) -> bytes:
    """What `numpy.save` writes."""
    from sagemaker_inference.codecs import npy

    return npy.encode(array_like)


def _array_to_csv(array_like: object) -> str:
    """One line for each row of a matrix, or for each value of a vector."""
    from sagemaker_inference.codecs import csv

    return csv.encode(array_like).decode()


_encoder_map: Final[dict[str, Callable[[Any], Any]]] = {
    content_types.NPY: _array_to_npy,
    content_types.CSV: _array_to_csv,
    content_types.JSON: _array_to_json,
}

SUPPORTED_CONTENT_TYPES: Final = set(_encoder_map)


def encode(array_like: Any, content_type: str) -> Any:
    """Write a prediction as application/json, text/csv (both str) or application/x-npy (bytes).

    Args:
        array_like: an array, or anything that makes one.
        content_type: what to write; case and parameters do not matter.

    Raises:
        UnsupportedFormatError: none of these types.
        EncodeError: the prediction cannot be written so.
    """
    name = content_types.parse(content_type).name if isinstance(content_type, str) else None
    encoder = _encoder_map.get(name or "")
    if encoder is None:
        raise errors.UnsupportedFormatError(content_type)
    return encoder(array_like)
