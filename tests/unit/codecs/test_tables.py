from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sagemaker_inference.codecs import arrow, parquet
from sagemaker_inference.errors import (
    DecodeError,
    EncodeError,
    InferenceError,
    PayloadTooLargeError,
    UnsupportedMediaTypeError,
)

FRAME = pd.DataFrame(
    {"n": [1, 2], "x": [0.5, None], "s": ["a", "b"], "c": pd.Categorical(["p", "q"])}
)


@pytest.fixture(params=[arrow, parquet], ids=["arrow", "parquet"])
def codec(request):
    return request.param


def test_data_frames_survive_a_round_trip(codec):
    for kind in (bytes, bytearray, memoryview):
        table = codec.decode(kind(codec.encode(FRAME)))
        assert isinstance(table, pa.Table)
        pd.testing.assert_frame_equal(table.to_pandas(), FRAME)


@pytest.mark.parametrize(
    ("prediction", "columns"),
    [
        (pa.table({"x": [1]}), {"x": [1]}),
        (pa.record_batch({"x": [1]}), {"x": [1]}),
        (pd.Series([1, 2], name="s"), {"s": [1, 2]}),
        ({"a": [1, 2], "b": ["x", None]}, {"a": [1, 2], "b": ["x", None]}),
        ([{"a": 1}, {"a": 2}], {"a": [1, 2]}),
        (np.array([[1, 2], [3, 4]]), {"0": [1, 3], "1": [2, 4]}),
        ([1.5, 2], {"0": [1.5, 2]}),
        (3, {"0": [3]}),
    ],
)
def test_values_that_can_be_a_table_are_written(codec, prediction, columns):
    assert codec.decode(codec.encode(prediction)).to_pydict() == columns


@pytest.mark.parametrize(
    "prediction", [object(), np.zeros((1, 1, 1)), [[1], [2, 3]], {"a": 1, "b": [1]}]
)
def test_values_that_cannot_be_a_table_are_an_encode_error(codec, prediction):
    with pytest.raises(EncodeError, match="cannot be written as"):
        codec.encode(prediction)


def test_types_that_parquet_cannot_store_are_an_encode_error():
    with pytest.raises(EncodeError):
        parquet.encode(pa.table({"a": pa.array([], pa.struct([]))}))


def test_types_that_a_stream_cannot_store_are_an_encode_error(monkeypatch):
    def fail(*_):
        message = "no"
        raise pa.ArrowInvalid(message)

    monkeypatch.setattr(pa.ipc, "new_stream", fail)
    with pytest.raises(EncodeError):
        arrow.encode({"a": [1]})


def test_a_body_cut_off_anywhere_is_refused(codec):
    body = bytes(codec.encode(FRAME))
    for size in range(len(body)):
        with pytest.raises(DecodeError) as caught:
            codec.decode(body[:size])
        assert len(caught.value.message) <= 300


def test_a_changed_byte_gives_a_table_or_a_refusal(codec):
    body = bytes(codec.encode(FRAME))
    for position in range(0, len(body), 3):
        changed = bytearray(body)
        changed[position] ^= 0xFF
        try:
            codec.decode(changed)
        except InferenceError as error:
            assert error.status_code in {400, 413}  # noqa: PT017


def stream(table, compression=None):
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    return memoryview(sink.getvalue())


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_compressed_streams_are_read_unless_they_unpack_to_far_more(compression):
    table = pa.table({"a": pa.array(["x", "y", "x"]).dictionary_encode(), "b": [1, 2, 3]})
    assert arrow.decode(stream(table, compression)).to_pydict() == table.to_pydict()
    with pytest.raises(PayloadTooLargeError):
        arrow.decode(stream(pa.table({"a": np.zeros(10_000_000)}), compression))


def test_compressed_dictionaries_that_unpack_to_far_more_are_refused():
    column = pa.DictionaryArray.from_arrays([0], pa.array(np.zeros(10_000_000)))
    with pytest.raises(PayloadTooLargeError):
        arrow.decode(stream(pa.table({"a": column}), "zstd"))


def test_a_compressed_stream_without_columns_is_read():
    assert arrow.decode(stream(pa.table({}), "zstd")).num_columns == 0


def test_rows_of_nulls_count_as_unpacked():
    table = pa.table({"a": pa.nulls(1 << 27)})
    with pytest.raises(PayloadTooLargeError):
        arrow.decode(stream(table))


def test_a_table_with_invalid_offsets_is_refused():
    body = bytearray(stream(pa.table({"a": ["abc", "defg"]})))
    offsets = np.array([0, 3, 7], np.int32).tobytes()
    position = body.index(offsets)
    body[position : position + len(offsets)] = np.array([0, 2_000_000_000, 7], np.int32).tobytes()
    with pytest.raises(DecodeError, match="Invalid Arrow"):
        arrow.decode(body)


def test_a_wrong_length_of_a_nested_array_is_refused():
    """pyarrow ends the process where it takes such a length for true."""
    inner = pa.array([{"a": 1}] * 41, pa.struct([("a", pa.int64())]))
    body = bytes(stream(pa.table({"b": inner, "c": [[{"d": 1}]] * 41})))
    code = f"""if True:
        from sagemaker_inference.codecs import arrow
        from sagemaker_inference.errors import DecodeError
        body, length, refused = bytes.fromhex("{body.hex()}"), (41).to_bytes(8, "little"), 0
        position = body.find(length)
        while position >= 0:
            wrong = (-41).to_bytes(8, "little", signed=True)
            try:
                arrow.decode(body[:position] + wrong + body[position + 8 :])
            except DecodeError:
                refused += 1
            position = body.find(length, position + 1)
        print(refused)
    """
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (result.returncode, result.stderr) == (0, "")
    assert int(result.stdout) >= 5


def written(table, **options):
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **options)
    return memoryview(sink.getvalue())


def test_parquet_files_that_unpack_to_far_more_are_refused():
    one_text = pa.DictionaryArray.from_arrays(np.zeros(100_000, np.int32), ["x" * 100_000])
    for column in (np.zeros(10_000_000), np.zeros(10_000_000, np.int8), one_text):
        with pytest.raises(PayloadTooLargeError, match="Parquet"):
            parquet.decode(written(pa.table({"a": column}), store_schema=False))


def test_a_column_that_cannot_be_cast_to_text_is_refused(monkeypatch):
    def fail(*_):
        message = "no such cast"
        raise pa.ArrowNotImplementedError(message)

    monkeypatch.setattr(parquet, "_without_dictionaries", fail)
    with pytest.raises(DecodeError, match="no such cast"):
        parquet.decode(parquet.encode(FRAME))


def test_texts_of_parquet_are_not_dictionaries():
    table = pa.table({"a": ["x", None, "x"], "b": [b"1", b"2", b"3"], "c": [["l"], [], None]})
    decoded = parquet.decode(written(table))
    assert decoded.schema.types == table.schema.types
    assert decoded.to_pydict() == table.to_pydict()
    empty = parquet.decode(written(table.slice(0, 0)))
    assert empty.num_rows == 0


def test_pyarrow_is_an_extra(codec, uninstall, caplog):
    uninstall("pyarrow")
    for call in (lambda: codec.decode(b""), lambda: codec.encode([1])):
        with pytest.raises(UnsupportedMediaTypeError, match="not supported here"):
            call()
    assert "sagemaker-inference[arrow]" in caplog.text
