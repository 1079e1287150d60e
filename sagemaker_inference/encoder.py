r"""Encode arrays to bodies, with the names of AWS's toolkit; the codecs do the work.

>>> from sagemaker_inference import encoder
>>> encoder.encode([[1, 2]], "text/csv")
'1,2\n'

The module is also the decorator ``@encoder("text/html")``: see `Registry.encoder`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference import _content_types as content_types
from sagemaker_inference import _errors as errors

if TYPE_CHECKING:
    from collections.abc import Callable


def _array_to_json(array_like: object) -> str:
    """JSON text; NaN and infinities, which JSON does not have, become null."""
    from sagemaker_inference.codecs import json

    return json.encode(array_like).decode()


def _array_to_npy(array_like: object) -> bytes:
    """An NPY body, as `numpy.save` writes it."""
    from sagemaker_inference.codecs import npy

    return npy.encode(array_like)


def _array_to_csv(array_like: object) -> str:
    """CSV text: a line for each row of a matrix, or for each value of a vector."""
    from sagemaker_inference.codecs import csv

    return csv.encode(array_like).decode()


_encoder_map: Final[dict[str, Callable[[Any], Any]]] = {
    content_types.NPY: _array_to_npy,
    content_types.CSV: _array_to_csv,
    content_types.JSON: _array_to_json,
}

SUPPORTED_CONTENT_TYPES: Final = set(_encoder_map)


def encode(array_like: Any, content_type: str) -> Any:
    """Encode a prediction as application/json, text/csv (both str) or application/x-npy (bytes).

    >>> encode([[1, 2]], "application/json")
    '[[1,2]]'

    Args:
        array_like: an array, or a value that numpy converts to one.
        content_type: one of these types; case and parameters are ignored.

    Raises:
        UnsupportedFormatError: the content type is not one of these.
        EncodeError: the prediction cannot be written as this type.
    """
    name = content_types.parse(content_type).name if isinstance(content_type, str) else None
    encoder = _encoder_map.get(name or "")
    if encoder is None:
        raise errors.UnsupportedFormatError(content_type)
    return encoder(array_like)
