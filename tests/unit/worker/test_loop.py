"""The loop over the front end's connections, with bytes that the tests write themselves."""

from __future__ import annotations

import asyncio
import errno
import logging
import mmap
import os
import re
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from support.builders import loaded as load_program
from support.mms_bytes import END, number, predict_one, text
from support.worker_bench import LOAD, Bench, Echo, answer, running

from sagemaker_inference._http import sendable
from sagemaker_inference._http.messages import Request, Response
from sagemaker_inference._ipc import slots
from sagemaker_inference._ipc.messages import UNHEALTHY, Report
from sagemaker_inference._ipc.slots import SlotTable
from sagemaker_inference._program.concurrency import Concurrency
from sagemaker_inference._worker import blocking, connections
from sagemaker_inference._worker.access_log import AccessLog
from sagemaker_inference._worker.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sagemaker_inference import Registry


@pytest.fixture
def bench() -> Iterator[Bench]:
    with running(Echo()) as made:
        yield made


def loaded(bench: Bench) -> bytes:
    return number(200) + text(f"loaded model [PID]:{bench.pid}") + END


def test_load_and_predict_are_answered(bench: Bench) -> None:
    bench.exchange(LOAD, loaded(bench))
    bench.exchange(predict_one("id-1", b"abc", [("Content-Type", "a/b")]), answer("id-1", b"ABC"))
    bench.wait_idle()
    assert bench.table.answered(0) == 1


def test_a_message_that_comes_byte_by_byte_is_answered(bench: Bench) -> None:
    for message, expected in (
        (LOAD, loaded(bench)),
        (predict_one("id-1", b"abc", [("A", "b")]), answer("id-1", b"ABC")),
    ):
        for byte in message:
            bench.front[0].sendall(bytes([byte]))
            time.sleep(0.001)
        bench.expect(expected)


def test_messages_in_one_read_are_answered_in_turn(bench: Bench) -> None:
    messages = (
        LOAD + predict_one("1", b"a") + predict_one("2", b"b") + LOAD + predict_one("3", b"c")
    )
    bench.exchange(
        messages,
        loaded(bench) + answer("1", b"A") + answer("2", b"B") + loaded(bench) + answer("3", b"C"),
    )
    bench.exchange(predict_one("4", b"d"), answer("4", b"D"))


@pytest.mark.parametrize("size", [0, 1, 65_000, 65_536, 65_537, 1_000_000])
def test_bodies_of_every_size_come_through(bench: Bench, size: int) -> None:
    body = b"x" * size
    bench.exchange(predict_one("big", body), answer("big", body.upper()))


def test_a_message_of_several_requests_is_answered_in_one(bench: Bench) -> None:
    one, two = predict_one("1", b"a")[1:-4], predict_one("2", b"b")[1:-4]
    head, tail = 4 + len(text("OK")), 4
    expected = answer("1", b"A", 2)[:-tail] + answer("2", b"B", 2)[head:]
    bench.exchange(b"I" + one + two + END, expected)


@pytest.mark.parametrize(
    "garbage",
    [
        b"X",
        b"\0\0\0\0",
        b"I" + number(-2),
        b"I" + number(2**31 - 1),
        b"L" + number(2**30),
        predict_one("1", b"")[:-12] + number(1 << 21),
    ],
)
def test_garbage_closes_the_connection_and_nothing_else(bench: Bench, garbage: bytes) -> None:
    other = bench.connect()
    bench.front[0].sendall(garbage)
    assert bench.front[0].recv(1) == b""
    bench.exchange(predict_one("1", b"a"), answer("1", b"A"), front=other)


@pytest.mark.parametrize("length", [1, 10, len(LOAD) - 1])
def test_a_truncated_message_harms_nobody(bench: Bench, length: int) -> None:
    other = bench.connect()
    bench.front[0].sendall(LOAD[:length])
    bench.front[0].shutdown(socket.SHUT_WR)
    assert bench.front[0].recv(1) == b""
    bench.exchange(predict_one("1", b"a"), answer("1", b"A"), front=other)


def test_a_long_message_that_is_cut_off_harms_nobody(bench: Bench) -> None:
    other = bench.connect()
    bench.front[0].sendall(predict_one("1", b"x" * 300_000)[:200_000])
    bench.front[0].shutdown(socket.SHUT_WR)
    assert bench.front[0].recv(1) == b""
    bench.exchange(predict_one("1", b"a"), answer("1", b"A"), front=other)


def test_an_answer_larger_than_the_sockets_buffer_comes_whole(bench: Bench) -> None:
    body = b"y" * 1_000_000
    bench.front[0].sendall(predict_one("1", body) + predict_one("2", body))
    time.sleep(0.2)
    bench.expect(answer("1", body.upper()) + answer("2", body.upper()))


def test_a_connection_that_was_let_go_while_in_work_is_forgotten() -> None:
    with running(Echo(pause=0.3)) as bench:
        bench.front[0].sendall(predict_one("1", b"a"))
        bench.wait_running()
        bench.connections.epoll.unregister(slots.FIRST_FD)
        bench.expect(answer("1", b"A"))
        bench.connections.close(0)
        bench.connect()
        bench.exchange(predict_one("2", b"b"), answer("2", b"B"), front=1)


def test_a_front_end_that_closes_a_connection_harms_nobody(bench: Bench) -> None:
    other = bench.connect()
    bench.front[0].close()
    bench.exchange(predict_one("1", b"a"), answer("1", b"A"), front=other)
    bench.wait_idle()


def test_what_one_call_cannot_send_is_sent_by_the_next() -> None:
    ours, theirs = socket.socketpair()
    theirs.settimeout(10)
    pieces = [b"a" * 10, b"b" * 3_000_000, memoryview(b"c" * 10)]
    sender = threading.Thread(target=Connection(0, 0, theirs).send, args=(pieces,))
    sender.start()
    got = bytearray()
    while len(got) < 3_000_020:
        got += ours.recv(1 << 20)
    sender.join()
    assert got == b"".join(pieces)
    ours.close()
    theirs.close()


class Unconnected(socket.socket):
    """As a connection that the other side has reset."""

    def shutdown(self, _how: int) -> None:
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")


def test_a_connection_that_is_gone_already_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_Socket", Unconnected)
    with running(Echo(), count=2) as bench:
        bench.front[0].sendall(b"\xff")  # no message: the connection is of no more use
        bench.exchange(predict_one("1", b"a"), answer("1", b"A"), 1)
        bench.wait_idle()


def test_a_front_end_that_is_gone_before_its_answer_harms_nobody() -> None:
    lines, log = os.pipe()
    with running(Echo(pause=0.2), count=2, access=AccessLog(log, logging.INFO)) as bench:
        bench.front[0].sendall(predict_one("1", b"a"))
        bench.wait_running()
        bench.front[0].close()
        bench.exchange(predict_one("2", b"b"), answer("2", b"B"), front=1)
        bench.wait_idle()
    # Whoever closed the connection has answered the request, and has written its line.
    assert re.findall(rb" id=(.*)\n", os.read(lines, 1000)) == [b"2"]


def test_a_slot_is_used_again_with_a_new_generation(bench: Bench) -> None:
    bench.exchange(predict_one("1", b"a"), answer("1", b"A"))
    bench.wait_idle()
    bench.connections.close(0)
    assert bench.connect() == 0
    bench.exchange(predict_one("2", b"b"), answer("2", b"B"), front=1)


def test_a_slot_that_is_closed_while_in_work_is_left_alone() -> None:
    with running(Echo(pause=0.3)) as bench:
        bench.front[0].sendall(predict_one("1", b"a"))
        bench.wait_running()
        bench.connections.close(0)
        assert bench.connect() == 1
        while bench.table.state(0)[0] != slots.IDLE:
            time.sleep(0.001)
        assert bench.connect() == 0
        bench.exchange(predict_one("2", b"b"), answer("2", b"B"), front=2)


class Closes(Echo):
    """Closes the socket of the first connection, or puts a file in its place."""

    def __init__(self, *, replaces: bool) -> None:
        super().__init__()
        self.replaces = replaces

    async def answer(self, requests: Sequence[Request]) -> list[Response]:
        if self.replaces:
            os.dup2(os.open(os.devnull, os.O_RDWR), slots.FIRST_FD)
        else:
            os.close(slots.FIRST_FD)
        return await super().answer(requests)


@pytest.mark.parametrize("replaces", [False, True])
def test_a_worker_whose_sockets_the_program_closes_ends_owing_an_answer(*, replaces: bool) -> None:
    bench = Bench(Closes(replaces=replaces))
    bench.front[0].sendall(predict_one("1", b"a"))
    os.waitid(os.P_PID, bench.pid, os.WEXITED | os.WNOWAIT)
    assert bench.table.state(0)[0] == slots.ANSWERING
    assert bench.close() == 1


class Unsendable(Echo):
    """Answers with a status that there is not."""

    async def answer(self, requests: Sequence[Request]) -> list[Response]:
        return [Response(b"", "a/b", status=999) for _ in requests]


def test_what_the_front_end_cannot_send_is_a_failure() -> None:
    with running(Unsendable()) as bench:
        bench.front[0].sendall(predict_one("1", b"a"))
        head = number(200) + text("OK") + text("1") + text("application/json") + number(500)
        bench.expect(head)


class Mute:
    """Has no text."""

    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (Response(b"abc", "a/b"), None),
        (Response(b"", "a/b", headers={"X-A": "1"}), None),
        (Response(memoryview(b"12345678901").cast("B"), "a/b"), "it has 11 bytes"),
        (Response(b"", "a/b", status=199), "its status is 199"),
        (Response(b"", "a/b", headers={"X A": "1"}), "'X A' is not the name of a header"),
        (Response(b"", "a/b", headers={"X-A": 1}), None),
        (Response(b"", "a/b", headers={b"X-A": "1"}), "b'X-A' is not the name of a header"),  # type: ignore[dict-item]
        (Response(b"", "a/b", headers={"X-A": b"1"}), "X-A has a value of type bytes"),  # type: ignore[dict-item]
        (Response(b"", "a/b", headers={"X-A": Mute()}), "X-A has a value of type Mute"),  # type: ignore[dict-item]
        (Response(b"", "a/b", headers=[("X-A", "1")]), "its headers are of type list"),  # type: ignore[arg-type]
        (Response(memoryview(b"1234")[::2], "a/b"), "bytes that lie apart"),
    ],
)
def test_what_the_front_end_would_stumble_over_is_known(
    response: Response, words: str | None
) -> None:
    problem = sendable.problem(response, 10)
    assert problem is None if words is None else words in str(problem)


class Waits(Echo):
    """Awaits until the test says otherwise."""

    def __init__(self) -> None:
        super().__init__(Concurrency(is_async=True))
        self.may_go_on = mmap.mmap(-1, 1)

    async def answer(self, requests: Sequence[Request]) -> list[Response]:
        while not self.may_go_on[0]:  # noqa: ASYNC110 - it is of another process
            await asyncio.sleep(0.001)
        return await super().answer(requests)


def test_what_runs_when_the_server_stops_is_answered() -> None:
    service = Waits()
    with running(service, timeout=60) as bench:
        bench.front[0].sendall(predict_one("1", b"a"))
        bench.wait_running()
        bench.connections.stop()
        service.may_go_on[0] = 1
        bench.expect(answer("1", b"A"))


def test_blocking_services_run_on_threads() -> None:
    with running(Echo(Concurrency(threads=3), pause=0.1), count=6) as bench:
        for index in range(6):
            bench.front[index].sendall(predict_one(str(index), b"a"))
        for index in range(6):
            bench.expect(answer(str(index), b"A"), index)


def test_the_table_lies_in_a_file_where_memory_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_name: str) -> int:
        raise OSError

    monkeypatch.setattr(os, "memfd_create", refuse)
    table = SlotTable()
    table.write(3, slots.RUNNING, 7, 1, "id")
    assert SlotTable(os.dup(table.fd)).read(3).request_id == "id"
    table.close()


def test_a_connection_handed_out_twice_is_served_once(bench: Bench) -> None:
    bench.exchange(predict_one("1", b"a"), answer("1", b"A"))
    bench.wait_idle()
    bench.table.write(0, slots.READING, 4711, 1)
    bench.front[0].sendall(predict_one("2", b"b"))
    bench.front[0].settimeout(0.2)
    with pytest.raises(TimeoutError):
        bench.front[0].recv(1)
    bench.table.write(0, slots.IDLE, 0, 1)
    bench.connections.rearm_idle()
    bench.front[0].settimeout(10)
    bench.expect(answer("2", b"B"))


class Breaks(Echo):
    """Answers with a body that comes in pieces, up to one that fails."""

    async def answer(self, requests: Sequence[Request]) -> list[Response]:
        def pieces(request: Request) -> Iterator[bytes]:
            yield b"a"
            if request.id == "bad":
                message = "secret"
                raise KeyError(message)
            yield b"b"

        return [
            Response(pieces(request), "a/b", headers={"x-batch": "1"}, phrase="Fine")
            for request in requests
        ]


def test_a_body_that_fails_while_it_is_made_fails_its_request_only() -> None:
    with running(Breaks()) as bench:
        bench.exchange(predict_one("1", b""), answer("1", b"ab"))
        bench.front[0].sendall(predict_one("bad", b""))
        head = number(200) + text("OK") + text("bad") + text("application/json") + number(500)
        bench.expect(head)
        rest = bench.front[0].recv(1000)
        assert b"The answer cannot be sent: KeyError" in rest
        assert b"secret" not in rest
        bench.wait_idle()
        bench.exchange(predict_one("2", b""), answer("2", b"ab"))


@pytest.mark.parametrize("body", [b"x" * (2 << 20), iter([b"a", 1])])
def test_an_answer_that_cannot_be_sent_took_its_time(body: Any) -> None:
    response = Response(body, "a/b")
    times = response.decode_seconds, response.predict_seconds, response.encode_seconds = 1, 2, 3
    one = Echo()
    one.answer = lambda _requests: returning([response])  # type: ignore[method-assign]
    lines, log = os.pipe()
    with running(one, access=AccessLog(log, logging.INFO)) as bench:
        bench.front[0].sendall(predict_one("1", b""))
        assert b"The answer cannot be sent: " in bench.front[0].recv(1000)
        bench.wait_idle()
    written = os.read(lines, 1000).decode()
    assert " 500 queue=" in written
    found = re.findall(r"(?:decode|predict|encode)=([\d.]+)", written)
    assert [float(text) for text in found] == [seconds * 1000 for seconds in times]


async def returning(responses: list[Response]) -> list[Response]:
    return responses


def test_a_request_has_not_waited_since_before_the_worker_looked_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(blocking, "BEAT_SECONDS", 0.01)
    # What comes within a second counts as having been there.
    monkeypatch.setattr(blocking, "AT_ONCE", 1.0)
    lines, log = os.pipe()
    with running(Echo(), access=AccessLog(log, logging.INFO)) as bench:
        time.sleep(1)
        bench.exchange(predict_one("1", b""), answer("1", b""))
    [waited] = re.findall(r"queue=([\d.]+)", os.read(lines, 1000).decode())
    assert float(waited) < 500


def test_no_health_check_is_called_once_the_server_stops(registry: Registry) -> None:
    checks = mmap.mmap(-1, 1)
    registry.model_loader(lambda: None)

    @registry.predictor
    async def predict(data: Any) -> Any:
        await asyncio.sleep(0.4)
        return data

    @registry.health_check(interval=0.2)
    def check() -> None:
        checks[0] += 1

    with running(load_program(registry)) as bench:
        bench.front[0].sendall(predict_one("1", b"[1]", [("Content-Type", "application/json")]))
        bench.wait_running()
        bench.connections.stop()
        assert bench.front[0].recv(1000).endswith(text("[1]") + END)
    assert checks[0] == 0


@pytest.mark.parametrize("is_async", [False, True])
def test_a_worker_whose_health_check_fails_reports_that_and_ends(
    registry: Registry, *, is_async: bool
) -> None:
    async def predict(data: Any) -> Any:
        return data

    results = iter([True, False])
    registry.model_loader(lambda: None)
    registry.predictor(predict if is_async else lambda data: data)
    registry.health_check(interval=0.01)(lambda: next(results))
    with running(load_program(registry)) as bench:
        bench.control.settimeout(10)
        assert Report.read(bench.control.recv(4096)).stage == UNHEALTHY
        os.waitid(os.P_PID, bench.pid, os.WEXITED | os.WNOWAIT)
