"""Content codings (RFC 9110 section 8.4): bodies that come or go compressed.

gzip and deflate are read; gzip is written, where the client accepts it and it is worth the time.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

from sagemaker_inference import _budget
from sagemaker_inference import _content_types as content_types
from sagemaker_inference._errors import DecodeError, PayloadTooLargeError, UnsupportedMediaTypeError

if TYPE_CHECKING:
    from sagemaker_inference.codecs import Body

# zlib's numbers for "gzip header" and "zlib or gzip header, whichever comes".
_GZIP: Final = 31
_DETECT: Final = 47
_RAW: Final = -15
_MEMBER: Final = b"\x1f\x8b"
# What follows a member is copied, so that no more than this may follow.
_PIECE: Final = 1 << 16
# Below this a packet or two go out anyway, and compressing takes longer than sending.
LEAST_SIZE: Final = 32 << 10
# Fastest: an answer waits for it.
_LEVEL: Final = 1
_COMPRESSED: Final = ("image/", "audio/", "video/", "application/x-npz", "application/x-parquet")


def unpack(body: Body, codings: str) -> Body:
    """Undo the codings of a Content-Encoding header, the last one first.

    Raises:
        DecodeError: the body is not so coded, cut off, or something else follows its end.
        PayloadTooLargeError: it unpacks to far more than was sent.
        UnsupportedMediaTypeError: an unknown coding.
    """
    for name in reversed([coding.strip().lower() for coding in codings.split(",")]):
        if name in ("gzip", "x-gzip", "deflate"):
            body = _inflate(body, name)
        elif name not in ("", "identity"):
            message = f"Content-Encoding {name[:40]!r} is not supported; send gzip or none."
            raise UnsupportedMediaTypeError(message)
    return body


def _inflate(body: Body, name: str) -> bytes | bytearray:
    limit = _budget.unpacked_limit(len(body))
    # "deflate" should have a zlib header, and often comes without (RFC 9110 section 8.4.1.2).
    is_raw = name == "deflate" and bytes(body[:1])[:1] not in (b"\x78", b"\x1f")
    view = memoryview(body)
    unpacked = bytearray()
    place = 0
    while True:
        engine = zlib.decompressobj(_RAW if is_raw else _DETECT)
        while place < len(view) and not engine.eof:
            piece = view[place : place + _PIECE]
            try:
                unpacked += engine.decompress(piece, limit + 1 - len(unpacked))
            except zlib.error as error:
                message = f"the body is not {name}: {str(error)[:100]}"
                raise DecodeError(message) from None
            if len(unpacked) > limit:
                message = f"The {name} body of {len(body)} bytes unpacks to more than {limit}"
                raise PayloadTooLargeError(message)
            place += len(piece) - len(engine.unused_data)
        if not engine.eof:
            message = f"the {name} body is cut off after {len(body)} bytes"
            raise DecodeError(message)
        if place == len(view):
            return unpacked
        # RFC 1952 section 2.2: gzip may have members, one behind the other.
        if bytes(view[place : place + 2]) != _MEMBER:
            message = f"the {name} body ends {len(view) - place} bytes before what was sent"
            raise DecodeError(message)


def is_worth_packing(size: int, content_type: str, accept_encoding: str) -> bool:
    """Whether an answer should go out as gzip."""
    if size < LEAST_SIZE or not accept_encoding or content_type.startswith(_COMPRESSED):
        return False
    # Codings are listed and weighed as types in Accept are.
    ranges = dict(content_types.parse_accept(accept_encoding))
    return ranges.get("gzip", ranges.get(content_types.ANY, 0.0)) > 0


def pack(body: Body) -> bytes:
    """A body as gzip."""
    engine = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    return engine.compress(body) + engine.flush()
