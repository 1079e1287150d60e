"""A worker's stream, as the front end reads it from a connection."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import socket

STREAM = 206
COMPLETE = -1
BROKEN = -2


class Head(NamedTuple):
    """The start of a stream."""

    request_id: str
    content_type: str
    status: int
    phrase: str
    headers: dict[str, str]


class StreamReader:
    """Reads a stream from a socket, chunk by chunk."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.status = 0

    def _bytes(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self._sock.recv(count - len(data))
            if not more:
                raise EOFError(data)
            data += more
        return data

    def _number(self) -> int:
        value: int = struct.unpack("!i", self._bytes(4))[0]
        return value

    def _text(self) -> str:
        return self._bytes(self._number()).decode()

    def head(self) -> Head:
        """The head; it must be one."""
        assert self._number() == STREAM
        assert self._text() == "Stream"
        request_id, content_type, status = self._text(), self._text(), self._number()
        phrase = self._text()
        headers = {}
        for _ in range(self._number()):
            name = self._text()
            headers[name] = self._text()
        return Head(request_id, content_type, status, phrase, headers)

    def chunk(self) -> bytes | None:
        """The next chunk; None at the end, whose status is kept where it is broken."""
        length = self._number()
        if length == COMPLETE:
            return None
        if length == BROKEN:
            self.status = self._number()
            return None
        assert length > 0
        return self._bytes(length)

    def rest(self) -> list[bytes]:
        """The chunks until the end."""
        chunks = []
        while (chunk := self.chunk()) is not None:
            chunks.append(chunk)
        return chunks
