"""Streams of programs that handle one request at a time, or run in threads."""

from __future__ import annotations

import json
import os
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest
from support.builders import config
from support.mms_bytes import predict_one
from support.stream_bench import JSON, Log, ask, service, unread
from support.worker_bench import running

from sagemaker_inference._http.messages import Response
from sagemaker_inference._inference import streams
from sagemaker_inference._ipc import slots
from sagemaker_inference._ipc.slots import SlotTable
from sagemaker_inference._log import current_request
from sagemaker_inference._worker import senders
from sagemaker_inference._worker.access_log import AccessLog
from sagemaker_inference._worker.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.stream_bench import Gate


def count(data: Any) -> Iterator[Any]:
    yield from range(data)


@pytest.fixture(params=[{}, {"threads": 2}], ids=["alone", "threads"])
def options(request: pytest.FixtureRequest) -> dict[str, int]:
    made: dict[str, int] = request.param
    return made


def test_chunks_follow_the_head(options: dict[str, int]) -> None:
    with running(service(count, **options)) as bench:
        for _ in range(2):
            reader = ask(bench, 3)
            head = reader.head()
            assert head == ("id-0", "application/jsonlines", 200, "OK", {})
            assert reader.rest() == [b"0\n", b"1\n", b"2\n"]
            assert reader.status == 0
        bench.wait_idle()
        assert bench.table.answered(0) == 2


def test_an_item_goes_out_before_the_next_is_made(options: dict[str, int]) -> None:
    read, write = os.pipe()

    def wait(data: Any) -> Iterator[Any]:
        yield 1
        os.read(read, 1)
        yield 2

    with running(service(wait, **options)) as bench:
        reader = ask(bench)
        reader.head()
        assert reader.chunk() == b"1\n"
        assert bench.table.state(0)[0] == slots.STREAMING
        os.write(write, b"x")
        assert reader.rest() == [b"2\n"]
    os.close(read)
    os.close(write)


def test_items_may_be_empty_or_long(options: dict[str, int]) -> None:
    def items(data: Any) -> Iterator[bytes]:
        yield b""
        yield b"x" * 900_000
        yield b""
        yield bytearray(b"y")  # type: ignore[misc]

    with running(service(items, **options)) as bench:
        reader = ask(bench)
        assert reader.head().content_type == "application/octet-stream"
        assert reader.rest() == [b"x" * 900_000, b"y"]


def test_a_failure_after_the_first_item_is_the_last_record(options: dict[str, int]) -> None:
    def fail(data: Any) -> Iterator[Any]:
        yield 1
        raise ValueError("secret")

    with running(service(fail, **options)) as bench:
        reader = ask(bench)
        reader.head()
        one, error = reader.rest()
        assert (one, reader.status) == (b"1\n", 500)
        assert json.loads(error)["error"]["code"] == "prediction_failed"
        reader = ask(bench, accept="text/plain")
        reader.head()
        assert (reader.rest(), reader.status) == ([b"1\n"], 500)


def test_an_item_that_is_too_long_breaks_the_stream_and_closes_the_program() -> None:
    closed, told = os.pipe()

    def items(data: Any) -> Iterator[bytes]:
        try:
            yield b"x"
            yield b"x" * (1 << 20) + b"y"
        finally:
            os.write(told, b"closed")

    with running(service(items)) as bench:
        reader = ask(bench, accept="application/jsonlines")
        reader.head()
        _, error = reader.rest()
        assert b"SAGEMAKER_MAX_RESPONSE_IN_MB allows 1048576" in error
        assert reader.status == 500
        assert os.read(closed, 10) == b"closed"
    os.close(closed)
    os.close(told)


def test_headers_that_cannot_be_sent_are_a_failure(options: dict[str, int]) -> None:
    def predict(data: Any, model: Any, context: Any) -> Iterator[Any]:
        context.response_headers["no name"] = "x"
        yield 1

    with running(service(predict, **options)) as bench:
        bench.front[0].sendall(predict_one("1", b"1", JSON))
        assert b"is not the name of a header" in bench.front[0].recv(10_000)


def gated(gate: Gate) -> Callable[[Any], Iterator[Any]]:
    def predict(data: Any) -> Iterator[Any]:
        try:
            for index in range(data):
                yield index
                gate.wait()
        except GeneratorExit:
            gate.tell(b"closed")
            raise

    return predict


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers look for what else has happened at each item."""
    monkeypatch.setattr(senders, "_LOOK_SECONDS", 0)


@pytest.mark.usefixtures("eager")
def test_a_client_that_has_gone_closes_the_program(gate: Gate, options: dict[str, int]) -> None:
    with running(service(gated(gate), **options)) as bench:
        reader = ask(bench, 100)
        reader.head()
        assert reader.chunk() == b"0\n"
        bench.front[0].sendall(b"C")
        gate.open()
        assert gate.hear() == b"closed"
        assert (reader.rest(), reader.status) == ([], 499)
        bench.wait_idle()
        assert ask(bench, 0).head  # the connection serves on
        bench.wait_idle()


def test_a_client_that_goes_after_the_end_changes_nothing() -> None:
    with running(service(count)) as bench:
        reader = ask(bench, 1)
        reader.head()
        reader.rest()
        bench.front[0].sendall(b"C")
        reader = ask(bench, 1)
        assert reader.head().status == 200
        assert reader.rest() == [b"0\n"]
        bench.wait_idle()
        bench.front[0].sendall(b"C")
        bench.wait_idle()
        reader = ask(bench, 2)
        reader.head()
        assert reader.rest() == [b"0\n", b"1\n"]


@pytest.mark.usefixtures("eager")
def test_a_request_that_comes_early_waits_for_the_end(gate: Gate, options: dict[str, int]) -> None:
    with running(service(gated(gate), **options)) as bench:
        reader = ask(bench, 2)
        reader.head()
        ask(bench, 1)
        for _ in range(3):
            gate.open()
        assert reader.rest() == [b"0\n", b"1\n"]
        reader.head()
        assert reader.rest() == [b"0\n"]


def test_a_program_that_fails_when_the_front_end_is_gone_harms_nobody(
    gate: Gate, options: dict[str, int]
) -> None:
    def fail(data: Any) -> Iterator[Any]:
        yield 1
        gate.wait()
        if data:
            raise ValueError

    with running(service(fail, **options), count=2) as bench:
        reader = ask(bench, 1)
        reader.head()
        bench.front[0].shutdown(socket.SHUT_RDWR)
        gate.open()
        bench.wait_idle()
        reader = ask(bench, 0, front=1)
        gate.open()
        reader.head()
        assert reader.rest() == [b"1\n"]


@pytest.mark.parametrize(("error", "has_gone"), [(BlockingIOError, False), (OSError, True)])
def test_a_connection_may_have_nothing_to_say(error: type[OSError], *, has_gone: bool) -> None:
    class Mute(socket.socket):
        def recv(self, *_arguments: Any) -> bytes:
            raise error

    ours, theirs = socket.socketpair()
    limits = senders.Limits(config(), SlotTable(), theirs.fileno())
    with Mute(fileno=ours.detach()) as mute, theirs:
        sender = senders.BlockingSender(limits, Connection(0, 0, mute), Response(b"", "a/b"))
        assert sender._heard() is has_gone


@pytest.mark.usefixtures("eager")
def test_a_front_end_that_is_gone_closes_the_program(gate: Gate, options: dict[str, int]) -> None:
    with running(service(gated(gate), **options), count=2) as bench:
        reader = ask(bench, 100)
        reader.head()
        bench.front[0].shutdown(socket.SHUT_RDWR)
        gate.open()
        assert gate.hear() == b"closed"
        reader = ask(bench, 0, front=1)
        bench.wait_idle()


def test_a_front_end_that_goes_while_it_is_written_to_closes_the_program(gate: Gate) -> None:
    with running(service(gated(gate)), count=2) as bench:
        reader = ask(bench, 100)
        reader.head()
        bench.front[0].shutdown(socket.SHUT_RDWR)
        for _ in range(3):
            gate.open()
        assert gate.hear() == b"closed"


def much(data: Any) -> Iterator[bytes]:
    for _ in range(data):
        yield b"x" * 500_000


def test_a_client_that_does_not_read_stops_the_program(options: dict[str, int]) -> None:
    made: list[int] = []

    def predict(data: Any) -> Iterator[bytes]:
        for index in range(20):
            made.append(index)
            yield (b"%d" % len(made)) * 500_000

    with running(service(predict, **options)) as bench:
        reader = unread(bench)
        reader.head()
        bench.wait_state(slots.STREAMING, 0)
        time.sleep(0.3)  # it gets as far as it gets
        last = reader.rest()[-1]
        assert last == b"20" * 500_000


@pytest.mark.parametrize("has_gone", [False, True])
def test_who_goes_while_nothing_is_read_closes_the_program(
    options: dict[str, int], *, has_gone: bool
) -> None:
    with running(service(much, **options), count=2) as bench:
        reader = unread(bench, 100)
        reader.head()
        time.sleep(0.2)  # the socket fills
        if has_gone:
            bench.front[0].shutdown(socket.SHUT_RDWR)
        else:
            bench.front[0].sendall(b"C")
            assert set(map(len, reader.rest())) == {500_000}
            assert reader.status == 499
        bench.wait_idle()
        assert ask(bench, 1, front=1).head().status == 200


def test_a_stream_that_is_told_to_end_says_so(
    gate: Gate, options: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(senders, "GRACE_SECONDS", 0.2)
    monkeypatch.setattr(senders, "_LOOK_SECONDS", 0)

    def predict(data: Any) -> Iterator[Any]:
        while True:
            yield 1
            time.sleep(0.05)

    with running(service(predict, **options)) as bench:
        reader = ask(bench)
        reader.head()
        bench.connections.stop()
        error = reader.rest()[-1]
        assert b"The server is stopping" in error
        assert reader.status == 503


def test_a_stream_that_nobody_reads_is_dropped_when_it_is_told_to_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(senders, "GRACE_SECONDS", 0.1)
    monkeypatch.setattr(senders, "_LAST_SECONDS", 0.1)
    with running(service(much)) as bench:
        reader = unread(bench, 1000)
        reader.head()
        time.sleep(0.2)
        bench.connections.stop()
        bench.wait_idle()
        with pytest.raises(EOFError):
            reader.rest()


def test_a_stream_that_is_too_long_ends(
    options: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGEMAKER_STREAM_TIMEOUT", "1")

    def predict(data: Any) -> Iterator[Any]:
        while True:
            yield 1
            time.sleep(0.01)

    with running(service(predict, **options)) as bench:
        reader = ask(bench)
        reader.head()
        error = json.loads(reader.rest()[-1])["error"]
        assert error["message"] == "The stream is longer than 1 s (SAGEMAKER_STREAM_TIMEOUT)."
        assert (error["code"], reader.status) == ("prediction_timeout", 504)


def test_an_end_that_fails_is_logged(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "logger", Log(gate))

    def predict(data: Any) -> Iterator[Any]:
        try:
            yield 1
            yield object()
        finally:
            raise ValueError("of the end")

    with running(service(predict)) as bench:
        reader = ask(bench)
        reader.head()
        assert len(reader.rest()) == 2
        assert reader.status == 500
        assert gate.hear() == b"request id-0: the end of a stream failed"


def test_a_child_of_the_program_that_comes_back_is_ended() -> None:
    def fork(data: Any) -> Iterator[Any]:
        yield 1
        if os.fork():
            os.wait()
        yield 2

    with running(service(fork)) as bench:
        reader = ask(bench)
        reader.head()
        assert reader.rest() == [b"1\n", b"2\n"]


def test_several_streams_run_in_threads(gate: Gate) -> None:
    with running(service(gated(gate), threads=2), count=3) as bench:
        readers = [ask(bench, 2, front=front) for front in (0, 1)]
        for reader in readers:
            reader.head()
            assert reader.chunk() == b"0\n"
        for _ in range(4):
            gate.open()
        for reader in readers:
            assert reader.rest() == [b"1\n"]


def test_access_lines_know_streams(options: dict[str, int]) -> None:
    lines, log = os.pipe()
    with running(service(count, **options), access=AccessLog(log, 20)) as bench:
        reader = ask(bench, 3)
        reader.head()
        reader.rest()
        bench.wait_idle()
        line = os.read(lines, 1000).decode()
        assert "POST /invocations 200 queue=" in line
        assert " id=id-0 stream=complete items=3 bytes=6 stream_ms=" in line
    os.close(lines)
    os.close(log)


def test_the_program_logs_with_the_request() -> None:
    def predict(data: Any) -> Iterator[Any]:
        yield current_request.get()
        yield current_request.get()

    with running(service(predict)) as bench:
        reader = ask(bench, accept="application/jsonlines")
        reader.head()
        assert reader.rest() == [b'"id-0"\n', b'"id-0"\n']
