"""The sizes that pages of Parquet claim, whatever the end of the file does."""

from __future__ import annotations

import io
import itertools
import subprocess
import sys
import textwrap

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
    pages = _parquet_pages.unpacked_size(body, Budget(len(body)))
    assert 0.7 * said < pages <= said
    assert parquet.decode(body).num_rows == 30_000


def varint(value):
    """Zigzag, in five bytes."""
    value = value << 1 ^ value >> 63
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


LONG = 6  # a 64-bit integer of Thrift
STRUCTS = b"\x1c"  # a list of one struct


def column(start, size, values=1, dictionary=None):
    """The fields of a column's description."""
    offsets = (9, start), (11, dictionary)
    pairs = [(5, values), (7, size), *(pair for pair in offsets if pair[1] is not None)]
    return b"".join(bytes([LONG, number << 1]) + varint(value) for number, value in pairs)


def file(pages, fields):
    """A file with one column: row groups in field 4, columns in field 1, its description in 3."""
    metadata = b"\x49" + STRUCTS + b"\x19" + STRUCTS + b"\x3c" + fields + bytes(4)
    return pages + metadata + len(metadata).to_bytes(4, "little") + b"PAR1"


def size_of(pages, fields=None):
    body = file(pages, column(0, len(pages)) if fields is None else fields)
    return _parquet_pages.unpacked_size(body, Budget(9))


SIZES = b"\x15\x00\x15\xc8\x01\x15\x04"  # type 0, unpacks to 100 bytes from 2
PAGE = SIZES + b"\x00xx"


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
    assert size_of(header + b"xx") == 100


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        (b"\x1b\x00", "type 11"),
        (b"\x1c" * 9, "deeper than 8 levels"),
        (b"\x15" + b"\xff" * 11, "over 64 bits"),
        (b"\x15\x00\x15" + b"\xff" * 4 + b"\x10", "over 32 bits"),
        (b"\x15\x00\x00", "without a size"),
        (SIZES + b"\x05\x04\x00", "field 2 comes twice"),
        (b"\x05\x84\x80\x08\x00", "over 16 bits"),
    ],
)
def test_headers_that_no_writer_makes_are_refused(header, problem):
    with pytest.raises(ValueError, match=problem):
        size_of(header + bytes(20))


def test_pages_of_all_columns_are_counted():
    assert size_of(PAGE + PAGE) == 200
    assert size_of(PAGE + PAGE, column(len(PAGE), len(PAGE))) == 100
    assert size_of(PAGE + PAGE, column(len(PAGE), len(PAGE), dictionary=0)) == 100
    assert size_of(b"1234" + PAGE + PAGE, column(4 + len(PAGE), 2 * len(PAGE), dictionary=4)) == 200
    assert size_of(PAGE, column(-1, 9, values=0)) == 0


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        (column(-1, 9), "a column at byte -1"),
        (column(None, 9), "a column at byte -1"),
        # Arrow would read these encodings as 32-bit integers, and then other fields than we do.
        (b"\x29\x13\x00", "a list of type 3 instead of 5"),
    ],
)
def test_columns_that_no_writer_makes_are_refused(fields, problem):
    with pytest.raises(ValueError, match=problem):
        size_of(PAGE, fields)


def test_fields_of_another_type_are_not_read():
    header = b"\x15\x00\x16\x02\x15\x04\x00"  # the size has 64 bits: Arrow takes none
    assert size_of(header + b"xx") == 0


def test_lists_within_structs_are_skipped():
    sizes = b"\x0c\x20\x29\x16\x02\x00"  # field 16 with a list of one integer
    assert size_of(PAGE, column(0, len(PAGE)) + sizes) == 100


@pytest.mark.parametrize(
    "fields", [b"\x15\x00\x15\x00\x15\x00\x00" * 60_000, b"\x19\xf3" + b"\xff" * 3]
)
def test_a_file_of_empty_pages_or_of_long_lists_takes_too_many_steps(fields):
    with pytest.raises(PayloadTooLargeError, match="steps to read"):
        size_of(fields + b"\x3f" + bytes(1_100_000 if len(fields) < 9 else 0))


BODY = written(TABLE.slice(0, 20))


@given(st.integers(0, len(BODY) - 1), st.integers(0, 255))
def test_a_changed_byte_is_read_or_refused(position, byte):
    changed = bytes(itertools.chain(BODY[:position], [byte], BODY[position + 1 :]))
    try:
        parquet.decode(changed)
    except (DecodeError, PayloadTooLargeError):
        return


def test_no_byte_at_the_end_of_a_file_ends_the_process():
    code = f"""
        from sagemaker_inference.codecs import parquet
        from sagemaker_inference.errors import DecodeError, PayloadTooLargeError
        body = bytes.fromhex("{BODY.hex()}")
        start = len(body) - 8 - int.from_bytes(body[-8:-4], "little")
        for position in range(start, len(body)):
            for byte in (0, 1, 64):
                try:
                    parquet.decode(body[:position] + bytes([byte]) + body[position + 1 :])
                except (DecodeError, PayloadTooLargeError):
                    pass
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (result.returncode, result.stderr) == (0, "")
