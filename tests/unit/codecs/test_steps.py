"""Work that grows with the parts of a body, and long forms."""

from __future__ import annotations

import os
import struct
from urllib.parse import quote_from_bytes

import pytest

from sagemaker_inference.codecs import form, libsvm, npz, recordio
from sagemaker_inference.codecs._protobuf import field
from sagemaker_inference.errors import DecodeError, PayloadTooLargeError

FORM = "application/x-www-form-urlencoded"


def record_of_single_values(count):
    values = b"\x0d\0\0\0\0" * count
    entry = field(1, b"values") + field(2, field(2, values))
    record = field(1, entry)
    return struct.pack("<II", 0xCED7230A, len(record)) + record + bytes(-len(record) % 4)


@pytest.mark.once
def test_values_of_recordio_that_are_not_packed_are_steps():
    assert recordio.decode(record_of_single_values(200)).shape == (1, 200)
    with pytest.raises(PayloadTooLargeError, match=r"RecordIO body of \d+ bytes takes \d+ steps"):
        recordio.decode(record_of_single_values(600_000))


def test_items_of_libsvm_are_steps():
    with pytest.raises(PayloadTooLargeError, match=r"LIBSVM body of 12000012 bytes takes 1000001"):
        libsvm.decode(b"1:1 " * 3_000_003)


def test_entries_of_a_zip_are_steps():
    with pytest.raises(PayloadTooLargeError, match="NPZ body of 1200000 bytes takes 12000000"):
        npz.decode(b"PK\x01\x02" * 300_000)


@pytest.mark.parametrize(
    "data", [os.urandom(200_000), b"%+ a&=" * 30_000], ids=["random", "escaped"]
)
def test_many_escapes_are_read_as_few(data):
    text = quote_from_bytes(data, safe="")
    for body in (text, text.replace("%2B", "%2b")):
        decoded = form.decode(b"a=" + body.encode(), f"{FORM}; charset=latin-1")
        assert decoded == {"a": data.decode("latin-1")}


def test_a_long_body_of_json_is_not_taken_for_a_form():
    with pytest.raises(DecodeError, match="it is JSON"):
        form.decode(b"[" + b"1," * 50_000 + b"1]", FORM)


def test_a_long_form_may_begin_with_a_bracket():
    assert form.decode(b"[a]=1&b=" + b"x" * 100_000, FORM) == {"[a]": "1", "b": "x" * 100_000}
