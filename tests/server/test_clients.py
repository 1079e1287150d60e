"""Clients that are slow, broken, hostile, or many: what the front end does about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.server.conftest import ECHO
from tests.server.test_front_end import post, until_closed

if TYPE_CHECKING:
    from collections.abc import Callable

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
