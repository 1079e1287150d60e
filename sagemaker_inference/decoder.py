"""Decode bodies to arrays, with the names and shapes of AWS's toolkit; the codecs do the work.

Decorated programs get what the codecs return: CSV in two dimensions, JSON objects as dicts. These
functions squeeze and wrap arrays as AWS's toolkit does.

>>> from sagemaker_inference import decoder
>>> decoder.decode("[[1, 2]]", "application/json").shape
(1, 2)

The module is also the decorator ``@decoder("text/x-points")``: see `Registry.decoder`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference import _content_types as content_types
from sagemaker_inference import _errors as errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import DTypeLike, NDArray

    from sagemaker_inference.codecs import Body


def _json_to_numpy(string_like: Body | str, dtype: DTypeLike | None = None) -> NDArray[Any]:
    """JSON as converted by ``np.array``: an object becomes a zero-dimensional object array."""
    from sagemaker_inference.codecs import json

    return json.to_array(string_like, dtype)


def _csv_to_numpy(string_like: Body | str, dtype: DTypeLike | None = None) -> NDArray[Any]:
    """CSV without dimensions of length 1: one row or column has shape (n,), one value has ().

    Text becomes an array of dtype ``U``, text with numbers a record array. Integers with floats
    become floats and empty cells NaN, unlike `numpy.genfromtxt`, which returns records and -1.
    """
    from sagemaker_inference.codecs import csv

    table = csv.decode(string_like, header=False, dtype=dtype)
    if dtype is None and table.dtype == object:
        table = csv.as_records(table)
    elif dtype is not None and table.dtype == object:
        import numpy as np

        if np.dtype(dtype).kind == "U":
            table = csv.as_records(table).astype(dtype)
    return table.squeeze()


def _npy_to_numpy(npy_array: Body) -> NDArray[Any]:
    """The array of an NPY body; Python objects are rejected unless SAGEMAKER_ALLOW_PICKLE is on."""
    from sagemaker_inference.codecs import npy

    return npy.decode(npy_array)


def _npz_to_sparse(npz_bytes: Body) -> Any:
    """The matrix of a body written by ``scipy.sparse.save_npz``."""
    from sagemaker_inference.codecs import npz

    return npz.decode(npz_bytes)


_decoder_map: Final[dict[str, Callable[..., Any]]] = {
    content_types.NPY: _npy_to_numpy,
    content_types.CSV: _csv_to_numpy,
    content_types.JSON: _json_to_numpy,
    content_types.NPZ: _npz_to_sparse,
}


def decode(obj: Any, content_type: str) -> Any:
    """Decode a body of application/json, text/csv, application/x-npy or application/x-npz.

    >>> decode("1,2,3", "text/csv")
    array([1, 2, 3])

    Args:
        obj: the body; text formats may be str.
        content_type: one of these types; case and parameters are ignored.

    Raises:
        UnsupportedFormatError: the content type is not one of these.
        DecodeError: the body is not of this type.
    """
    name = content_types.parse(content_type).name if isinstance(content_type, str) else None
    decoder = _decoder_map.get(name or "")
    if decoder is None:
        raise errors.UnsupportedFormatError(content_type)
    return decoder(obj)
