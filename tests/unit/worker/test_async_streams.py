"""Streams of async programs: several at the same time, each with its own end."""

from __future__ import annotations

import asyncio
import json
import socket
import time
import types
from typing import TYPE_CHECKING, Any

import pytest
from support.builders import config
from support.stream_bench import Log, ask, sender_of, service, unread
from support.worker_bench import running

from sagemaker_inference._http.messages import Request, Response
from sagemaker_inference._inference import streams
from sagemaker_inference._ipc import slots
from sagemaker_inference._ipc.slots import SlotTable
from sagemaker_inference._worker import async_senders, senders
from sagemaker_inference._worker.connection import Connection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.stream_bench import Gate


async def count(data: Any) -> AsyncIterator[Any]:
    for index in range(data):
        await asyncio.sleep(0.001)
        yield index


async def forever(data: Any) -> AsyncIterator[Any]:
    while True:
        yield 1
        await asyncio.sleep(0.01)


def test_many_streams_are_open_at_the_same_time() -> None:
    async def meet(data: Any) -> AsyncIterator[Any]:
        met.append(data)
        yield 0
        if len(met) == 8:
            all_there.set()
        await all_there.wait()
        yield 1

    met: list[Any] = []
    all_there = asyncio.Event()
    with running(service(meet), count=8) as bench:
        readers = [ask(bench, 1, front=front) for front in range(8)]
        for front, reader in enumerate(readers):
            assert reader.head().request_id == f"id-{front}"
            assert reader.rest() == [b"0\n", b"1\n"]
        bench.wait_idle()


def test_a_program_that_awaits_nothing_lets_others_run() -> None:
    async def endless(data: Any) -> AsyncIterator[Any]:
        while data:
            yield 1

    with running(service(endless), count=2) as bench:
        reader = ask(bench, 1)
        reader.head()
        assert ask(bench, 0, front=1)
        bench.front[1].recv(10)
        bench.front[0].sendall(b"C")
        assert set(b"".join(reader.rest()).split()) == {b"1"}
        assert reader.status == 499


def test_a_connection_serves_on() -> None:
    with running(service(count)) as bench:
        for _ in range(3):
            reader = ask(bench, 3)
            reader.head()
            assert reader.rest() == [b"0\n", b"1\n", b"2\n"]
        bench.wait_idle()
        assert bench.table.answered(0) == 3


def test_all_of_a_stream_runs_in_one_task() -> None:
    async def tasks(data: Any) -> AsyncIterator[Any]:
        first = asyncio.current_task()
        for _ in range(2):
            yield asyncio.current_task() is first
        await asyncio.sleep(0)
        yield asyncio.current_task() is first

    with running(service(tasks)) as bench:
        reader = ask(bench)
        reader.head()
        assert reader.rest() == [b"true\n"] * 3


def quiet(gate: Gate) -> Any:
    async def predict(data: Any) -> AsyncIterator[Any]:
        try:
            yield 1
            await asyncio.sleep(100)
        finally:
            gate.tell(b"closed")

    return predict


def test_a_client_that_has_gone_closes_a_quiet_program(gate: Gate) -> None:
    with running(service(quiet(gate)), count=2) as bench:
        reader = ask(bench)
        reader.head()
        assert reader.chunk() == b"1\n"
        bench.front[0].sendall(b"C")
        assert gate.hear() == b"closed"
        assert (reader.rest(), reader.status) == ([], 499)
        reader = ask(bench, front=1)
        reader.head()
        bench.front[1].shutdown(socket.SHUT_RDWR)
        assert gate.hear() == b"closed"
        bench.wait_idle()


def test_a_request_that_comes_early_waits_for_the_end() -> None:
    with running(service(count)) as bench:
        reader = ask(bench, 300)
        reader.head()
        ask(bench, 1)
        assert len(reader.rest()) == 300
        reader.head()
        assert reader.rest() == [b"0\n"]


def test_a_failure_after_the_first_item_is_the_last_record() -> None:
    async def fail(data: Any) -> AsyncIterator[Any]:
        yield 1
        if data:
            raise asyncio.CancelledError
        raise SystemExit

    with running(service(fail)) as bench:
        for data in (0, 1):
            reader = ask(bench, data)
            reader.head()
            one, error = reader.rest()
            assert (one, reader.status) == (b"1\n", 500)
            assert json.loads(error)["error"]["code"] == "prediction_failed"


def test_a_program_that_is_quiet_for_too_long_is_cancelled(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGEMAKER_STREAM_IDLE_TIMEOUT", "1")
    with running(service(quiet(gate)), count=2) as bench:
        reader = ask(bench)
        reader.head()
        error = json.loads(reader.rest()[-1])["error"]
        assert error["message"] == "No item within 1 s (SAGEMAKER_STREAM_IDLE_TIMEOUT)."
        assert (error["code"], reader.status) == ("prediction_timeout", 504)
        assert gate.hear() == b"closed"


def test_a_stream_that_is_too_long_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGEMAKER_STREAM_TIMEOUT", "1")
    monkeypatch.setattr(senders, "_LOOK_SECONDS", 100)
    with running(service(forever)) as bench:
        reader = ask(bench)
        reader.head()
        assert b"The stream is longer than 1 s" in reader.rest()[-1]
        assert reader.status == 504


def test_a_stream_that_is_told_to_end_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(async_senders, "GRACE_SECONDS", 0.1)
    with running(service(forever), count=2) as bench:
        readers = [ask(bench, front=front) for front in range(2)]
        for reader in readers:
            reader.head()
        bench.connections.stop()
        for reader in readers:
            assert b"The server is stopping" in reader.rest()[-1]
            assert reader.status == 503


def test_a_program_that_goes_on_when_it_is_cancelled_is_stopped_at_its_next_item(
    gate: Gate,
) -> None:
    async def stubborn(data: Any) -> AsyncIterator[Any]:
        yield 1
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            gate.tell(b"cancelled")
            await asyncio.sleep(0)  # it may await as well
        if data:
            try:
                yield 2
            finally:
                gate.tell(b"closed")

    with running(service(stubborn)) as bench:
        for data in (0, 1):
            reader = ask(bench, data)
            reader.head()
            assert reader.chunk() == b"1\n"
            bench.front[0].sendall(b"C")
            assert (reader.rest(), reader.status) == ([], 499)
            assert gate.hear().startswith(b"cancelled")
        bench.wait_idle()


def test_what_a_program_raises_when_it_is_cancelled_is_logged(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "logger", Log(gate))

    async def stumble(data: Any) -> AsyncIterator[Any]:
        yield 1
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(0)
            raise ValueError

    with running(service(stumble)) as bench:
        reader = ask(bench)
        reader.head()
        assert reader.chunk() == b"1\n"
        bench.front[0].sendall(b"C")
        assert (reader.rest(), reader.status) == ([], 499)
        assert gate.hear() == b"request id-0: the end of a stream failed"


def test_a_program_whose_end_takes_too_long_is_cancelled_again(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(async_senders, "AGAIN_SECONDS", 0.3)
    monkeypatch.setattr(streams, "logger", Log(gate))

    async def slow(data: Any) -> AsyncIterator[Any]:
        try:
            yield 1
            yield object()
        finally:
            await asyncio.sleep(100)

    with running(service(slow)) as bench:
        reader = ask(bench)
        reader.head()
        reader.chunk()
        assert b"error" in (reader.chunk() or b"")
        bench.front[0].sendall(b"C")  # it ends anyway
        assert (reader.rest(), reader.status) == ([], 500)
        assert gate.hear() == b"request id-0: the end of a stream failed"


def test_a_slow_end_goes_on_when_the_worker_is_told_to_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(async_senders, "AGAIN_SECONDS", 1.0)
    monkeypatch.setattr(async_senders, "GRACE_SECONDS", 0.1)

    async def slow(data: Any) -> AsyncIterator[Any]:
        try:
            yield 1
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(100)

    with running(service(slow)) as bench:
        reader = ask(bench)
        reader.head()
        bench.connections.stop()
        assert b"The server is stopping" in reader.rest()[-1]
        assert reader.status == 503


class Rumours(async_senders.AsyncSender):
    """Is woken for nothing before the front end says something."""

    heard = 0

    def _heard(self) -> bool | None:
        self.heard += 1
        return False if self.heard == 1 else super()._heard()


def test_to_be_woken_for_nothing_changes_nothing(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(async_senders, "AsyncSender", Rumours)
    with running(service(quiet(gate))) as bench:
        reader = ask(bench)
        reader.head()
        bench.front[0].sendall(b"C")
        assert gate.hear() == b"closed"
        assert reader.rest() == [b"1\n"]
        assert reader.status == 499


def test_who_does_not_read_stops_one_program_and_no_other() -> None:
    async def much(data: Any) -> AsyncIterator[bytes]:
        for _ in range(data):
            yield b"x" * 500_000

    with running(service(much), count=2) as bench:
        reader = unread(bench, 30)
        reader.head()
        other = ask(bench, 2, front=1)
        other.head()
        assert len(other.rest()) == 2
        assert bench.table.state(0)[0] == slots.STREAMING
        assert len(reader.rest()) == 30
        bench.wait_idle()


def test_who_goes_while_nothing_is_read_closes_the_program(gate: Gate) -> None:
    async def much(data: Any) -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 500_000
        finally:
            gate.tell(b"closed")

    with running(service(much)) as bench:
        reader = unread(bench)
        reader.head()
        time.sleep(0.2)  # the socket fills
        bench.front[0].sendall(b"C")
        assert gate.hear() == b"closed"
        assert set(map(len, reader.rest())) == {500_000}
        assert reader.status == 499


class Waits(senders.Sender):
    """Waits in the program, or in its end, as in an event loop that is about to be closed."""

    awaits = True

    async def _send_items(self) -> None:
        if self._stream.fails:
            raise ValueError
        await forever_waiting()

    async def _close(self) -> None:
        await forever_waiting()

    async def _wait_for_room(self, seconds: float) -> None: ...


@types.coroutine
def forever_waiting() -> Any:
    while True:
        yield


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_sent_for_a_coroutine_that_is_closed(*, fails: bool) -> None:
    ours, theirs = socket.socketpair()
    limits = senders.Limits(config(), SlotTable(), theirs.fileno())
    body: Any = types.SimpleNamespace(
        request=Request.from_body(b"", id="1"),
        is_socket=False,
        fails=fails,
        failure=lambda _error: (500, b""),
    )
    sending = Waits(limits, Connection(0, 0, ours), Response(body, "a/b")).send()
    sending.send(None)
    sending.close()
    ours.close()
    assert theirs.recv(1) == b""
    theirs.close()


def test_nothing_more_is_sent_for_a_program_whose_coroutine_is_closed() -> None:
    """As where the process ends while the program waits for something."""

    async def wait(data: Any) -> AsyncIterator[int]:
        yield 1
        await asyncio.sleep(100)

    handler = service(wait)
    ours, theirs = socket.socketpair()

    async def close() -> None:
        sending = (await sender_of(handler, ours)).send()
        sending.send(None)
        assert theirs.recv(1000).endswith(b"1\n")
        sending.close()

    asyncio.run(close())
    ours.close()
    assert theirs.recv(1) == b""
    theirs.close()
