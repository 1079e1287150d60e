"""Cut files into records, and records into the bodies of requests, as batch transform does."""

from __future__ import annotations

import struct
from typing import IO, TYPE_CHECKING, Final, NamedTuple

from sagemaker_inference._cli._command import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Reader = Callable[[IO[bytes]], Iterator["Record"]]

_MAGIC: Final = 0xCED7230A
_MAGIC_BYTES: Final = _MAGIC.to_bytes(4, "little")
_RECORDIO: Final = struct.Struct("<II")
_LENGTH_BITS: Final = 29
_LENGTH_MASK: Final = (1 << _LENGTH_BITS) - 1
# The parts of a record.
_ALONE, _FIRST, _MIDDLE, _LAST = range(4)
_ALIGNMENT: Final = 4
# Length and checksum before a TFRecord, and a checksum behind it.
_TFRECORD: Final = struct.Struct("<QI")
_CHECKSUM: Final = 4
# More than any request may have: what says so is not a length, and there is no memory for it.
_LONGEST: Final = 1 << 31


class Record(NamedTuple):
    """A record: its bytes as they lie in the file, and without what is around them there."""

    whole: bytes
    content: bytes


class Batch(NamedTuple):
    """The body of a request, and how many records it has."""

    body: bytes
    records: int


def _file(stream: IO[bytes]) -> Iterator[Record]:
    whole = stream.read()
    yield Record(whole, whole)


def _lines(stream: IO[bytes]) -> Iterator[Record]:
    for line in stream:
        yield Record(line, line)


def _recordio(stream: IO[bytes]) -> Iterator[Record]:
    while head := stream.read(_RECORDIO.size):
        part, whole, content = _part(stream, head)
        if part not in (_ALONE, _FIRST):
            message = "the file is not RecordIO: a record begins with a later part of one."
            raise CommandError(message)
        pieces, contents = [whole], [content]
        # Where the magic number lies in a record, writers cut it there, and leave the number out.
        while part not in (_ALONE, _LAST):
            part, whole, content = _part(stream, stream.read(_RECORDIO.size))
            if part not in (_MIDDLE, _LAST):
                message = "the file is not RecordIO: a record begins before the last one ends."
                raise CommandError(message)
            pieces.append(whole)
            contents.append(content)
        yield Record(b"".join(pieces), _MAGIC_BYTES.join(contents))


def _part(stream: IO[bytes], head: bytes) -> tuple[int, bytes, bytes]:
    """Read a record or a part of one: which part it is, all its bytes, and its content."""
    magic, flag = _RECORDIO.unpack(_exactly(head, _RECORDIO.size))
    if magic != _MAGIC:
        message = "the file is not RecordIO: a record does not begin with its magic number."
        raise CommandError(message)
    length = flag & _LENGTH_MASK
    padded = length + -length % _ALIGNMENT
    content = _exactly(stream.read(padded), padded)
    return flag >> _LENGTH_BITS, head + content, content[:length]


def _tfrecord(stream: IO[bytes]) -> Iterator[Record]:
    while head := stream.read(_TFRECORD.size):
        length, _ = _TFRECORD.unpack(_exactly(head, _TFRECORD.size))
        if length > _LONGEST:
            message = "the file is not TFRecord: a record has a length that no request could have."
            raise CommandError(message)
        rest = _exactly(stream.read(length + _CHECKSUM), length + _CHECKSUM)
        yield Record(head + rest, rest[:length])


def _exactly(data: bytes, size: int) -> bytes:
    if len(data) < size:
        message = "the last record of the file is not complete."
        raise CommandError(message)
    return data


# By the platform's SplitType.
SPLITS: Final[dict[str, Reader]] = {
    "None": _file,
    "Line": _lines,
    "RecordIO": _recordio,
    "TFRecord": _tfrecord,
}


def batches(records: Iterable[Record], limit: int, *, is_multi: bool) -> Iterator[Batch]:
    """The bodies of requests.

    Args:
        records: the records of a file.
        limit: most bytes of a body; 0 for any.
        is_multi: whether a body has as many records as fit, as they lie in the file; else it has
            one, without what is around it.

    Raises:
        CommandError: a record has more bytes.
    """
    pieces: list[bytes] = []
    size = 0
    for number, record in enumerate(records, 1):
        piece = record.whole if is_multi else record.content
        if limit and len(piece) > limit:
            message = (
                f"record {number} has {len(piece)} bytes, and a request may have {limit}. Raise "
                "--max-payload-mb."
            )
            raise CommandError(message)
        if pieces and (not is_multi or (limit and size + len(piece) > limit)):
            yield Batch(b"".join(pieces), len(pieces))
            pieces, size = [], 0
        pieces.append(piece)
        size += len(piece)
    if pieces:
        yield Batch(b"".join(pieces), len(pieces))
