"""WebSockets in a worker's loop, with sockets in place of the front end."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from typing import TYPE_CHECKING, Any

import pytest
from support.builders import config, loaded
from support.mms_bytes import predict_one, upgrade
from support.stream_bench import Log
from support.stream_bytes import StreamReader
from support.worker_bench import running

from sagemaker_inference import Registry
from sagemaker_inference._http.messages import Request
from sagemaker_inference._ipc import slots, wire
from sagemaker_inference._ipc.slots import SlotTable
from sagemaker_inference._worker import async_senders, senders, socket_senders
from sagemaker_inference._worker.connection import Connection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from support.stream_bench import Gate
    from support.worker_bench import Bench

TEXT, CLOSE, TAKEN = 0x81, 0x88, 0x03


def service(function: Callable[..., Any]) -> Any:
    """A program with this handler, and one that answers requests beside it."""
    registry = Registry()
    registry.model_loader(lambda: None)
    registry.bidirectional("/v1/talk")(function)
    registry.predictor(lambda data: data)
    return loaded(registry)


def say(first: int, data: bytes) -> bytes:
    """A frame of a client, as the front end passes it on."""
    return b"M" + struct.pack("!iB", len(data) + 1, first) + data


def closing(code: int, reason: str = "") -> bytes:
    return struct.pack("!H", code) + reason.encode()


class Talk:
    """A WebSocket, as the front end sees it."""

    def __init__(self, bench: Bench, front: int = 0) -> None:
        self.sock = bench.front[front]
        self.sock.sendall(upgrade("/v1/talk", "", f"id-{front}"))
        self.reader = StreamReader(self.sock)
        assert self.reader.head().status == 101

    def say(self, *frames: tuple[int, bytes]) -> None:
        self.sock.sendall(b"".join(say(*frame) for frame in frames))

    def hear(self) -> bytes | None:
        return self.reader.chunk()


async def echo(messages: Any) -> AsyncIterator[Any]:
    async for message in messages:
        if message == "end":
            return
        yield message


def crowded(function: Callable[..., Any]) -> Any:
    """A program with one place for WebSockets, and one for requests."""
    registry = Registry()
    registry.model_loader(lambda: None)
    registry.bidirectional("/v1/talk")(function)

    async def predict(data: Any) -> Any:
        return data

    registry.predictor(max_concurrency=1)(predict)
    return loaded(registry)


def ask(bench: Bench, front: int = 0) -> None:
    """Answer an ordinary request over the same connection."""
    bench.front[front].sendall(predict_one("next", b"[1]", [("Content-Type", "application/json")]))
    assert b"[1]" in bench.front[front].recv(1000)


def test_messages_go_both_ways_and_the_connection_serves_on() -> None:
    with running(service(echo)) as bench:
        for _ in range(2):
            talk = Talk(bench)
            talk.say((TEXT, b"a"), (TEXT, b"b"))
            assert (talk.hear(), talk.hear()) == (bytes((TEXT,)) + b"a", bytes((TEXT,)) + b"b")
            assert bench.table.state(0)[0] == slots.SOCKET
            talk.say((TEXT, b"end"))
            assert talk.hear() == bytes((CLOSE,)) + closing(1000)
            assert (talk.hear(), talk.reader.status) == (None, 0)
            # What crosses the end is ignored.
            talk.say((TEXT, b"late"), (CLOSE, closing(1000)))
            talk.sock.sendall(b"C")
            ask(bench)
            bench.wait_idle()


def test_a_message_that_comes_in_pieces() -> None:
    with running(service(echo)) as bench:
        talk = Talk(bench)
        for byte in say(TEXT, b"byte by byte"):
            talk.sock.sendall(bytes((byte,)))
            time.sleep(0.002)
        assert talk.hear() == bytes((TEXT,)) + b"byte by byte"
        # The end is there before the rest of what is said to it.
        late = say(TEXT, b"late" * 100)
        talk.say((TEXT, b"end"))
        talk.sock.sendall(late[:50])
        assert talk.hear() == bytes((CLOSE,)) + closing(1000)
        assert talk.hear() is None
        talk.sock.sendall(late[50:])
        ask(bench)


def test_what_the_program_has_taken_is_reported() -> None:
    async def take(messages: Any) -> AsyncIterator[str]:
        async for message in messages:
            if message == "say":
                yield "said"

    with running(service(take)) as bench:
        talk = Talk(bench)
        size = 30_000
        talk.say(*[(TEXT, b"x" * size)] * 3)
        assert talk.hear() == bytes((TAKEN,)) + struct.pack("!i", 3 * (size + 1 + 64))
        talk.say((TEXT, b"say"))
        assert talk.hear() == bytes((TEXT,)) + b"said"
        talk.say((CLOSE, closing(1000)))
        assert (talk.hear(), talk.reader.status) == (None, 0)


def test_reports_wait_for_room_and_for_messages_on_their_way(gate: Gate) -> None:
    async def both(messages: Any) -> AsyncIterator[bytes]:
        async def take() -> None:
            async for _ in messages:
                gate.tell(b"x")

        taking = asyncio.ensure_future(take())
        await asyncio.sleep(0)
        for _ in range(30):
            yield b"x" * 100_000
        await taking
        yield b"not heard"

    with running(service(both)) as bench:
        bench.front[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        talk = Talk(bench)
        time.sleep(0.2)  # the socket fills
        talk.say(*[(TEXT, b"y" * 40_000)] * 4)
        heard = b""
        while len(heard) < 4:
            heard += gate.hear()
        chunks = [talk.hear() for _ in range(30)]
        assert sum(len(it) == 100_001 for it in chunks if it) >= 29
        talk.say((CLOSE, closing(1000)))
        assert talk.reader.rest()[-1:] != [None]


def test_a_report_goes_out_when_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_senders, "_REPORTED", 1)
    tries = iter([0, 3])
    try_all = socket_senders.SocketSender._try

    def few(self: Any, data: Any) -> int:
        # The head goes out as usual, and the report in pieces.
        if bytes(data[4:5]) != bytes((TAKEN,)):
            return try_all(self, data)
        return try_all(self, data[: next(tries, len(data))]) if data else 0

    monkeypatch.setattr(socket_senders.SocketSender, "_try", few)

    async def take(messages: Any) -> AsyncIterator[str]:
        await messages.__anext__()
        await messages.__anext__()
        yield "said"

    with running(service(take)) as bench:
        talk = Talk(bench)
        talk.say((TEXT, b"a"))
        assert talk.hear() == bytes((TAKEN,)) + struct.pack("!i", 66)
        talk.say((TEXT, b"b"))
        rest = talk.reader.rest()
        assert bytes((TEXT,)) + b"said" in rest


def test_the_caller_closes_and_the_program_ends(gate: Gate) -> None:
    async def listen(messages: Any) -> AsyncIterator[str]:
        async for _ in messages:
            pass
        gate.tell(f"{messages.close_code} {messages.close_reason}".encode())
        yield "nobody hears it"

    with running(service(listen), count=3) as bench:
        talk = Talk(bench)
        talk.say((CLOSE, closing(4000, "why")))
        assert gate.hear() == b"4000 why"
        assert (talk.hear(), talk.reader.status) == (None, 0)
        talk = Talk(bench, 1)
        talk.sock.sendall(b"CC")
        assert gate.hear() == b"1006 "
        assert talk.hear() is None
        talk = Talk(bench, 2)
        talk.sock.shutdown(socket.SHUT_RDWR)
        assert gate.hear() == b"1006 "
        bench.wait_idle()


@pytest.mark.parametrize("unread", [b"", b"a frame"])
def test_a_front_end_that_ends_is_heard_and_one_that_is_quiet_is_not(unread: bytes) -> None:
    """Where it leaves frames unread, the system says that the connection was reset."""
    handler = service(echo)

    async def listen() -> None:
        asked = Request.from_body(b"", id="1")
        asked.path, asked.query = "/v1/talk", ""
        [response] = await handler.answer([asked])
        ours, theirs = socket.socketpair()
        limits = senders.Limits(config(), SlotTable(), theirs.fileno())
        sender = socket_senders.SocketSender(limits, Connection(0, 0, ours), response)
        sender._listen()
        assert sender._messages.close_code is None
        theirs.sendall(say(TEXT, b"a"))
        sender._listen()
        assert await sender._messages.__anext__() == "a"
        ours.sendall(unread)
        theirs.close()
        sender._listen()
        assert sender._messages.close_code == 1006
        ours.close()

    asyncio.run(listen())


def test_a_program_that_goes_on_behind_its_callers_end_is_cancelled(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_senders, "GRACE_SECONDS", 0.3)

    async def wait(messages: Any) -> AsyncIterator[str]:
        try:
            await asyncio.sleep(100)
            yield ""
        finally:
            gate.tell(b"closed")

    with running(service(wait)) as bench:
        talk = Talk(bench)
        talk.sock.sendall(b"C")
        assert gate.hear() == b"closed"
        assert (talk.hear(), talk.reader.status) == (None, 499)
        ask(bench)


def test_a_failure_is_a_close_with_a_reason() -> None:
    async def fail(messages: Any) -> AsyncIterator[str]:
        async for _ in messages:
            raise ValueError
        yield ""

    with running(service(fail)) as bench:
        talk = Talk(bench)
        talk.say((TEXT, b"a"))
        reason = "bidirectional_failed: The handler failed; see the log [id-0]"
        assert talk.hear() == bytes((CLOSE,)) + closing(1011, reason)
        assert (talk.hear(), talk.reader.status) == (None, 101)
        ask(bench)


def test_a_worker_that_ends_closes_what_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(async_senders, "GRACE_SECONDS", 0.1)
    with running(service(echo)) as bench:
        talk = Talk(bench)
        bench.connections.stop()
        reason = "503 service_unavailable: The server is stopping. [id-0]"
        assert talk.hear() == bytes((CLOSE,)) + closing(1001, reason)
        assert talk.hear() is None


def test_a_program_that_does_not_end_is_cancelled_again(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(async_senders, "GRACE_SECONDS", 0.1)
    monkeypatch.setattr(socket_senders, "AGAIN_SECONDS", 0.3)
    monkeypatch.setattr(senders, "logger", Log(gate))

    async def stubborn(messages: Any) -> AsyncIterator[str]:
        try:
            await asyncio.sleep(100)
            yield ""
        finally:
            await asyncio.sleep(100)

    with running(service(stubborn)) as bench:
        talk = Talk(bench)
        bench.connections.stop()
        heard = talk.hear()
        assert heard is not None
        assert heard[1:3] == struct.pack("!H", 1001)
        assert talk.hear() is None


def test_a_quiet_connection_is_not_overdue() -> None:
    with running(service(echo)) as bench:
        Talk(bench)
        before = bench.table.read(0).since
        bench.wait_for(lambda: bench.table.read(0).since > before + 0.3)
        bench.front[0].sendall(b"C")


def test_a_busy_program_says_that_it_goes_on() -> None:
    async def count(messages: Any) -> AsyncIterator[str]:
        for _ in range(8):
            yield "x"
            await asyncio.sleep(0.02)

    with running(service(count)) as bench:
        talk = Talk(bench)
        assert len(talk.reader.rest()) == 9


def test_messages_are_read_up_to_one_that_is_incomplete() -> None:
    one = say(TEXT, b"a")
    assert wire.messages(one + b"C" + one[:-1]) == ([(TEXT, b"a"), None], len(one) + 1)
    assert wire.messages(one[:3]) == ([], 0)
    assert wire.messages(b"I") == ([], 0)
    assert wire.read(one, 10) == (wire.Cancel(), len(one))
    assert wire.read(one[:-1], 10) == len(one)
    assert wire.read(one[:2], 10) == 3


def test_one_without_a_place_waits_and_requests_do_not() -> None:
    with running(crowded(echo), count=3) as bench:
        talk = Talk(bench)
        bench.front[1].sendall(upgrade("/v1/talk", "", "id-1"))
        ask(bench, 2)
        # It was left to others again and again, and is nobody's.
        assert bench.table.state(1)[0] == slots.IDLE
        bench.front[1].settimeout(0)
        with pytest.raises(BlockingIOError):
            bench.front[1].recv(1)
        bench.front[1].settimeout(10)
        talk.say((TEXT, b"end"))
        assert StreamReader(bench.front[1]).head().status == 101
        bench.front[1].sendall(b"C")


def test_one_that_waits_may_give_up_and_its_connection_may_end() -> None:
    with running(crowded(echo), count=3) as bench:
        talk = Talk(bench)
        bench.front[1].sendall(upgrade("/v1/talk", "", "id-1"))
        time.sleep(0.05)
        bench.front[1].close()
        bench.connections.close(1)
        ask(bench, 2)
        talk.say((TEXT, b"end"))
        assert len(talk.reader.rest()) == 1


def test_a_worker_that_leaves_hands_out_what_it_has_left() -> None:
    with running(crowded(echo), count=2) as bench:
        talk = Talk(bench)
        bench.front[1].sendall(upgrade("/v1/talk", "", "id-1"))
        time.sleep(0.05)
        bench.table.dismiss(0, bench.pid)
        talk.say((TEXT, b"a"))
        assert talk.hear() == bytes((TEXT,)) + b"a"
        # Anybody else would find it now.
        bench.wait_for(lambda: bool(bench.connections.epoll.poll(0, 1)))
        talk.sock.sendall(b"C")
