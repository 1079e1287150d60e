"""What the front end does with requests before and after a worker has them."""

from __future__ import annotations

import contextlib
import http.client
import os
import platform
import re
import select
import signal
import socket
import struct
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from sagemaker_inference._frontends.mms.jar import find_jar
from tests.server.conftest import ACCIDENTS, ECHO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.server.conftest import Server

    Serve = Callable[..., Server]

pytestmark = pytest.mark.java


def talk(server: Server, data: bytes, *, until: int) -> bytes:
    """Send bytes on one connection; what comes back until so many answers are there."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as sock:
        sock.sendall(data)
        answer = b""
        while answer.count(b"HTTP/1.1 ") < until or not is_whole(answer):
            more = sock.recv(65536)
            assert more, answer
            answer += more
        return answer


def is_whole(answer: bytes) -> bool:
    """Whether the last of these answers has come with all of its body."""
    head, end, body = answer.rpartition(b"HTTP/1.1 ")[2].partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    return bool(end) and length is not None and len(body) == int(length[1])


def until_closed(server: Server, data: bytes) -> bytes:
    """Send bytes on one connection; what comes back until the server closes it."""
    answer = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as sock:
        sock.sendall(data)
        while more := sock.recv(65536):
            answer += more
    return answer


def post(body: str, path: str = "/invocations") -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def test_a_client_that_does_not_wait_gets_its_answers_in_order(shared: Serve) -> None:
    server = shared(
        """
        import time
        from sagemaker_inference import model_loader, predictor, serve

        @model_loader
        def load(model_dir):
            return None

        @predictor
        def predict(data):
            time.sleep(data[0] / 1000)
            return data

        serve(__name__)
        """,
        workers=2,
    )
    ping = b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n"
    requests = [post("[300, 1]"), post("[1, 2]"), ping, post("[1, 3]"), post("nonsense"), ping]
    answer = talk(server, b"".join(requests), until=6).decode()
    found = re.findall(r"\[\d+,\d\]|content-length: 0|HTTP/1.1 400", answer)
    empty = "content-length: 0"  # a ping's
    assert found == ["[300,1]", "[1,2]", empty, "[1,3]", "HTTP/1.1 400", empty]


def test_an_error_keeps_the_connection(shared: Serve) -> None:
    server = shared(ECHO)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    headers = {"Content-Type": "application/json"}
    for body, status in (("[1", 400), ("[1]", 200), ("[2]", 200)):
        connection.request("POST", "/invocations", body, headers)
        sock = connection.sock
        response = connection.getresponse()
        response.read()
        assert response.status == status
        assert connection.sock is sock
        assert sock is not None
    connection.close()


def test_a_client_that_wants_the_connection_closed_has_it_closed(shared: Serve) -> None:
    server = shared(ECHO)
    answer = until_closed(
        server,
        b"POST /invocations HTTP/1.0\r\nContent-Type: application/json\r\n"
        b"Content-Length: 3\r\n\r\n[1]",
    )
    assert b"connection: close" in answer
    assert answer.endswith(b"[1]")


def test_parameters_and_fields_come_with_their_bytes(shared: Serve) -> None:
    server = shared(ECHO)
    reply = server.request(
        "a=1&b=%C3%A9&c=",
        {"Content-Type": "application/x-www-form-urlencoded"},
        path="/invocations?q=%E2%82%AC",
    )
    assert reply.json == {"q": "€", "a": "1", "b": "é", "c": ""}
    form = (
        '--x\r\nContent-Disposition: form-data; name="f"; filename="f.json"\r\n'
        "Content-Type: application/json\r\n\r\n[1, 2]\r\n"
        '--x\r\nContent-Disposition: form-data; name="t"\r\n\r\nword\r\n--x--\r\n'
    )
    reply = server.request(form, {"Content-Type": "multipart/form-data; boundary=x"})
    assert reply.json == {"f": [1, 2], "t": "word"}


@pytest.mark.parametrize(
    ("body", "content_type", "path"),
    [
        ("[1]", "application/json", "/invocations?a=%zz"),
        ("", "application/x-www-form-urlencoded", "/invocations"),
        ("--x\r\nContent-Dispo", "multipart/form-data; boundary=x", "/invocations"),
        ("[1]", "multipart/form-data", "/invocations"),
        ("[1]", "multipart/form-data; boundary", "/invocations"),
        ("[1]", "multipart/form-data; boundary=", "/invocations"),
    ],
)
def test_what_cannot_be_read_is_400(shared: Serve, body: str, content_type: str, path: str) -> None:
    reply = shared(ECHO).request(body, {"Content-Type": content_type}, path=path)
    assert reply.status == 400
    assert reply.json["error"]["request_id"] == reply.headers["x-request-id"]
    assert "Exception" not in reply.json["error"]["message"]


def test_parts_are_what_was_sent_or_refused(shared: Serve) -> None:
    server = shared(ECHO)
    multipart = {"Content-Type": "multipart/form-data; boundary=x"}
    part = '--x\r\nContent-Disposition: form-data; name="{}"\r\n\r\n1\r\n'
    two = part.format("body") + part.format("b")
    assert server.request(two + "--x--", multipart).json == {"body": "1", "b": "1"}
    for size in (len(two), len(two) - 3, len(two) - 40):
        assert server.request(two[:size], multipart).status == 400
    assert server.request("", path="/invocations?a=1&a=2&b=3").json == {"a": ["1", "2"], "b": "3"}


def test_a_client_that_takes_no_json_gets_the_message_as_text(serve: Serve) -> None:
    server = serve(ACCIDENTS, env={"SAGEMAKER_MODEL_SERVER_TIMEOUT": "1"})
    reply = server.request('{"sleep": 60}', {"Accept": "text/plain"})
    assert (reply.status, reply.headers["content-type"]) == (504, "text/plain; charset=utf-8")
    assert b"error" not in reply.body
    reply = server.request('{"sleep": 60}', {"Accept": "text/plain;q=0.1, application/json"})
    assert reply.json["error"]["code"] == "prediction_timeout"


def test_the_other_paths_of_the_front_end_are_there(shared: Serve) -> None:
    server = shared(ECHO)
    assert server.request("[1]", path="/predictions/model").json == [1]
    assert server.request("[1]", path="/models/model/invoke").json == [1]
    assert server.request("[1]", path="/invocations?model_name=model").json == [1]
    assert server.request("[1]", path="/invocations?model_name=other").status == 404
    assert server.request("[1]", path="/invocationsx").status == 404
    assert server.request(method="OPTIONS", path="/invocations").status == 405


def test_what_a_request_is_for_may_be_a_whole_url_and_has_to_be_readable(shared: Serve) -> None:
    server = shared(ECHO)
    head = "Host: x\r\nContent-Type: application/json\r\nContent-Length: 3\r\n\r\n[1]"
    for target, end in (
        ("http://x/invocations", "[1]"),
        ("HTTP://x:80/invocations?a=1", "[1]"),
        ("http://x/ping", "HTTP/1.1 200"),
        ("http://x?a=1", "404"),
        ("http://x", "404"),
        ("*", "400"),
        ("x:80", "400"),
        ("ping", "400"),
        ("/%zz", "400"),
        ("/ping?a=%z", "400"),
        ("/models?limit=%", "400"),
    ):
        data = f"POST {target} HTTP/1.1\r\n{head}".encode()
        answer = talk(server, data, until=1).decode()
        assert end in answer, (target, answer)
        assert "Exception" not in answer
    assert "Exception" not in server.log


def test_a_full_queue_says_so_to_the_client_and_in_the_log(serve: Serve) -> None:
    server = serve(ACCIDENTS, env={"MMS_JOB_QUEUE_SIZE": "2"})
    replies = server.all_at_once(['{"sleep": 1}', *['"ok"'] * 30])
    refused = [reply for reply in replies if reply.status == 503]
    assert refused
    assert len(refused) < 30
    error = refused[0].json["error"]
    assert error["code"] == "service_unavailable"
    assert refused[0].headers["retry-after"] == "1"
    assert error["request_id"] == refused[0].headers["x-request-id"]
    deadline = time.monotonic() + 10
    while True:
        counts = re.findall(r"(\d+) request\(s\) got 503: the queue was full", server.log)
        if sum(map(int, counts)) == len(refused):
            break
        assert time.monotonic() < deadline, server.log
        time.sleep(0.05)


@contextlib.contextmanager
def room_for_one(server: Server) -> Iterator[None]:
    """Keep a worker and the connections to it busy, so that the next request waits in the queue."""
    with ThreadPoolExecutor(8) as pool:
        pending = [pool.submit(server.request, '{"sleep": 1.5}')]
        server.wait_busy(1)
        pending += [pool.submit(server.request, '"ok"') for _ in range(7)]
        server.wait_busy(8)
        yield
        assert [future.result().status for future in pending] == [200] * 8


def test_who_has_gone_takes_no_place_in_the_queue(serve: Serve) -> None:
    server = serve(ACCIDENTS, env={"MMS_JOB_QUEUE_SIZE": "1"})
    with room_for_one(server):
        with socket.create_connection(("127.0.0.1", server.port)) as sock:
            sock.sendall(post('"exit"'))
            time.sleep(0.1)
            assert server.request('"ok"').status == 503
            # Closed at once, and not only on the client's side.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        time.sleep(0.1)
        assert server.request('"ok"').status == 200
    assert "exit code 3" not in server.log


def test_a_client_that_only_listens_takes_no_place_in_the_queue(serve: Serve) -> None:
    server = serve(ACCIDENTS, env={"MMS_JOB_QUEUE_SIZE": "1"})
    with room_for_one(server), socket.create_connection(("127.0.0.1", server.port), 20) as sock:
        sock.sendall(post('"ok"'))
        time.sleep(0.1)
        assert server.request('"ok"').status == 503
        sock.shutdown(socket.SHUT_WR)
        time.sleep(0.1)
        assert server.request('"ok"').status == 200
        # It may have gone, but it has not: it gets its answer when nobody else waits.
        assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert sock.recv(1) == b""


def test_a_time_limit_by_the_name_of_multi_model_server_holds(serve: Serve) -> None:
    server = serve(ACCIDENTS, env={"MMS_DEFAULT_RESPONSE_TIMEOUT_SECONDS": "1"})
    reply = server.request('{"sleep": 4}')
    assert reply.status == 504
    assert reply.json["error"]["code"] == "prediction_timeout"
    assert "has run for more than 1 s" in server.log
    assert server.request('"ok"', timeout=20).status in (200, 504)
    deadline = time.monotonic() + 20
    while {reply.status for reply in server.all_at_once(['"ok"'] * 16)} != {200}:
        assert time.monotonic() < deadline, server.log
    assert "Exception" not in server.log


def test_bodies_beyond_the_front_ends_memory_are_refused_and_it_goes_on(serve: Serve) -> None:
    limit = "-XX:MaxDirectMemorySize=48m"
    server = serve(ECHO, env={"SAGEMAKER_MODEL_SERVER_VMARGS": limit})
    body = b"x" * (20 << 20)
    # Each has its answer, though it comes before the body has been sent.
    with ThreadPoolExecutor(8) as pool:
        text = {"Content-Type": "text/plain"}
        replies = list(pool.map(lambda _: server.request(body, text), range(8)))
    assert {reply.status for reply in replies} <= {200, 507}
    refused = [reply for reply in replies if reply.status == 507]
    assert refused
    for reply in refused:
        assert reply.json["error"]["code"] == "out_of_memory"
        assert reply.headers["connection"] == "close"
    # As many parts of bodies as there is no memory for.
    with contextlib.ExitStack() as stack:
        head = f"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        socks = []
        for _ in range(8):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            sock.sendall(head.encode() + body[: 8 << 20])
            socks.append(sock)
        readable, _, _ = select.select(socks, [], [], 20)
        assert readable[0].recv(12) == b"HTTP/1.1 507"
        assert server.request(method="GET", path="/ping").status == 200
    assert server.request("[1]").json == [1]
    assert "a request got 507, out of memory: " in server.log
    assert "Exception" not in server.log


def test_a_process_that_dies_while_it_answers_is_replaced(serve: Serve) -> None:
    server = serve(
        """
        import time
        from sagemaker_inference import model_loader, predictor, serve

        @model_loader
        def load(model_dir):
            return None

        @predictor
        def predict(data):
            print("at work", flush=True)
            time.sleep(0.5)
            return "x" * data[0]

        serve(__name__)
        """
    )
    java, model = server.pids("FrontEnd")[0], server.pids("sagemaker_inference._worker")[0]
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(server.request, "[20000000]")
        server.wait_for_log("at work")
        # Nobody reads the answer, so that it is not sent whole.
        os.kill(java, signal.SIGSTOP)
        time.sleep(1)
        os.kill(model, signal.SIGKILL)
        os.kill(java, signal.SIGCONT)
        reply = pending.result()
    assert reply.status == 500
    assert reply.json["error"]["code"] == "process_died"
    assert len(server.request("[10]").json) == 10


def test_a_client_that_sends_without_end_is_cut_off(serve: Serve) -> None:
    server = serve(ACCIDENTS)
    data = post('{"sleep": 0.5}') + post('"ok"') * 400
    answer = until_closed(server, data)
    assert 1 <= answer.count(b"HTTP/1.1 200 ") < 300
    assert server.request('"ok"').status == 200


def test_the_front_ends_own_answers_close_where_that_is_asked_for(shared: Serve) -> None:
    server = shared(ECHO)
    answer = until_closed(server, b"GET /ping HTTP/1.0\r\n\r\n")
    assert b"connection: close" in answer
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_nothing_follows_an_answer_that_closes(shared: Serve) -> None:
    server = shared(ECHO)
    closing = post("[1]").replace(b"Host: x", b"Host: x\r\nConnection: close")

    def answered() -> int:
        """How many were answered up to and with one that is sent now: lines come in order."""
        reply = server.request("[4]")
        server.wait_for_log(f"id={reply.headers['x-request-id']}")
        return server.log.count(" 200 ")

    before = answered()
    answer = until_closed(server, post("[0]") + closing + post("[2]") + post("[3]"))
    assert answer.count(b"HTTP/1.1 ") == 2
    assert answer.endswith(b"[1]")
    assert answered() == before + 3


def test_headers_may_be_long_and_bodies_of_any_length(shared: Serve) -> None:
    server = shared(ECHO)
    headers = {"Content-Type": "text/plain", "Accept": "text/plain"}
    for size in (0, 1, 16383, 16384, 16385, 300_000):
        reply = server.request(b"x" * size, {**headers, "X-Long": "\u00e9" * 3000})
        assert (reply.status, len(reply.body)) == (200, size)


def test_several_threads_share_the_connections_and_the_queue(serve: Serve) -> None:
    many = {"MMS_NUMBER_OF_NETTY_THREADS": "3", "MMS_JOB_QUEUE_SIZE": "20"}
    server = serve(ACCIDENTS, env=many, workers=2)
    replies = server.all_at_once(['{"sleep": 0.1}'] * 30)
    assert {reply.status for reply in replies} == {200}
    assert len({reply.json["pid"] for reply in replies}) == 2
    replies = server.all_at_once(['{"sleep": 1}'] * 2 + ['"ok"'] * 60)
    assert {reply.status for reply in replies} == {200, 503}


def test_no_memory_leaks_whatever_becomes_of_a_request(serve: Serve) -> None:
    watch = "-Dio.netty.leakDetection.level=paranoid -Xmx48m"
    env = {"SAGEMAKER_MODEL_SERVER_VMARGS": watch, "MMS_JOB_QUEUE_SIZE": "4"}
    server = serve(ACCIDENTS, env=env)
    field = 'Content-Disposition: form-data; name="a"\r\n\r\n' + "x" * 5000
    multipart = "multipart/form-data; boundary=b"
    form = "application/x-www-form-urlencoded"
    for _ in range(10):
        for content_type, body, path in (
            (multipart, f"--b\r\n{field}", "/invocations"),
            (multipart, f"--b\r\n{field}\r\n--b\r\n{field}\r\n--b--\r\n", "/invocations"),
            ("multipart/form-data; boundary=", field, "/invocations"),
            (form, "a=" + "y" * 5000 + "%zz", "/invocations"),
            (form, "a=1&b=2", "/invocations?c=3"),
            ("application/json", "[1]", "/invocations?a=%zz"),
            ("application/json", '"' + "z" * 50000 + '"', "/invocations"),
            ("application/json", "nonsense", "/invocations"),
            ("application/json", '"ok"', "/predictions/model"),
        ):
            server.request(body, {"Content-Type": content_type}, path=path)
    server.request('"exit"')
    server.all_at_once(['{"sleep": 0.5}', *['"ok"'] * 40])
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", server.port)) as sock:
            sock.sendall(post('{"sleep": 0.05}') + post('"ok"') + post('"ok"'))
    for _ in range(3000):  # until much has been collected
        assert server.request('"ok"').status == 200
    assert "LEAK" not in server.log


def test_another_release_of_netty_goes_before_the_bundled_one(serve: Serve, tmp_path: Path) -> None:
    library = f"META-INF/native/libnetty_transport_native_epoll_{platform.machine()}.so"
    library = library.replace("aarch64", "aarch_64")
    with zipfile.ZipFile(find_jar()) as bundled, zipfile.ZipFile(tmp_path / "a.jar", "w") as jar:
        # A release with another native library is what Netty refuses beside its own.
        jar.writestr(library, bundled.read(library) + b"\\0")
    server = serve(ECHO, env={"SAGEMAKER_INFERENCE_CLASSPATH": f"{tmp_path}/*"})
    assert server.request("[1]").body == b"[1]"
