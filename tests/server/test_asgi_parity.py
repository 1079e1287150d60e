"""The ASGI application answers what the server answers: the same requests to both."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import pytest

from sagemaker_inference.testing import ServerProcess, TestClient

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sagemaker_inference.testing import Reply

pytestmark = pytest.mark.java

PROGRAM = """
from sagemaker_inference import model_loader, predictor, serve
from sagemaker_inference.errors import UnprocessableInputError

@model_loader
def load(model_dir):
    return model_dir

@predictor
def predict(data, model, context):
    if data == "refuse":
        raise UnprocessableInputError("Send a number.")
    if data == "fail":
        raise KeyError(data)
    if data == "status":
        context.status = 429
    if data == "nothing":
        context.status = 204
    if data == "headers":
        context.response_headers = {"X-More": "one", "Cache-Control": "max-age=1"}
        context.custom_attributes = str(context.custom_attributes)
    if data == "long":
        return "a" * 2000
    return data if context.parts[0].name == "body" else [part.name for part in context.parts]

@predictor("/v1/chat/completions")
def chat(data, model, context):
    if data.get("stream"):
        return iter([{"path": context.path}, "two"])
    return predict(data.get("ask"), model, context) if data else iter([])

predictor("/embed")(chat)
"""
CHAT = "/v1/chat/completions"

JSON = {"Content-Type": "application/json"}
MULTIPART = {"Content-Type": "multipart/form-data; boundary=x"}
FORM = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n'


class Ask(NamedTuple):
    """A request."""

    method: str
    path: str
    body: bytes = b""
    headers: dict[str, str] = JSON


REQUESTS = [
    *(Ask(method, "/ping") for method in ("GET", "HEAD", "POST", "PUT", "DELETE")),
    *(Ask(method, "/invocations") for method in ("GET", "HEAD", "PUT", "OPTIONS")),
    *(Ask(method, "/execution-parameters") for method in ("GET", "HEAD", "POST")),
    Ask("POST", "/metrics"),
    *(Ask("GET", path) for path in ("/", "/nothing", "/ping/", "/models", "/api-description")),
    *(Ask("GET", path) for path in ("/predictions/model", "/predictions/x", "/models/x/invoke")),
    Ask("POST", "/models/model/invoke", b"[1]"),
    Ask("POST", "/predictions/model?a=1&a=2&b=", b"[1]"),
    Ask("POST", "/predictions/x%20y", b"[1]"),
    Ask("POST", "/models//invoke", b"[1]"),
    Ask("POST", "/invocations", b"[1, 2]"),
    Ask("POST", "/invocations?x=y", b"[1, 2]"),
    Ask("POST", "/invocations?model_name=other", b"[1]"),
    Ask("POST", "/invocations?model_name=model", b"[1]"),
    Ask("POST", "/invocations", b"[1]", {**JSON, "X-Amzn-SageMaker-Target-Model": "other"}),
    Ask("POST", "/invocations", b"[1"),
    Ask("POST", "/invocations", b""),
    Ask("POST", "/invocations", b"x", {"Content-Type": "a/b"}),
    Ask("POST", "/invocations", b"1,2\n3,4\n", {"Content-Type": "text/csv", "Accept": "text/csv"}),
    Ask("POST", "/invocations", b"[1]", {**JSON, "Accept": "a/b"}),
    Ask("POST", "/invocations", b'"refuse"'),
    Ask("POST", "/invocations", b'"refuse"', {**JSON, "Accept": "text/plain"}),
    Ask("POST", "/invocations", b'"fail"'),
    Ask("POST", "/invocations", b'"status"'),
    Ask("POST", "/invocations", b'"nothing"'),
    Ask("POST", "/invocations", b'"headers"', {**JSON, "X-Amzn-SageMaker-Custom-Attributes": "a"}),
    Ask("POST", "/invocations", b'"long"', {**JSON, "Accept-Encoding": "gzip"}),
    Ask("POST", "/invocations", FORM, MULTIPART),
    Ask("POST", "/invocations", b"a=1&b=2", {"Content-Type": "application/x-www-form-urlencoded"}),
    Ask("POST", "/invocations", b'"' + b"x" * ((1 << 20) + 65536) + b'"'),
    Ask("GET", "/nothing", b"", {"Accept": "text/plain"}),
    Ask("POST", CHAT, b'{"stream": true}'),
    Ask("POST", CHAT, b'{"stream": true}', {**JSON, "Accept": "image/png"}),
    Ask("POST", "/embed?a=1", b'{"stream": true}'),
    Ask("POST", "/%65mbed", b'{"stream": true}'),
    *(Ask("POST", path, b"{}") for path in (CHAT, "/embed")),
    *(Ask("POST", path, b'{"ask": "refuse"}') for path in (CHAT, "/embed")),
    Ask("POST", CHAT, b'{"ask": "refuse"}', {**JSON, "Accept": "text/plain"}),
    Ask("POST", CHAT, b'{"ask": "fail"}'),
    Ask("POST", CHAT, b"{"),
    Ask("POST", CHAT, b"1", {"Content-Type": "a/b"}),
    Ask("POST", CHAT, b'"' + b"x" * ((1 << 20) + 65536) + b'"'),
    *(Ask("GET", path) for path in (CHAT, "/embed", "/v1/chat", "/v1/", "/embed/")),
    *(Ask(method, "/v1/models") for method in ("HEAD", "POST", "OPTIONS")),
]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServerProcess, TestClient]]:
    path: Path = tmp_path_factory.mktemp("parity") / "inference.py"
    path.write_text(PROGRAM)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAGEMAKER_MAX_PAYLOAD_IN_MB", "1")
        with ServerProcess(path) as server, TestClient(path) as client:
            yield server, client


def seen(reply: Reply) -> tuple[int, dict[str, str], bytes]:
    """A reply without what differs each time, and without what a connection is about."""
    headers = {name.lower(): value for name, value in reply.headers.items()}
    assert re.fullmatch(r"[0-9a-f-]{36}", headers.pop("x-request-id"))
    for name in ("connection", "date", "server"):
        headers.pop(name, None)
    body = re.sub(rb'("request_id": "|\(request )[0-9a-f-]{36}', rb"\1...", reply.body)
    return reply.status_code, headers, body


@pytest.mark.parametrize("asked", REQUESTS, ids=lambda asked: f"{asked.method}-{asked.path}")
def test_both_answer_alike(both: tuple[ServerProcess, TestClient], asked: Ask) -> None:
    server, client = both
    expected, got = seen(server.request(*asked)), seen(client.request(*asked))
    # How a stream is framed is the server's affair.
    expected[1].pop("transfer-encoding", None)
    assert got == expected


def test_both_have_the_same_metrics_but_for_those_of_processes(
    both: tuple[ServerProcess, TestClient],
) -> None:
    names = []
    for one in both:
        one.invoke([1]).raise_for_status()
        page = one.request("GET", "/metrics")
        assert page.content_type == "text/plain; version=0.0.4; charset=utf-8"
        found = set(re.findall(r"^# TYPE (\w+ \w+)$", page.text, re.MULTILINE))
        names.append({name for name in found if name.startswith("sagemaker_")})
    of_processes = {
        "sagemaker_inference_workers gauge",
        "sagemaker_inference_worker_restarts_total counter",
        "sagemaker_inference_resident_bytes gauge",
    }
    assert names[0] - of_processes == names[1]


def test_the_servers_log_can_be_read(both: tuple[ServerProcess, TestClient]) -> None:
    server, _ = both
    assert "serving " in server.log
    assert server.url == f"http://127.0.0.1:{server.port}"
