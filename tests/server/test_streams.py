"""Streams over HTTP: what goes out when, and what becomes of a stream that does not end well."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from support import streams
from support.streams import post, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.server.conftest import Server

    Serve = Callable[..., Server]

pytestmark = pytest.mark.java

# An item for each word, but for some that do something else.
PROGRAM = """
import asyncio, os, time
from sagemaker_inference import model_loader, predictor, serve

@model_loader
def load(model_dir):
    return None

def do(word):
    if word == "fail":
        raise ValueError("secret")
    if word == "large":
        return "x" * 1_000_000
    if word == "pid":
        return os.getpid()
    return word

@predictor
ASYNC def predict(data, model, context):
    context.response_headers["x-own"] = "yes"
    try:
        for word in data:
            if isinstance(word, dict):
                PAUSE
                while "wait" in word and not os.path.exists(word["wait"]):
                    PAUSE
                continue
            yield do(word)
    finally:
        print("closed", data[:1], flush=True)

serve(__name__)
"""
PLAIN = PROGRAM.replace("ASYNC ", "").replace("PAUSE", "time.sleep(0.01)")
ASYNC = PROGRAM.replace("ASYNC", "async").replace("PAUSE", "await asyncio.sleep(0.01)")
THREADS = PLAIN.replace("@predictor", "@predictor(threads=4)")
SOURCES = pytest.mark.parametrize(
    "source", [PLAIN, THREADS, ASYNC], ids=["plain", "threads", "async"]
)
SEVERAL = pytest.mark.parametrize("source", [THREADS, ASYNC], ids=["threads", "async"])


class Client(streams.Client):
    """A connection that no server may reset."""

    def rest(self) -> bytes:
        """Read until the connection ends."""
        while more := self.sock.recv(1 << 20):
            self.data += more
        return self.data


@contextlib.contextmanager
def connected(server: Server, count: int = 1) -> Iterator[list[Client]]:
    clients = [Client(server.port) for _ in range(count)]
    try:
        yield clients
    finally:
        for client in clients:
            client.close()


def new(server: Server, text: str) -> Callable[[], int]:
    """Count how often a text stands in the log from now on."""
    before = server.log.count(text)
    return lambda: server.log.count(text) - before


def chunk(text: str) -> bytes:
    return f"{len(text):x}\r\n{text}\r\n".encode()


@SOURCES
def test_the_first_item_is_there_while_the_next_is_made(
    shared: Serve, tmp_path: Any, source: str
) -> None:
    server = shared(source)
    with connected(server) as [client]:
        wait = {"wait": str(tmp_path / "go")}
        client.send(["a", wait, None], "Accept: application/jsonlines")
        head = client.until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        for line in (b"transfer-encoding: chunked", b"x-own: yes", b"connection: keep-alive"):
            assert line in head
        assert b"content-type: application/jsonlines\r\n" in head
        assert b"content-length" not in head
        assert client.until(b'"a"\n\r\n') == chunk('"a"\n')
        assert client.data == b""
        (tmp_path / "go").touch()
        assert client.until(b"0\r\n\r\n") == chunk("null\n") + b"0\r\n\r\n"
        client.send(["c"])  # the connection serves on
        client.until(b"0\r\n\r\n")


@pytest.mark.parametrize(
    ("accept", "content_type", "body"),
    [
        ("", "text/plain; charset=utf-8", "ab"),
        ("application/x-ndjson", "application/x-ndjson", '"a"\n"b"\n'),
        ("text/event-stream", "text/event-stream", "data: a\n\ndata: b\n\n"),
        ("text/plain", "text/plain; charset=utf-8", "ab"),
        ("application/json", "application/json", '["a","b"]'),
        ("application/octet-stream", "application/octet-stream", "ab"),
    ],
)
def test_formats(shared: Serve, accept: str, content_type: str, body: str) -> None:
    reply = shared(PLAIN).request('["a", "b"]', {"Accept": accept})
    assert (reply.status, reply.headers["content-type"]) == (200, content_type)
    assert reply.body == body.encode()


@SOURCES
def test_nothing_yielded_is_an_empty_body(shared: Serve, source: str) -> None:
    reply = shared(source).request("[]")
    assert (reply.status, reply.headers["content-length"], reply.body) == (200, "0", b"")


@SOURCES
def test_a_failure_before_the_first_item_keeps_its_status(shared: Serve, source: str) -> None:
    reply = shared(source).request('["fail"]')
    assert (reply.status, reply.json["error"]["code"]) == (500, "prediction_failed")
    assert int(reply.headers["content-length"]) == len(reply.body)


@SOURCES
def test_a_failure_after_it_is_a_record_and_a_body_without_end(shared: Serve, source: str) -> None:
    server = shared(source)
    lines = new(server, "stream=error items=1")
    with connected(server, 2) as [records, raw]:
        records.send(["a", "fail"], "Accept: text/event-stream")
        answer = records.rest()
        assert b"event: error\ndata: {" in answer
        assert answer.endswith(b"}\n\n\r\n")
        raw.send(["a", "fail"], "Accept: text/plain")
        assert raw.rest().endswith(b"\r\n\r\n1\r\na\r\n")
    wait_until(lambda: lines() == 2)
    assert server.request('["a"]').body == b"a"


@SOURCES
def test_who_hangs_up_closes_the_program(shared: Serve, source: str) -> None:
    server = shared(source)
    closed, lines = new(server, "closed ['gone']"), new(server, "stream=client_gone")
    with connected(server) as [client]:
        # It yields every 10 ms: a plain program is closed between two items.
        client.send(["gone", *[{"sleep": 0.01}, "more"] * 1000])
        client.until(b"gone")
    wait_until(closed, 5)
    wait_until(lines)
    assert "INFO POST /invocations 499 " in server.log


def test_who_hangs_up_closes_a_quiet_program(shared: Serve) -> None:
    server = shared(ASYNC)
    closed = new(server, "closed ['quiet']")
    with connected(server) as [client]:
        client.send(["quiet", {"wait": "never"}])
        client.until(b"quiet")
    wait_until(closed, 2)


@SOURCES
def test_a_pipelined_request_waits_behind_the_stream(shared: Serve, source: str) -> None:
    server = shared(source)
    with connected(server) as [client]:
        client.sock.sendall(b"".join(map(post, (["a", "b"], ["c"], []))))
        first = client.until(b"0\r\n\r\n")
        assert first.endswith(b"\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n")
        assert client.until(b"0\r\n\r\n").endswith(b"1\r\nc\r\n0\r\n\r\n")
        assert b"content-length: 0\r\n" in client.until(b"\r\n\r\n")


@SOURCES
def test_a_client_of_http_1_0_reads_until_the_end(shared: Serve, source: str) -> None:
    server = shared(source)
    with connected(server) as [client]:
        client.sock.sendall(post(["a", "b"], version="1.0"))
        head, _, body = client.rest().partition(b"\r\n\r\n")
        assert b"connection: close" in head
        assert b"transfer-encoding" not in head
        assert body == b"ab"


def test_head_is_refused_as_for_any_program(shared: Serve) -> None:
    reply = shared(PLAIN).request(method="HEAD")
    assert (reply.status, reply.body) == (405, b"")


@SEVERAL
def test_several_streams_are_open_at_the_same_time(
    shared: Serve, tmp_path: Any, source: str
) -> None:
    server = shared(source)
    with connected(server, 4) as clients:
        for client in clients:
            client.send(["a", {"wait": str(tmp_path / "go")}, "b"])
        for client in clients:
            client.until(b"1\r\na\r\n")
        (tmp_path / "go").touch()
        for client in clients:
            assert client.until(b"0\r\n\r\n") == b"1\r\nb\r\n0\r\n\r\n"


@SEVERAL
def test_who_does_not_read_disturbs_nobody(shared: Serve, source: str) -> None:
    server = shared(source)
    with connected(server) as [slow]:
        slow.send(["large"] * 40)
        slow.until(b"xxx")
        for _ in range(3):
            assert server.request('["a"]').body == b"a"
        assert b"0\r\n\r\n" not in slow.data
        slow.send([])  # and waits in its turn
        slow.until(b"\r\n0\r\n\r\n")
        assert b"content-length: 0" in slow.until(b"\r\n\r\n")


@SEVERAL
def test_a_worker_that_is_killed_breaks_its_streams_off(serve: Serve, source: str) -> None:
    server = serve(source)
    with connected(server, 4) as clients:
        for client in clients:
            client.send(["pid", {"wait": "never"}], "Accept: text/csv")
        for client in clients:
            client.until(b"\r\n\r\n")
        pids = {int(client.until(b"\n\r\n").split(b"\r\n")[1]) for client in clients}
        os.kill(pids.pop(), signal.SIGKILL)
        for client in clients:
            assert client.rest() == b""
    assert not pids
    wait_until(lambda: server.log.count("(a stream, broken off)") == 4)
    wait_until(lambda: server.log.count("INFO POST /invocations 500 ") == 4)
    assert (
        'streams_total{end="worker_died"} 4\n'
        in server.request(method="GET", path="/metrics").body.decode()
    )
    assert server.request('["a"]').body == b"a"


def test_a_stream_that_is_quiet_for_too_long_ends(serve: Serve) -> None:
    for source in (ASYNC, PLAIN):
        server = serve(source, env={"SAGEMAKER_STREAM_IDLE_TIMEOUT": "1"})
        with connected(server) as [client]:
            client.send(["a", {"wait": "never"}], "Accept: application/jsonlines")
            client.until(b'"a"\n\r\n')
            # A plain program cannot be interrupted, and its worker is replaced.
            answer = client.rest()
            assert (b"SAGEMAKER_STREAM_IDLE_TIMEOUT" in answer) == (source is ASYNC)
        wait_until(lambda server=server: " 504 " in server.log)
        page = server.request(method="GET", path="/metrics").body.decode()
        assert 'requests_total{path="/invocations",status="504"} 1\n' in page
        assert 'streams_total{end="timeout"} 1\n' in page
        assert server.request('["a"]').body == b"a"


@SOURCES
def test_events_that_are_quiet_get_comments_where_that_is_set(
    serve: Serve, tmp_path: Any, source: str
) -> None:
    server = serve(source, env={"SAGEMAKER_STREAM_HEARTBEAT": "1"})
    with connected(server) as [client]:
        wait = {"wait": str(tmp_path / "go")}
        client.send(["a", wait, "b"], "Accept: text/event-stream")
        begun = client.until(b": \n\n\r\n")
        assert begun.endswith(chunk("data: a\n\n") + chunk(": \n\n"))
        (tmp_path / "go").touch()
        assert client.until(b"0\r\n\r\n").endswith(chunk("data: b\n\n") + b"0\r\n\r\n")


@SOURCES
def test_open_streams_get_the_time_to_end_when_the_server_stops(
    serve: Serve, tmp_path: Any, source: str
) -> None:
    server = serve(source)
    with connected(server) as [client]:
        client.send(["a", {"wait": str(tmp_path / "go")}, "b"])
        client.until(b"1\r\na\r\n")
        server.process.send_signal(signal.SIGTERM)
        server.wait_for_log("answering what is in flight")
        (tmp_path / "go").touch()
        assert client.rest() == b"1\r\nb\r\n0\r\n\r\n"
    assert server.wait_end() == 0


def test_the_time_limits_of_idle_connections_end_no_quiet_stream(
    serve: Serve, tmp_path: Any
) -> None:
    server = serve(ASYNC, env={"SAGEMAKER_CLIENT_IDLE_TIMEOUT": "1"})
    with connected(server) as [client]:
        client.send(["a", {"wait": str(tmp_path / "go")}, "b"])
        client.until(b"1\r\na\r\n")
        with connected(server) as [idle]:
            assert idle.rest() == b""  # which is ended
        (tmp_path / "go").touch()
        client.until(b"1\r\nb\r\n0\r\n\r\n")


def test_metrics_know_streams(shared: Serve) -> None:
    server = shared(PLAIN)
    assert server.request('["a", "b"]').body == b"ab"
    wait_until(lambda: "stream=complete" in server.log)
    page = server.request(method="GET", path="/metrics").body.decode()
    assert 'sagemaker_inference_streams_total{end="complete"' in page
    assert "sagemaker_inference_stream_items_total" in page
    assert "sagemaker_inference_stream_first_item_seconds_count" in page
