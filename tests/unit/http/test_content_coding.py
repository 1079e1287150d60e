"""Bodies that come or go compressed."""

import gzip
import os
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagemaker_inference._http import content_coding
from sagemaker_inference._http.messages import Headers, Request
from sagemaker_inference._inference import assembly
from sagemaker_inference._inference.inference_handler import run_without_loop
from sagemaker_inference._program.registry import Registry
from sagemaker_inference.errors import (
    DecodeError,
    PayloadTooLargeError,
    UnsupportedMediaTypeError,
)

BODY = b"[1, 2, 3]"


def raw_deflate(body):
    engine = zlib.compressobj(wbits=-15)
    return engine.compress(body) + engine.flush()


def gzipped(body):
    """Without the time: names of tests have to be the same in each process."""
    return gzip.compress(body, mtime=0)


@pytest.mark.parametrize(
    ("packed", "codings"),
    [
        (gzipped(BODY), "gzip"),
        (gzipped(BODY), "X-GZIP"),
        (zlib.compress(BODY), "deflate"),
        (raw_deflate(BODY), "deflate"),
        (gzipped(zlib.compress(BODY)), "deflate, gzip"),
        (gzipped(BODY[:4]) + gzipped(b"") + gzipped(BODY[4:]), "gzip"),
        (BODY, "identity"),
        (BODY, ""),
    ],
)
def test_what_was_packed_is_unpacked(packed, codings):
    assert content_coding.unpack(packed, codings) == BODY
    assert content_coding.unpack(memoryview(packed), codings) == BODY


@given(st.binary())
def test_packing_comes_back(body):
    assert content_coding.unpack(content_coding.pack(body), "gzip") == body


@pytest.mark.parametrize("length", [1, 5, 12, len(gzip.compress(BODY)) - 1])
def test_a_truncated_body_is_400(length):
    with pytest.raises(DecodeError, match="truncated"):
        content_coding.unpack(gzip.compress(BODY)[:length], "gzip")


@given(st.binary(min_size=1))
def test_garbage_is_400(body):
    try:
        content_coding.unpack(body, "gzip")
    except DecodeError:
        return
    assert gzip.decompress(body) is not None


def test_a_bomb_is_413():
    bomb = gzip.compress(bytes(65 << 20))
    with pytest.raises(
        PayloadTooLargeError, match=r"unpacks to \d+ bytes, over the limit of 67108864"
    ):
        content_coding.unpack(bomb, "gzip")


def test_an_unknown_coding_is_415():
    with pytest.raises(UnsupportedMediaTypeError, match="'br' is not supported"):
        content_coding.unpack(BODY, "br")


@pytest.mark.parametrize(
    ("size", "content_type", "accepted", "worth"),
    [
        (1 << 20, "application/json", "gzip", True),
        (1 << 20, "application/json", "deflate, GZIP;q=0.5", True),
        (1 << 20, "application/json", "*", True),
        (1 << 20, "application/json", "gzip;q=0, *", False),
        (1 << 20, "application/json", "br", False),
        (1 << 20, "application/json", "", False),
        (1 << 20, "image/png", "gzip", False),
        (1 << 10, "application/json", "gzip", False),
    ],
)
def test_answers_are_packed_where_it_pays(size, content_type, accepted, worth):
    assert content_coding.is_worth_packing(size, content_type, accepted) is worth


@pytest.fixture
def echo():
    registry = Registry()
    registry.model_loader(lambda: None)

    @registry.transformer
    def transform(model, body, content_type, accept, context):
        if context.headers.get("X-Packed"):
            context.set_response_header(0, "content-encoding", "own")
        return body, "text/plain"

    return assembly.assemble(registry, "inference.py")


def asked(handler, body, **headers):
    given_headers = [(name.replace("_", "-"), value) for name, value in headers.items()]
    request = Request("id", Headers(given_headers), body)
    return run_without_loop(handler.answer([request]))[0]


def test_a_large_answer_goes_out_as_the_client_accepts_it(echo):
    body = os.urandom(100) * 1000
    packed = gzip.compress(body)
    response = asked(echo, packed, Content_Encoding="gzip", Accept_Encoding="gzip")
    assert response.headers["Content-Encoding"] == "gzip"
    assert response.headers["Vary"] == "Accept-Encoding"
    assert gzip.decompress(response.body) == body
    assert asked(echo, body).body == body
    assert asked(echo, body, Accept_Encoding="gzip", X_Packed="1").body == body


def test_a_body_that_cannot_be_unpacked_is_the_clients_fault(echo):
    assert asked(echo, b"x", Content_Encoding="gzip").status == 400
    assert asked(echo, b"x", Content_Encoding="br").status == 415


@pytest.mark.parametrize("more", [b"x", b"\x1f", zlib.compress(BODY)])
def test_data_after_a_compressed_body_is_400(more):
    with pytest.raises(DecodeError, match=f"followed by {len(more)} other bytes"):
        content_coding.unpack(gzip.compress(BODY) + more, "gzip")
