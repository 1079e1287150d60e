"""Arrow IPC streams (application/vnd.apache.arrow.stream); the extra ``arrow``.

https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format

`decode` returns a `pyarrow.Table`; ``table.to_pandas()`` converts it to a DataFrame. Uncompressed
columns share memory with the body. `encode` writes what `parquet.encode` does.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference import _budget
from sagemaker_inference._errors import DecodeError
from sagemaker_inference.codecs import _arrays, _tables

if TYPE_CHECKING:
    from sagemaker_inference._budget import Budget
    from sagemaker_inference.codecs import Body

__all__ = ["decode", "encode"]

_NAME: Final = "Arrow"
_STEPS_A_MESSAGE: Final = 50
_END: Final = b"\xff\xff\xff\xff\0\0\0\0"

# Fields in the tables of Arrow's Message.fbs, by position: the header of a message, the record
# batch of a dictionary batch, the buffers and the compression of a record batch.
_HEADER: Final = 2
_DATA: Final = 1
_BUFFERS, _COMPRESSION = 2, 3
_COUNT: Final = struct.Struct("<I")
_OFFSET: Final = struct.Struct("<H")
_SIGNED: Final = struct.Struct("<i")
_LONG: Final = struct.Struct("<q")
_BUFFER: Final = struct.Struct("<qq")


def decode(body: Body, content_type: str = "") -> Any:  # noqa: ARG001
    """Read a `pyarrow.Table`.

    >>> import pyarrow
    >>> body = encode(pyarrow.table({"a": [1, 2]}))
    >>> decode(body).column("a").to_pylist()
    [1, 2]

    Raises:
        DecodeError: the stream is malformed or truncated.
        PayloadTooLargeError: compressed columns unpack to more than the budget allows.
        UnsupportedMediaTypeError: pyarrow is not installed.
    """
    pa = _tables.pyarrow(_NAME)
    budget = _budget.of(body)
    if bytes(body[-len(_END) :]) != _END:
        # Without this mark, a stream truncated between two batches would look complete.
        msg = "Invalid Arrow stream: it does not end with the end-of-stream mark"
        raise DecodeError(msg)
    try:
        buffer = pa.py_buffer(body)
        budget.unpack(_unpacked_size(pa, buffer, budget), _NAME)
        with pa.ipc.open_stream(buffer) as reader:
            table = reader.read_all()
    except (
        pa.ArrowException,
        OSError,
        ValueError,
        TypeError,
        struct.error,
        IndexError,
        NotImplementedError,
        KeyError,
        EOFError,
        OverflowError,
    ) as error:
        msg = f"Invalid Arrow stream: {str(error)[:200]}"
        raise DecodeError(msg) from None
    return _tables.checked(table, budget, _NAME)


def encode(prediction: object, content_type: str = "") -> memoryview:  # noqa: ARG001
    """Write a stream without compression.

    >>> decode(encode([{"a": 1}, {"a": 2}])).to_pylist()
    [{'a': 1}, {'a': 2}]

    Raises:
        EncodeError: the prediction has no form as a table.
        UnsupportedMediaTypeError: pyarrow is not installed.
    """
    pa = _tables.pyarrow(_NAME)
    table = _tables.as_table(prediction, _NAME)
    sink = pa.BufferOutputStream()
    try:
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    except pa.ArrowException as error:
        raise _arrays.unencodable(prediction, _NAME, str(error)) from None
    return memoryview(sink.getvalue())


def _unpacked_size(pa: Any, buffer: Any, budget: Budget) -> int:
    """The size that compressed buffers claim to unpack to: Arrow would allocate as much."""
    total = 0
    messages = pa.ipc.MessageReader.open_stream(buffer)
    while True:
        try:
            message = messages.read_next_message()
        except StopIteration:
            return total
        metadata = memoryview(message.metadata)
        # It may list a buffer in every 16 bytes.
        budget.step(_STEPS_A_MESSAGE + len(metadata) // _BUFFER.size, _NAME)
        total += _message_size(metadata, memoryview(message.body), message.type)


def _message_size(metadata: memoryview, body: memoryview, kind: str) -> int:
    batch = _table_at(metadata, _COUNT.unpack_from(metadata)[0], _HEADER)
    if batch is not None and kind == "dictionary":
        batch = _table_at(metadata, batch, _DATA)
    if batch is None or _table_at(metadata, batch, _COMPRESSION) is None:
        return 0
    # A batch without buffers is left to Arrow to refuse.
    buffers = _table_at(metadata, batch, _BUFFERS) or 0
    total = 0
    for index in range(_COUNT.unpack_from(metadata, buffers)[0]):
        offset, length = _BUFFER.unpack_from(metadata, buffers + 4 + index * _BUFFER.size)
        if length > 0:
            total += max(0, _LONG.unpack_from(body, offset)[0])
    return total


def _table_at(metadata: memoryview, table: int, field: int) -> int | None:
    """Follow a field of a flatbuffers table to the position it refers to; None if it is absent."""
    fields = table - _SIGNED.unpack_from(metadata, table)[0]
    entry = 4 + 2 * field
    is_present = entry < _OFFSET.unpack_from(metadata, fields)[0]
    offset: int = _OFFSET.unpack_from(metadata, fields + entry)[0] if is_present else 0
    if not offset:
        return None
    position = table + offset
    target: int = position + _COUNT.unpack_from(metadata, position)[0]
    return target
