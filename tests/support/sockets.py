"""WebSockets byte by byte: a client that can also do what no library does."""

from __future__ import annotations

import json
import os
import socket
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from typing_extensions import Self

BIDIRECTIONAL = "/invocations-bidirectional-stream"
# What to do is in the message, so that one program serves for all kinds of ends.
PROGRAM = """
import asyncio, json, os
from sagemaker_inference import Fragment, bidirectional, model_loader, predictor, serve
from sagemaker_inference.errors import BadRequestError, ServiceUnavailableError

@model_loader
def load(model_dir):
    return "model"

@predictor
async def predict(data):
    return data

@bidirectional
async def talk(messages, model, context):
    try:
        async for message in messages:
            if message == "fail":
                raise ValueError("secret")
            if message == "refuse":
                raise BadRequestError("no such language")
            if message == "unavailable":
                raise ServiceUnavailableError("later " * 100)
            if message == "end":
                return
            if message == "wait":
                await asyncio.sleep(1000)
            if message == "number":
                yield 1
            if message == "pid":
                message = str(os.getpid())
            if message == "where":
                message = f"{context.path}?{context.query} {model} {context.headers['X-Own']}"
            if message == "much":
                for _ in range(200):
                    yield b"x" * 100_000
            yield message
        print("closed by", messages.close_code, messages.close_reason, flush=True)
        yield "nobody hears it"
    finally:
        print("finished", flush=True)

@bidirectional("/v1/realtime", max_message=1000)
async def realtime(messages):
    async for event in messages.json():
        yield json.dumps(event)

@bidirectional("/raw", raw=True)
async def raw(messages):
    async for fragment in messages:
        yield fragment

@bidirectional("/slow")
async def slow(messages, model, context):
    async for message in messages:
        while not os.path.exists(message):
            await asyncio.sleep(0.01)
        async for message in messages:
            yield str(len(message))

serve(__name__)
"""
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
# Of RFC 6455, 1.3.
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
LAST = 0x80
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


class Frame(NamedTuple):
    first: int
    data: bytes

    @property
    def close(self) -> tuple[int, str]:
        """Status and reason of a close frame."""
        assert self.first == LAST | CLOSE, self
        return struct.unpack("!H", self.data[:2])[0], self.data[2:].decode()


def handshake(path: str = BIDIRECTIONAL, *lines: str, key: str = KEY, version: str = "13") -> bytes:
    """A request for a WebSocket."""
    head = [
        f"GET {path} HTTP/1.1",
        "Host: x",
        "Upgrade: websocket",
        "Connection: keep-alive, Upgrade",
        *([f"Sec-WebSocket-Key: {key}"] if key else []),
        *([f"Sec-WebSocket-Version: {version}"] if version else []),
        *lines,
    ]
    return ("\r\n".join(head) + "\r\n\r\n").encode()


def frame(first: int, data: bytes = b"", *, is_masked: bool = True) -> bytes:
    """A frame as a client sends it."""
    size = len(data)
    bit = 0x80 if is_masked else 0
    if size < 126:
        head = struct.pack("!BB", first, bit | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", first, bit | 126, size)
    else:
        head = struct.pack("!BBQ", first, bit | 127, size)
    if not is_masked:
        return head + data
    mask = os.urandom(4)
    masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))
    return head + mask + masked


def text(data: str) -> bytes:
    return frame(LAST | TEXT, data.encode())


def closing(code: int, reason: str = "") -> bytes:
    return frame(LAST | CLOSE, struct.pack("!H", code) + reason.encode())


class Raw:
    """A connection, byte by byte."""

    def __init__(self, port: int, path: str = BIDIRECTIONAL, *, is_open: bool = True) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.data = self.rest = b""
        if is_open:
            self.open(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def open(self, path: str = BIDIRECTIONAL) -> bytes:
        self.send(handshake(path))
        head = self.head()
        assert head.startswith(b"HTTP/1.1 101 "), head
        return head

    def send(self, *data: bytes) -> None:
        self.sock.sendall(b"".join(data))

    def _more(self) -> None:
        more = self.sock.recv(1 << 16)
        if not more:
            raise EOFError(self.data)
        self.data += more

    def head(self) -> bytes:
        """The head of a response."""
        while b"\r\n\r\n" not in self.data:
            self._more()
        head, _, self.data = self.data.partition(b"\r\n\r\n")
        return head

    def body(self, head: bytes) -> bytes:
        """The body behind a head."""
        lines = [line.lower() for line in head.split(b"\r\n")]
        (size,) = [int(line[15:]) for line in lines if line.startswith(b"content-length:")]
        return self.take(size)

    def take(self, size: int) -> bytes:
        while len(self.data) < size:
            self._more()
        taken, self.data = self.data[:size], self.data[size:]
        return taken

    def read(self) -> Frame:
        """The next frame."""
        first, size = self.take(2)
        assert size < 0x80, "a server masks nothing"
        if size == 126:
            (size,) = struct.unpack("!H", self.take(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self.take(8))
        return Frame(first, self.take(size))

    def is_over(self) -> bool:
        """Read to the end of the connection."""
        self.data = b""
        try:
            while self.sock.recv(1 << 16):
                pass
        except ConnectionResetError:
            return True
        return True


def refusal(port: int, sent: bytes) -> tuple[bytes, Any]:
    """The head and the error of a response to what is no WebSocket."""
    with Raw(port, is_open=False) as raw:
        raw.send(sent)
        head = raw.head()
        return head, json.loads(raw.body(head))["error"]
