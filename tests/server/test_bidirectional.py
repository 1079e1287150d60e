"""WebSockets: the program's messages both ways, how they end, and what they cost when they do."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.sockets import (
    BIDIRECTIONAL,
    BINARY,
    LAST,
    PING,
    PONG,
    PROGRAM,
    TEXT,
    Raw,
    frame,
    handshake,
    refusal,
    text,
)
from support.streams import wait_until
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.models import Models
    from websockets.sync.client import ClientConnection

    from tests.server.conftest import Server

    Serve = Callable[..., Server]

pytestmark = pytest.mark.java


@pytest.fixture
def server(shared: Serve) -> Server:
    return shared(PROGRAM)


@contextlib.contextmanager
def client(server: Server, path: str = BIDIRECTIONAL, **options: Any) -> Iterator[ClientConnection]:
    url = f"ws://127.0.0.1:{server.port}{path}"
    with connect(url, compression=None, max_size=None, **options) as connection:
        yield connection


def close_of(connection: ClientConnection) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as closed:
        connection.recv()
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code, closed.value.rcvd.reason


def lines(server: Server, path: str = BIDIRECTIONAL) -> list[str]:
    found: list[str] = re.findall(rf"GET {path} 101 .*", server.log)
    return found


def test_texts_and_binary_messages_come_back(server: Server) -> None:
    with client(server) as connection:
        for message in ("hello", "", "Grüße 😀", b"bytes", b"", b"x" * 1_000_000, "y" * 70_000):
            connection.send(message)
            assert connection.recv(timeout=30) == message
        assert connection.response is not None
        assert connection.response.headers["x-request-id"]


def test_what_the_caller_says_is_in_the_context(server: Server) -> None:
    headers = {"X-Own": "own"}
    with client(server, f"{BIDIRECTIONAL}?language=en", additional_headers=headers) as connection:
        connection.send("where")
        assert connection.recv(timeout=30) == f"{BIDIRECTIONAL}?language=en model own"


def test_binary_messages_are_read_as_json(server: Server) -> None:
    with client(server, "/v1/realtime") as connection:
        for sent in (b'{"a": 1}', '{"a": 1}'):
            connection.send(sent)
            assert connection.recv(timeout=30) == '{"a": 1}'
        connection.send(b"{")
        code, reason = close_of(connection)
        assert code == 1008
        assert reason.startswith("400 undecodable_body: The message is not JSON")


@pytest.mark.parametrize(
    ("message", "code", "reason"),
    [
        ("end", 1000, ""),
        ("fail", 1011, "bidirectional_failed: The handler failed; see the log ["),
        ("refuse", 1008, "400 bad_request: no such language ["),
        ("unavailable", 1011, "503 service_unavailable: later later "),
        ("number", 1011, "500 unencodable_prediction: talk (inference.py, line 14) yields"),
    ],
)
def test_the_program_ends_it(server: Server, message: str, code: int, reason: str) -> None:
    before = len(lines(server))
    with client(server) as connection:
        connection.send(message)
        found = close_of(connection)
        assert found[0] == code
        assert found[1].startswith(reason)
        assert len(found[1].encode()) <= 123
        assert reason == "" or found[1].endswith("]")
    end = "complete" if message == "end" else "error"
    ended = f" socket={end} close={code} messages_in=1 messages_out=0 "
    # A line of the one before may still come.
    wait_until(lambda: any(ended in line for line in lines(server)[before:]))


def test_the_caller_ends_it(server: Server) -> None:
    with client(server) as connection:
        connection.send("a")
        assert connection.recv(timeout=30) == "a"
        connection.close(4001, "enough")
    wait_until(lambda: "closed by 4001 enough" in server.log)
    wait_until(lambda: "socket=client_closed close=4001 messages_in=1 messages_out=1" in server.log)
    assert "bytes_in=1 bytes_out=1 " in lines(server)[-1]
    assert lines(server)[-1].endswith(" messages_dropped=1")


def test_the_caller_hangs_up(server: Server) -> None:
    before = server.log.count("closed by 1006")
    for stage in (b"", text("a"), frame(LAST | TEXT, b"abc")[:-1], frame(TEXT, b"a")):
        with Raw(server.port) as raw:
            raw.send(stage)
    wait_until(lambda: server.log.count("closed by 1006") == before + 4)
    with Raw(server.port, is_open=False) as raw:
        raw.send(handshake()[:-2])
    with Raw(server.port, is_open=False) as raw:
        raw.send(handshake())
    with Raw(server.port) as raw:
        raw.sock.shutdown(socket.SHUT_WR)
        assert raw.is_over()
    assert server.request(b"1").json == 1


def test_who_hangs_up_during_work_has_the_program_cancelled(server: Server) -> None:
    before = server.log.count("finished")
    with Raw(server.port) as raw:
        raw.send(text("wait"))
        # Nobody else has to wait for it.
        assert server.request(b"1").json == 1
    began = time.monotonic()
    wait_until(lambda: server.log.count("finished") > before)
    assert time.monotonic() - began > 3


def test_a_path_without_a_handler_is_404_before_the_handshake(server: Server) -> None:
    for path in ("/elsewhere", "/invocations"):
        head, error = refusal(server.port, handshake(path))
        assert head.startswith(b"HTTP/1.1 404 ")
        assert error["code"] == "not_found"
        assert error["message"] == (
            f"There is no WebSocket at {path}; this program has {BIDIRECTIONAL}, "
            "/v1/realtime, /raw, /slow"
        )
    with pytest.raises(InvalidStatus) as refused, client(server, "/elsewhere"):
        pass
    assert refused.value.response.status_code == 404


def fill(raw: Raw) -> int:
    """Send messages until there is no room for more; how many were sent, and the rest later."""
    message = frame(LAST | BINARY, b"x" * 100_000)
    for sent in range(1000):
        done = 0
        while done < len(message):
            try:
                done += raw.sock.send(message[done:])
            except TimeoutError:
                raw.rest = message[done:]
                return sent
    return 1000


def test_who_sends_faster_than_the_program_reads_waits(server: Server, tmp_path: Any) -> None:
    go = tmp_path / "go"
    with Raw(server.port, "/slow") as raw:
        raw.send(text(str(go)))
        raw.sock.settimeout(0.5)
        sent = fill(raw)
        assert sent < 500
        raw.sock.settimeout(30)
        # Others are not disturbed.
        with client(server) as other:
            other.send("a")
            assert other.recv(timeout=30) == "a"
        go.touch()
        raw.send(raw.rest)
        for _ in range(sent + 1):
            assert raw.read().data == b"100000"


def test_who_does_not_read_stops_the_program(server: Server) -> None:
    with Raw(server.port) as raw, client(server) as other:
        raw.send(text("much"), frame(LAST | PING, b"1"))
        for _ in range(3):
            other.send("a")
            assert other.recv(timeout=30) == "a"
        data = [raw.read() for _ in range(201)]
        assert sum(len(found.data) for found in data if found.first == LAST | BINARY) == 20_000_000


def test_places_are_limited_and_leave_those_of_requests_free(serve: Serve) -> None:
    server = serve(PROGRAM, workers=2)
    with contextlib.ExitStack() as stack:
        # At once, so that a worker gets more than it takes: the other one has room for them.
        raws = [stack.enter_context(Raw(server.port, is_open=False)) for _ in range(64)]
        for raw in raws:
            raw.send(handshake())
        assert all(raw.head().startswith(b"HTTP/1.1 101 ") for raw in raws)
        head, error = refusal(server.port, handshake())
        assert head.startswith(b"HTTP/1.1 503 ")
        assert error["message"] == "All 64 place(s) for WebSockets are taken"
        assert b"retry-after" in head.lower()
        for raw in raws:
            raw.send(text("pid"))
        pids = [int(raw.read().data) for raw in raws]
        assert [pids.count(pid) for pid in set(pids)] == [32, 32]
        assert server.request(b"1").json == 1
        for raw in raws:
            raw.send(text("end"))
            assert raw.read().close == (1000, "")
    with client(server) as connection:
        connection.send("a")
        assert connection.recv(timeout=30) == "a"


def descriptors(server: Server) -> int:
    with client(server) as connection:
        connection.send("pid")
        pid = int(connection.recv(timeout=30))
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def test_sockets_that_are_dropped_leave_nothing_behind(server: Server) -> None:
    before = descriptors(server)
    finished = server.log.count("finished")
    for number in range(200):
        with Raw(server.port) as raw:
            raw.send(text("a"))
            assert raw.read().data == b"a"
            if number % 2:
                raw.send(text("end"))
    wait_until(lambda: server.log.count("finished") - finished >= 200)
    wait_until(
        lambda: (
            "sagemaker_inference_requests_running{} 0" in metrics(server)
            or "sagemaker_inference_requests_running 0" in metrics(server)
        )
    )
    assert descriptors(server) == before


def metrics(server: Server) -> str:
    return server.request(method="GET", path="/metrics").body.decode()


def test_metrics_know_sockets(server: Server) -> None:
    with client(server, "/v1/realtime") as connection:
        connection.send("1")
        assert connection.recv(timeout=30) == "1"
        assert "sagemaker_inference_sockets_open 1" in metrics(server)
    wait_until(lambda: "sagemaker_inference_sockets_open 0" in metrics(server))
    page = metrics(server)
    assert 'sagemaker_inference_sockets_total{close="1000"}' in page
    assert 'sagemaker_inference_socket_messages_total{direction="in"}' in page
    assert 'sagemaker_inference_requests_total{path="/v1/realtime",status="101"}' in page


def test_a_worker_that_dies_closes_its_sockets(serve: Serve) -> None:
    server = serve(PROGRAM)
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(Raw(server.port)) for _ in range(5)]
        sockets[0].send(text("pid"))
        os.kill(int(sockets[0].read().data), signal.SIGKILL)
        for raw in sockets:
            code, reason = raw.read().close
            assert code == 1011
            assert reason.startswith("process_died: ")
    wait_until(lambda: server.log.count(" socket=lost close=1011") == 5)
    wait_until(lambda: server.request(b"1").status == 200)
    with client(server) as connection:
        connection.send("a")
        assert connection.recv(timeout=30) == "a"


def test_a_server_that_stops_closes_what_does_not_end(serve: Serve) -> None:
    server = serve(PROGRAM)
    with Raw(server.port) as open_one, Raw(server.port) as done:
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "SIGTERM" in server.log)
        done.send(text("a"))
        assert done.read().data == b"a"
        done.send(text("end"))
        assert done.read().close[0] == 1000
        began = time.monotonic()
        code, reason = open_one.read().close
        assert code == 1001
        assert reason.startswith("503 service_unavailable: The server is stopping. [")
        assert time.monotonic() - began > 10
    assert server.process.wait(10) == 0


def test_quiet_sockets_are_closed_where_that_is_set(serve: Serve) -> None:
    server = serve(PROGRAM, env={"SAGEMAKER_WEBSOCKET_IDLE_TIMEOUT": "2"})
    with Raw(server.port) as raw:
        raw.send(frame(LAST | PING))
        assert raw.read().first == LAST | PONG
        assert raw.read().close == (1001, "No message within 2 s")


def test_pings_are_sent_where_that_is_set(serve: Serve) -> None:
    server = serve(PROGRAM, env={"SAGEMAKER_WEBSOCKET_PING_INTERVAL": "1"})
    with Raw(server.port) as raw, client(server) as answers:
        assert [raw.read(), raw.read()] == [(LAST | PING, b"")] * 2
        assert raw.read().close == (1011, "No answer to 2 pings")
        answers.send("a")
        assert answers.recv(timeout=30) == "a"


def test_one_of_many_models_has_no_websockets(many: Callable[..., Models]) -> None:
    one = many()
    assert one.load("a", one.write("first", PROGRAM)).status == 200
    one.server.wait_for_log("its WebSockets are not served: SageMaker has none for many models")
    assert one.invoke("a").json == [1]
    head, error = refusal(one.server.port, handshake())
    assert head.startswith(b"HTTP/1.1 404 ")
    assert error["message"].endswith("this program has none")


def test_a_model_that_loads_has_no_websockets_yet(start: Serve, tmp_path: Path) -> None:
    go = tmp_path / "go"
    wait = f"import time\n    while not os.path.exists({str(go)!r}): time.sleep(0.01)\n    return"
    server = start(PROGRAM.replace('return "model"', f'{wait} "model"'))
    wait_until(lambda: is_port_open(server))
    head, error = refusal(server.port, handshake())
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 5" in head.lower()
    assert error["message"] == "No model is loaded yet"
    go.touch()
    server.wait_ready()


def is_port_open(server: Server) -> bool:
    with contextlib.suppress(OSError), Raw(server.port, is_open=False):
        return True
    return False
