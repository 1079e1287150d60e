"""Records of RecordIO that writers have cut into parts."""

from __future__ import annotations

import io
import struct

import pytest

from sagemaker_inference._cli._command import CommandError
from sagemaker_inference._cli._transform.cutting import SPLITS, Record, batches

MAGIC = struct.pack("<I", 0xCED7230A)


def part(kind: int, content: bytes) -> bytes:
    """A record, or a part of one."""
    head = MAGIC + struct.pack("<I", kind << 29 | len(content))
    return head + content + b"\0" * (-len(content) % 4)


def cut(data: bytes) -> list[Record]:
    return list(SPLITS["RecordIO"](io.BytesIO(data)))


def test_the_parts_of_a_record_are_one_record() -> None:
    # Writers leave the magic number out where it lies in a record: twice here.
    several = part(1, b"abcd") + part(2, b"") + part(3, b"ef")
    first, middle, last = cut(part(0, b"first") + several + part(0, b"last"))
    assert (first.content, last.content) == (b"first", b"last")
    assert middle.whole == several
    assert middle.content == b"abcd" + MAGIC + MAGIC + b"ef"


def test_a_request_has_whole_records_though_parts_of_more_would_fit() -> None:
    several = part(1, b"x" * 30) + part(3, b"y" * 30)
    found = list(batches(cut(several * 2), 120, is_multi=True))
    assert [batch.body for batch in found] == [several, several]
    assert [batch.records for batch in found] == [1, 1]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (part(2, b"a"), "a record begins with a later part of one"),
        (part(3, b"a"), "a record begins with a later part of one"),
        (part(4, b"a"), "a record begins with a later part of one"),
        (part(1, b"a") + part(0, b"a"), "a record begins before the last one ends"),
        (part(1, b"a") + part(1, b"a"), "a record begins before the last one ends"),
        (part(1, b"a") + b"1" * 8, "a record does not begin with its magic number"),
        (part(1, b"a"), "the last record of the file is not complete"),
        (part(1, b"a") + part(3, b"abcde")[:-1], "the last record of the file is not complete"),
    ],
)
def test_parts_without_the_others_are_named(data: bytes, problem: str) -> None:
    with pytest.raises(CommandError, match=problem):
        cut(data)
