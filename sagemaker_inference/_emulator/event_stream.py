"""Messages of AWS's event-stream encoding.

https://smithy.io/2.0/aws/amazon-eventstream.html: the length of the message and of its headers, a
CRC32 of both, the headers, the payload, and a CRC32 of all before.
"""

from __future__ import annotations

import json
import struct
from binascii import crc32
from typing import Final

CONTENT_TYPE: Final = "application/vnd.amazon.eventstream"
# The type of a header whose value is a string.
_STRING: Final = 7
# Lengths and their checksum; the last checksum.
_PRELUDE_SIZE: Final = 12
_CRC_SIZE: Final = 4
STREAM_BROKEN: Final = "StreamBroken"
TIME_EXCEEDED: Final = "ModelInvocationTimeExceeded"
# In the words of the API's reference.
_MEANINGS: Final = {
    STREAM_BROKEN: "The Transmission Control Protocol (TCP) connection between the client and the "
    "model was reset or closed.",
    TIME_EXCEEDED: "The model failed to finish sending the response within the timeout period "
    "allowed by Amazon SageMaker AI.",
}


def message(headers: dict[str, str], payload: bytes) -> bytes:
    """Encode a message.

    Args:
        headers: names and values.
        payload: the payload.
    """
    named = b"".join(
        struct.pack("!B", len(name))
        + name.encode()
        + struct.pack("!BH", _STRING, len(value.encode()))
        + value.encode()
        for name, value in headers.items()
    )
    size = _PRELUDE_SIZE + len(named) + len(payload) + _CRC_SIZE
    lengths = struct.pack("!II", size, len(named))
    most = lengths + struct.pack("!I", crc32(lengths)) + named + payload
    return most + struct.pack("!I", crc32(most))


def payload_part(data: bytes) -> bytes:
    """Encode a part of the answer."""
    headers = {
        ":event-type": "PayloadPart",
        ":content-type": "application/octet-stream",
        ":message-type": "event",
    }
    return message(headers, data)


def model_stream_error(code: str) -> bytes:
    """Encode the end of a stream that the container did not complete.

    Args:
        code: `STREAM_BROKEN` or `TIME_EXCEEDED`.
    """
    return _exception("ModelStreamError", {"Message": _MEANINGS[code], "ErrorCode": code})


def internal_stream_failure() -> bytes:
    """Encode the end of a stream in which the platform itself has failed."""
    return _exception("InternalStreamFailure", {"Message": "An internal failure occurred."})


def _exception(kind: str, members: dict[str, str]) -> bytes:
    headers = {
        ":exception-type": kind,
        ":content-type": "application/json",
        ":message-type": "exception",
    }
    return message(headers, json.dumps(members).encode())
