"""The sizes that pages of Parquet claim, whatever the end of the file does."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagemaker_inference._budget import Budget
from sagemaker_inference.codecs import _parquet_pages, parquet
from sagemaker_inference.errors import DecodeError, PayloadTooLargeError

TABLE = pa.table(
    {
        "a": np.arange(30_000) / 7,
        "b": [f"text {number % 50}" for number in range(30_000)],
        "c": [[1, 2]] * 30_000,
        "d": pa.array([{"e": None}, {"e": 1.5}] * 15_000),
    }
)


def written(table, **options):
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "zstd", "write_statistics": False},
        {"compression": "none", "use_dictionary": False},
        {"data_page_version": "2.0", "write_page_checksum": True},
        {"row_group_size": 1000, "write_page_index": True},
    ],
)
def test_honest_files_unpack_to_what_their_end_says_but_for_headers(options):
    body = written(TABLE, **options)
    metadata = pq.read_metadata(io.BytesIO(body))
    said = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    pages = _parquet_pages.unpacked_size(body, metadata, Budget(len(body)))
    assert 0.7 * said < pages <= said
    assert parquet.decode(body).num_rows == 30_000


def varint(value):
    """Zigzag, in five bytes."""
    value <<= 1
    return bytes((value >> shift & 127) | 128 for shift in (0, 7, 14, 21)) + bytes([value >> 28])


def test_a_file_that_claims_to_be_small_is_refused():
    size = 40_000_000
    options = {"data_page_size": 1 << 30, "max_rows_per_page": 1 << 30, "row_group_size": size}
    body = written(
        pa.table({"a": np.zeros(size)}),
        compression="zstd",
        use_dictionary=False,
        write_statistics=False,
        **options,
    )
    group = pq.read_metadata(io.BytesIO(body)).row_group(0)
    start = len(body) - 8 - int.from_bytes(body[-8:-4], "little")
    end = body[start:]
    for claimed in (group.total_byte_size, group.column(0).total_uncompressed_size):
        end = end.replace(varint(claimed), varint(100))
    body = body[:start] + end
    assert pq.read_metadata(io.BytesIO(body)).row_group(0).total_byte_size == 100
    with pytest.raises(PayloadTooLargeError, match=r"Parquet body of \d+ bytes unpacks to 32"):
        parquet.decode(body)


class Column:
    has_dictionary_page = True
    num_values = 1

    def __init__(self, start, size):
        self.data_page_offset = self.dictionary_page_offset = start
        self.total_compressed_size = size


class Metadata:
    """One column."""

    num_row_groups = num_columns = 1

    def __init__(self, start, size):
        self.column = lambda _: Column(start, size)
        self.row_group = lambda _: self


SIZES = b"\x15\x00\x15\xc8\x01\x15\x04"  # type 0, unpacks to 100 bytes from 2


def test_every_type_of_thrift_is_skipped():
    header = (
        SIZES
        + b"\x11\x12"  # booleans
        + b"\x13\x07"  # a byte
        + b"\x17" + bytes(8)  # a double
        + b"\x18\x03abc"
        + b"\x19\x21\x01\x02"  # a list of two booleans
        + b"\x1a\xf5\x0f" + b"\x02" * 15  # a set of 15 integers
        + b"\x1c\x05\x40\x02\x00"  # a struct with a field by its number
        + b"\x00"
    )  # fmt: skip
    body = header + b"xx"
    assert _parquet_pages.unpacked_size(body, Metadata(0, len(body)), Budget(9)) == 100


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        (b"\x1b\x00", "type 11"),
        (b"\x1c" * 9, "deeper than 4 levels"),
        (b"\x19\xf5\xff\x7f", "a list of 16383 items"),
        (b"\x15" + b"\xff" * 11, "over 64 bits"),
        (b"\x15\x00\x00", "without a size"),
    ],
)
def test_headers_that_no_writer_makes_are_refused(header, problem):
    with pytest.raises(ValueError, match=problem):
        _parquet_pages.unpacked_size(header + bytes(20), Metadata(0, 9), Budget(9))
    with pytest.raises(ValueError, match="a column at byte -1"):
        _parquet_pages.unpacked_size(header, Metadata(-1, 9), Budget(9))


def test_a_file_of_empty_pages_takes_too_many_steps():
    header = b"\x15\x00\x15\x00\x15\x00\x00"
    with pytest.raises(PayloadTooLargeError, match="steps to read"):
        _parquet_pages.unpacked_size(header * 60_000, Metadata(0, 420_000), Budget(9))


BODY = written(TABLE.slice(0, 20))


@given(st.integers(0, len(BODY) - 1), st.integers(0, 255))
def test_a_changed_byte_is_read_or_refused(position, byte):
    changed = bytes(itertools.chain(BODY[:position], [byte], BODY[position + 1 :]))
    try:
        parquet.decode(changed)
    except (DecodeError, PayloadTooLargeError):
        return
