"""Handler services written for MMS run on our back end, and ours runs on MMS's."""

from __future__ import annotations

import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.ports import free_port

from sagemaker_inference._frontends.mms import jar
from sagemaker_inference._frontends.mms.java import find_java
from tests.server.conftest import ECHO, Reply, Server, starting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Serve = Callable[..., Server]

pytestmark = pytest.mark.java

ENTRY = """
import sys
from sagemaker_inference import model_server
model_server.start_model_server(handler_service={handler!r})
print("came back")
"""

SERVICE_CLASS = """
import json, os

class Service:
    def initialize(self, context):
        assert context.system_properties["model_dir"] == os.getcwd()
        self.loaded = type(context).__module__

    def handle(self, data, context):
        answers = []
        for index, item in enumerate(data):
            name = context.get_request_header(index, "X-Name") or ""
            if name == "raise":
                raise RuntimeError("service failed")
            if name == "predict":
                from mms.service import PredictionException
                raise PredictionException("no such row", 404)
            context.set_response_content_type(index, "text/plain")
            context.set_response_header(index, "X-Batch", str(len(data)))
            if name == "status":
                context.set_response_status(418, "Te\\napot", index)
            answers.append(f"{self.loaded} {item['body'].decode()}")
        return answers[:-1] if name == "short" else answers
"""

SERVICE_FUNCTION = """
def handle(data, context):
    if data is None:
        handle.ready = True
        return None
    return [{"ready": handle.ready, "size": len(item["body"])} for item in data]
"""


@pytest.fixture
def container(start: Serve, tmp_path: Path) -> Callable[..., Server]:
    """Start an entry point with a handler service, in a container's folders."""
    (tmp_path / "opt" / "model" / "code").mkdir(parents=True)

    def starter(handler: str, service: str, env: Mapping[str, str] | None = None) -> Server:
        (tmp_path / "my_service.py").write_text(service)
        given = {"SAGEMAKER_BASE_DIR": str(tmp_path / "opt"), **(env or {})}
        return start(
            ENTRY.format(handler=handler),
            name="entry.py",
            arguments=("entry.py",),
            env=given,
        )

    return starter


@pytest.mark.parametrize("handler", ["my_service", "my_service:handle", "my_service.py"])
def test_a_service_class_runs_unchanged(container: Callable[..., Server], handler: str) -> None:
    server = container(handler, SERVICE_CLASS).wait_ready()
    reply = server.request("abc")
    assert (reply.status, reply.body) == (200, b"mms.context abc")
    assert reply.headers["content-type"] == "text/plain"
    assert reply.headers["x-batch"] == "1"
    assert server.stop() == 0
    assert "came back" in server.log


def test_a_services_statuses_and_failures_reach_the_client(
    container: Callable[..., Server],
) -> None:
    server = container("my_service", SERVICE_CLASS).wait_ready()
    statuses = {
        name: server.request("abc", {"X-Name": name}).status
        for name in ("status", "raise", "predict", "short")
    }
    assert statuses == {"status": 418, "raise": 500, "predict": 404, "short": 500}
    server.wait_for_log("RuntimeError: service failed")
    assert server.request("abc").status == 200


def test_a_service_function_is_called_once_without_data(container: Callable[..., Server]) -> None:
    server = container("my_service:handle", SERVICE_FUNCTION).wait_ready()
    assert server.request("abc").json == {"ready": True, "size": 3}


def test_a_service_that_is_neither_ends_the_start(container: Callable[..., Server]) -> None:
    server = container("my_service", "class A: ...\nclass B: ...\n")
    assert server.wait_end() == 1
    assert "defines 2 classes and no function 'handle'" in server.log
    assert "came back" not in server.log


def test_a_service_whose_initialize_raises_ends_the_start(container: Callable[..., Server]) -> None:
    server = container(
        "my_service", SERVICE_CLASS.replace("self.loaded =", "raise OSError('no weights') #")
    )
    assert server.wait_end() == 1
    assert server.log.strip().endswith("OSError: no weights")


def test_a_missing_service_ends_the_start(container: Callable[..., Server]) -> None:
    server = container("no_such_service", "")
    assert server.wait_end() == 1
    assert "the handler service 'no_such_service' was not found" in server.log
    assert "Traceback" not in server.log


def test_the_default_handler_service_serves_the_users_program(
    container: Callable[..., Server], tmp_path: Path
) -> None:
    (tmp_path / "opt" / "model" / "code" / "inference.py").write_text(ECHO)
    server = container("sagemaker_inference.default_handler_service", "").wait_ready()
    assert server.request("[1]").json == [1]


def stock_front_end(folder: Path, port: int) -> list[str]:
    """MMS as it comes: its own back end loads our default handler service."""
    home = Path(jar.find_jar()).parents[2]
    (folder / "config.properties").write_text(
        f"inference_address=http://127.0.0.1:{port}\n"
        f"management_address=unix:{folder}/management.sock\n"
        "default_service_handler=sagemaker_inference.default_handler_service\n"
        "default_workers_per_model=1\ndecode_input_request=false\n"
    )
    return [
        find_java().path,
        f"-Djava.io.tmpdir={folder}",
        f"-Dmodel_server_home={home}",
        "-cp", jar.find_jar(), "com.amazonaws.ml.mms.ModelServer",
        "--python", sys.executable, "-f", str(folder / "config.properties"),
        "-s", str(folder), "-m", "model=model",
    ]  # fmt: skip


def test_the_stock_back_end_serves_a_decorated_program(tmp_path: Path) -> None:
    # Unix sockets need a short path.
    with tempfile.TemporaryDirectory() as name, starting(tmp_path) as start:
        folder = Path(name)
        code = folder / "model" / "code"
        code.mkdir(parents=True)
        (code / "inference.py").write_text(ECHO)
        port = free_port()
        command = stock_front_end(folder, port)
        source = f"import os; os.execv({command[0]!r}, {command!r})"
        server = start(source, port=port, name="launcher.py", arguments=("launcher.py",))
        reply = _first_answer(server)
        assert (reply.status, reply.json) == (200, [1, 2])
        reply = server.request("[1, 2", {"Accept": "text/plain"})
        assert reply.status == 400
        assert reply.headers["content-type"].startswith("text/plain")
        assert server.request("x", {"Content-Type": "text/foo"}).status == 415


def _first_answer(server: Server) -> Reply:
    deadline = time.monotonic() + 60
    while True:
        try:
            reply = server.request("[1, 2]", {"Content-Type": "APPLICATION/JSON; charset=utf-8"})
            if reply.status != 503 or time.monotonic() > deadline:
                return reply
        except OSError:
            assert time.monotonic() < deadline, server.log
        time.sleep(0.1)


def test_a_batch_is_one_call_of_the_service(container: Callable[..., Server]) -> None:
    env = {"SAGEMAKER_MAX_BATCH_SIZE": "4", "SAGEMAKER_MAX_BATCH_DELAY": "1"}
    server = container("my_service", SERVICE_CLASS, env).wait_ready()
    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(server.request, ["a", "b", "c", "d"]))
    assert [reply.body for reply in replies] == [f"mms.context {name}".encode() for name in "abcd"]
    assert {reply.headers["x-batch"] for reply in replies} == {"4"}
