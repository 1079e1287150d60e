"""Streams and WebSockets through nginx, which stands for proxies that collect what they pass on.

Debian's package will do: ``apt-get install nginx``, then ``tox -e full``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from typing import TYPE_CHECKING, NamedTuple

import pytest
from support.ports import free_port
from support.sockets import BIDIRECTIONAL
from support.streams import connected, wait_until
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.server.conftest import Server

    Serve = Callable[..., Server]

FOUND = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
IS_REQUIRED = os.environ.get("REQUIRE_NGINX") == "1"
WHY = "STREAMS BEHIND A PROXY WERE NOT TESTED: nginx is not installed (apt-get install nginx)"
pytestmark = [
    pytest.mark.java,
    pytest.mark.skipif(FOUND is None and not IS_REQUIRED, reason=WHY),
]

PROGRAM = """
import asyncio
from sagemaker_inference import bidirectional, model_loader, predictor, serve

@model_loader
def load(model_dir):
    return None

@predictor
async def predict(words, model, context):
    if "at once" in words:
        context.response_headers["X-Accel-Buffering"] = "no"
    try:
        for word in words:
            if word == "fail":
                raise ValueError
            while word == "forever":
                await asyncio.sleep(0.01)
                yield "tick"
            yield word
    finally:
        print("closed", flush=True)

@bidirectional
async def talk(messages):
    async for message in messages:
        if message == "fail":
            raise ValueError
        yield message
    print("hung up", flush=True)

serve(__name__)
"""
NGINX = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{collects};
    location / {{ proxy_pass http://127.0.0.1:{server}; proxy_http_version 1.1; }}
  }}
  server {{
    listen 127.0.0.1:{passes};
    location / {{
      proxy_pass http://127.0.0.1:{server}; proxy_http_version 1.1; proxy_buffering off;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;
    }}
  }}
  server {{
    listen 127.0.0.1:{old};
    location / {{ proxy_pass http://127.0.0.1:{server}; }}
  }}
}}
"""
LINES = "Accept: application/jsonlines"
# With the end of what is before it: an id in the last header may end with 0, too.
END = b"\r\n0\r\n\r\n"


class Ports(NamedTuple):
    """Those of a proxy that collects, of one that does not, and of one as nginx is unasked."""

    collects: int
    passes: int
    old: int


@pytest.fixture
def server(shared: Serve) -> Server:
    return shared(PROGRAM)


@pytest.fixture(scope="module")
def ports(shared: Serve, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    assert FOUND, "nginx is not installed"
    folder = tmp_path_factory.mktemp("nginx")
    made = Ports(free_port(), free_port(), free_port())
    text = NGINX.format(folder=folder, server=shared(PROGRAM).port, **made._asdict())
    (folder / "nginx.conf").write_text(text)
    command = [FOUND, "-p", str(folder), "-c", str(folder / "nginx.conf")]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        for port in made:
            wait_until(lambda port=port: is_open(port))
        yield made
    finally:
        process.terminate()
        process.wait()


def is_open(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port)).close()
        return True
    return False


@pytest.mark.parametrize("kind", ["collects", "passes"])
def test_a_stream_arrives_whole_or_without_its_end(ports: Ports, kind: str) -> None:
    with connected(getattr(ports, kind)) as [client]:
        client.send(["a", "b"], LINES)
        assert client.until(END).count(b'"') == 4
        client.send(["a", "fail"], LINES)
        rest = client.rest()
        assert b'"code": "prediction_failed"' in rest
        assert not rest.endswith(END)


def test_items_arrive_at_once_where_the_proxy_does_not_collect(ports: Ports) -> None:
    with connected(ports.passes) as [client]:
        client.send(["a", "forever"], LINES)
        client.until(b"tick")


def test_a_program_asks_nginx_not_to_collect(ports: Ports) -> None:
    with connected(ports.collects) as [client]:
        client.send(["at once", "forever"], LINES)
        client.until(b"tick")


@pytest.mark.parametrize("kind", ["collects", "passes"])
def test_a_client_that_hangs_up_closes_the_program(ports: Ports, server: Server, kind: str) -> None:
    before = server.log.splitlines().count("closed")
    with connected(getattr(ports, kind)) as [client]:
        client.send(["at once", "forever"], LINES)
        client.until(b"tick")
    wait_until(lambda: server.log.splitlines().count("closed") > before)


def test_a_proxy_of_http_1_0_loses_the_end_and_not_the_record(ports: Ports) -> None:
    with connected(ports.old) as [client]:
        client.send(["a", "b"], LINES)
        assert client.until(END).count(b'"') == 4
        client.send(["a", "fail"], LINES)
        # Nothing tells it that the body has no end, but what is in it.
        assert b'"code": "prediction_failed"' in client.until(END)


def test_websockets_pass(ports: Ports, server: Server) -> None:
    url = f"ws://127.0.0.1:{ports.passes}{BIDIRECTIONAL}"
    before = server.log.splitlines().count("hung up")
    with connect(url, compression=None) as connection:
        for message in ("a", b"b", "x" * 300_000):
            connection.send(message)
            assert connection.recv(timeout=30) == message
    wait_until(lambda: server.log.splitlines().count("hung up") > before)
    with connect(url, compression=None) as connection:
        connection.send("fail")
        with pytest.raises(ConnectionClosed) as closed:
            connection.recv(timeout=30)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1011
