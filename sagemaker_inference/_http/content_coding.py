"""Content codings (RFC 9110 section 8.4): compressed request and response bodies.

gzip and deflate are read. gzip is written if the client accepts it and it is worth the time.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

from sagemaker_inference import _budget
from sagemaker_inference import _content_types as content_types
from sagemaker_inference._errors import DecodeError, UnsupportedMediaTypeError

if TYPE_CHECKING:
    from sagemaker_inference._budget import Budget
    from sagemaker_inference.codecs import Body

# zlib's numbers for "gzip header" and "zlib or gzip header, whichever comes".
_GZIP: Final = 31
_DETECT: Final = 47
_RAW: Final = -15
_MEMBER: Final = b"\x1f\x8b"
# zlib copies what follows a member; passing the body in pieces bounds that copy.
_PIECE: Final = 1 << 16
# What is unpacked at a time: a piece may unpack to a thousand times its size.
_STEP: Final = 1 << 20
_STEPS_A_MEMBER: Final = 6
# Smaller bodies fit a packet or two, and compressing them takes longer than sending them.
LEAST_SIZE: Final = 32 << 10
# The fastest level, since the client waits for it.
_LEVEL: Final = 1
_COMPRESSED: Final = ("image/", "audio/", "video/", "application/x-npz", "application/x-parquet")


def unpack(body: Body, codings: str) -> Body:
    """Undo the codings of a Content-Encoding header, the last one first.

    Raises:
        DecodeError: the body is not coded like this, is truncated, or is followed by other data.
        PayloadTooLargeError: it unpacks to more than the budget of the request allows.
        UnsupportedMediaTypeError: the coding is unknown.
    """
    budget = _budget.of(body)
    for name in reversed([coding.strip().lower() for coding in codings.split(",")]):
        if name in ("gzip", "x-gzip", "deflate"):
            body = _inflate(body, name, budget)
        elif name not in ("", "identity"):
            message = f"Content-Encoding {name[:40]!r} is not supported; send gzip, deflate or none"
            raise UnsupportedMediaTypeError(message)
    return body


def _inflate(body: Body, name: str, budget: Budget) -> bytes | bytearray:
    # "deflate" should have a zlib header, and often has none (RFC 9110 section 8.4.1.2).
    is_raw = name == "deflate" and bytes(body[:1])[:1] not in (b"\x78", b"\x1f")
    limit = budget.unpackable
    view = memoryview(body)
    unpacked = bytearray()
    position = 0
    while True:
        engine = zlib.decompressobj(_RAW if is_raw else _DETECT)
        while position < len(view) and not engine.eof:
            piece = view[position : position + _PIECE]
            try:
                unpacked += engine.decompress(piece, _STEP)
                while engine.unconsumed_tail and len(unpacked) <= limit:
                    unpacked += engine.decompress(engine.unconsumed_tail, _STEP)
            except zlib.error as error:
                message = f"The body is not {name}: {str(error)[:100]}"
                raise DecodeError(message) from None
            if len(unpacked) > limit:
                budget.unpack(len(unpacked), name)  # raises
            position += len(piece) - len(engine.unused_data)
        if not engine.eof:
            message = f"The {name} body is truncated after {len(body)} bytes"
            raise DecodeError(message)
        # Each member costs a call, be it empty.
        budget.step(_STEPS_A_MEMBER, name)
        if position == len(view):
            budget.unpack(len(unpacked), name)
            return unpacked
        # RFC 1952 section 2.2: a gzip body may consist of several members.
        if bytes(view[position : position + 2]) != _MEMBER:
            message = f"The {name} body is followed by {len(view) - position} other bytes"
            raise DecodeError(message)


def is_worth_packing(size: int, content_type: str, accept_encoding: str) -> bool:
    """Whether a response of this size should be sent as gzip."""
    if size < LEAST_SIZE or not accept_encoding or content_type.startswith(_COMPRESSED):
        return False
    # Accept-Encoding lists and weighs codings as Accept does types (RFC 9110 section 12.5.3).
    ranges = dict(content_types.parse_accept(accept_encoding))
    return ranges.get("gzip", ranges.get(content_types.ANY, 0.0)) > 0


def pack(body: Body) -> bytes:
    """A body as gzip."""
    engine = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    return engine.compress(body) + engine.flush()
