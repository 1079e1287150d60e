"""Programs and containers written for AWS's toolkit, over the real Multi Model Server."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.documents import PYTHON, ROOT, exchanges, served
from support.ports import free_port

from sagemaker_inference._frontends.mms.java import find_java

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.conftest import Server

    Serve = Callable[..., Server]

pytestmark = pytest.mark.java

START = "from sagemaker_inference import model_server\nmodel_server.start_model_server()\n"
SCRIPT = """
def model_fn(model_dir, context):
    return context.system_properties["model_dir"]

def input_fn(body, content_type):
    return [type(body).__name__, content_type]

def predict_fn(data, model):
    if data[1] == "application/x-boom":
        raise KeyError("row")
    return data

def output_fn(prediction, accept):
    return prediction + [accept]
"""


@pytest.mark.parametrize("name", ["framework_container", "custom_service"])
def test_an_example_answers_as_its_readme_says(name: str, tmp_path: Path) -> None:
    folder = ROOT / "examples" / name
    command = [PYTHON, folder / "entry_point.py"]
    with served(command, tmp_path / "log", env={"SAGEMAKER_BASE_DIR": str(folder / "ml")}) as port:
        (exchange,) = exchanges(folder / "README.md")
        exchange.check(exchange.curl.send(port))


def test_a_frameworks_handler_serves_alone_where_there_is_no_program(tmp_path: Path) -> None:
    folder = ROOT / "examples" / "framework_container"
    shutil.copytree(folder / "ml", tmp_path / "ml")
    shutil.rmtree(tmp_path / "ml" / "model" / "code")
    env = {"SAGEMAKER_BASE_DIR": str(tmp_path / "ml"), "SAGEMAKER_PROGRAM": ""}
    with served([PYTHON, folder / "entry_point.py"], tmp_path / "log", env=env) as port:
        (exchange,) = exchanges(folder / "README.md")
        assert exchange.curl.send(port).body == "[2,-2]"


def test_script_functions_are_served_as_they_are(start: Serve, tmp_path: Path) -> None:
    code = tmp_path / "opt" / "model" / "code"
    code.mkdir(parents=True)
    (code / "inference.py").write_text(SCRIPT)
    env = {"SAGEMAKER_BASE_DIR": str(tmp_path / "opt")}
    server = start(START, name="entry.py", arguments=("entry.py",), env=env).wait_ready()
    reply = server.request("1,2", {"Content-Type": "TEXT/csv; charset=utf-8"})
    assert (reply.status, reply.json) == (200, ["str", "text/csv", "application/json"])
    reply = server.request("x", {"Content-Type": "image/png", "Accept": "application/json;verbose"})
    assert reply.json == ["bytearray", "image/png", "application/json;verbose"]
    assert server.request("x", {"Content-Type": "application/x-boom"}).status == 500
    assert server.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_while_packages_are_installed_ends_the_installer(
    start: Serve, tmp_path: Path, number: int
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as index:  # it never answers
        url = f"http://127.0.0.1:{index.getsockname()[1]}/simple"
        code = tmp_path / "opt" / "model" / "code"
        code.mkdir(parents=True)
        (code / "requirements.txt").write_text(f"--index-url {url}\na-package-of-this-test\n")
        env = {"SAGEMAKER_BASE_DIR": str(tmp_path / "opt")}
        server = start(START, name="entry.py", arguments=("entry.py",), env=env)
        index.settimeout(60)
        client, _ = index.accept()
        with client:
            server.process.send_signal(number)
            assert server.wait_end() == 0
    assert "stopping; the packages are not installed" in server.log
    server.wait_gone()


def test_requirements_that_cannot_be_installed_end_the_start(start: Serve, tmp_path: Path) -> None:
    code = tmp_path / "opt" / "model" / "code"
    (code / "wheels").mkdir(parents=True)
    (code / "inference.py").write_text(SCRIPT)
    (code / "requirements.txt").write_text("no-such-package-anywhere\n")
    env = {"SAGEMAKER_BASE_DIR": str(tmp_path / "opt")}
    server = start(START, name="entry.py", arguments=("entry.py",), env=env)
    assert server.wait_end() == 1
    assert "No matching distribution found for no-such-package-anywhere" in server.log
    assert "error: failed to install required packages" in server.log


STOCK = """
import subprocess
from sagemaker_inference import environment
from sagemaker_inference.model_server import (
    DEFAULT_HANDLER_SERVICE, DEFAULT_MMS_LOG_FILE, DEFAULT_MMS_MODEL_NAME, MMS_CONFIG_FILE,
    _add_sigchild_handler, _add_sigterm_handler, _create_model_server_config_file,
    _retry_retrieve_mms_server_process, _set_python_path,
)
_set_python_path()
env = environment.Environment()
_create_model_server_config_file(env, DEFAULT_HANDLER_SERVICE)
subprocess.Popen([
    "multi-model-server", "--start", "--model-store", "/", "--mms-config", MMS_CONFIG_FILE,
    "--log-config", DEFAULT_MMS_LOG_FILE,
    "--models", DEFAULT_MMS_MODEL_NAME + "=" + environment.model_dir,
])
server = _retry_retrieve_mms_server_process(env.startup_timeout)
_add_sigterm_handler(server)
_add_sigchild_handler()
print("it ended:", server.wait(), flush=True)
"""
FAILS_ONCE = """
import pathlib
def model_fn(model_dir):
    mark = pathlib.Path(model_dir, "tried")
    if not mark.exists():
        mark.touch()
        raise OSError("no weights yet")
    return 2
def predict_fn(data, model):
    return data * model
"""


def test_the_stock_command_serves_and_tries_a_failed_load_again(start: Serve) -> None:
    # Unix sockets need a short path, and Multi Model Server's command has one pid file in TMPDIR.
    with tempfile.TemporaryDirectory() as folder:
        code = Path(folder, "ml", "model", "code")
        code.mkdir(parents=True)
        (code / "inference.py").write_text(FAILS_ONCE)
        java = Path(find_java().path).parent
        port = free_port()
        server = start(
            # Not /etc: a test leaves nothing behind.
            "from sagemaker_inference._aws import mms_command\n"
            f"mms_command.config_file = lambda: {folder + '/mms.properties'!r}\n" + STOCK,
            name="entry.py",
            arguments=("entry.py",),
            port=port,
            env={
                "TMPDIR": folder,
                "TEMP": folder,
                "JAVA_HOME": str(java.parent),
                "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
                "SAGEMAKER_BASE_DIR": str(Path(folder, "ml")),
            },
        )
        deadline = time.monotonic() + 60
        status = 0
        while status != 200:
            assert time.monotonic() < deadline, server.log
            time.sleep(0.2)
            try:
                reply = server.request("[1, 2]")
            except OSError:
                continue
            status = reply.status
        assert reply.json == [2, 4]
        assert "no weights yet" in server.log
        server.process.send_signal(signal.SIGTERM)
        server.wait_for_log("it ended:")
        assert server.wait_end() == 0
