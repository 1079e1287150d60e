from __future__ import annotations

import numpy as np
import pytest

from sagemaker_inference.codecs import octet_stream
from sagemaker_inference.errors import EncodeError


@pytest.mark.parametrize("body", [b"\x00\xff", bytearray(b"a"), memoryview(b"b")])
def test_bytes_are_not_copied(body):
    assert octet_stream.encode(body) is body
    if isinstance(body, bytes):
        assert octet_stream.decode(body) is body


@pytest.mark.parametrize("body", [b"a,b", bytearray(b"a,b"), memoryview(b"a,b")])
def test_a_body_is_bytes_however_it_arrives(body):
    assert octet_stream.decode(body).split(b",") == [b"a", b"b"]


def test_text_and_arrays_are_written_as_their_bytes():
    assert octet_stream.encode("é") == b"\xc3\xa9"
    array = np.arange(3.0)
    assert octet_stream.encode(array) == array.tobytes()
    assert octet_stream.encode(np.float32(1)) == np.float32(1).tobytes()


@pytest.mark.parametrize(
    "prediction", ["\ud800", [1, 2], {"a": 1}, 3, None, np.array(["a"]), object()]
)
def test_anything_else_is_an_encode_error(prediction):
    with pytest.raises(EncodeError, match="cannot be written as bytes"):
        octet_stream.encode(prediction)
