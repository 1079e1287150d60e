"""Bytes as MMS's front end writes and reads them, by the layout in ``mms/protocol``."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


def number(value: int) -> bytes:
    """An int."""
    return struct.pack("!i", value)


def text(value: str | bytes) -> bytes:
    """A length and so many bytes."""
    data = value.encode() if isinstance(value, str) else value
    return number(len(data)) + data


END = number(-1)

Pair = tuple[str, str]
Field = tuple[str, str, bytes]


def request(request_id: str, headers: Sequence[Pair], fields: Sequence[Field]) -> bytes:
    """One request of a predict message."""
    head = b"".join(text(name) + text(value) for name, value in headers)
    body = b"".join(text(name) + text(kind) + text(value) for name, kind, value in fields)
    return text(request_id) + head + END + body + END


def predict(*requests: bytes) -> bytes:
    """A predict message."""
    return b"I" + b"".join(requests) + END


def predict_one(request_id: str, body: bytes, headers: Sequence[Pair] = ()) -> bytes:
    """A predict message of one request, whose body has the content type a/b."""
    return predict(request(request_id, headers, [("body", "a/b", body)]))


def predict_at(path: str, request_id: str, body: bytes, headers: Sequence[Pair] = ()) -> bytes:
    """A message of one request to a further path, which is ours alone."""
    return b"P" + text(path) + predict_one(request_id, body, headers)[1:]


def upgrade(path: str, query: str, request_id: str, headers: Sequence[Pair] = ()) -> bytes:
    """A message of one request for a WebSocket, which is ours alone."""
    return b"W" + text(path) + text(query) + predict_one(request_id, b"", headers)[1:]


def load(name: str, path: str, batch_size: int, handler: str, gpu: int, files: str) -> bytes:
    """A load message."""
    sizes = struct.pack("!i", batch_size), struct.pack("!i", gpu)
    return b"L" + text(name) + text(path) + sizes[0] + text(handler) + sizes[1] + text(files)


class Answer(NamedTuple):
    """One answer of a batch, as the front end reads it."""

    request_id: str
    content_type: str
    status: int
    phrase: str
    headers: dict[str, str]
    body: bytes


class Reader:
    """Reads a reply from its start."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    def number(self) -> int:
        """The next int."""
        (value,) = struct.unpack_from("!i", self._data, self._place)
        self._place += 4
        return int(value)

    def data(self, length: int | None = None) -> bytes:
        """The next length and its bytes."""
        length = self.number() if length is None else length
        found = self._data[self._place : self._place + length]
        assert len(found) == length
        self._place += length
        return found

    def text(self) -> str:
        """The next text."""
        return self.data().decode()

    def reply(self) -> tuple[int, str, list[Answer]]:
        """A whole reply: status, text and answers; nothing may follow it."""
        status, message = self.number(), self.text()
        answers = []
        while (length := self.number()) != -1:
            request_id = self.data(length).decode()
            content_type, code, phrase = self.text(), self.number(), self.text()
            headers = {self.text(): self.text() for _ in range(self.number())}
            answers.append(Answer(request_id, content_type, code, phrase, headers, self.data()))
        assert self._place == len(self._data)
        return status, message, answers
