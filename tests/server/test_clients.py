"""Clients that are slow, broken, hostile, or many: what the front end does about them."""

from __future__ import annotations

import contextlib
import json
import re
import resource
import socket
import time
from typing import TYPE_CHECKING

import pytest

from tests.server.conftest import ACCIDENTS, ECHO
from tests.server.test_front_end import post, until_closed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.server.conftest import Server

    Serve = Callable[..., Server]

pytestmark = pytest.mark.java

CHUNKED = b"POST /invocations HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        CHUNKED + b"Content-Length: 5\r\n\r\n0\r\n\r\n",
        CHUNKED + b"\r\nfffffffe\r\n[1]",
        CHUNKED + b"\r\n3;a\n[1]\r\n0\r\n\r\n",
        CHUNKED + b"\r\n3\r\n[1]junk\r\n0\r\n\r\n",
        CHUNKED.replace(b"chunked", b"chunked, identity") + b"\r\n0\r\n\r\n",
        CHUNKED.replace(b"chunked", b"xchunked") + b"\r\n0\r\n\r\n",
        post("[1]").replace(b"Host: x\r\n", b"Host: x\n"),
        post("[1]").replace(b"Length: 3", b"Length: 3\r\nContent-Length: 3"),
        post("[1]").replace(b"Host: x\r\n", b""),
        post("[1]").replace(b"Host: x\r\n", b"Host: x\r\nHost: y\r\n"),
        post("[1]").replace(b"Host: x\r\n", b"Host: x/y\r\n"),
        b"\x01" + post("[1]"),
    ],
)
def test_a_request_that_could_hide_another_is_refused(shared: Serve, request_: bytes) -> None:
    server = shared(ECHO)
    answer = until_closed(server, request_ + post("[2]"))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b'"code": "bad_request"' in answer
    assert b"connection: close" in answer
    assert "Exception" not in server.log
    assert server.request("[3]").json == [3]


# Time limits that a test can wait for.
SHORT = {
    "SAGEMAKER_CLIENT_HEADER_TIMEOUT": "1",
    "SAGEMAKER_CLIENT_IDLE_TIMEOUT": "2",
    "SAGEMAKER_CLIENT_BODY_TIMEOUT": "1",
    "SAGEMAKER_CLIENT_WRITE_TIMEOUT": "1",
}
TEXT = {"Content-Type": "text/plain", "Accept": "text/plain"}


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


def rest(sock: socket.socket) -> bytes:
    """What comes until the server closes the connection."""
    answer = b""
    while more := sock.recv(1 << 20):
        answer += more
    return answer


def test_half_a_request_is_ended(shared: Serve) -> None:
    server = shared(ACCIDENTS, env=SHORT)
    with connect(server) as idle, connect(server) as head, connect(server) as body:
        head.sendall(post("[1]")[:30])
        body.sendall(post("[1]")[:-1])
        assert rest(head) == b""
        answer = rest(body)
        assert rest(idle) == b""
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in answer
    head_, _, document = answer.partition(b"\r\n\r\n")
    error = json.loads(document)["error"]
    assert error["code"] == "request_timeout"
    assert error["message"] == "No byte of the body came for 1 s"
    assert error["request_id"].encode() in head_


def test_a_client_that_goes_on_or_waits_is_not_cut_off(shared: Serve) -> None:
    server = shared(ACCIDENTS, env=SHORT)
    slow = post('{"sleep": 3}')
    with connect(server) as sock:
        for start in range(len(slow) - 8, len(slow), 2):
            sock.sendall(slow[: len(slow) - 8] if start == len(slow) - 8 else b"")
            sock.sendall(slow[start : start + 2])
            time.sleep(0.7)
        # Half of the next one, while the first is predicted.
        sock.sendall(post('"ok"')[:30])
        assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")
        sock.sendall(post('"ok"')[30:])
        assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_clients_that_do_not_read_give_their_memory_back(serve: Serve) -> None:
    limit = "-XX:MaxDirectMemorySize=64m"
    server = serve(ECHO, env={**SHORT, "SAGEMAKER_MODEL_SERVER_VMARGS": limit})
    body = "x" * (12 << 20)
    request_ = post(body).replace(b"application/json", b"text/plain")
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            sock = stack.enter_context(connect(server))
            sock.sendall(request_)
        server.wait_for_log("did not read a byte of a response for 1 s")
        assert server.request(body, TEXT).status == 200
    assert "out of memory" not in server.log


def test_a_client_that_reads_slowly_gets_all(shared: Serve) -> None:
    server = shared(
        ACCIDENTS.replace('return {"pid"', "return data if len(data) > 9 else {'pid'"), env=SHORT
    )
    body = "x" * (12 << 20)
    with connect(server) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        request_ = post(body).replace(b"application/json", b"text/plain\r\nAccept: text/plain")
        sock.sendall(request_)
        size = 0
        for _ in range(6):
            time.sleep(0.5)
            size += len(sock.recv(1 << 16))
        while size < len(body) and (more := sock.recv(1 << 20)):
            size += len(more)
    assert size > len(body)


@contextlib.contextmanager
def descriptors(count: int) -> Iterator[None]:
    """Let this process open that many files."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(count, before[0]), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_more_connections_than_descriptors_leave_room_for_pings(serve: Serve) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))

    server = serve(ECHO, before=limit)
    with descriptors(2000), contextlib.ExitStack() as stack:
        for _ in range(1100):
            stack.enter_context(connect(server))
        assert server.request(method="GET", path="/ping").status == 200
        assert server.request("[1]").json == [1]
        server.wait_for_log("idle connection(s) were closed for others")
    lines = [line for line in server.log.splitlines() if "WARN" in line]
    assert len(lines) == 1
    assert re.search(r"as many connections are open as may be, 768 \(SAGEMAKER_MAX_", lines[0])


def test_where_all_connections_work_pings_are_answered_and_others_get_503(serve: Serve) -> None:
    slow = ACCIDENTS.replace("time.sleep", "print('at work', flush=True); time.sleep")
    server = serve(slow, env={"SAGEMAKER_MAX_CONNECTIONS": "1"})
    with connect(server) as busy:
        busy.sendall(post('{"sleep": 2}'))
        server.wait_for_log("at work")
        refused = server.request('"ok"')
        assert server.request(method="GET", path="/ping").status == 200
        assert busy.recv(65536).startswith(b"HTTP/1.1 200 ")
    assert refused.status == 503
    assert refused.headers["connection"] == "close"
    assert refused.headers["retry-after"] == "5"
    assert refused.json["error"]["message"] == "The server has as many connections as it may have"
    assert server.request('"ok"').status == 200
    page = server.request(method="GET", path="/metrics").body.decode()
    assert 'requests_total{path="/invocations",status="503"} 1\n' in page


def test_more_connections_than_descriptors_are_not_promised(serve: Serve) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))

    server = serve(ECHO, before=limit, env={"SAGEMAKER_MAX_CONNECTIONS": "5000"})
    server.wait_for_log("at most 768 connection(s) of clients are kept open, not 5000")


def test_a_client_that_half_closes_gets_its_answer(shared: Serve) -> None:
    server = shared(ACCIDENTS)
    with connect(server) as sock:
        sock.sendall(post("[1]") + post('{"sleep": 1}'))
        sock.shutdown(socket.SHUT_WR)
        answer = rest(sock)
    assert answer.count(b"HTTP/1.1 200 ") == 2
    # The end of what is sent has been seen by now.
    assert b"connection: close" in answer.rpartition(b"HTTP/1.1 ")[2]


def access_line(server: Server, request_id: str) -> str:
    """The access line of a request, without its time and with its duration left out."""
    server.wait_for_log(f"id={request_id}\n")
    [line] = [line for line in server.log.splitlines() if request_id in line]
    return re.sub(r"total=\d+\.\d ms id=.*", "", line.partition("Z ")[2]).strip()


def test_what_the_front_end_refuses_leaves_an_access_line(shared: Serve) -> None:
    server = shared(ECHO)
    too_large = {"Content-Length": str(1 << 30), "Expect": "100-continue"}
    for method, path, headers, status in (
        ("GET", "/invocations", {}, 405),
        ("GET", "/nowhere", {}, 404),
        ("POST", "/invocations", too_large, 413),
        ("GET", "/ping", {"X-Long": "x" * 9000}, 431),
        ("DELETE", "/ping", {}, 405),
    ):
        reply = server.request(b"", headers, method=method, path=path)
        assert reply.status == status
        id_ = reply.headers["x-request-id"]
        assert reply.json["error"]["request_id"] == id_
        assert access_line(server, id_) == f"INFO {method} {path} {status}"
    answer = until_closed(server, b"nonsense\r\n\r\n")
    found = re.search(rb"x-request-id: (\S+)", answer)
    assert found
    assert access_line(server, found[1].decode()) == "INFO - - 400"


def test_only_the_methods_and_routes_of_the_contract_run_predictions(shared: Serve) -> None:
    server = shared(ECHO)
    for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "FOO"):
        for path in ("/invocations", "/predictions/model", "/models/model/invoke"):
            reply = server.request("[1]", method=method, path=path)
            assert (reply.status, reply.headers["allow"]) == (405, "POST")
    for path in (
        "/model/predict",
        "/%69nvocations",
        "/invocations/",
        "//invocations",
        "/Invocations",
        "/predictions",
        "/predictions/model/",
        "/predictions/model/1.0",
        "/models/model",
    ):
        assert server.request("[1]", path=path).status == 404, path
    assert server.request("[1]", path="/predictions/model").json == [1]


@pytest.mark.parametrize(
    "head", ["HTTP/1.0", "HTTP/1.1\r\nHost: x\r\nConnection: close", "HTTP/1.1\r\nHost: x"]
)
def test_a_refusal_before_the_body_is_not_lost(shared: Serve, head: str) -> None:
    server = shared(ECHO)
    size = 40 << 20
    with connect(server) as sock:
        # All of it, before anything is read.
        sock.sendall(f"POST /invocations {head}\r\nContent-Length: {size}\r\n\r\n".encode())
        for _ in range(40):
            sock.sendall(b"x" * (1 << 20))
        sock.shutdown(socket.SHUT_WR)
        answer = rest(sock)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"payload_too_large" in answer
    assert answer.count(b"HTTP/1.1 ") == 1
