"""Bodies to arrays in the AWS toolkit's spelling and shapes; the work is done by the codecs.

Programs that register decoders get what the codecs give: CSV in two dimensions, JSON objects as
Python objects. These functions squeeze and wrap as the AWS toolkit does.
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
    """JSON as ``np.array`` makes it: an object becomes an array of no dimensions that holds it."""
    from sagemaker_inference.codecs import json

    return json.to_array(string_like, dtype)


def _csv_to_numpy(string_like: Body | str, dtype: DTypeLike | None = None) -> NDArray[Any]:
    """CSV without its dimensions of length 1: one row or one column in one, one value in none.

    Text makes an array of ``U``, and text beside numbers one of records. Integers beside floats
    become floats, and empty cells NaN, where `numpy.genfromtxt` makes records and -1 of them.
    """
    from sagemaker_inference.codecs import csv

    table = csv.decode(string_like, header=False, dtype=dtype)
    if dtype is None and table.dtype == object:
        table = csv.as_records(table)
    return table.squeeze()


def _npy_to_numpy(npy_array: Body) -> NDArray[Any]:
    """An NPY body; Python objects in it are refused."""
    from sagemaker_inference.codecs import npy

    return npy.decode(npy_array)


def _npz_to_sparse(npz_bytes: Body) -> Any:
    """A scipy sparse matrix as ``scipy.sparse.save_npz`` writes it."""
    from sagemaker_inference.codecs import npz

    return npz.decode(npz_bytes)


_decoder_map: Final[dict[str, Callable[..., Any]]] = {
    content_types.NPY: _npy_to_numpy,
    content_types.CSV: _csv_to_numpy,
    content_types.JSON: _json_to_numpy,
    content_types.NPZ: _npz_to_sparse,
}


def decode(obj: Any, content_type: str) -> Any:
    """Read a body of application/json, text/csv, application/x-npy or application/x-npz.

    Args:
        obj: the body; text formats may be str.
        content_type: what it is; case and parameters do not matter.

    Raises:
        UnsupportedFormatError: none of these types.
        DecodeError: the body is not what the content type says.
    """
    name = content_types.parse(content_type).name if isinstance(content_type, str) else None
    decoder = _decoder_map.get(name or "")
    if decoder is None:
        raise errors.UnsupportedFormatError(content_type)
    return decoder(obj)
