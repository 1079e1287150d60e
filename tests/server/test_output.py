"""What a server writes: prints, log lines, access lines."""

from __future__ import annotations

import contextlib
import json
import re
import time
from typing import TYPE_CHECKING

import pytest

from tests.server.conftest import ACCIDENTS, ECHO

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.conftest import Server

    Serve = Callable[..., Server]

pytestmark = pytest.mark.java


def test_prints_and_logging_come_out_line_by_line(serve: Serve) -> None:
    source = ECHO.replace(
        "return data",
        "print('a print'); print('no end', end=''); "
        "import logging; logging.getLogger('mine').warning('a warning'); return data",
    )
    server = serve(source)
    server.request("[1]")
    server.wait_for_log("a warning", 5)
    server.wait_for_log("a print")


def test_an_access_line_tells_status_times_and_id(serve: Serve) -> None:
    server = serve()
    reply = server.request("[1]")
    server.request(method="GET", path="/ping")
    identity = reply.headers["x-request-id"]
    server.wait_for_log(identity, 5)
    lines = [line for line in server.log.splitlines() if "POST /invocations" in line]
    assert len(lines) == 1
    assert re.search(
        rf" INFO POST /invocations 200 queue=\d+\.\d decode=[\d.]+ predict=[\d.]+ encode=[\d.]+ ms "
        rf"id={identity}$",
        lines[0],
    )
    assert "ping" not in server.log.replace("/ping", "", 0).split("serving")[1].split("\n", 1)[1]


def test_each_answer_has_one_access_line_whoever_answers(serve: Serve) -> None:
    """The worker, the front end, or the supervisor for a worker that died or took too long."""
    server = serve(ACCIDENTS, env={"SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS": "1"})
    replies = [
        server.request(body, path=path)
        for body, path in (
            ('"ok"', "/invocations"),
            ('"memory"', "/invocations"),
            ('"exit"', "/invocations"),
            ('{"sleep": 30}', "/invocations"),
            ('{"sleep": 30}', "/predictions/model"),
            ('"ok"', "/nowhere"),
        )
    ]
    assert [reply.status for reply in replies] == [200, 507, 500, 504, 504, 404]
    lines = []
    for reply in replies:
        end = f" id={reply.headers['x-request-id']}\n"
        server.wait_for_log(end)
        lines += re.findall(rf"Z INFO (POST \S+ \d+ [a-z]+)=(\S+).*{re.escape(end)}", server.log)
    assert [line for line, _ in lines] == [
        "POST /invocations 200 queue",
        "POST /invocations 507 queue",
        "POST /invocations 500 total",
        "POST /invocations 504 total",
        "POST /predictions/model 504 total",
        "POST /nowhere 404 total",
    ]
    assert all(float(total) > 1000 for line, total in lines if " 504 " in line)


def test_access_lines_can_be_json(serve: Serve) -> None:
    server = serve(env={"SAGEMAKER_LOG_FORMAT": "json"})
    identity = server.request("[1]").headers["x-request-id"]
    server.wait_for_log(identity, 5)
    line = next(line for line in server.log.splitlines() if identity in line)
    document = json.loads(line)
    assert (document["status"], document["request_id"]) == (200, identity)
    assert {"queue_ms", "decode_ms", "predict_ms", "encode_ms"} <= document.keys()


def test_the_log_level_leaves_access_lines_out(start: Serve) -> None:
    server = start(env={"SAGEMAKER_CONTAINER_LOG_LEVEL": "30"})
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if server.request("[1]").status == 200:
                break
        time.sleep(0.1)
    assert server.stop() == 0
    assert server.log == ""
