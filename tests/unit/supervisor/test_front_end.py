"""The front end's process, as the supervisor sees it; the test is at the other end."""

from __future__ import annotations

import base64
import json
import os
import signal
from typing import TYPE_CHECKING

import pytest
from support.fake_front_end import Bench, FakeFrontEnd

from sagemaker_inference._errors import ErrorCode
from sagemaker_inference._supervisor import front_end
from sagemaker_inference._supervisor.front_end import Request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    one = Bench(tmp_path)
    one.process.start()
    yield one
    one.close()


def pid(bench: Bench) -> int:
    assert bench.process._child is not None
    return bench.process._child.pid


def test_the_port_is_opened_when_it_says_so(bench: Bench) -> None:
    answers: list[str] = []
    bench.process.set_health(200, "{}", 5)
    bench.process.open(answers.append)
    bench.send("hello", pid=1)
    assert bench.next() == {
        "type": "health",
        "status": 200,
        "content_type": "application/json",
        "body": "{}",
        "valid_for": 5,
    }
    assert bench.next() == {"type": "open"}
    assert answers == []
    bench.send("opened")
    bench.wait(lambda: bool(answers))
    assert answers == [""]
    bench.process.open(answers.append, one_model=True)
    assert bench.next() == {"type": "open", "one_model": True}
    bench.send("open_failed", error="Address already in use")
    bench.wait(lambda: len(answers) > 1)
    assert answers[1] == "Address already in use"


def test_what_it_refuses_is_in_the_log(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    line = {"method": "GET", "path": "/x", "status": 404, "seconds": 0.0, "lost": 0}
    bench.send("access", request_id="some-id", **line)
    answers: list[str] = []
    bench.process.open(answers.append)
    bench.send("opened")
    bench.wait(lambda: bool(answers))
    assert " INFO GET /x 404 total=0.0 ms id=some-id\n" in capfd.readouterr().err


def test_answers_are_told_from_each_other(bench: Bench) -> None:
    answers: list[str] = []
    for number in (3, 4):
        bench.process.deploy(
            number,
            "/s",
            2,
            ("/a",),
            60.0,
            lambda error, number=number: answers.append(f"{number}{error}"),
        )
    assert bench.next() == {
        "type": "deploy",
        "id": 3,
        "socket": "/s",
        "connections": 2,
        "routes": ["/a"],
        "wait_limit": 60.0,
    }
    bench.send("deploy_failed", id=4)
    bench.send("deployed", id=3)
    bench.send("deployed", id=5)
    bench.send("something new", id=3)
    bench.wait(lambda: len(answers) == 2)
    assert answers == ["4no reason given", "3"]


def test_a_deployment_that_is_retired_is_not_deployed_any_more(bench: Bench) -> None:
    answers: list[str] = []
    bench.process.deploy(3, "/s", 2, ("/a",), 60.0, answers.append)
    bench.process.retire(3, "the end", lambda _error: answers.append("retired"))
    bench.send("deploy_failed", id=3, error="retired")
    bench.send("retired", id=3)
    bench.wait(lambda: bool(answers))
    assert answers == ["retired"]


def test_requests_come_with_their_bytes_and_are_replied_to(bench: Bench) -> None:
    bench.process.ask(("/models", "/models/*"))
    assert bench.next() == {"type": "ask", "paths": ["/models", "/models/*"]}
    bench.request(7, "POST", "/models?a=1", b"\x00\xff", "a/b")
    bench.wait(lambda: bool(bench.requests))
    headers = [("Content-Type", "a/b")]
    assert bench.requests == [Request(7, "POST", "/models?a=1", headers, b"\x00\xff", "an-id")]
    bench.process.reply(7, 200, b"{}", [("allow", "GET")])
    assert bench.next() == {
        "type": "reply",
        "id": 7,
        "status": 200,
        "headers": [["allow", "GET"]],
        "body": "e30=",
    }


def test_a_refusal_has_the_form_of_all_errors(bench: Bench) -> None:
    bench.request(7, "POST", "/metrics")
    bench.wait(lambda: bool(bench.requests))
    code = ErrorCode.METHOD_NOT_ALLOWED
    bench.process.refuse(bench.requests[0], code, "a message", [("allow", "GET")])
    reply = bench.next("reply")
    assert (reply["id"], reply["status"]) == (7, 405)
    assert reply["headers"] == [["content-type", "application/json"], ["allow", "GET"]]
    error = {"code": "method_not_allowed", "message": "a message", "request_id": "an-id"}
    assert json.loads(base64.b64decode(reply["body"])) == {"error": error}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"id": 1, "method": "GET", "target": "/", "headers": [], "body": "!"},
        {"id": 1, "method": "GET", "target": "/", "headers": [["a"]], "body": ""},
        {"id": 1, "method": "GET", "target": "/", "headers": [], "body": None},
    ],
)
def test_a_request_that_cannot_be_read_is_dropped(
    bench: Bench, fields: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    bench.send("request", **fields)
    bench.wait(lambda: "cannot be read" in caplog.text)
    assert bench.requests == []


def test_a_death_whose_exit_code_is_unknown_is_a_failure(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = Bench(tmp_path, FakeFrontEnd(("/bin/sh", "-c", "exit 0")))
    one.process.start()
    # Somebody else in this process has waited for it.
    os.waitpid(pid(one), 0)
    one.process.reap()
    assert one.heard == [1]
    assert "the front end ended." in caplog.text
    one.close()


def test_its_death_is_told_with_its_last_lines(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    command = ("/bin/sh", "-c", "echo out; echo err >&2; exit 3")
    one = Bench(tmp_path, FakeFrontEnd(command, hint="X is 'y'."))
    one.process.start()
    os.waitid(os.P_PID, pid(one), os.WEXITED | os.WNOWAIT)
    one.process.reap()
    one.process.reap()
    assert one.heard == [3]
    assert "the front end ended with exit code 3. X is 'y'. Its last lines:" in caplog.text
    assert "\n    err" in caplog.text
    one.close()


def test_its_death_by_a_signal_is_a_failure(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    os.kill(pid(bench), signal.SIGKILL)
    os.waitid(os.P_PID, pid(bench), os.WEXITED | os.WNOWAIT)
    bench.process.reap()
    assert bench.heard == [1]
    assert "was killed by SIGKILL. Its last lines: none" in caplog.text


def test_one_that_hangs_up_is_ended(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(front_end, "_LAST_WORDS_SECONDS", 0.05)
    bench.connect()
    bench.loop.turn()
    bench.hang_up()
    bench.wait(lambda: bool(bench.heard))
    assert bench.heard == [1]
    assert "it has closed its control socket" in caplog.text
    assert bench.process._child is None


def test_one_that_ends_while_it_hangs_up_is_told_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front_end, "_LAST_WORDS_SECONDS", 0.05)
    bench.connect()
    bench.loop.turn()
    bench.hang_up()
    bench.loop.turn()
    os.kill(pid(bench), signal.SIGKILL)
    os.waitid(os.P_PID, pid(bench), os.WEXITED | os.WNOWAIT)
    bench.process.reap()
    over: list[bool] = []
    bench.loop.after(0.1, lambda: over.append(True))
    bench.wait(lambda: bool(over))
    assert bench.heard == [1]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("hello", "did not connect to the supervisor"),
        ("open", "did not open its port"),
        ("deploy", "did not connect to the workers"),
    ],
)
def test_one_that_does_not_answer_in_time_is_ended(
    bench: Bench,
    asked: str,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench.process.check_time_limits()
    assert bench.heard == []
    if asked != "hello":
        bench.send("hello", pid=1)
        bench.wait(lambda: not bench.process._awaited)
    monkeypatch.setattr(front_end, "PATIENCE_SECONDS", -1.0)
    if asked == "open":
        bench.process.open(lambda _error: None)
    elif asked == "deploy":
        bench.process.deploy(1, "/s", 1, (), 60.0, lambda _error: None)
    else:
        bench.process._await("hello", 0, lambda _error: None)
    bench.process.check_time_limits()
    bench.process.check_time_limits()
    assert bench.heard == [1]
    assert f"the front end {words}" in caplog.text


def test_the_drain_may_take_as_long_as_it_takes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.send("hello", pid=1)
    bench.wait(lambda: not bench.process._awaited)
    monkeypatch.setattr(front_end, "PATIENCE_SECONDS", -1.0)
    answers: list[str] = []
    bench.process.drain(answers.append)
    assert bench.next() == {"type": "drain"}
    bench.process.check_time_limits()
    assert bench.heard == []
    bench.send("drained")
    bench.wait(lambda: bool(answers))
