"""NPZ: a zip of NPY arrays, as `numpy.savez` and `scipy.sparse.save_npz` write it.

`decode` returns a dict of arrays by name, in the archive's order. For an archive with scipy's
member ``format`` it returns a sparse matrix (csr, csc, coo, bsr or dia; the extra ``scipy``), after
checking that its indices are within its shape. Arrays of Python objects are refused as in NPY; so
are archives that unpack to more than 64 MiB or three times the body, whichever is more, or that are
compressed by a method other than deflate, which numpy uses.

`encode` writes a dict of arrays by name, or an instance of a class whose fields are arrays; a
sparse matrix in scipy's layout; or one array with the name ``arr_0``. It does not compress.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np

from sagemaker_inference import _budget
from sagemaker_inference._errors import DecodeError
from sagemaker_inference.codecs import _arrays, _objects, npy
from sagemaker_inference.codecs._extras import needed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from sagemaker_inference.codecs import Body

__all__ = ["decode", "encode"]

_NAME: Final = "NPZ"
_ENTRY: Final = b"PK\x01\x02"
_STEPS_A_MEMBER: Final = 40
_PIECE: Final = 1 << 20
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

    >>> decode(encode({"scores": [0.5, 1.0]}))["scores"]
    array([0.5, 1. ])

    Raises:
        DecodeError: the body is not a zip, a member is damaged or compressed by a method other than
            deflate, or a sparse matrix is inconsistent.
        PayloadTooLargeError: it unpacks to more than the budget of the request allows, or has too
            many members.
        UnsupportedMediaTypeError: it holds Python objects, or scipy is not installed.
    """
    arrays = _read(body)
    return _sparse(arrays) if "format" in arrays and "shape" in arrays else arrays


def encode(prediction: object, content_type: str = "") -> bytes:  # noqa: ARG001
    """Write arrays by name, a sparse matrix, or one array.

    >>> sorted(decode(encode({"labels": [1], "scores": [0.5]})))
    ['labels', 'scores']

    Raises:
        EncodeError: something in it cannot be an array, or a zip cannot store a name.
    """
    prediction = _objects.without_instances(prediction)
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
    except (struct.error, UnicodeEncodeError):
        reason = "use valid Unicode of less than 65,000 bytes for the names of arrays"
        raise _arrays.unencodable(prediction, _NAME, reason) from None
    return buffer.getvalue()


def _read(body: Body) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    data = body if isinstance(body, (bytes, bytearray)) else bytes(body)
    budget = _budget.of(body)
    if _budget.if_large(body) is not None:
        # zipfile makes an object for each entry before anything can be asked of it.
        budget.step(_STEPS_A_MEMBER * data.count(_ENTRY), _NAME)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            _check_methods(members)
            budget.unpack(sum(member.file_size for member in members), _NAME)
            for member in members:
                with archive.open(member) as file:
                    array = npy.decode(_content(file, member.file_size))
                arrays[member.filename.removesuffix(_SUFFIX)] = array
    except DecodeError:
        raise
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


def _content(file: IO[bytes], size: int) -> bytearray:
    """The content of a member, which may be longer than its header states: so much is counted."""
    content = bytearray()
    while len(content) < size and (piece := file.read(min(_PIECE, size - len(content)))):
        content += piece
    return content


def _check_methods(members: Sequence[zipfile.ZipInfo]) -> None:
    # zipfile unpacks all of its bzip2 or LZMA input, even to read a few bytes.
    if any(member.compress_type not in _METHODS for member in members):
        msg = "Invalid NPZ: send its members stored or deflated, as numpy does"
        raise DecodeError(msg)


def _sparse(arrays: Mapping[str, NDArray[Any]]) -> Any:
    sparse = needed("scipy.sparse", "A sparse NPZ body")
    try:
        kind = arrays["format"].item()
        kind = kind.decode("ascii") if isinstance(kind, bytes) else str(kind)
        data, *indexes = [arrays[name] for name in _MEMBERS[kind]]
        shape = tuple(arrays["shape"].tolist())
        _check_parts(arrays, shape)
        new = getattr(sparse, f"{kind}_{'array' if '_is_array' in arrays else 'matrix'}")
        matrix = new((data, tuple(indexes)) if kind == "coo" else (data, *indexes), shape=shape)
        if hasattr(matrix, "check_format"):
            # With indices out of bounds, scipy's compiled code would read and write anywhere.
            matrix.check_format(full_check=True)
    except Exception as error:  # noqa: BLE001  # scipy does not define its exceptions
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
    """Whether scipy has a layout for it that `decode` reads, which takes two dimensions."""
    return (
        hasattr(prediction, "toarray")
        and getattr(prediction, "format", "") in _MEMBERS
        and prediction.ndim == 2  # noqa: PLR2004
    )


def _parts(matrix: Any) -> dict[str, Any]:
    """The members that scipy.sparse.save_npz writes."""
    parts: dict[str, Any] = {name: getattr(matrix, name) for name in _MEMBERS[matrix.format]}
    parts |= {"format": np.array(matrix.format.encode()), "shape": np.array(matrix.shape)}
    if not type(matrix).__name__.endswith("matrix"):
        parts["_is_array"] = np.array(True)  # noqa: FBT003
    return parts
