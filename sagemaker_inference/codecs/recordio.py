"""Amazon's records in protocol buffers, in RecordIO frames (application/x-recordio-protobuf).

https://docs.aws.amazon.com/sagemaker/latest/dg/cdf-inference.html

`decode` gives the records' feature ``values``, or their only feature: dense tensors as an array
of shape (records, values), or (records, *shape) where the records have a shape of several
dimensions; sparse ones as a scipy csr_matrix (the extra ``scipy``); dtype float32, float64 or
int32 as written. Features of bytes, such as images, give a list of bytes. `read_labels` gives the
labels.

`encode` writes a record for each row of an array or a sparse matrix, or for each value of a
vector: float64 as doubles, other floats as singles, integers as int32, or as doubles where they
do not fit.
"""

from __future__ import annotations

import math
import struct
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from sagemaker_inference.codecs import _arrays
from sagemaker_inference.codecs._extras import needed
from sagemaker_inference.codecs._protobuf import (
    BYTES,
    FIXED32,
    FIXED64,
    VARINT,
    count_varints,
    field,
    fields,
    varint,
    varints,
)
from sagemaker_inference.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from sagemaker_inference.codecs import Body

CONTENT_TYPES: Final = ("application/x-recordio-protobuf",)

_NAME: Final = "RecordIO"
_MAGIC: Final = 0xCED7230A
_FRAME: Final = struct.Struct("<II")
_LENGTH_BITS: Final = 29
_MOST_COLUMNS: Final = (1 << 31) - 1

# Field numbers of Record, of an entry of its maps, of Value and of a tensor.
_FEATURES: Final = 1
_LABEL: Final = 2
_KEY, _VALUE = 1, 2
_BYTES_VALUE: Final = 9
_VALUES, _KEYS, _SHAPE = 1, 2, 3
_DTYPES: Final[dict[int, np.dtype[Any]]] = {
    2: np.dtype("<f4"),
    3: np.dtype("<f8"),
    7: np.dtype("<i4"),
}
_NUMBERS: Final = {np.dtype(name): number for number, name in _DTYPES.items()}
_WIRES: Final = {2: FIXED32, 3: FIXED64, 7: VARINT}


class _Tensor(NamedTuple):
    number: int
    values: bytes
    keys: bytes
    shape: bytes


def decode(body: Body, content_type: str = CONTENT_TYPES[0]) -> Any:  # noqa: ARG001
    """Read the records' features.

    Raises:
        DecodeError: the body is empty, a record is cut off or malformed (the message has its
            number), or records differ in kind or length.
        UnsupportedMediaTypeError: the records are sparse, and scipy is not installed.
    """
    return _read(body, _FEATURES)


def read_labels(body: Body) -> Any:
    """The records' labels, in the shapes of `decode`.

    Raises:
        DecodeError: as for `decode`, or a record has no label.
        UnsupportedMediaTypeError: the labels are sparse, and scipy is not installed.
    """
    return _read(body, _LABEL)


def encode(prediction: Any, content_type: str = CONTENT_TYPES[0]) -> bytes:  # noqa: ARG001
    """Write a record for each row, its numbers as the feature ``values``.

    Raises:
        EncodeError: the prediction makes no array of numbers.
    """
    if hasattr(prediction, "tocsr"):
        return _write_sparse(prediction.tocsr(), prediction)
    array = _storable(_arrays.as_array(prediction, _NAME), prediction)
    if array.ndim < 2:  # noqa: PLR2004
        array = array.reshape(-1, 1)
    shape = b"" if array.ndim == 2 else field(_SHAPE, _packed(array.shape[1:]))  # noqa: PLR2004
    rows = array.reshape(len(array), math.prod(array.shape[1:]))
    number = _NUMBERS[array.dtype]
    if array.dtype.kind == "f":
        return _write_floats(rows, number, shape)
    return b"".join(_framed(number, field(_VALUES, _packed(row)) + shape) for row in rows.tolist())


def _read(body: Body, section: int) -> Any:
    found: list[_Tensor | bytes] = []
    for index, record in enumerate(_records(memoryview(body)), 1):
        try:
            found.append(_tensor(record, section))
        except ValueError as error:
            msg = f"Invalid RecordIO: record {index}: {str(error)[:150]}"
            raise DecodeError(msg) from None
    if not found:
        msg = "The body is empty: RecordIO expected"
        raise DecodeError(msg)
    tensors = [item for item in found if isinstance(item, _Tensor)]
    if not tensors:
        return found
    if len(tensors) < len(found) or len({tensor.number for tensor in tensors}) > 1:
        msg = "Invalid RecordIO: records of different types"
        raise DecodeError(msg)
    try:
        values = _values(tensors)
        if any(tensor.keys for tensor in tensors):
            return _sparse(tensors, values)
        return _dense(tensors, values)
    except ValueError as error:
        msg = f"Invalid RecordIO: {str(error)[:200]}"
        raise DecodeError(msg) from None


def _records(body: memoryview) -> Iterator[memoryview]:
    position, size = 0, len(body)
    while position < size:
        start = position + _FRAME.size
        magic, length = _FRAME.unpack(body[position:start]) if start <= size else (0, 0)
        if magic != _MAGIC or length >> _LENGTH_BITS or start + length > size:
            msg = (
                f"Invalid RecordIO: no whole record at byte {position}: cut off, of several "
                "parts, or without the magic number 0xCED7230A"
            )
            raise DecodeError(msg)
        yield body[start : start + length]
        position = start + length + -length % 4


def _tensor(record: memoryview, section: int) -> _Tensor | bytes:
    values: dict[bytes, memoryview] = {}
    for number, wire, content in fields(record):
        if number == section and wire == BYTES:
            entry = {key: value for key, kind, value in fields(content) if kind == BYTES}
            values[bytes(entry.get(_KEY, b""))] = entry.get(_VALUE, memoryview(b""))
    if b"values" not in values and len(values) != 1:
        error = f"{len(values)} features or labels, and none is named 'values'"
        raise ValueError(error)
    value = values[b"values"] if b"values" in values else next(iter(values.values()))
    tensor: _Tensor | bytes | None = None
    for number, wire, content in fields(value):
        if number == _BYTES_VALUE and wire == BYTES:
            tensor = b"".join(part for key, _, part in fields(content) if key == 1)
        elif number in _DTYPES and wire == BYTES:
            tensor = _numbers(number, content)
    if tensor is None:
        error = "no value of a known type"
        raise ValueError(error)
    return tensor


def _numbers(number: int, content: memoryview) -> _Tensor:
    parts: dict[int, list[memoryview]] = {_VALUES: [], _KEYS: [], _SHAPE: []}
    for key, wire, part in fields(content):
        if key in parts:
            # A repeated field is packed, or comes one value at a time.
            if wire not in (BYTES, _WIRES[number] if key == _VALUES else VARINT):
                error = f"a tensor's field {key} of wire type {wire}"
                raise ValueError(error)
            parts[key].append(part)
    return _Tensor(number, *(b"".join(parts[key]) for key in (_VALUES, _KEYS, _SHAPE)))


def _values(tensors: Sequence[_Tensor]) -> NDArray[Any]:
    dtype = _DTYPES[tensors[0].number]
    packed = b"".join(tensor.values for tensor in tensors)
    if dtype.kind == "i":
        return varints(packed).astype(np.int32)
    found: NDArray[Any] = np.frombuffer(packed, dtype)
    return found


def _length(tensor: _Tensor) -> int:
    dtype = _DTYPES[tensor.number]
    return (
        count_varints(tensor.values) if dtype.kind == "i" else len(tensor.values) // dtype.itemsize
    )


def _dense(tensors: Sequence[_Tensor], values: NDArray[Any]) -> NDArray[Any]:
    lengths = {_length(tensor) for tensor in tensors}
    shapes = {tensor.shape for tensor in tensors}
    if len(lengths) > 1 or len(shapes) > 1:
        error = "dense records of different lengths or shapes"
        raise ValueError(error)
    shape = tuple(varints(shapes.pop()).tolist())
    if len(shape) < 2:  # noqa: PLR2004
        shape = (lengths.pop(),)
    elif math.prod(shape) * len(tensors) != len(values):
        error = f"shape {str(shape)[:60]} does not fit {len(values)} values"
        raise ValueError(error)
    return values.reshape(len(tensors), *shape)


def _sparse(tensors: Sequence[_Tensor], values: NDArray[Any]) -> Any:
    sparse = needed("scipy.sparse", "A sparse RecordIO body")
    lengths = [_length(tensor) for tensor in tensors]
    if lengths != [count_varints(tensor.keys) for tensor in tensors]:
        error = "a sparse record has more keys than values, or fewer"
        raise ValueError(error)
    keys = varints(b"".join(tensor.keys for tensor in tensors))
    columns = int(keys.max()) + 1
    for shape in {tensor.shape for tensor in tensors}:
        columns = max(columns, math.prod(varints(shape).tolist()))
    if columns > _MOST_COLUMNS:
        error = f"{columns} columns"
        raise ValueError(error)
    starts = np.concatenate(([0], np.cumsum(lengths)))
    return sparse.csr_matrix((values, keys.astype(np.int64), starts), (len(tensors), columns))


def _storable(array: NDArray[Any], prediction: object) -> NDArray[Any]:
    kind = array.dtype.kind
    if kind == "f":
        wide = array.dtype.itemsize > 4  # noqa: PLR2004
        return array.astype("<f8" if wide else "<f4", copy=False)
    if kind not in "biu":
        raise _arrays.unencodable(prediction, _NAME)
    limits = np.iinfo(np.int32)
    fits = not array.size or (limits.min <= array.min() and array.max() <= limits.max)
    return array.astype("<i4" if fits else "<f8")


def _write_sparse(matrix: Any, prediction: object) -> bytes:
    data = _storable(matrix.data, prediction)
    shape = field(_SHAPE, varint(matrix.shape[1]))
    indices = matrix.indices.tolist()
    ends = matrix.indptr.tolist()
    records = []
    for start, end in pairwise(ends):
        row = data[start:end]
        values = row.tobytes() if data.dtype.kind == "f" else _packed(row.tolist())
        content = field(_VALUES, values) + field(_KEYS, _packed(indices[start:end])) + shape
        records.append(_framed(_NUMBERS[data.dtype], content))
    return b"".join(records)


def _write_floats(rows: NDArray[Any], number: int, shape: bytes) -> bytes:
    """All records are as long as the first: write one, and put each row's bytes in its place."""
    if not rows.size:
        return b"".join(_framed(number, field(_VALUES, b"") + shape) for _ in rows)
    width = rows.shape[1] * rows.itemsize
    marker = b"\xff" * width
    record = _framed(number, field(_VALUES, marker) + shape)
    before, _, after = record.partition(marker)
    records = np.empty((len(rows), len(record)), np.uint8)
    records[:, : len(before)] = np.frombuffer(before, np.uint8)
    records[:, len(before) : len(before) + width] = np.ascontiguousarray(rows).view(np.uint8)
    records[:, len(before) + width :] = np.frombuffer(after, np.uint8)
    return records.tobytes()


def _packed(values: Sequence[int]) -> bytes:
    return b"".join(map(varint, values))


def _framed(number: int, tensor: bytes) -> bytes:
    entry = field(_KEY, b"values") + field(_VALUE, field(number, tensor))
    record = field(_FEATURES, entry)
    return _FRAME.pack(_MAGIC, len(record)) + record + bytes(-len(record) % 4)
