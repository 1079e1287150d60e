"""NPZ: a zip of NPY arrays, as `numpy.savez` and `scipy.sparse.save_npz` write it.

`decode` gives a dict of arrays by name, in the archive's order; an archive with scipy's member
``format`` gives that sparse matrix instead (csr, csc, coo, bsr or dia; the extra ``scipy``),
whose indices are checked to lie within its shape. Arrays of Python objects are refused as in NPY,
and so are archives that unpack to more than 20 times the body (64 MiB are always allowed), or
that are compressed by another method than numpy's, deflate.

`encode` writes a dict of arrays by name, a sparse matrix in scipy's layout, or one array under
the name ``arr_0``, without compression.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sagemaker_inference._budget import check_unpacked
from sagemaker_inference._errors import DecodeError
from sagemaker_inference.codecs import _arrays, npy
from sagemaker_inference.codecs._extras import needed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from sagemaker_inference.codecs import Body

_NAME: Final = "NPZ"
_SUFFIX: Final = ".npy"
_MEMBERS: Final = {
    "csr": ("data", "indices", "indptr"),
    "csc": ("data", "indices", "indptr"),
    "bsr": ("data", "indices", "indptr"),
    "coo": ("data", "row", "col"),
    "dia": ("data", "offsets"),
}
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_INDEXES: Final = ("indices", "indptr", "row", "col", "offsets")


def decode(body: Body, content_type: str = "") -> Any:  # noqa: ARG001
    """Read a dict of arrays, or a scipy sparse matrix.

    Raises:
        DecodeError: no zip, a damaged member or one compressed by another method than deflate, or
            a sparse matrix that contradicts itself.
        PayloadTooLargeError: it unpacks to far more than was sent.
        UnsupportedMediaTypeError: it holds Python objects, or scipy is not installed.
    """
    arrays = _read(body)
    return _sparse(arrays) if "format" in arrays and "shape" in arrays else arrays


def encode(prediction: object, content_type: str = "") -> bytes:  # noqa: ARG001
    """Write arrays by name, a sparse matrix, or one array.

    Raises:
        EncodeError: something in it makes no array, or a name is none that a zip can have.
    """
    if isinstance(prediction, dict):
        arrays = {str(name): npy.encode(value) for name, value in prediction.items()}
    elif _is_sparse(prediction):
        arrays = {name: npy.encode(value) for name, value in _parts(prediction).items()}
    else:
        arrays = {"arr_0": npy.encode(_arrays.as_array(prediction, _NAME))}
    buffer = io.BytesIO()
    try:
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, data in arrays.items():
                archive.writestr(name + _SUFFIX, data)
    except (struct.error, UnicodeEncodeError) as error:
        reason = "give its arrays names of Unicode, of less than 65,000 bytes"
        raise _arrays.unencodable(prediction, _NAME, reason) from error
    return buffer.getvalue()


def _read(body: Body) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            members = archive.infolist()
            _check_methods(members)
            check_unpacked(sum(member.file_size for member in members), len(body), _NAME)
            for member in members:
                with archive.open(member) as file:
                    # A member may be longer than it says: read no more than was checked.
                    data = file.read(member.file_size)
                arrays[member.filename.removesuffix(_SUFFIX)] = npy.decode(data)
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        ValueError,
        RuntimeError,
        NotImplementedError,
        KeyError,
    ) as error:
        msg = f"Invalid NPZ: {str(error)[:200]}"
        raise DecodeError(msg) from None
    return arrays


def _check_methods(members: Sequence[zipfile.ZipInfo]) -> None:
    # Of bzip2 and LZMA, zipfile unpacks all that it was given, however little is asked for.
    if any(member.compress_type not in _METHODS for member in members):
        msg = "Invalid NPZ: send its members stored or deflated, as numpy does"
        raise DecodeError(msg)


def _sparse(arrays: Mapping[str, NDArray[Any]]) -> Any:
    sparse = needed("scipy.sparse", "A sparse NPZ body")
    try:
        kind = arrays["format"].item()
        kind = kind.decode("ascii") if isinstance(kind, bytes) else str(kind)
        data, *places = [arrays[name] for name in _MEMBERS[kind]]
        shape = tuple(arrays["shape"].tolist())
        _check_parts(arrays, shape)
        new = getattr(sparse, f"{kind}_{'array' if '_is_array' in arrays else 'matrix'}")
        matrix = new((data, tuple(places)) if kind == "coo" else (data, *places), shape=shape)
        if hasattr(matrix, "check_format"):
            # Indices out of bounds would let scipy's compiled code read and write anywhere.
            matrix.check_format(full_check=True)
    except Exception as error:  # noqa: BLE001  # scipy has no error of its own
        msg = f"Invalid NPZ: not a sparse matrix: {type(error).__name__}: {str(error)[:150]}"
        raise DecodeError(msg) from None
    return matrix


def _check_parts(arrays: Mapping[str, NDArray[Any]], shape: tuple[int, ...]) -> None:
    if len(shape) != 2 or not all(0 <= length < 1 << 31 for length in shape):  # noqa: PLR2004
        msg = f"shape {str(shape)[:60]}"
        raise ValueError(msg)
    for name in _INDEXES:
        if name in arrays and (arrays[name].dtype.kind not in "iu" or arrays[name].ndim != 1):
            msg = f"{name} is not a row of integers"
            raise ValueError(msg)
    if arrays["data"].dtype.kind not in "biufc":
        msg = f"data of {arrays['data'].dtype.name}"
        raise ValueError(msg)


def _is_sparse(prediction: Any) -> bool:
    """Whether it has a layout of scipy's; arrays of one dimension have none that is read."""
    return (
        hasattr(prediction, "toarray")
        and getattr(prediction, "format", "") in _MEMBERS
        and prediction.ndim == 2  # noqa: PLR2004
    )


def _parts(matrix: Any) -> dict[str, Any]:
    """What scipy.sparse.save_npz writes."""
    parts: dict[str, Any] = {name: getattr(matrix, name) for name in _MEMBERS[matrix.format]}
    parts |= {"format": np.array(matrix.format.encode()), "shape": np.array(matrix.shape)}
    if not type(matrix).__name__.endswith("matrix"):
        parts["_is_array"] = np.array(True)  # noqa: FBT003
    return parts
