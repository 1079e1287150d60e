"""Further paths of a program, on the real server."""

from __future__ import annotations

import http.client
import json
import re
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from sagemaker_inference.testing import ServerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sagemaker_inference.testing import Reply

pytestmark = pytest.mark.java

CHAT = "/v1/chat/completions"
PROGRAM = """
import os, pathlib, time
from sagemaker_inference import model_loader, predictor

HERE = pathlib.Path(__file__).parent

@model_loader
def load():
    while not (HERE / "loads").exists():
        time.sleep(0.01)
    return 2

@predictor
def predict(data, model):
    return data * model

@predictor("/v1/chat/completions")
def chat(data, model, context):
    if "die" in data:
        os._exit(3)
    if "wait" in data:
        (HERE / "waits").touch()
        while not (HERE / data["wait"]).exists():
            time.sleep(0.01)
    return tokens(data, context.path) if data.get("stream") else {"path": context.path}

def tokens(data, path):
    yield {"path": path}
    if "late" in data:
        raise ValueError("too late")
"""
ALONE = """
from sagemaker_inference import model_loader, predictor

@model_loader
def load():
    return 2

@predictor("/embed", max_batch_size=4)
def embed(batch, model):
    return [data * model for data in batch]

@predictor("/one")
def one(data, model):
    return data
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "inference.py").write_text(PROGRAM)
    (tmp_path / "loads").touch()
    return tmp_path


@pytest.fixture
def server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServerProcess]:
    monkeypatch.setenv("SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS", "2")
    monkeypatch.setenv("SAGEMAKER_MAX_QUEUE_SIZE", "1")
    with ServerProcess(folder / "inference.py") as one:
        yield one


def error_of(reply: Reply) -> dict[str, Any]:
    """The error in OpenAI's form, without the id of the request."""
    error: dict[str, Any] = reply.json()["error"]
    assert list(error) == ["message", "type", "param", "code"]
    message, count = re.subn(r" \(request [0-9a-f-]{36}\)$", "", error["message"])
    assert count == (reply.status_code >= 500)
    assert error["param"] is None
    return {**error, "message": message}


def line_of(server: ServerProcess, words: str) -> str:
    """The access line with these words, which comes a moment after the answer."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for line in server.log.splitlines():
            if words in line:
                return line
        time.sleep(0.01)
    raise AssertionError(server.log)


def test_a_path_has_answers_lines_and_counts_of_its_own(server: ServerProcess) -> None:
    assert server.invoke([1]).json() == [2]
    assert server.invoke({}, path=CHAT).json() == {"path": CHAT}
    streamed = server.invoke({"stream": True}, path=CHAT)
    assert streamed.content_type == "text/event-stream"
    assert streamed.text == f'data: {{"path":"{CHAT}"}}\n\ndata: [DONE]\n\n'
    assert "paths: /invocations, /v1/chat/completions. Try: curl" in server.log
    assert " ms id=" in line_of(server, f"INFO POST {CHAT} 200 queue=")
    assert "stream=complete items=1" in line_of(server, "stream=complete")
    page = server.request("GET", "/metrics").text
    assert f'sagemaker_inference_requests_total{{path="{CHAT}",status="200"}} 2' in page
    assert "sagemaker_inference_requests_waiting 0" in page
    models = server.request("GET", "/v1/models").json()
    assert [model["id"] for model in models["data"]] == ["model"]


def test_a_stream_that_fails_ends_with_an_error_and_breaks(server: ServerProcess) -> None:
    with pytest.raises(http.client.IncompleteRead) as caught:
        server.invoke({"stream": True, "late": True}, path=CHAT)
    first, second, rest = caught.value.partial.split(b"\n\n")
    assert (first, rest) == (f'data: {{"path":"{CHAT}"}}'.encode(), b"")
    error = json.loads(second.removeprefix(b"data: "))["error"]
    assert (error["type"], error["code"]) == ("server_error", "prediction_failed")


def test_whoever_notices_a_failure_says_it_in_openais_form(
    server: ServerProcess, folder: Path
) -> None:
    died = server.invoke({"die": True}, path=CHAT)
    assert died.status_code == 500
    assert error_of(died) == {
        "message": "The worker died while this request was in progress.",
        "type": "server_error",
        "param": None,
        "code": "process_died",
    }
    late = server.invoke({"wait": "never"}, path=CHAT)
    assert late.status_code == 504
    assert error_of(late)["code"] == "prediction_timeout"
    large = server.request("POST", CHAT, b"x" * (26 << 20))
    assert large.status_code == 413
    assert error_of(large)["type"] == "invalid_request_error"


def test_a_full_queue_is_said_in_openais_form(server: ServerProcess, folder: Path) -> None:
    asked: list[Reply] = []

    def ask() -> None:
        asked.append(server.invoke({"wait": "goes-on"}, path=CHAT))

    threads = [threading.Thread(target=ask) for _ in range(40)]
    try:
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 10
        while not any(reply.status_code == 503 for reply in asked):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        (folder / "goes-on").touch()
        for thread in threads:
            thread.join()
    [refused, *_] = [reply for reply in asked if reply.status_code == 503]
    assert refused.headers["retry-after"] == "1"
    assert error_of(refused)["code"] == "service_unavailable"
    assert {"path": CHAT} in [reply.json() for reply in asked]


def test_a_path_is_503_until_the_model_is_loaded(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "loads").unlink()
    early: list[Reply] = []
    ping = ServerProcess.ping

    def ping_and_ask(server: ServerProcess) -> Reply:
        reply = ping(server)
        if not early:
            early.append(server.invoke({}, path=CHAT))
            early.append(server.request("GET", "/nothing"))
            (folder / "loads").touch()
        return reply

    monkeypatch.setattr(ServerProcess, "ping", ping_and_ask)
    with ServerProcess(folder / "inference.py") as server:
        assert server.invoke({}, path=CHAT).json() == {"path": CHAT}
        assert server.request("GET", "/nothing").status_code == 404
    assert [reply.status_code for reply in early] == [503, 503]
    assert error_of(early[0])["message"] == "No model is loaded yet"
    assert early[0].headers["retry-after"] == "5"
    assert early[1].json()["error"]["code"] == "service_unavailable"


def test_a_program_may_have_no_invocations(tmp_path: Path) -> None:
    (tmp_path / "inference.py").write_text(ALONE)
    with ServerProcess(tmp_path / "inference.py") as server:
        assert server.invoke([1, 2], path="/embed").json() == [2, 4]
        assert server.invoke("a", path="/one").json() == "a"
        refused = server.invoke([1])
        assert refused.status_code == 404
        assert refused.json()["error"]["message"] == (
            "There is nothing at /invocations: the program has no @predictor without a path"
        )
        assert server.request("POST", "/models/model/invoke", b"[1]").status_code == 404
        assert server.request("GET", "/v1/models").status_code == 404
        assert server.request("GET", "/execution-parameters").status_code == 200
        assert server.log.count(" --data-binary @FILE ") == 1


def test_the_zygote_says_the_paths_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGEMAKER_PRELOAD", "true")
    with ServerProcess(folder / "inference.py") as server:
        assert server.invoke({}, path=CHAT).json() == {"path": CHAT}
