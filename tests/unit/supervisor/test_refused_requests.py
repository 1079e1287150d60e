"""Access lines of requests that the front end refuses."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from sagemaker_inference._supervisor.refused_requests import RefusedRequests

if TYPE_CHECKING:
    import pytest


def message(**changes: object) -> dict[str, Any]:
    return {
        "type": "access",
        "method": "GET",
        "path": "/nowhere",
        "status": 404,
        "request_id": "some-id",
        "seconds": 0.00126,
        "lost": 0,
        **changes,
    }


def test_a_line_says_what_was_refused() -> None:
    lines: list[bytes] = []
    RefusedRequests(lines.append).on_message(message())
    [line] = lines
    assert re.fullmatch(
        rb"\d{4}-\d\d-\d\dT[\d:.]+Z INFO GET /nowhere 404 total=1.3 ms id=some-id\n", line
    )


def test_a_line_of_a_websocket_says_what_closed_it() -> None:
    lines: list[bytes] = []
    RefusedRequests(lines.append).on_message(message(status=101, close=1011))
    assert lines[0].endswith(b" 101 total=1.3 ms id=some-id socket=lost close=1011\n")


def test_a_path_cannot_look_like_something_else() -> None:
    lines: list[bytes] = []
    RefusedRequests(lines.append).on_message(message(path='/a b\u2028c\u0085é"%0a'))
    assert b"GET /a%20b%E2%80%A8c%C2%85%C3%A9%22%0a 404 " in lines[0]


def test_lines_are_json_where_the_log_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGEMAKER_LOG_FORMAT", "json")
    lines: list[bytes] = []
    RefusedRequests(lines.append).on_message(message())
    document = json.loads(lines[0])
    assert document.pop("time").endswith("Z")
    assert document == {
        "level": "INFO",
        "method": "GET",
        "path": "/nowhere",
        "status": 404,
        "total_ms": 1.26,
        "request_id": "some-id",
    }


def test_above_info_there_are_no_access_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGEMAKER_CONTAINER_LOG_LEVEL", "30")
    lines: list[bytes] = []
    RefusedRequests(lines.append).on_message(message(lost=1))
    assert lines == []


def test_those_that_are_missing_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    lines: list[bytes] = []
    RefusedRequests(lines.append).on_message(message(lost=7))
    assert len(lines) == 1
    assert "7 refused requests have no access lines: there were too many" in caplog.text
