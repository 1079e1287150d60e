"""Multi Model Server as it is released: its own front end and back end, and models to load."""

from __future__ import annotations

import json
import socket
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.ports import free_port

from sagemaker_inference._frontends.mms import jar, java
from tests.server.conftest import Reply, Server, send

if TYPE_CHECKING:
    from collections.abc import Iterator


ECHO = """
import json

def handle(data, context):
    if data is None:
        return None
    [item] = data
    body = item.get("body", b"")
    if body == b"raise":
        raise ValueError("not in an answer")
    if body == b"memory":
        raise MemoryError
    if body == b"short":
        return []
    return [json.dumps({key: bytes(value).decode() for key, value in item.items()})]
"""


ANSWER = """
class Service:
    def initialize(self, context):
        pass

    def handle(self, data, context):
        context.set_response_content_type(0, "text/plain")
        context.set_response_header(0, "X-Own", "1")
        context.set_response_status(418, "Teapot", 0)
        return [b"ok"]
"""


UNREADY = """
class Service:
    def initialize(self, context):
        raise ValueError("no weights")

    def handle(self, data, context):
        return ["not ready"]
"""


DYING = """
import os

def handle(data, context):
    if data is not None:
        os._exit(3)
"""


SLOW = """
import time

def handle(data, context):
    if data is not None:
        print("in progress", flush=True)
        time.sleep({})
        return ["late"]
"""


FAIL = "def handle(data, context):\n    {}\n"


# Each a folder in the model store; handlers other than model:handle.
MODELS = {
    "start": ECHO,
    "echo": ECHO,
    "answer": ANSWER,
    "unready": UNREADY,
    "dying": DYING,
    "slow": SLOW.format(5),
    "slow_start": f"import time\ntime.sleep(3)\n{ECHO}",
    "raising": FAIL.format("raise ValueError('broken')"),
    "import_fails": "raise ImportError('nothing there')\n",
    "exiting": "import os\nos._exit(3)\n",
    "memory": FAIL.format("raise MemoryError"),
    "no_module": ECHO,
    "no_function": ECHO,
    "bare": ECHO,
    "no_manifest": ECHO,
}


HANDLERS = {
    "answer": "model",
    "unready": "model",
    "no_module": "nowhere:handle",
    "no_function": "model:nothing",
}


CANNOT_LOAD = ["raising", "import_fails", "exiting", "no_module", "no_function"]


SCALED = (200, {"status": "Workers scaled"})


ACCEPTED = (202, {"status": "Processing worker updates..."})


HEALTHY = (200, {"status": "Healthy"})


SEE_API = "please refer to API document."


def error(code: int, kind: str, message: str) -> tuple[int, dict[str, Any]]:
    """An error as the server words it: its class is named, and the status is repeated."""
    return code, {"code": code, "type": kind, "message": message}


def absent(name: str) -> tuple[int, dict[str, Any]]:
    return error(404, "ModelNotFoundException", f"Model not found: {name}")


def no_worker(name: str) -> tuple[int, dict[str, Any]]:
    text = f"No worker is available to serve request for model: {name}."
    return error(503, "ServiceUnavailableException", f"{text} Consider increasing job queue size.")


NO_ROUTE = error(404, "ResourceNotFoundException", f"Requested resource is not found, {SEE_API}")


NO_METHOD = error(405, "MethodNotAllowedException", f"Requested method is not allowed, {SEE_API}")


NO_URL = error(400, "BadRequestException", "Parameter url is required.")


NO_NAME = error(400, "BadRequestException", "Parameter model_name is required.")


FAILED = error(500, "InternalServerException", "Failed to start workers")


DIED = error(500, "InternalServerException", "Worker died.")


def registered(name: str) -> tuple[int, dict[str, Any]]:
    return 200, {"status": f'Model "{name}" registered'}


def unloaded(name: str) -> tuple[int, dict[str, Any]]:
    return 200, {"status": f'Model "{name}" unregistered'}


class Stock:
    """A running server.

    Attributes:
        store: the folder of its models.
        server: its process.
    """

    def __init__(self, store: Path, server: Server, management: int) -> None:
        self.store = store
        self.server = server
        self._management = management

    def reply(self, line: str, body: Any = b"", kind: str = "", **options: Any) -> Reply:
        """Send a request to the management port: its method and target, its body and type."""
        return self._send(self._management, line, body, kind, **options)

    def ask(self, line: str, body: Any = b"", kind: str = "", **options: Any) -> tuple[int, Any]:
        """As `reply`; status and what the JSON says."""
        return self._read(self.reply(line, body, kind, **options))

    def call(self, line: str, body: Any = b"", kind: str = "", **options: Any) -> tuple[int, Any]:
        """As `ask`, of the inference port."""
        return self._read(self._send(self.server.port, line, body, kind, **options))

    def load(self, name: str, url: str = "echo", **more: Any) -> tuple[int, Any]:
        """Ask for a model as SageMaker does."""
        body = {"model_name": name, "url": url, **more}
        return self.ask("POST /models", body, timeout=90)

    @property
    def names(self) -> list[str]:
        """What is listed."""
        return [model["modelName"] for model in self.ask("GET /models")[1]["models"]]

    @staticmethod
    def _send(port: int, line: str, body: Any, kind: str, **options: Any) -> Reply:
        method, path = line.split(" ", 1)
        if isinstance(body, dict):
            body, kind = json.dumps(body), kind or "application/json"
        headers = {"Content-Type": kind}
        return send(port, body, headers, method=method, path=path, **options)

    @staticmethod
    def _read(reply: Reply) -> tuple[int, Any]:
        is_json = reply.body[:1] == b"{"
        return reply.status, reply.json if is_json else reply.body


@contextmanager
def running(
    *at_start: str, one_port: bool = False, store: str = "", config: str = ""
) -> Iterator[Stock]:
    """Java's server with its own back end; stopped, with all its processes, at the end."""
    # Sockets are made in it: a short path.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for model, source in MODELS.items():
            _write_model(folder / "store" / model, source)
        port = management = free_port()
        if not one_port:
            with socket.create_server(("127.0.0.1", port)):
                management = free_port()
        (folder / "config.properties").write_text(
            f"inference_address=http://127.0.0.1:{port}\n"
            f"management_address=http://127.0.0.1:{management}\n"
            f"default_workers_per_model=1\ndecode_input_request=false\n{config}"
        )
        command = [
            java.find_java().path,
            f"-Djava.io.tmpdir={folder}",
            f"-Dmodel_server_home={Path(jar.find_jar()).parents[2]}",
            "-cp", jar.find_jar(), "com.amazonaws.ml.mms.ModelServer",
            "--python", sys.executable, "-f", str(folder / "config.properties"),
            "-s", store or str(folder / "store"),
        ]  # fmt: skip
        if at_start:
            command += ["-m", *(f"{model}={model}" for model in at_start)]
        source = f"import os; os.execv({command[0]!r}, {command!r})"
        server = Server(folder, ("-c", source), {}, port)
        try:
            stock = Stock(folder / "store", server, management)
            _wait(stock)
            yield stock
            # Some processes of its back end outlive it.
            server.stop()
        finally:
            server.clean_up()


def _write_model(folder: Path, source: str) -> None:
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(source)
    if folder.name in {"bare", "no_manifest"}:
        return
    handler = HANDLERS.get(folder.name, "model:handle")
    manifest = {
        "runtime": "python",
        "engine": {"engineName": "none"},
        "model": {"modelName": folder.name, "modelVersion": "1.0", "handler": handler},
    }
    (folder / "MAR-INF").mkdir()
    (folder / "MAR-INF" / "MANIFEST.json").write_text(json.dumps(manifest))


def _wait(stock: Stock) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            assert stock.ask("GET /models")[0] == 200
            assert stock.call("GET /ping")[0] == 200
        except OSError:
            assert stock.server.process.poll() is None, stock.server.log
            assert time.monotonic() < deadline, stock.server.log
            time.sleep(0.05)
        else:
            return
