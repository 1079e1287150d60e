"""Where the records of a body are, and how answers are joined."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagemaker_inference._inference import records
from sagemaker_inference._inference.records import Output, columns_of, divide, join, single
from sagemaker_inference.codecs import csv, jsonlines, recordio

RECORDIO = "application/x-recordio-protobuf"


def parts(body: bytes, content_type: str) -> list[bytes] | None:
    found = divide(body, content_type)
    return found and [found.part(index, index + 1) for index in range(found.count)]


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b"1,2\n3,4\n", "text/csv", [b"1,2", b"3,4"]),
        (b"1,2\r\n3,4", "text/CSV; charset=latin-1", [b"1,2", b"3,4"]),
        (b"1\r2\r\r3", "text/csv", [b"1", b"2", b"3"]),
        (b"\n\n1\n \t\n 2\n\n", "application/csv", [b"1", b" 2"]),
        (b'"a\nb",1\n"c""\n",2\n', "text/csv", [b'"a\nb",1', b'"c""\n",2']),
        (b'a,1\n"b,2\nc,3\n', "text/csv", [b"a,1", b'"b,2', b"c,3"]),
        (b"a,b\n1,2\n3,4\n", "text/csv; header=present", [b"a,b\n1,2", b"a,b\n3,4"]),
        (b"a,b\n", "text/csv; header=present", []),
        (b"", "text/csv; header=present", []),
        (b"a,b\n1,2\n", "text/csv; header=absent", [b"a,b", b"1,2"]),
        (b'{"a": "\\n"}\n[1,\r2]\n', "application/jsonlines", [b'{"a": "\\n"}', b"[1,\r2]"]),
        (b'"\n"\n\r\n1', "application/x-ndjson", [b'"', b'"', b"1"]),
        (b"", "application/jsonlines", []),
        (b"1,2\n", "text/csv; charset=utf-16", None),
        (b"1,2\n", "text/csv; charset=no-such", None),
        (b"[1,2]\n", "application/json", None),
        (b"1 2:3\n", "text/libsvm", None),
        (b"1\n", "application/x-no-such", None),
        (b"1\n", "", None),
    ],
)
def test_where_records_are(body: bytes, content_type: str, expected: list[bytes] | None) -> None:
    assert parts(body, content_type) == expected


def test_records_of_recordio_are_its_frames() -> None:
    rows = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    found = divide(memoryview(recordio.encode(rows)), RECORDIO)
    assert found is not None
    assert found.count == 3
    assert (recordio.decode(found.part(1, 3)) == rows[1:]).all()
    # Of a length that is padded.
    frame = struct.pack("<II", 0xCED7230A, 5) + b"12345\0\0\0"
    assert parts(frame * 2, RECORDIO) == [frame, frame]
    assert parts(frame + frame[:13], RECORDIO) == [frame, frame[:13]]


@pytest.mark.parametrize(
    "body",
    [
        b"1234567",
        struct.pack("<II", 0xCED7230B, 0),
        struct.pack("<II", 0xCED7230A, 9) + b"12345678",
        struct.pack("<II", 0xCED7230A, 1 << 29 | 4) + b"1234",
    ],
)
def test_nobody_can_tell_where_broken_frames_end(body: bytes) -> None:
    assert divide(body, RECORDIO) is None
    assert records.holds_many(RECORDIO)
    assert not records.holds_many("application/json")


@given(st.lists(st.lists(st.integers(), min_size=1, max_size=3), min_size=1))
def test_the_records_of_json_lines_are_those_that_are_read(rows: list[list[int]]) -> None:
    body = b"".join(jsonlines.encode([row]) for row in rows)
    found = divide(body, "application/jsonlines")
    assert found is not None
    assert found.count == len(rows)
    for index, row in enumerate(rows):
        assert list(jsonlines.decode(found.part(index, index + 1))[0]) == row


@given(st.lists(st.text(st.sampled_from('ab,"\n\r ')), min_size=1, max_size=9))
def test_the_records_of_csv_are_those_that_are_written(cells: list[str]) -> None:
    body = csv.encode([[cell, "x"] for cell in cells])
    found = divide(body, "text/csv")
    assert found is not None
    assert found.count == len(cells)


def test_bodies_of_many_pieces_are_divided_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    body = b'1,"a\n\nb"\n2,c\n' * 20
    whole = parts(body, "text/csv")
    monkeypatch.setattr(records, "_PIECE", 7)
    assert parts(body, "text/csv") == whole
    assert whole is not None
    assert len(whole) == 40


def test_a_body_is_one_record_where_its_format_has_none() -> None:
    found = single(bytearray(b"ab\ncd"))
    assert (found.count, found.part(0, 1), found.are_many) == (1, b"ab\ncd", False)


@pytest.mark.parametrize(
    ("body", "content_type", "columns"),
    [
        (b"1,2,3\n4", "text/csv", 3),
        (b'"a,b",2\n', "text/csv; charset=utf-8", 2),
        (b"", "text/csv", 0),
        (b"1,2", "application/jsonlines", 0),
        (b"x" * 200_000 + b",1\n", "text/csv", 0),
    ],
)
def test_columns_are_those_of_the_first_row(body: bytes, content_type: str, columns: int) -> None:
    assert columns_of(body, content_type) == columns


ERROR = {"code": "c", "message": "m"}
DOCUMENT = b'{"error":{"code":"c","message":"m"}}'


@pytest.mark.parametrize(
    ("content_type", "bodies", "expected"),
    [
        ("text/csv", [b"1,2\n3,4\n", None, b"5,6"], b"1,2\n3,4\n,\n5,6\n"),
        ("application/jsonlines", [b"1\n2\n", None], b"1\n2\n" + DOCUMENT + b"\n"),
        ("application/json", [b"[1, 2]\n", None], b"[1, 2," + DOCUMENT + b"]"),
        ("application/json", [None], b"[" + DOCUMENT + b"]"),
        # Not one for each record.
        ("application/json", [b"[1]", None], None),
        ("application/json", [b'{"a": 1}', None], None),
        ("application/json", [b"nonsense", None], None),
        ("application/x-npy", [b"x", None], None),
        ("text/x-no-such", [b"x", None], None),
    ],
)
def test_answers_are_joined_with_placeholders(
    content_type: str, bodies: list[bytes | None], expected: bytes | None
) -> None:
    outputs = [
        Output(1, error=ERROR) if body is None else Output(2 if body[-1:] in b"\n]" else 1, body)
        for body in bodies
    ]
    assert join(outputs, content_type, columns=2, are_many=True) == expected


def test_what_is_one_record_is_one_document() -> None:
    output = Output(1, error=ERROR)
    assert join([output], "application/json", columns=1, are_many=False) == DOCUMENT
    assert join([output], "text/csv", columns=1, are_many=False) == b'""\n'
