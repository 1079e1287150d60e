"""Items of async programs that are there at once: sent together, and never late for that."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest
from support.builders import loaded
from support.mms_bytes import upgrade
from support.stream_bench import ask, sender_of, service, unread
from support.stream_bytes import StreamReader
from support.worker_bench import running

from sagemaker_inference import Registry
from sagemaker_inference._worker import async_senders

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.stream_bench import Gate


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is busy must not send items earlier than a test expects."""
    monkeypatch.setattr(async_senders, "_HOLD_SECONDS", 60.0)
    monkeypatch.setattr(async_senders, "_TURN_SECONDS", 60.0)


async def burst(data: Any) -> AsyncIterator[int]:
    for _ in range(2):
        for item in range(data):
            yield item
        await asyncio.sleep(0.05)


def test_items_at_hand_are_sent_together_before_the_program_waits() -> None:
    with running(service(burst)) as bench:
        reader = ask(bench, 6)
        reader.head()
        first = [b"0\n", b"1\n", b"2\n3\n4\n5\n"]
        assert reader.rest() == [*first, *first]
        bench.wait_idle()


def test_what_is_held_is_there_while_the_program_waits(gate: Gate) -> None:
    async def wait(data: Any) -> AsyncIterator[int]:
        for item in range(6):
            yield item
        gate.tell(b"waits")
        await asyncio.sleep(100)

    with running(service(wait)) as bench:
        reader = ask(bench)
        reader.head()
        assert gate.hear() == b"waits"
        heard = b""
        while not heard.endswith(b"5\n"):
            heard += reader.chunk() or b""
        bench.front[0].sendall(b"C")
        assert (reader.rest(), reader.status) == ([], 499)


def test_what_is_held_precedes_a_failure() -> None:
    async def fail(data: Any) -> AsyncIterator[int]:
        for item in range(6):
            yield item
        raise ValueError

    with running(service(fail)) as bench:
        reader = ask(bench)
        reader.head()
        *_, held, record = reader.rest()
        assert held == b"2\n3\n4\n5\n"
        assert b'"prediction_failed"' in record
        assert reader.status == 500


def test_no_more_is_held_than_a_socket_takes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(async_senders, "_MOST_HELD", 10)
    with running(service(burst)) as bench:
        reader = ask(bench, 20)
        reader.head()
        sizes = [len(chunk) for chunk in reader.rest()]
        assert max(sizes) < 20
        assert sum(sizes) == 2 * (10 * 2 + 10 * 3)


def test_an_item_waits_no_longer_than_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(async_senders, "_HOLD_SECONDS", 0.0)
    with running(service(burst)) as bench:
        reader = ask(bench, 20)
        reader.head()
        assert len(reader.rest()) == 40


def test_what_has_no_room_follows_while_the_program_waits() -> None:
    async def fill(data: Any) -> AsyncIterator[str]:
        for _ in range(40):
            yield "x" * 6000
        await asyncio.sleep(0.3)
        for _ in range(40):
            yield "y" * 6000
        await asyncio.sleep(100)

    with running(service(fill)) as bench:
        reader = unread(bench)
        time.sleep(0.1)
        reader.head()
        heard = b""
        while len(heard) < 80 * 6000:
            heard += reader.chunk() or b""
        bench.front[0].sendall(b"C")
        assert reader.rest() == []


def test_a_client_that_has_gone_takes_nothing_of_what_is_held(gate: Gate) -> None:
    async def wait(data: Any) -> AsyncIterator[str]:
        try:
            for _ in range(2):
                yield "x"
            gate.wait()
            for _ in range(3):
                yield "y"
            await asyncio.sleep(100)
        finally:
            gate.tell(b"closed")

    with running(service(wait)) as bench:
        reader = ask(bench)
        reader.head()
        bench.front[0].shutdown(socket.SHUT_RDWR)
        gate.open()
        assert gate.hear() == b"closed"


def test_messages_of_a_websocket_stay_messages() -> None:
    async def talk(messages: Any) -> AsyncIterator[str]:
        for item in range(6):
            yield str(item)
        async for _ in messages:
            pass

    registry = Registry()
    registry.model_loader(lambda: None)
    registry.bidirectional("/v1/talk")(talk)
    with running(loaded(registry)) as bench:
        bench.front[0].sendall(upgrade("/v1/talk", "", "id-0"))
        reader = StreamReader(bench.front[0])
        reader.head()
        assert [reader.chunk() for _ in range(6)] == [b"\x81%d" % item for item in range(6)]
        bench.front[0].sendall(b"C")
        assert reader.rest() == []


def test_items_that_are_held_are_dropped_where_the_front_end_has_gone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ours, theirs = socket.socketpair()

    async def count(data: Any) -> AsyncIterator[int]:
        for number in range(5):
            yield number
        # The last ones are sent when this waits.
        theirs.close()
        await asyncio.sleep(100)

    handler = service(count)

    async def send() -> Any:
        return await (await sender_of(handler, ours)).send()

    ending = asyncio.run(send())
    assert (ending.name, ending.is_connected) == ("client_gone", False)
    assert "a stream could not be delivered" in caplog.text
    ours.close()


def test_items_that_are_held_go_out_as_there_is_room() -> None:
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    theirs.setblocking(False)  # noqa: FBT003 - socket's own signature
    are_read = asyncio.Event()

    async def count(data: Any) -> AsyncIterator[bytes]:
        for size in (1, 1, 1, 10_000, 10_000, 10_000):
            yield b"#" * size
        await are_read.wait()

    handler = service(count)

    async def send() -> Any:
        sending = asyncio.ensure_future((await sender_of(handler, ours)).send())
        got = b""
        while got.count(b"#") < 30_003:
            got += await asyncio.get_running_loop().sock_recv(theirs, 1 << 16)
        are_read.set()
        return await sending

    assert asyncio.run(asyncio.wait_for(send(), 10)).name == "complete"
    ours.close()
    theirs.close()
