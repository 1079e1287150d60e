from __future__ import annotations

import struct
import sys

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sagemaker_inference.codecs import _protobuf, recordio
from sagemaker_inference.errors import (
    DecodeError,
    EncodeError,
    InferenceError,
    UnsupportedMediaTypeError,
)


def varint(value):
    data = b""
    while value > 127:
        data += bytes([value & 127 | 128])
        value >>= 7
    return data + bytes([value])


def message(*fields):
    """Fields of bytes are length-delimited, integers are varints, floats are fixed."""
    data = b""
    for number, value in fields:
        if isinstance(value, bytes):
            data += varint(number << 3 | 2) + varint(len(value)) + value
        elif isinstance(value, float):
            data += varint(number << 3 | 5) + struct.pack("<f", value)
        else:
            data += varint(number << 3) + varint(value)
    return data


def framed(*records):
    return b"".join(
        struct.pack("<II", 0xCED7230A, len(record)) + record + bytes(-len(record) % 4)
        for record in records
    )


def record(value, name=b"values", section=1):
    return message((section, message((1, name), (2, value))))


def sparse(keys, *more):
    return framed(record(message((2, message((1, b"abcd"), (2, keys), *more)))))


def floats(*values):
    return message((2, message((1, struct.pack(f"<{len(values)}f", *values)))))


@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.float64, np.int32]),
        hnp.array_shapes(min_dims=2, max_side=4, min_side=0),
    )
)
def test_dense_rows_survive_a_round_trip(array):
    if not len(array):
        assert recordio.encode(array) == b""
        return
    decoded = recordio.decode(recordio.encode(array))
    assert decoded.dtype == array.dtype
    assert decoded.shape == array.shape
    assert decoded.tobytes() == array.tobytes()


@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.float64, np.int32]),
        st.tuples(st.integers(1, 4), st.integers(1, 300)),
    )
)
def test_sparse_rows_survive_a_round_trip(array):
    matrix = scipy.sparse.csr_matrix(array)
    if not matrix.nnz:
        return
    decoded = recordio.decode(memoryview(recordio.encode(matrix)))
    assert decoded.format == "csr"
    np.testing.assert_array_equal(decoded.toarray(), array)


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4"])
def test_rows_of_zeros_stay_sparse(dtype):
    decoded = recordio.decode(recordio.encode(scipy.sparse.csr_matrix((2, 5), dtype=dtype)))
    assert decoded.format == "csr"
    assert (decoded.shape, decoded.nnz, decoded.dtype) == ((2, 5), 0, dtype)


def test_records_without_room_for_values_are_dense():
    for shape in ((2, 0), (2, 0, 3)):
        decoded = recordio.decode(recordio.encode(np.zeros(shape)))
        assert decoded.shape == shape


def test_a_sparse_array_of_one_dimension_is_written_one_value_per_record():
    array = scipy.sparse.coo_array(np.array([1.0, 0, 2]))
    assert recordio.decode(recordio.encode(array)).tolist() == [[1], [0], [2]]


@pytest.mark.parametrize(
    ("prediction", "dtype", "expected"),
    [
        ([1, 2], "i4", [[1], [2]]),
        (3, "i4", [[3]]),
        ([True], "i4", [[1]]),
        ([2**40], "f8", [[2.0**40]]),
        (np.array([0.5], np.float16), "f4", [[0.5]]),
        (np.array([-1, -(2**31)]), "i4", [[-1], [-(2**31)]]),
    ],
)
def test_other_numbers_are_written_in_the_nearest_type(prediction, dtype, expected):
    decoded = recordio.decode(recordio.encode(prediction))
    assert decoded.dtype == dtype
    assert decoded.tolist() == expected


def test_float32_tensors_of_amazons_format_are_read():
    body = framed(record(floats(1.5, 2)), record(floats(3, 4)))
    assert recordio.decode(body).tolist() == [[1.5, 2], [3, 4]]


def test_a_repeated_field_may_have_one_value_at_a_time():
    unpacked = message((2, message((1, 1.5), (1, 2.5), (2, 0), (2, 300), (3, 301))))
    decoded = recordio.decode(framed(record(unpacked)))
    assert decoded.shape == (1, 301)
    assert decoded[0, 300] == 2.5


def test_a_single_feature_may_have_any_name():
    assert recordio.decode(framed(record(floats(1), b"other"))).tolist() == [[1.0]]


def test_labels_are_read_separately():
    body = framed(record(floats(1, 2)) + record(floats(7), section=2) + message((3, b"uid")))
    assert recordio.decode(body).tolist() == [[1, 2]]
    assert recordio.read_labels(body).tolist() == [[7]]
    with pytest.raises(DecodeError, match="record 1"):
        recordio.read_labels(framed(record(floats(1))))


def labelled(dtype, rows):
    number, letter = {"f4": (2, "f"), "f8": (3, "d")}[dtype]
    label = [message((2, message((1, struct.pack("<f", row[0]))))) for row in rows]
    data = [
        message((number, message((1, struct.pack(f"<{len(row)}{letter}", *row))))) for row in rows
    ]
    return framed(
        *(record(value) + record(one, section=2) for value, one in zip(data, label, strict=True))
    )


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("rows", [[[1, 2], [3, 4], [5, 6]], [[0], [1]], [[1], [0]]])
def test_records_with_the_same_layout_are_read_at_once(dtype, rows, monkeypatch):
    body = labelled(dtype, rows)
    readers = (recordio.decode, recordio.read_labels)
    at_once = [reader(body) for reader in readers]
    monkeypatch.setattr(recordio, "_uniform", lambda *_: None)
    for decoded, reader in zip(at_once, readers, strict=True):
        one_by_one = reader(body)
        assert decoded.dtype == one_by_one.dtype
        assert decoded.tolist() == one_by_one.tolist()
    assert at_once[0].tolist() == rows


@pytest.mark.parametrize("position", range(40))
def test_reading_at_once_agrees_with_reading_one_by_one(position, monkeypatch):
    def result(body):
        try:
            return recordio.decode(body).tolist()
        except DecodeError as error:
            return error.message

    body = bytearray(labelled("f4", [[1, 2], [3, 4]]))
    body[len(body) // 2 + position] ^= 1
    at_once = result(body)
    monkeypatch.setattr(recordio, "_uniform", lambda *_: None)
    assert result(body) == at_once


def test_a_long_record_is_read(monkeypatch):
    row = np.arange(20_000.0)
    assert recordio.decode(recordio.encode(row[None])).tolist() == [row.tolist()]
    body = recordio.encode(np.arange(40_000)[None])
    assert recordio.decode(body).tolist() == [list(range(40_000))]


def test_long_varints_are_read_in_pieces(monkeypatch):
    table = np.array([[-1, 1, 300, 2**31 - 1, -(2**31)], [0, 127, 128, 1, 1]], np.int32)
    body = recordio.encode(table)
    for piece in (1, 2, 3, 7, 11):
        monkeypatch.setattr(_protobuf, "_PIECE", piece)
        if piece < 10:
            with pytest.raises(DecodeError, match="cut off"):
                recordio.decode(body)
        else:
            assert recordio.decode(body).tolist() == table.tolist()


def test_features_of_bytes_make_a_list():
    value = message((9, message((1, b"\xff\xd8"), (2, b"image/jpeg"))))
    assert recordio.decode(framed(record(value), record(value))) == [b"\xff\xd8"] * 2


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b"\x00" * 8, "byte 0"),
        (framed(record(floats(1)))[:-1], "byte 0"),
        (framed(record(floats(1))) + b"\x0a", "byte 28"),
        (struct.pack("<II", 0xCED7230A, 1 << 29 | 4) + b"abcd", "several parts"),
        (framed(b"\x0b"), "record 1: wire type 3"),
        (framed(b"\x0a\xff"), "record 1: a varint"),
        (framed(b"\xff" * 11), "record 1: a varint"),
        (framed(b"\x0a\x05a"), "record 1: a field of 5 bytes"),
        (framed(b"\x09abc"), "record 1: a field of 8 bytes"),
        (framed(b"\x08\x80"), "record 1: a varint"),
        (framed(b""), "record 1: 0 features"),
        (framed(record(floats(1), b"a") + record(floats(1), b"b")), "record 1: 2 features"),
        (framed(record(b"")), "no value"),
        (framed(record(message((4, 5)))), "no value"),
        (framed(record(message((2, message((1, 5)))))), "field 1 of wire type 0"),
        (framed(record(message((2, message((1, b"abc")))))), "buffer size"),
        (framed(record(floats(1)), record(floats(1, 2))), "different lengths"),
        (framed(record(floats(1)), record(message((9, b"")))), "different types"),
        (framed(record(floats(1)), record(message((3, b"")))), "different types"),
        (framed(record(message((2, message((1, b"abcd"), (3, b"\x02\x03")))))), "shape"),
        (framed(record(message((2, message((1, b"abcd"), (3, b"\x01" * 100)))))), "dimension"),
        (framed(record(message((2, message((1, b"abcd"), (3, b"\x01\x80")))))), "cut off"),
        (sparse(b"\x01\x02"), "as many keys"),
        (sparse(b"\x80"), "as many keys"),
        (sparse(b"\x80\x80\x80\x80\x10"), "columns"),
        (sparse(b"\x01", (3, b"\xff" * 9 + b"\x01")), "columns"),
        (framed(record(message((7, message((1, b"\xff" * 11 + b"\x01")))))), "12 bytes"),
        (framed(record(message((7, message((1, b"\xff")))))), "cut off"),
    ],
)  # fmt: skip
def test_the_refusal_of_a_malformed_body_has_the_position(body, words):
    with pytest.raises(DecodeError, match=words) as caught:
        recordio.decode(body)
    assert len(caught.value.message) <= 300


def test_a_body_cut_off_anywhere_is_refused():
    body = recordio.encode(np.arange(6.0).reshape(2, 3))
    length = len(body) // 2
    for size in range(len(body)):
        if size == length:
            continue
        with pytest.raises(DecodeError):
            recordio.decode(body[:size])


def test_a_changed_byte_gives_numbers_or_a_refusal():
    body = recordio.encode(scipy.sparse.csr_matrix(np.arange(6.0).reshape(2, 3)))
    for position in range(len(body)):
        for bits in (1, 0x80, 0xFF):
            changed = bytearray(body)
            changed[position] ^= bits
            try:
                recordio.decode(changed)
            except InferenceError as error:
                assert error.status_code == 400  # noqa: PT017


def test_sparse_bodies_need_scipy(monkeypatch):
    body = recordio.encode(scipy.sparse.csr_matrix([[0, 1.5]]))
    monkeypatch.setitem(sys.modules, "scipy.sparse", None)
    with pytest.raises(UnsupportedMediaTypeError, match="A sparse RecordIO body is not supported"):
        recordio.decode(body)


@pytest.mark.parametrize("prediction", [["a"], {"a": 1}, [1j], scipy.sparse.csr_matrix([[1j]])])
def test_values_that_are_not_numbers_are_an_encode_error(prediction):
    with pytest.raises(EncodeError, match="RecordIO"):
        recordio.encode(prediction)
