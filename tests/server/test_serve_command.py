"""`sagemaker-inference serve FILE` on the real front end, as a page of a browser sees it."""

from __future__ import annotations

import http.client
import sys
from typing import TYPE_CHECKING

import pytest
from support.documents import served

from sagemaker_inference.__main__ import main
from sagemaker_inference.testing import TestClient

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.java

PROGRAM = """
from sagemaker_inference import model_loader, predictor

@model_loader
def load(model_dir):
    return 2

@predictor
def predict(data, model):
    return data * model
"""
ORIGIN = "http://localhost:3000"
OPENAPI = "/openapi.json"
PREFLIGHT = {
    "Origin": ORIGIN,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "content-type",
}
REQUESTS = [
    ("OPTIONS", "/invocations", b"", PREFLIGHT),
    ("OPTIONS", "/invocations", b"", {"Origin": ORIGIN}),
    ("OPTIONS", "/ping", b"", PREFLIGHT),
    ("POST", "/invocations", b"4", {"Origin": ORIGIN, "Content-Type": "application/json"}),
    ("POST", "/invocations", b"4", {"Origin": ORIGIN, "Content-Type": "a/b"}),
]


def seen(status: int, headers: dict[str, str], body: bytes) -> tuple[object, ...]:
    """What a browser looks at."""
    kept = {name.lower(): value for name, value in headers.items()}
    cors = {name: value for name, value in kept.items() if name.startswith("access-control-")}
    return status, cors, body if status == 200 else b""


@pytest.mark.parametrize("origin", [ORIGIN, None])
def test_pages_of_an_origin_may_send_requests_where_an_option_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, origin: str | None
) -> None:
    path = tmp_path / "inference.py"
    path.write_text(PROGRAM)
    words = [sys.executable, "-m", "sagemaker_inference", "serve", str(path), "--workers", "1"]
    allowed = {
        "access-control-allow-origin": ORIGIN,
        "access-control-allow-methods": "GET, HEAD, POST, PUT, DELETE, OPTIONS",
        "access-control-allow-headers": "*",
        "access-control-expose-headers": "*",
    }
    replies = []
    with served([*words, *(["--cors", origin] if origin else [])], tmp_path / "log") as port:
        for method, target, body, headers in REQUESTS:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request(method, target, body, headers)
            response = connection.getresponse()
            replies.append(seen(response.status, dict(response.getheaders()), response.read()))
            connection.close()
    cors = allowed if origin else {}
    preflight = (200, cors, b"") if origin else (405, {}, b"")
    assert replies == [
        preflight,
        (405, cors, b""),
        preflight,
        (200, cors, b"8"),
        (415, cors, b""),
    ]
    if origin:
        monkeypatch.setenv("SAGEMAKER_CORS_ORIGIN", origin)
    with TestClient(path) as client:
        in_process = [client.request(*request) for request in REQUESTS]
    assert [seen(reply.status_code, dict(reply.headers), reply.body) for reply in in_process] == (
        replies
    )


def test_the_server_describes_the_program(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "inference.py"
    path.write_text(PROGRAM)
    assert main(["schema", str(path)]) == 0
    document = capsys.readouterr().out
    words = [sys.executable, "-m", "sagemaker_inference", "serve", str(path), "--docs"]
    with served(words, tmp_path / "log") as port:
        for method, expected in (
            ("GET", (200, document)),
            ("HEAD", (200, "")),
            ("POST", (405, "")),
        ):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request(method, OPENAPI)
            response = connection.getresponse()
            body = response.read().decode() if response.status == 200 else ""
            connection.close()
            assert (response.status, body) == expected
            assert response.getheader("content-type") == "application/json"
