"""The cases of Autobahn's test suite, by its groups, as far as other tests do not have them.

The suite itself needs Python 2.7; java/README.md says how it is run.
Group 9 is about large messages and many, 12 and 13 are about compression, which there is none of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.sockets import (
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
    text,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.conftest import Server

pytestmark = pytest.mark.java

# UTF-8-test.txt of Markus Kuhn, as the suite has it.
VALID = [
    *("hello$world", "hello\u00a2world", "hello\u20acworld", "hello\U00024b62world", "κόσμε"),
    *("\x00", "\x80", "\u0800", "\U00010000", "\x7f", "\u07ff", "\uffff", "\U0010ffff"),
    *("\ud7ff", "\ue000", "\ufffd", "\ufffe", "\U0001fffe", "\U0001ffff", "\U0010fffe"),
]
INVALID = [
    *(b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80", b"\xf7\xbf\xbf\xbf"),
    *(b"\xfb\xbf\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf\xbf", b"\xf4\x90\x80\x80"),
    *(b"\x80", b"\xbf", b"\x80\xbf", b"\x80\xbf\x80", bytes(range(0x80, 0xBF))),
    *(b"\xc0 \xc1 ", b"\xe0 \xef ", b"\xf0 \xf7 ", b"\xf8 \xfb ", b"\xfc \xfd "),
    *(b"\xc0", b"\xe0\x80", b"\xf0\x80\x80", b"\xdf", b"\xef\xbf", b"\xf4\x8f\xbf"),
    *(b"\xfe", b"\xff", b"\xfe\xfe\xff\xff", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf"),
    *(b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xf0\x8f\xbf\xbf", b"\xc0\x80", b"\xe0\x80\x80"),
    *(b"\xed\xa0\x80", b"\xed\xad\xbf", b"\xed\xb0\x80", b"\xed\xbf\xbf"),
    *(b"\xed\xa0\x80\xed\xb0\x80", b"\xed\xaf\xbf\xed\xbf\xbf"),
    *("κόσμε".encode()[:-1], b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited"),
]


@pytest.fixture
def server(shared: Callable[..., Server]) -> Server:
    return shared(PROGRAM)


def refused_with(server: Server, *sent: bytes) -> int:
    """The status that closes a connection on which this was sent."""
    with Raw(server.port) as raw:
        raw.send(*sent)
        # What came before may be answered, or not.
        while (found := raw.read()).first != LAST | CLOSE:
            pass
        assert raw.is_over()
        return found.close[0]


@pytest.mark.parametrize("kind", [TEXT, BINARY])
def test_1_payloads_of_any_length_come_back_however_they_arrive(server: Server, kind: int) -> None:
    with Raw(server.port) as raw:
        for size in (0, 1, 125, 126, 127, 128, 65535, 65536, 300_000):
            data = b"*" * size
            whole = frame(LAST | kind, data)
            for chop in (len(whole), 997):
                for start in range(0, len(whole), chop):
                    raw.send(whole[start : start + chop])
                assert raw.read() == (LAST | kind, data)


def test_2_pings_are_answered_in_order_and_pongs_are_not(server: Server) -> None:
    with Raw(server.port) as raw:
        raw.send(frame(LAST | PONG), frame(LAST | PONG, b"unasked"))
        raw.send(*[frame(LAST | PING, b"payload-%d" % number) for number in range(10)])
        for number in range(10):
            assert raw.read() == (LAST | PONG, b"payload-%d" % number)
        for byte in frame(LAST | PING, bytes(range(0xF0, 0x100))):
            raw.send(bytes((byte,)))
        assert raw.read() == (LAST | PONG, bytes(range(0xF0, 0x100)))


@pytest.mark.parametrize("bits", range(1, 8))
@pytest.mark.parametrize("kind", [TEXT, BINARY, PING, CLOSE])
def test_3_reserved_bits_are_refused(server: Server, kind: int, bits: int) -> None:
    assert refused_with(server, text("a"), frame(LAST | bits << 4 | kind, b"\x03\xe8")) == 1002


@pytest.mark.parametrize("kind", [*range(3, 8), *range(11, 16)])
def test_4_reserved_kinds_are_refused(server: Server, kind: int) -> None:
    for data in (b"", b"reserved opcode payload"):
        assert refused_with(server, text("a"), frame(LAST | kind, data), frame(LAST | PING)) == 1002


@pytest.mark.parametrize(
    "sent",
    [
        [frame(PONG, b"a"), frame(LAST, b"b")],
        [frame(CONTINUATION, b"a"), text("b")],
        [frame(TEXT, b"a"), frame(LAST, b"b"), frame(CONTINUATION, b"c"), text("d")],
        [frame(TEXT, b"a"), frame(LAST, b"b"), frame(LAST, b"c")],
        [frame(TEXT, b"a"), frame(LAST | BINARY, b"b")],
    ],
    ids=["pong", "nothing", "after a message", "after its end", "two kinds"],
)
def test_5_what_continues_nothing_is_refused(server: Server, sent: list[bytes]) -> None:
    assert refused_with(server, *sent) == 1002


def test_5_fragments_are_joined_around_many_pings(server: Server) -> None:
    with Raw(server.port) as raw:
        parts = [frame(CONTINUATION, b"%d" % number) for number in range(1, 5)]
        pings = [frame(LAST | PING, b"%d" % number) for number in range(5)]
        raw.send(frame(TEXT, b"0"), *sum(zip(pings, parts, strict=False), ()), frame(LAST, b"5"))
        assert [raw.read() for _ in range(4)] == [(LAST | PONG, b"%d" % n) for n in range(4)]
        assert raw.read() == (LAST | TEXT, b"012345")


def test_6_valid_texts_come_back_whole_and_byte_by_byte(server: Server) -> None:
    with Raw(server.port) as raw:
        for item in VALID:
            data = item.encode()
            first, *rest = [data[at : at + 1] for at in range(len(data))]
            raw.send(frame(LAST | TEXT, data))
            raw.send(frame(TEXT, first), *[frame(CONTINUATION, byte) for byte in rest], frame(LAST))
            assert [raw.read(), raw.read()] == [(LAST | TEXT, data)] * 2


@pytest.mark.parametrize("data", INVALID)
def test_6_invalid_texts_are_refused_whole_and_byte_by_byte(server: Server, data: bytes) -> None:
    bytewise = [frame(CONTINUATION, data[at : at + 1]) for at in range(len(data))]
    assert refused_with(server, frame(LAST | TEXT, data)) == 1007
    assert refused_with(server, frame(TEXT), *bytewise, frame(LAST)) == 1007


@pytest.mark.parametrize(
    "behind",
    [closing(1000), frame(LAST | PING, b"a"), text("a"), frame(LAST, b"a"), text("a" * 65536)],
    ids=["close", "ping", "text", "rest", "large"],
)
def test_7_what_follows_a_close_is_ignored(server: Server, behind: bytes) -> None:
    for before in ([text("a")], [frame(TEXT, b"a")]):
        with Raw(server.port) as raw:
            raw.send(*before, closing(1000), behind)
            if before == [text("a")] and (found := raw.read()).first == LAST | TEXT:
                assert found.data == b"a"
                found = raw.read()
            elif before != [text("a")]:
                found = raw.read()
            assert found.close == (1000, "")
            assert raw.is_over()


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999])
def test_7_a_status_that_nobody_may_send_is_refused(server: Server, code: int) -> None:
    assert refused_with(server, closing(code)) == 1002


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, *range(1007, 1012), 3000, 3999, 4999])
def test_7_others_are_answered_with_themselves(server: Server, code: int) -> None:
    assert refused_with(server, closing(code, "x" * 123)) == code


def test_7_a_reason_is_short_and_in_utf_8(server: Server) -> None:
    assert refused_with(server, closing(1000, "x" * 124)) == 1002
    assert refused_with(server, frame(LAST | CLOSE, b"\x03\xe8" + INVALID[-1])) == 1007
