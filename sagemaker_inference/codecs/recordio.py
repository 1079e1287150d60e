"""Amazon's records in protocol buffers, in RecordIO frames (application/x-recordio-protobuf).

https://docs.aws.amazon.com/sagemaker/latest/dg/cdf-inference.html

`decode` returns the feature ``values`` of the records, or their only feature. Dense tensors become
an array of shape ``(records, values)``, or ``(records, *shape)`` if the records have a shape of
several dimensions; sparse ones become a scipy csr_matrix (the extra ``scipy``). The dtype is
float32, float64 or int32, as written. Features of bytes, such as images, become a list of bytes.
`read_labels` returns the labels.

`encode` writes a record for each row of an array or a sparse matrix, or for each value of a
vector: float64 as float64, other floats as float32, integers as int32, or as float64 if they do
not fit.
"""

from __future__ import annotations

import math
import struct
from array import array
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from sagemaker_inference import _budget
from sagemaker_inference._errors import DecodeError
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

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from sagemaker_inference._budget import Budget
    from sagemaker_inference.codecs import Body
    from sagemaker_inference.codecs._protobuf import Message

__all__ = ["decode", "encode"]

_NAME: Final = "RecordIO"
_STEPS_A_RECORD: Final = 12
_MAGIC: Final = 0xCED7230A
_FRAME: Final = struct.Struct("<II")
_LENGTH_BITS: Final = 29
_SHORT: Final = 1 << 16
_MAX_COLUMNS: Final = (1 << 31) - 1

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


def decode(body: Body, content_type: str = "") -> Any:  # noqa: ARG001
    """Read the records' features.

    >>> decode(encode([[1.5, 2.5], [3.5, 4.5]]))
    array([[1.5, 2.5],
           [3.5, 4.5]])

    Raises:
        PayloadTooLargeError: it has more records or fields than the budget allows.
        DecodeError: the body is empty, a record is cut off or malformed (the message has its
            number), or records differ in type or length.
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


def encode(prediction: Any, content_type: str = "") -> bytes:  # noqa: ARG001
    """Write a record for each row, with its numbers as the feature ``values``.

    >>> encode([[1.5, 2.5]])[:4].hex()
    '0a23d7ce'

    Raises:
        EncodeError: the prediction is not an array of numbers.
    """
    if hasattr(prediction, "tocsr") and prediction.ndim == 2:  # noqa: PLR2004
        return _write_sparse(prediction.tocsr(), prediction)
    table = _storable(_arrays.as_array(prediction, _NAME), prediction)
    if table.ndim < 2:  # noqa: PLR2004
        table = table.reshape(-1, 1)
    shape = b"" if table.ndim == 2 else field(_SHAPE, _packed(table.shape[1:]))  # noqa: PLR2004
    rows = table.reshape(len(table), math.prod(table.shape[1:]))
    number = _NUMBERS[table.dtype]
    if table.dtype.kind == "f":
        return _write_floats(rows, number, shape)
    return b"".join(_framed(number, field(_VALUES, _packed(row)) + shape) for row in rows.tolist())


def _read(body: Body, section: int) -> Any:
    view = memoryview(body)
    budget = _budget.of(body)
    uniform = _uniform(view, section, budget)
    if uniform is not None:
        return uniform
    tensors = _Tensors()
    blobs: list[bytes] = []
    for index, record in enumerate(_records(view), 1):
        budget.step(_STEPS_A_RECORD, _NAME)
        try:
            item = _tensor(record, section, budget)
        except ValueError as error:
            msg = f"Invalid RecordIO: record {index}: {str(error)[:150]}"
            raise DecodeError(msg) from None
        if isinstance(item, _Tensor):
            tensors.add(item)
        else:
            blobs.append(item)
    if not tensors.lengths and not blobs:
        msg = "The body is empty: RecordIO expected"
        raise DecodeError(msg)
    if not tensors.lengths:
        return blobs
    if blobs or len(tensors.numbers) > 1:
        msg = "Invalid RecordIO: records of different types"
        raise DecodeError(msg)
    try:
        return _sparse(tensors) if tensors.are_sparse() else _dense(tensors)
    except ValueError as error:
        msg = f"Invalid RecordIO: {str(error)[:200]}"
        raise DecodeError(msg) from None


class _Tensors:
    """Many tensors in little memory: their concatenated bytes, and the length of each."""

    def __init__(self) -> None:
        self.numbers: set[int] = set()
        self.shapes: set[bytes] = set()
        self.values = bytearray()
        self.keys = bytearray()
        self.lengths = array("q")
        self.key_lengths = array("q")

    def add(self, tensor: _Tensor) -> None:
        dtype = _DTYPES[tensor.number]
        self.numbers.add(tensor.number)
        self.shapes.add(tensor.shape)
        self.values += tensor.values
        self.keys += tensor.keys
        self.lengths.append(
            count_varints(tensor.values)
            if dtype.kind == "i"
            else len(tensor.values) // dtype.itemsize
        )
        self.key_lengths.append(count_varints(tensor.keys) if tensor.keys else 0)

    def are_sparse(self) -> bool:
        """Whether any has keys, or none has values though all shapes have room for some."""
        if self.keys or self.values:
            return bool(self.keys)
        return all(shape and math.prod(varints(shape).tolist()) for shape in self.shapes)

    def array(self) -> NDArray[Any]:
        dtype = _DTYPES[next(iter(self.numbers))]
        if dtype.kind == "i":
            return varints(self.values, np.int32)
        values: NDArray[Any] = np.frombuffer(self.values, dtype)
        return values


def _uniform(body: memoryview, section: int, budget: Budget) -> NDArray[Any] | None:
    """Read dense floats of records that differ only in their values at once; None for others."""
    first = next(_records(body), b"")
    tensor, other = (
        _floats(first, each, budget) for each in (section, _FEATURES + _LABEL - section)
    )
    stride = _FRAME.size + len(first) + -len(first) % 4
    if tensor is None or len(body) % stride:
        return None
    start, end, number, shape = tensor
    rows = np.frombuffer(body, np.uint8).reshape(-1, stride)
    # Compare what must not differ: all but the values of this section and of the other one.
    parts = [0, *sorted([start, end, *(other[:2] if other else ())]), stride]
    for begin, stop in zip(parts[::2], parts[1::2], strict=True):
        if (rows[:, begin:stop] != rows[0, begin:stop]).any():
            return None
    values: NDArray[Any] = rows[:, start:end].copy().view(_DTYPES[number])
    try:
        dimensions = tuple(varints(shape).tolist())
        return values.reshape(len(values), *dimensions) if len(dimensions) > 1 else values
    except ValueError:
        # Reading the records one by one reports this.
        return None


def _floats(record: Message, section: int, budget: Budget) -> tuple[int, int, int, bytes] | None:
    """Start and end of the floats of a section in a frame, their field number and their shape.

    None if the section is not a dense tensor of floats, stored in one piece.
    """
    try:
        tensor = _tensor(record, section, budget)
        if not isinstance(tensor, _Tensor) or tensor.keys or not tensor.values:
            return None
        if (
            _DTYPES[tensor.number].kind != "f"
            or len(tensor.values) % _DTYPES[tensor.number].itemsize
        ):
            return None
        # The same bytes may occur twice: these are the values if changing them changes the tensor.
        start = bytes(record).rfind(tensor.values)
        changed = bytearray(record)
        end = start + len(tensor.values)
        values = bytes(255 - code for code in tensor.values)
        changed[start:end] = values
        if start < 0 or _tensor(bytes(changed), section, budget) != tensor._replace(values=values):
            return None
    except ValueError:
        return None
    return _FRAME.size + start, _FRAME.size + end, tensor.number, tensor.shape


def _records(body: memoryview) -> Iterator[Message]:
    position, size = 0, len(body)
    while position < size:
        start = position + _FRAME.size
        magic, length = _FRAME.unpack_from(body, position) if start <= size else (0, 0)
        if magic != _MAGIC or length >> _LENGTH_BITS or start + length > size:
            msg = (
                f"Invalid RecordIO: no complete record at byte {position}: it is cut off, has "
                "several parts, or lacks the magic number 0xCED7230A"
            )
            raise DecodeError(msg)
        record = body[start : start + length]
        yield bytes(record) if length < _SHORT else record
        position = start + length + -length % 4


def _tensor(record: Message, section: int, budget: Budget) -> _Tensor | bytes:
    values: dict[bytes, Message] = {}
    for number, wire, content in fields(record, budget):
        if number == section and wire == BYTES:
            entry = {key: value for key, kind, value in fields(content, budget) if kind == BYTES}
            values[bytes(entry.get(_KEY, b""))] = entry.get(_VALUE, b"")
    if b"values" not in values and len(values) != 1:
        error = f"{len(values)} features or labels, and none is named 'values'"
        raise ValueError(error)
    value = values[b"values"] if b"values" in values else next(iter(values.values()))
    tensor: _Tensor | bytes | None = None
    for number, wire, content in fields(value, budget):
        if number == _BYTES_VALUE and wire == BYTES:
            tensor = b"".join(part for key, _, part in fields(content, budget) if key == 1)
        elif number in _DTYPES and wire == BYTES:
            tensor = _numbers(number, content, budget)
    if tensor is None:
        error = "no value of a known type"
        raise ValueError(error)
    return tensor


def _numbers(number: int, content: Message, budget: Budget) -> _Tensor:
    parts: dict[int, list[Message]] = {_VALUES: [], _KEYS: [], _SHAPE: []}
    for key, wire, part in fields(content, budget):
        if key in parts:
            # A repeated field is packed, or has one value at a time.
            if wire not in (BYTES, _WIRES[number] if key == _VALUES else VARINT):
                error = f"a tensor's field {key} of wire type {wire}"
                raise ValueError(error)
            parts[key].append(part)
    return _Tensor(number, *(b"".join(parts[key]) for key in (_VALUES, _KEYS, _SHAPE)))


def _dense(tensors: _Tensors) -> NDArray[Any]:
    lengths = set(tensors.lengths)
    if len(lengths) > 1 or len(tensors.shapes) > 1:
        error = "dense records of different lengths or shapes"
        raise ValueError(error)
    values = tensors.array()
    shape = tuple(varints(tensors.shapes.pop()).tolist())
    if len(shape) < 2:  # noqa: PLR2004
        shape = (lengths.pop(),)
    elif math.prod(shape) * len(tensors.lengths) != len(values):
        error = f"shape {str(shape)[:60]} does not fit {len(values)} values"
        raise ValueError(error)
    return values.reshape(len(tensors.lengths), *shape)


def _sparse(tensors: _Tensors) -> Any:
    sparse = needed("scipy.sparse", "A sparse RecordIO body")
    if tensors.lengths != tensors.key_lengths:
        error = "a sparse record does not have as many keys as values"
        raise ValueError(error)
    values = tensors.array()
    keys = varints(tensors.keys)
    columns = int(keys.max()) + 1 if len(keys) else 0
    for shape in tensors.shapes:
        columns = max(columns, math.prod(varints(shape).tolist()))
    if columns > _MAX_COLUMNS:
        error = f"{columns} columns"
        raise ValueError(error)
    starts = np.concatenate(([0], np.cumsum(tensors.lengths)))
    matrix = (values, keys.astype(np.int32), starts)
    return sparse.csr_matrix(matrix, (len(tensors.lengths), columns))


def _storable(array: NDArray[Any], prediction: object) -> NDArray[Any]:
    kind = array.dtype.kind
    if kind == "f":
        is_wide = array.dtype.itemsize > 4  # noqa: PLR2004
        return array.astype("<f8" if is_wide else "<f4", copy=False)
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
    """Write one record, and copy it for each row with the row's bytes: all have the same length."""
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
