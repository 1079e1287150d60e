"""Frames of WebSockets byte by byte, as RFC 6455 has them, and as it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.sockets import (
    ACCEPT,
    BINARY,
    CLOSE,
    CONTINUATION,
    LAST,
    PING,
    PONG,
    PROGRAM,
    TEXT,
    Raw,
    closing,
    frame,
    handshake,
    refusal,
    text,
)
from support.streams import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.conftest import Server

pytestmark = pytest.mark.java


@pytest.fixture
def server(shared: Callable[..., Server]) -> Server:
    return shared(PROGRAM)


def test_the_handshake_is_that_of_rfc_6455(server: Server) -> None:
    with Raw(server.port) as raw:
        raw.send(text("a"))
        assert raw.read() == (LAST | TEXT, b"a")
    with Raw(server.port, is_open=False) as raw:
        head = raw.open()
        assert f"sec-websocket-accept: {ACCEPT}".encode() in head
        assert b"content-length" not in head


def test_fragments_are_joined_with_control_frames_between_them(server: Server) -> None:
    with Raw(server.port) as raw:
        euro = "€".encode()
        raw.send(frame(TEXT, euro[:1]), frame(LAST | PING, b"1"))
        assert raw.read() == (LAST | PONG, b"1")
        raw.send(frame(LAST | PONG, b"unasked"), frame(CONTINUATION, euro[1:2]))
        raw.send(frame(CONTINUATION), frame(LAST | CONTINUATION, euro[2:]))
        assert raw.read() == (LAST | TEXT, euro)
        for byte in frame(LAST | BINARY, b"byte by byte"):
            raw.send(bytes((byte,)))
        assert raw.read() == (LAST | BINARY, b"byte by byte")
        raw.send(frame(LAST | PING, b"x" * 125), frame(LAST | PING))
        assert raw.read() == (LAST | PONG, b"x" * 125)
        assert raw.read() == (LAST | PONG, b"")


def test_raw_fragments_come_and_go_as_they_are(server: Server) -> None:
    with Raw(server.port, "/raw") as raw:
        for sent in (
            (TEXT, b"a"),
            (CONTINUATION, b"b"),
            (LAST | CONTINUATION, b""),
            (BINARY, b"c"),
            (LAST | CONTINUATION, b"d"),
            (LAST | TEXT, b"e"),
        ):
            raw.send(frame(*sent))
            assert raw.read() == sent


BAD = {
    "not masked": (frame(LAST | TEXT, b"a", is_masked=False), 1002),
    "reserved bit 1": (frame(LAST | 0x40 | TEXT, b"a"), 1002),
    "reserved bit 2": (frame(LAST | 0x20 | TEXT, b"a"), 1002),
    "reserved bit 3": (frame(LAST | 0x10 | TEXT, b"a"), 1002),
    "opcode 3": (frame(LAST | 3), 1002),
    "opcode 7": (frame(LAST | 7), 1002),
    "opcode 11": (frame(LAST | 11), 1002),
    "opcode 15": (frame(LAST | 15), 1002),
    "fragmented ping": (frame(PING), 1002),
    "fragmented close": (frame(CLOSE), 1002),
    "ping of 126 bytes": (frame(LAST | PING, b"x" * 126), 1002),
    "close of 1 byte": (frame(LAST | CLOSE, b"x"), 1002),
    "close with 999": (closing(999), 1002),
    "close with 1004": (closing(1004), 1002),
    "close with 1005": (closing(1005), 1002),
    "close with 1006": (closing(1006), 1002),
    "close with 1015": (closing(1015), 1002),
    "continuation of nothing": (frame(LAST | CONTINUATION, b"a"), 1002),
    "text in a message": (frame(TEXT, b"a") + frame(LAST | TEXT, b"b"), 1002),
    "bad text": (frame(LAST | TEXT, b"\xff"), 1007),
    "overlong text": (frame(LAST | TEXT, b"\xc0\xaf"), 1007),
    "surrogate": (frame(LAST | TEXT, b"\xed\xa0\x80"), 1007),
    "beyond Unicode": (frame(LAST | TEXT, b"\xf4\x90\x80\x80"), 1007),
    "cut text": (frame(LAST | TEXT, b"\xe2\x82"), 1007),
    "bad text in a fragment": (frame(TEXT, b"\xe2\x28"), 1007),
    "cut text in fragments": (frame(TEXT, b"\xe2") + frame(LAST, b"\x82"), 1007),
    "bad reason": (frame(LAST | CLOSE, b"\x03\xe8\xff"), 1007),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_frames_close_it(server: Server, name: str) -> None:
    sent, code = BAD[name]
    with Raw(server.port) as raw:
        raw.send(text("a"))
        assert raw.read() == (LAST | TEXT, b"a")
        raw.send(sent)
        found, reason = raw.read().close
        assert found == code
        assert reason
        assert raw.is_over()


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 3000, 3999, 4000, 4999])
def test_a_close_is_answered_with_its_status(server: Server, code: int) -> None:
    with Raw(server.port) as raw:
        raw.send(closing(code, "why"))
        assert raw.read().close == (code, "")
        assert raw.is_over()


def test_a_close_without_status_is_answered_without_one(server: Server) -> None:
    with Raw(server.port) as raw:
        raw.send(frame(LAST | CLOSE))
        assert raw.read() == (LAST | CLOSE, b"")
        assert raw.is_over()
    wait_until(lambda: "closed by 1005" in server.log)


@pytest.mark.parametrize(
    "sent",
    [frame(LAST | TEXT, b"x" * 1001), frame(TEXT, b"x" * 600) + frame(LAST, b"x" * 600)],
    ids=["frame", "fragments"],
)
def test_a_message_that_is_too_large_closes_it(server: Server, sent: bytes) -> None:
    with Raw(server.port, "/v1/realtime") as raw:
        raw.send(frame(LAST | TEXT, b'"' + b"x" * 998 + b'"'))
        assert len(raw.read().data) == 1000
        raw.send(sent)
        assert raw.read().close[0] == 1009
        assert raw.is_over()


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (handshake(version="8"), "The header field sec-websocket-version is not 13"),
        (handshake(version=""), "The header field sec-websocket-version is not 13"),
        (handshake(key=""), "The header field sec-websocket-key is not 16 bytes in base64"),
        (handshake(key="x"), "The header field sec-websocket-key is not 16 bytes in base64"),
        (handshake(key="eA=="), "The header field sec-websocket-key is not 16 bytes in base64"),
    ],
)
def test_a_bad_handshake_is_400(server: Server, sent: bytes, message: str) -> None:
    head, error = refusal(server.port, sent)
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"sec-websocket-version: 13" in head
    assert error["message"] == message


def test_messages_before_the_handshake_is_over_are_refused(server: Server) -> None:
    head, error = refusal(server.port, handshake() + text("a"))
    assert head.startswith(b"HTTP/1.1 400 ")
    assert error["message"] == "Messages came before the WebSocket was open"


def test_an_upgrade_waits_for_the_requests_before_it(server: Server) -> None:
    request = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    with Raw(server.port, is_open=False) as raw:
        raw.send(request + b"Content-Length: 1\r\n\r\n1", handshake())
        head = raw.head()
        assert head.startswith(b"HTTP/1.1 200 ")
        assert raw.body(head) == b"1"
        assert raw.head().startswith(b"HTTP/1.1 101 ")
        raw.send(text("a"))
        assert raw.read() == (LAST | TEXT, b"a")
