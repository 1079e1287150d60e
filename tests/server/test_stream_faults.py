"""What streams survive: workers that die, clients that go or read nothing, bad programs."""

from __future__ import annotations

import os
import resource
import signal
import time
from typing import TYPE_CHECKING

import pytest
from support.proc import descriptors, memory
from support.streams import connected, post, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.conftest import Server

    Serve = Callable[..., Server]

pytestmark = pytest.mark.java

# What to do is in the request: an item for each word.
PROGRAM = """
import asyncio, os, time
from sagemaker_inference import model_loader, predictor, serve

@model_loader
def load(model_dir):
    return None

def item(word):
    if word == "huge":
        return "x" * 10_000_000
    if word == "large":
        return "x" * 200_000
    return object() if word == "unencodable" else word

DECORATOR
ASYNC def predict(words):
    print("began", flush=True)
    try:
        for word in words:
            if word == "never":
                while True:
                    PAUSE
            while word == "forever":
                PAUSE
                yield "tick"
            if word == "ignore":
                try:
                    while True:
                        PAUSE
                        yield "tick"
                except BaseException:
                    print("ignored", flush=True)
                    PAUSE
                    yield "again"
            if word == "pause":
                PAUSE
            else:
                yield item(word)
    finally:
        print("closed", flush=True)
        if words[:1] == ["bad end"]:
            raise ValueError("a bad end")

serve(__name__)
"""


# The same for each request of a batch.
BATCH = """
@predictor(max_batch_size=20)
def predict_batch(batch):
    streams = [predict(words) for words in batch]
    try:
        while any(items := [next(stream, None) for stream in streams]):
            yield items
    finally:
        for stream in streams:
            stream.close()

serve(__name__)
"""


def program(*, kind: str) -> str:
    is_async = kind == "async"
    text = PROGRAM.replace("ASYNC ", "async " if is_async else "")
    text = text.replace("PAUSE", ("await asyncio" if is_async else "time") + ".sleep(0.01)")
    if kind == "batch":
        return text.replace("DECORATOR", "").replace("serve(__name__)", "") + BATCH
    return text.replace("DECORATOR", "@predictor" + ("(threads=20)" if kind == "threads" else ""))


KINDS = ["plain", "threads", "async", "batch"]
kinds = pytest.mark.parametrize("kind", KINDS)
several = pytest.mark.parametrize("kind", ["threads", "async"])
LINES = "Accept: application/jsonlines"


def answers(server: Server) -> bool:
    """Whether it answers a stream of one item, whole."""
    reply = server.request('["a"]', {"Accept": "application/jsonlines"})
    return reply.body == b'"a"\n'


def counts(server: Server) -> tuple[int, int]:
    """How often the program has begun and ended."""
    lines = server.log.splitlines()  # the server's own lines may have these words
    return lines.count("began"), lines.count("closed")


@several
def test_a_worker_that_is_killed_with_twenty_open_streams(serve: Serve, kind: str) -> None:
    server = serve(program(kind=kind))
    [worker] = server.pids("sagemaker_inference._worker")
    with connected(server.port, 20) as clients:
        for client in clients:
            client.send(["a", "forever"], LINES)
        for client in clients:
            client.until(b'"tick"\n')
        os.kill(worker, signal.SIGKILL)
        for client in clients:
            assert not client.rest().endswith(b"0\r\n\r\n")
        server.wait_workers(1, other_than=[worker])
    wait_until(lambda: answers(server))


@kinds
def test_a_client_that_reads_nothing_any_more_is_cut_off(serve: Serve, kind: str) -> None:
    server = serve(program(kind=kind), env={"SAGEMAKER_CLIENT_WRITE_TIMEOUT": "1"})
    with connected(server.port, receive=4096) as [client]:
        client.send(["large"] * 1000, LINES)
        client.until(b"xxxx")
        wait_until(lambda: counts(server) == (1, 1), 30)
        wait_until(lambda: "stream=client_gone" in server.log)
    assert answers(server)


@kinds
def test_a_client_that_hangs_up_at_any_stage_leaves_nothing(shared: Serve, kind: str) -> None:
    server = shared(program(kind=kind))
    whole = post(["a", "b"], LINES)
    for end in (0, 10, 60, len(whole) - 3, len(whole)):
        with connected(server.port) as [client]:
            client.sock.sendall(whole[:end])
    for words, text in (
        (["pause"] * 10 + ["a", "forever"], b""),
        (["a", "forever"], b"HTTP/1.1 200"),
        (["a", "forever"], b'"a"'),
        (["large"] * 100, b"xx"),
        (["a", "b"], b"0\r\n\r\n"),
    ):
        with connected(server.port) as [client]:
            client.send(words, LINES)
            client.until(text)
    assert answers(server)

    def are_all_closed() -> bool:
        began, closed = counts(server)
        return began == closed

    wait_until(are_all_closed)
    wait_until(lambda: server.request("x", path="/ping").status == 200)


@pytest.mark.parametrize("kind", ["plain", "async", "batch"])
def test_a_program_that_never_yields_gets_504_and_others_go_on(serve: Serve, kind: str) -> None:
    server = serve(program(kind=kind), env={"SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS": "1"})
    reply = server.request('["never"]')
    assert (reply.status, reply.json["error"]["code"]) == (504, "prediction_timeout")
    wait_until(lambda: answers(server))


@kinds
def test_an_item_of_ten_megabytes_arrives_whole(shared: Serve, kind: str) -> None:
    server = shared(program(kind=kind))
    with connected(server.port) as [client]:
        client.send(["huge", "a"], LINES)
        answer = client.until(b'"a"\n\r\n0\r\n\r\n')
        assert answer.count(b"x") > 10_000_000


@kinds
def test_an_item_that_cannot_be_written_ends_the_stream_aloud(shared: Serve, kind: str) -> None:
    server = shared(program(kind=kind))
    with connected(server.port) as [client]:
        client.send(["a", "unencodable"], LINES)
        answer = client.rest()
        assert b'"unencodable_prediction"' in answer
        assert not answer.endswith(b"0\r\n\r\n")
    assert answers(server)


@kinds
def test_a_program_that_ends_badly_says_so(shared: Serve, kind: str) -> None:
    server = shared(program(kind=kind))
    with connected(server.port) as [client]:
        client.send(["bad end", "a"], LINES)
        answer = client.rest()
        assert b'"prediction_failed"' in answer
        assert not answer.endswith(b"0\r\n\r\n")
    # The same when it is closed.
    before = server.log.count("a bad end")
    with connected(server.port) as [client]:
        client.send(["bad end", "forever"], LINES)
        client.until(b"tick")
    wait_until(lambda: server.log.count("a bad end") > before)
    assert answers(server)


@kinds
def test_a_program_that_ignores_its_end_costs_no_more_than_its_worker(
    serve: Serve, kind: str
) -> None:
    server = serve(program(kind=kind), env={"SAGEMAKER_STREAM_IDLE_TIMEOUT": "2"})
    with connected(server.port) as [client]:
        client.send(["a", "ignore"], LINES)
        client.until(b"tick")
    server.wait_for_log("ignored")
    wait_until(lambda: answers(server))


@kinds
@pytest.mark.once
def test_streams_that_do_not_end_are_broken_off_when_the_server_stops(
    serve: Serve, kind: str
) -> None:
    server = serve(program(kind=kind))
    with connected(server.port) as [client]:
        client.send(["a", "forever"], LINES)
        client.until(b"tick")
        server.process.send_signal(signal.SIGTERM)
        answer = client.rest()
        assert not answer.endswith(b"0\r\n\r\n")
        assert b'"service_unavailable"' in answer
    assert server.wait_end() == 0
    server.wait_gone()


def drop_streams(server: Server, count: int) -> None:
    """Open streams and hang up, 20 at a time, at different moments."""
    for turn in range(count // 20):
        with connected(server.port, 20) as clients:
            for client in clients:
                client.send(["a", "forever"], LINES)
            for client in clients[turn % 20 :: 2]:
                client.until(b'"a"')


def check_drops(server: Server, count: int) -> None:
    def open_files() -> int:
        return sum(descriptors(pid) for pid in server.pids())

    def used_memory() -> int:
        return sum(memory(pid) for pid in server.pids("sagemaker_inference._worker"))

    drop_streams(server, 200)
    wait_until(lambda: answers(server))
    time.sleep(0.5)  # connections that are closed are given back a moment later
    files, used = open_files(), used_memory()
    drop_streams(server, count)
    wait_until(lambda: answers(server))
    wait_until(lambda: open_files() <= files + 5)
    assert used_memory() < used + (16 << 20)
    # No slot is lost: as many streams as before are open at the same time.
    with connected(server.port, 20) as clients:
        for client in clients:
            client.send(["a", "forever"], LINES)
        for client in clients:
            client.until(b"tick")


@pytest.mark.parametrize("kind", ["threads", "async"])
def test_streams_that_are_opened_and_dropped_cost_nothing(serve: Serve, kind: str) -> None:
    check_drops(serve(program(kind=kind)), 500)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["threads", "async"])
def test_ten_thousand_streams_that_are_dropped_cost_nothing(serve: Serve, kind: str) -> None:
    check_drops(serve(program(kind=kind)), 10_000)


def test_more_streams_than_thirty_two_are_open_where_the_program_says_so(serve: Serve) -> None:
    source = program(kind="async").replace("@predictor", "@predictor(max_concurrency=300)")
    server = serve(source.replace("sleep(0.01)", "sleep(1)"))
    with connected(server.port, 300) as clients:
        for client in clients:
            client.send(["a", "forever"], LINES)
        for client in clients:
            client.until(b"tick")


def test_fewer_connections_than_a_program_could_use_are_logged(serve: Serve) -> None:
    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (800, 800))

    source = program(kind="async").replace("@predictor", "@predictor(max_concurrency=1000)")
    server = serve(source, before=few)
    assert "the workers could use 1007 connections, and 288 can be had" in server.log
    assert answers(server)
