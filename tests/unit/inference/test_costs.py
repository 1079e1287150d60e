"""What requests of up to 25 MB cost: those that are answered, and those that are refused."""

from __future__ import annotations

import gzip
import io
import zipfile
from functools import cache
from urllib.parse import quote_from_bytes

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from support.cost import MIB, REFUSED_GROWTH, SECONDS, cost_of
from support.large import SIZE, large_json, records, repeated

from sagemaker_inference import Registry, Request, _budget, assemble
from sagemaker_inference._http.messages import Headers, Part
from sagemaker_inference._inference.inference_handler import run_without_loop
from sagemaker_inference.codecs import decodable, for_content_type, parquet
from sagemaker_inference.codecs import json as json_codec

# They take minutes, and no Python differs in what they are about.
pytestmark = pytest.mark.once

MULTIPART = "multipart/form-data; boundary=B"
FORM = "application/x-www-form-urlencoded"
ARROW = "application/vnd.apache.arrow.stream"


def program():
    registry = Registry()
    registry.model_loader(lambda: None)
    registry.predictor(lambda data: getattr(data, "shape", None) or len(data))
    return assemble(registry)


# Imported before children are measured.
for name in decodable():
    for_content_type(name)
HANDLER = program()


def ask(body, content_type, codings=""):
    """The status of a request, the message of its error, and the budget that is left behind."""
    headers = {"Content-Encoding": codings} if codings else {}
    request = Request.from_body(body, content_type, "application/json", headers)
    [response] = run_without_loop(HANDLER.answer([request]))
    assert _budget.of(b"").sent == 0, "the budget of the request has not ended"
    return response.status, bytes(response.body[:300])


def large_json_lines():
    text = b"\n".join(records()) + b"\n"
    return text * (SIZE // len(text))


def large_csv():
    rows = b"".join(
        f"{number},name {number % 977},{number / 7:.6f}\n".encode() for number in range(20_000)
    )
    return rows * (SIZE // len(rows))


def large_npy():
    buffer = io.BytesIO()
    np.save(buffer, np.random.default_rng(0).random((SIZE - 128) // 8))
    return buffer.getvalue()


@pytest.mark.parametrize("codings", ["", "gzip"])
@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", large_json),
        ("application/jsonlines", large_json_lines),
        ("text/csv", large_csv),
        ("application/x-npy", large_npy),
    ],
)
def test_25_mb_are_answered_and_their_memory_is_given_back(content_type, body, codings):
    sent = unpacked = body()
    if codings:
        sent = gzip.compress(unpacked, 1)
    cost = cost_of(lambda: ask(sent, content_type, codings)[0])
    assert cost.result == 200
    assert cost.growth <= 64 * MIB + 20 * len(unpacked)
    assert cost.kept <= 64 * MIB


@pytest.mark.parametrize(
    ("content_type", "text"),
    [
        ("application/json", b"[1,%b2]"),
        ("application/json", b'["a",%b2]'),
        ("application/jsonlines", b"1\n%b\n2"),
        ("text/csv", b"1,%b2"),
        ("text/libsvm", b"1 1:1%b2:2"),
    ],
)
def test_blanks_are_read_within_a_few_times_their_size(content_type, text):
    body = gzip.compress(text % (b" " * (64 * MIB - 100)), 1)
    cost = cost_of(lambda: ask(body, content_type, "gzip"))
    assert cost.result[0] == 200
    assert cost.growth <= 8 * 64 * MIB
    assert cost.seconds < SECONDS


def compressed_arrow():
    table = pa.table({"a": pa.array(np.zeros(8_000_000))})
    buffer = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(buffer, table.schema, options=options) as writer:
        writer.write_table(table)
    return buffer.getvalue()


def nulls():
    table = pa.table({"a": pa.nulls(2_000_000_000)})
    buffer = io.BytesIO()
    with pa.ipc.new_stream(buffer, table.schema) as writer:
        writer.write_table(table)
    return buffer.getvalue()


def nested_nulls():
    lists = pa.FixedSizeListArray.from_arrays(pa.nulls(1_000_000_000), 1_000_000_000)
    table = pa.table({"a": pa.StructArray.from_arrays([lists], ["b"])})
    buffer = io.BytesIO()
    with pa.ipc.new_stream(buffer, table.schema) as writer:
        writer.write_table(table)
    return buffer.getvalue()


def compressed_npz():
    buffer = io.BytesIO()
    np.savez_compressed(buffer, a=np.zeros(8_000_000))
    return buffer.getvalue()


def zip_of_many():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(26_000):
            archive.writestr(str(number), b"")
    return buffer.getvalue()


def large_parquet():
    return bytes(parquet.encode({"a": np.zeros(9_000_000)}))


def image(kind, width, height, cut=0, **options):
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (9, 99, 199)).save(buffer, kind, **options)
    body = buffer.getvalue()
    return body[: len(body) - cut]


def jpeg_of_many_scans():
    body = image("JPEG", 4000, 4000, progressive=True)
    start, end = body.rindex(b"\xff\xda"), len(body) - 2
    return body[:start] + body[start:end] * 150 + body[end:]


def png_of_many_chunks():
    body = image("PNG", 9, 9)
    position = body.index(b"IDAT") - 4
    chunk = bytes(4) + b"teSt" + bytes.fromhex("bc0a4e28")
    return body[:position] + chunk * 300_000 + body[position:]


def form_of(content_type, body, count):
    header = (
        f"--B\r\nContent-Disposition: form-data; name=a\r\nContent-Type: {content_type}\r\n\r\n"
    )
    return (header.encode() + body + b"\r\n") * count + b"--B--\r\n"


RECORD = b'{"a": 1, "b": 2.5, "c": "text"}'
COSTLY = {
    "JSON of empty lists": ("application/json", lambda: repeated(b"[],", start=b"[", end=b"1]")),
    "JSON of small objects": ("application/json", lambda: repeated(b'{"a":1},', end=b"]")),
    "JSON of nested objects": (
        "application/json",
        lambda: repeated(b'{"":' * 500 + b"1" + b"}" * 500 + b",", start=b"[", end=b"1]"),
    ),
    "JSON that ends too early": (
        "application/json",
        lambda: repeated(RECORD + b",", start=b"["),
    ),
    "JSON of NaN that ends too early": (
        "application/json",
        lambda: repeated(b'{"a": NaN, "b": -Infinity, "c": Infinity},', start=b"["),
    ),
    "JSON of NaN alone that ends too early": (
        "application/json",
        lambda: repeated(b"NaN,", start=b"["),
    ),
    "JSON of numbers before a bad one": (
        "application/json",
        lambda: repeated(b"1.5,", start=b"[", end=b"1NaN]"),
    ),
    "JSON of long integers that ends too early": (
        "application/json",
        lambda: repeated(b"12345678901234567890123,", start=b"["),
    ),
    "JSON of escapes": (
        "application/json",
        lambda: repeated(b'\\"', start=b"[" * 1025 + b'"', end=b"NaN"),
    ),
    "JSON of opening brackets": ("application/json", lambda: repeated(b"[")),
    "JSON Lines of empty objects": ("application/jsonlines", lambda: repeated(b"{}\n")),
    "JSON Lines before a bad one": (
        "application/jsonlines",
        lambda: repeated(RECORD + b"\n") + b"{",
    ),
    "JSON Lines of NaN": ("application/jsonlines", lambda: repeated(b"NaN\n")),
    "JSON Lines of NaN before a bad one": (
        "application/jsonlines",
        lambda: repeated(b'{"a": NaN, "b": 2.5, "c": "text", "d": "more text"}\n') + b"{",
    ),
    "blank lines": ("application/jsonlines", lambda: repeated(b"\n", start=b"x")),
    "CSV of quotes": ("text/csv", lambda: repeated(b'"')),
    "CSV of an open quote": ("text/csv", lambda: repeated(b'"abcdef","1"\n') + b'"'),
    "CSV of quotes within cells": ("text/csv", lambda: repeated(b'abcdefghijkl"m,n\n')),
    "CSV of short texts": ("text/csv", lambda: repeated(b"ab,c\n")),
    "CSV of commas": ("text/csv", lambda: repeated(b",")),
    "CSV with a short row at its end": ("text/csv", lambda: repeated(b"12345,abcdef\n") + b"1"),
    "CSV with a short row of quotes": ("text/csv", lambda: repeated(b'"a,b","c"\n') + b'"1"'),
    "CSV that is not UTF-8": ("text/csv", lambda: repeated(b"12345,abcdef\n") + b"\xff,1"),
    "CSV of two long rows": ("text/csv", lambda: repeated(b"1,", end=b"1\n") + b"1,2"),
    "LIBSVM of short items": ("text/libsvm", lambda: repeated(b"1:1 ")),
    "LIBSVM before a bad item": (
        "text/libsvm",
        lambda: repeated(b"1 100000:1.5 2:2.5\n") + b"1 a:b",
    ),
    "LIBSVM before an index below 0": (
        "text/libsvm",
        lambda: repeated(b"1 qid:3 100000:1.5 2:2.5 # a comment\n") + b"1 -1:1",
    ),
    "LIBSVM of carriage returns": ("text/libsvm", lambda: repeated(b"\r")),
    "Arrow of nulls": (ARROW, nulls),
    "Arrow of nested nulls": (ARROW, nested_nulls),
    "40 parts of Arrow": (MULTIPART, lambda: form_of(ARROW, compressed_arrow(), 40)),
    "40 parts of NPZ": (MULTIPART, lambda: form_of("application/x-npz", compressed_npz(), 40)),
    "parts of JSON": (
        MULTIPART,
        lambda: form_of("application/json", b"[" + b"[]," * 800 + b"1]", 9000),
    ),
    "parts of Parquet": (
        MULTIPART,
        lambda: form_of("application/x-parquet", bytes(parquet.encode({"a": [1]})), 9000),
    ),
    "NPZ of many members": ("application/x-npz", zip_of_many),
    "Parquet of zeros": ("application/x-parquet", large_parquet),
    "JPEG of many scans": ("image/jpeg", jpeg_of_many_scans),
    "JPEG of many segments": ("image/jpeg", lambda: b"\xff\xd8" + b"\xff\xfe\0\2" * 200_000),
    "JPEG of padding": ("image/jpeg", lambda: b"\xff\xd8" + b"\xff" * 400_000),
    "JPEG of restarts": ("image/jpeg", lambda: b"\xff\xd8" + b"\xff\xd0" * 400_000),
    "PNG of many chunks": ("image/png", png_of_many_chunks),
    "PNG of too many pixels": ("image/png", lambda: image("PNG", 7900, 7900)),
    "WebP of too many pixels": ("image/webp", lambda: image("WEBP", 4200, 4200)),
    "PNG that is cut off": ("image/png", lambda: image("PNG", 4700, 4700, 2000)),
    "escapes in the name of a field": (FORM, lambda: repeated(b"%ff")),
    "a form that is JSON": (FORM, lambda: repeated(b"[],", start=b"[", end=b"1]")),
    "bytes": ("application/unknown", lambda: bytes(SIZE)),
}


@cache
def costly(name):
    content_type, body = COSTLY[name]
    return content_type, body()


@pytest.mark.parametrize("name", COSTLY)
@pytest.mark.parametrize("codings", ["", "gzip"])
def test_a_refused_request_costs_little(name, codings):
    content_type, body = costly(name)
    if codings:
        body = gzip.compress(body, 1)
    cost = cost_of(lambda: ask(body, content_type, codings))
    assert cost.result[0] in (400, 413, 415), cost
    assert cost.growth <= REFUSED_GROWTH
    assert cost.seconds < SECONDS


def test_gzip_of_many_members_is_refused():
    body = gzip.compress(b"") * 200_000
    cost = cost_of(lambda: ask(body, "text/csv", "gzip"))
    assert cost.result[0] == 413
    assert cost.seconds < SECONDS


def test_a_form_of_bombs_is_refused_by_name_limit_and_size():
    """668 bytes took 2.6 GB."""
    body = gzip.compress(gzip.compress(form_of(ARROW, compressed_arrow(), 40)))
    cost = cost_of(lambda: ask(body, MULTIPART, "gzip, gzip"))
    status, message = cost.result
    assert status == 413
    assert f"The Arrow body of {len(body)} bytes unpacks to 128".encode() in message
    assert b"over the limit of 67108864" in message


def test_a_transformer_shares_the_budget_of_its_request():
    registry = Registry()
    registry.model_loader(lambda: None)

    def transform(model, body, content_type, accept):
        return f"{_budget.of(b'').sent}"

    registry.transformer(transform)
    handler = assemble(registry)
    [response] = run_without_loop(handler.answer([Request.from_body(bytes(2000), "text/plain")]))
    assert bytes(response.body) == b"2000"
    assert _budget.of(b"").sent == 0


def test_parts_that_the_front_end_has_parsed_share_a_budget():
    registry = Registry()
    registry.model_loader(lambda: None)
    budgets = []

    def decode(body, content_type):
        budgets.append(_budget.of(body))

    registry.decoder("text/x-any")(decode)
    registry.predictor(len)
    fields = [Part(name, "text/x-any", bytes(30)) for name in "ab"]
    request = Request("id", Headers([("Content-Type", MULTIPART)]), b"", (), fields)
    run_without_loop(assemble(registry).answer([request]))
    assert budgets[0] is budgets[1]
    assert budgets[0].sent == 60


def zipped(size):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, a=np.zeros(size // 16), b=np.ones(size // 16))
    return buffer.getvalue()


BOMBS = {
    "application/json": lambda size: b"[" + b"[]," * (size // 3) + b"1]",
    "application/jsonlines": lambda size: b"{}\n" * (size // 3),
    "text/csv": lambda size: b'"",a\n' * (size // 5),
    "text/libsvm": lambda size: b"1:1 " * (size // 4),
    "text/plain": lambda size: b"a" * size,
    "application/x-npy": lambda size: bytes(for_content_type("application/x-npy").encode(
        np.zeros(size // 8), "")),
    "application/x-npz": zipped,
    "application/x-parquet": lambda size: bytes(parquet.encode({"a": np.zeros(size // 8)})),
    ARROW: lambda size: bytes(for_content_type(ARROW).encode({"a": np.zeros(size // 8)}, "")),
    "application/x-recordio-protobuf": lambda size: bytes(
        for_content_type("application/x-recordio-protobuf").encode(np.zeros((size // 40, 1)), "")
    ),
    "image/png": lambda size: image("PNG", 1000, max(1, size // 3000)),
    "image/webp": lambda size: image("WEBP", 1000, min(16_000, max(1, size // 3000))),
    "application/octet-stream": bytes,
}  # fmt: skip


def contained(container, parts):
    """A body that holds parts, its Content-Type and its content codings."""
    if container == "multipart":
        return b"".join(
            form_of(kind, body, 1)[:-7] for kind, body in parts
        ) + b"--B--\r\n", MULTIPART
    if container == "urlencoded":
        pairs = (b"a=" + quote_from_bytes(body, safe="").encode() for _, body in parts)
        return b"&".join(pairs), FORM
    return parts[0][1], parts[0][0]


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
@given(
    st.sampled_from(["body", "multipart", "urlencoded"]),
    st.lists(
        st.tuples(st.sampled_from(sorted(BOMBS)), st.sampled_from([1000, 3 * MIB, 12 * MIB])),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from(["", "gzip", "gzip, gzip", "deflate", "gzip, deflate, gzip"]),
)
def test_no_pair_of_container_and_format_costs_more_than_its_size_allows(container, parts, codings):
    bodies = [(kind, BOMBS[kind](size)) for kind, size in parts]
    body, content_type = contained(container, bodies)
    unpacked = len(body)
    for coding in filter(None, codings.split(", ")):
        body = gzip.compress(body, 1) if coding == "gzip" else deflated(body)
    if len(body) > SIZE:
        return
    cost = cost_of(lambda: ask(body, content_type, codings)[0])
    assert cost.result in (200, 400, 413, 415)
    allowed = 64 * MIB + 20 * unpacked if cost.result == 200 else REFUSED_GROWTH
    assert cost.growth <= allowed
    assert cost.seconds < SECONDS


def deflated(body):
    import zlib

    return zlib.compress(body, 1)


def test_numbers_that_need_python_are_read_all_the_same():
    text = repeated(b'{"a": NaN, "b": "xNaN", "c": 12345678901234567890123},', 2 * MIB, b"[", b"1]")
    values = json_codec.decode(text)
    assert values[0]["b"] == "xNaN"
    assert values[-2]["c"] == 12345678901234567890123
    assert values[-2]["a"] != values[-2]["a"]
