from __future__ import annotations

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from support.checked import Answers
from support.transformed import PROGRAM, Sent
from typing_extensions import Self

from sagemaker_inference import testing
from sagemaker_inference.__main__ import main
from sagemaker_inference._cli._checks import rules, server, target
from sagemaker_inference.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sagemaker_inference.testing import Reply


@pytest.fixture
def check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., dict[str, Any]]:
    """Check files, and return the document; its exit code is compared with its errors."""
    monkeypatch.chdir(tmp_path)

    def run(files: dict[str, str], *words: str) -> dict[str, Any]:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        code = main(["check", *(words or (".",)), "--format", "json"])
        document = json.loads(capsys.readouterr().out)
        assert code == bool(document["errors"])
        # Each rule has one result.
        names = [one["rule"] for one in document["findings"]]
        names = list(dict.fromkeys(names)) + document["passed"]
        names += [one["rule"] for one in document["skipped"]]
        assert sorted(names) == sorted(rule.id for rule in rules.all_rules())
        return document

    return run


@pytest.fixture
def answers() -> Iterator[Answers]:
    """A server on a port of this machine."""
    told = Answers()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            size = int(self.headers.get("Content-Length", 0))
            self.rfile.read(size)
            status, content_type, body = told.answer(self.command, self.path, self.headers, size)
            if status < 100:  # no answer, or none of HTTP's
                self.close_connection = True
                self.wfile.write(b"garbage\r\n" * status)
                return
            self.send_response(status)
            if content_type:
                self.send_header("Content-Type", content_type)
            if content_type == "chunked":
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self.wfile.write(b"1\r\n2\r\n0\r\n\r\n")
                return
            size = len(body) + (status == 203)
            self.send_header("Content-Length", str(size))
            self.close_connection = status == 203
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - as above

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    told.url = f"http://127.0.0.1:{http.server_port}"
    yield told
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.fixture
def started(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> Answers:
    """In place of the real server, one that answers as it is told, for a program that is fine."""
    monkeypatch.setattr(target.Target, "inspection", target.Inspection(is_hinted=True))
    monkeypatch.setattr(server, "_MEGABYTE", 1024)

    class Server:
        def __init__(self, _program: str, *, model_dir: str | None) -> None:
            answers.model_dir = model_dir
            self.url = answers.url

        def __enter__(self) -> Self:
            if answers.code < 0:
                message = "the server has ended with 1:\nlog\nerror: no model\n"
                raise StartError(message)
            return self

        def terminate(self) -> int:
            return answers.code

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(testing, "ServerProcess", Server, raising=False)
    return answers


@pytest.fixture
def summing(tmp_path: Path) -> Iterator[str]:
    """A program that sums rows; the variables of a job are put back."""
    (tmp_path / "inference.py").write_text(PROGRAM)
    before = dict(os.environ)
    yield str(tmp_path / "inference.py")
    for name in os.environ.keys() - before.keys():
        del os.environ[name]


@pytest.fixture
def sent(summing: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Sent]:
    """Put a program that answers as it is told in the place of the user's."""
    assert summing

    def use(*answers: Reply | OSError, **options: Any) -> Sent:
        client = Sent(*answers, **options)
        monkeypatch.setattr(testing, "TestClient", lambda *_, **__: client)
        return client

    return use
