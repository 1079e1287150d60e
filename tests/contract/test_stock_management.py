"""What Multi Model Server as it comes answers over HTTP to those who manage models."""

from __future__ import annotations

import http.client
import json
import re
import socket
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sagemaker_inference._frontends.mms import launcher
from tests.server.conftest import Reply, Server, free_port, send

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.java

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
    "slow": SLOW.format(1.5),
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
            launcher.find_java().path,
            f"-Djava.io.tmpdir={folder}",
            f"-Dmodel_server_home={Path(launcher.find_jar()).parents[2]}",
            "-cp", launcher.find_jar(), "com.amazonaws.ml.mms.ModelServer",
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


@pytest.fixture(scope="module")
def shared_stock() -> Iterator[Stock]:
    with running("start") as stock:
        yield stock


@pytest.fixture
def stock(shared_stock: Stock) -> Iterator[Stock]:
    """A server with a port for each API and one model from its start, `start`."""
    yield shared_stock
    # After a load that failed, a model may be on its way out.
    while (names := shared_stock.names) != ["start"]:
        for name in names:
            if name != "start":
                found = shared_stock.ask(f"DELETE /models/{name}")
                assert found in (unloaded(name), absent(name))


@pytest.fixture(scope="module")
def shared_platform() -> Iterator[Stock]:
    with running(one_port=True, store="/", config="default_service_handler=model:handle\n") as made:
        yield made


@pytest.fixture
def platform(shared_platform: Stock) -> Iterator[Stock]:
    """A server as SageMaker has it: one port, no model at the start, paths of any folder."""
    yield shared_platform
    for name in shared_platform.names:
        shared_platform.ask(f"DELETE /models/{name}")


def test_answers_are_indented_json_with_an_id_and_no_cache(stock: Stock) -> None:
    reply = stock.reply("GET /models")
    assert reply.body == (
        b'{\n  "models": [\n    {\n      "modelName": "start",\n'
        b'      "modelUrl": "start"\n    }\n  ]\n}\n'
    )
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", reply.headers["x-request-id"])
    del reply.headers["x-request-id"]
    assert reply.headers == {
        "content-type": "application/json",
        "pragma": "no-cache",
        "cache-control": "no-cache; no-store, must-revalidate, private",
        "expires": "Thu, 01 Jan 1970 00:00:00 UTC",
        "content-length": str(len(reply.body)),
        "connection": "keep-alive",
    }
    reply = stock.reply("GET /models/none")
    assert reply.body == (
        b'{\n  "code": 404,\n  "type": "ModelNotFoundException",\n'
        b'  "message": "Model not found: none"\n}\n'
    )
    # After an error the connection is closed.
    assert reply.headers["connection"] == "close"


# Register.


def test_a_model_is_registered_by_query_or_by_json(stock: Stock) -> None:
    assert stock.ask("POST /models?url=echo") == SCALED
    assert stock.ask("POST /models?url=echo&model_name=query") == SCALED
    assert stock.load("json") == SCALED
    assert stock.names == ["echo", "json", "query", "start"]


def test_a_name_is_taken_only_once(stock: Stock) -> None:
    taken = error(409, "ConflictStatusException", "Model m is already registered.")
    assert stock.load("m") == SCALED
    assert stock.load("m") == taken
    assert stock.load("m", "answer") == taken
    assert stock.ask("POST /models?url=echo&model_name=m&initial_workers=0") == taken
    # The url is looked at first.
    assert stock.load("m", "nowhere")[0] == 404


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "APPLICATION/JSON"])
def test_a_json_type_may_have_parameters_and_any_case(stock: Stock, kind: str) -> None:
    assert stock.ask("POST /models", {"model_name": "m", "url": "echo"}, kind) == SCALED


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded"])
def test_a_body_of_another_type_is_not_read(stock: Stock, kind: str) -> None:
    body = '{"model_name": "m", "url": "echo"}'
    assert stock.ask("POST /models", body, kind) == NO_URL
    assert stock.ask("POST /models", "model_name=m&url=echo", kind) == NO_URL
    assert stock.ask("POST /models?model_name=q&url=echo", body, kind) == SCALED
    assert stock.names == ["q", "start"]


def test_with_a_json_body_the_query_is_not_read(stock: Stock) -> None:
    line = "POST /models?url=answer&model_name=q&initial_workers=0"
    assert stock.ask(line, {"model_name": "m", "url": "echo"}) == SCALED
    assert stock.names == ["m", "start"]


def test_all_parameters_are_taken_either_way(stock: Stock) -> None:
    given = {
        "url": "echo",
        "handler": "model:handle",
        "runtime": "python",
        "batch_size": 4,
        "max_batch_delay": 250,
        "initial_workers": 2,
        "synchronous": True,
        "response_timeout": 9,
        "preload_model": "false",
    }
    query = "&".join(f"{key}={value}" for key, value in given.items())
    assert stock.ask(f"POST /models?model_name=query&{query}") == SCALED
    assert stock.load("json", **given) == SCALED
    for name in ("query", "json"):
        described = stock.ask(f"GET /models/{name}")[1]
        assert [described[key] for key in ("batchSize", "maxBatchDelay")] == [4, 250]
        assert [described[key] for key in ("minWorkers", "maxWorkers")] == [2, 2]
        assert len(described["workers"]) == 2


def test_unless_told_otherwise_it_waits_for_one_worker(stock: Stock) -> None:
    assert stock.load("m") == SCALED
    assert len(stock.ask("GET /models/m")[1]["workers"]) == 1
    assert stock.call("POST /predictions/m", "x") == (200, {"body": "x"})


def test_how_many_workers_that_is_the_configuration_says() -> None:
    with running(config="default_workers_per_model=0\n") as stock:
        assert stock.load("m") == registered("m")
        assert stock.ask("GET /models/m")[1]["workers"] == []


@pytest.mark.parametrize("value", ["false", "0", "x", "", "yes"])
def test_any_word_but_true_means_not_to_wait(stock: Stock, value: str) -> None:
    assert stock.ask(f"POST /models?url=echo&synchronous={value}") == ACCEPTED
    assert stock.names == ["echo", "start"]


@pytest.mark.parametrize("count", [0, -1])
def test_without_workers_it_is_only_registered(stock: Stock, count: int) -> None:
    assert stock.load("json", initial_workers=count) == registered("json")
    line = f"POST /models?url=echo&model_name=query&initial_workers={count}"
    assert stock.ask(line) == registered("query")
    assert stock.call("POST /models/json/invoke", "x") == no_worker("json")
    assert stock.call("POST /predictions/query", "x") == no_worker("query")
    assert stock.call("POST /invocations?model_name=query", "x") == no_worker("query")


@pytest.mark.parametrize(
    "body", [{}, {"url": None}, {"model_name": "m"}, {"model_name": "m", "Url": "echo"}]
)
def test_a_url_must_be_given(stock: Stock, body: dict[str, Any]) -> None:
    assert stock.ask("POST /models", body) == NO_URL


def test_no_body_and_no_query_lacks_a_url(stock: Stock) -> None:
    for query in ("", "?", "?model_name=m", "?model_url=echo"):
        assert stock.ask(f"POST /models{query}") == NO_URL


@pytest.mark.parametrize("url", ["nowhere", "/no/where", "s3://bucket/m", "file:///dev/null", "1"])
def test_a_folder_that_is_not_there_is_not_found(stock: Stock, url: str) -> None:
    message = f"Model not found in model store: {url}"
    expected = error(404, "ModelNotFoundException", message)
    assert stock.ask(f"POST /models?url={url}") == expected
    assert stock.load("m", url) == expected
    assert stock.names == ["start"]


def test_every_path_is_taken_below_the_model_store(stock: Stock) -> None:
    inside = str(stock.store / "echo")
    message = f"Model not found in model store: {inside}"
    assert stock.load("m", inside) == error(404, "ModelNotFoundException", message)
    assert stock.load("m", "/echo") == SCALED
    assert stock.load("n", "/echo/") == SCALED


@pytest.mark.parametrize("url", ["../store/echo", "echo/..", "echo..", ".."])
def test_two_dots_are_refused_wherever_they_are(stock: Stock, url: str) -> None:
    message = f"Relative path is not allowed in url: {url}"
    assert stock.load("m", url) == error(404, "ModelNotFoundException", message)


def test_a_download_that_fails_is_the_clients_fault(stock: Stock) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/m.mar"
        message = f"Failed to download model from: {url}"
        assert stock.load("m", url) == error(400, "DownloadModelException", message)


def test_a_model_without_a_manifest_needs_a_name_and_a_handler(stock: Stock) -> None:
    kind = "InvalidModelException"
    unnamed = error(400, kind, "Model name is not defined.")
    assert stock.ask("POST /models?url=bare") == unnamed
    assert stock.ask("POST /models?url=") == unnamed
    assert stock.load("", "bare") == unnamed
    assert stock.load("m", "bare") == error(400, kind, "Model handler is not defined.")
    assert stock.load("m", "bare", handler="model:handle") == SCALED


def test_a_manifest_that_is_no_json_is_the_clients_fault(stock: Stock) -> None:
    (stock.store / "no_manifest" / "MAR-INF").mkdir(exist_ok=True)
    (stock.store / "no_manifest" / "MAR-INF" / "MANIFEST.json").write_text("{")
    expected = error(400, "InvalidModelException", "Failed to parse signature.json.")
    assert stock.load("m", "no_manifest") == expected


@pytest.mark.parametrize("runtime", ["java", "", "Python", "python3.11"])
def test_an_unknown_runtime_is_refused(stock: Stock, runtime: str) -> None:
    expected = error(400, "BadRequestException", f"Invalid RuntimeType value: {runtime}")
    assert stock.load("m", runtime=runtime) == expected
    # It is looked at before the url.
    assert stock.ask(f"POST /models?url=nowhere&runtime={runtime}") == expected


@pytest.mark.parametrize("model", CANNOT_LOAD)
def test_a_model_that_cannot_load_says_no_cause(stock: Stock, model: str) -> None:
    # Nearly always its name is free then. On a busy machine it sometimes stays registered.
    for name in "mn":
        assert stock.load(name, model) == FAILED


def test_a_model_that_is_out_of_memory_gets_507(stock: Stock) -> None:
    assert stock.load("m", "memory") == (507, {**FAILED[1], "code": 507})
    # More often than not it stays registered, with no worker.
    time.sleep(0.5)
    found = stock.call("POST /models/m/invoke", "x")
    assert found in (no_worker("m"), absent("m"))
    assert stock.load("m")[0] == (409 if found == no_worker("m") else 200)


def test_an_initialize_that_raises_is_a_success(stock: Stock) -> None:
    assert stock.load("m", "unready") == SCALED
    assert stock.call("POST /models/m/invoke", "x") == (200, b"not ready")


def test_a_load_that_takes_longer_than_the_seconds_given_fails(stock: Stock) -> None:
    began = time.monotonic()
    assert stock.load("m", "slow_start", response_timeout=1) == FAILED
    assert time.monotonic() - began > 0.9


def test_a_load_that_fails_and_is_not_waited_for_looks_ready_and_never_answers(
    stock: Stock,
) -> None:
    assert stock.load("m", "import_fails", synchronous=False) == ACCEPTED
    time.sleep(0.5)
    [worker] = stock.ask("GET /models/m")[1]["workers"]
    assert worker["status"] == "READY"
    with pytest.raises(TimeoutError):
        stock.call("POST /models/m/invoke", "x", timeout=2)
    assert stock.ask("DELETE /models/m") == unloaded("m")


@pytest.mark.parametrize(
    "query",
    [
        "batch_size=x",
        "batch_size=99999999999",
        "batch_size=",
        "max_batch_delay=x",
        "initial_workers=x",
        "response_timeout=x",
        "response_timeout=2.5",
        "unknown=1",
    ],
)
def test_what_is_no_number_in_a_query_is_not_given(stock: Stock, query: str) -> None:
    assert stock.ask(f"POST /models?url=echo&{query}") == SCALED
    described = stock.ask("GET /models/echo")[1]
    assert (described["batchSize"], described["maxBatchDelay"]) == (1, 100)
    assert described["minWorkers"] == 1


def test_numbers_below_zero_are_taken(stock: Stock) -> None:
    assert stock.load("m", batch_size=-1, max_batch_delay=-2) == SCALED
    described = stock.ask("GET /models/m")[1]
    assert (described["batchSize"], described["maxBatchDelay"]) == (-1, -2)


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        ("", "NullPointerException", "Cannot invoke "),
        ("null", "NullPointerException", "Cannot invoke "),
        ("[]", "JsonSyntaxException", "java.lang.IllegalStateException: Expected BEGIN_OBJECT "),
        ('"m"', "JsonSyntaxException", "java.lang.IllegalStateException: Expected BEGIN_OBJECT "),
        ("{", "JsonSyntaxException", "java.io.EOFException: End of input at line 1 column 2 "),
        ('{"model_name": {}}', "JsonSyntaxException", "java.lang.IllegalStateException: Expected "),
        ('{"batch_size": 2.5}', "JsonSyntaxException", "java.lang.NumberFormatException: "),
        ('{"initial_workers": "x"}', "JsonSyntaxException", "java.lang.NumberFormatException: "),
    ],
)
def test_json_that_cannot_be_read_is_the_servers_fault(
    stock: Stock, body: str, kind: str, message: str
) -> None:
    status, found = stock.ask("POST /models", body, "application/json")
    assert (status, found["code"], found["type"]) == (500, 500, kind)
    assert found["message"].startswith(message)


@pytest.mark.parametrize(
    "body",
    [
        "{url: echo, model_name: m}",
        '{"url": "echo", "model_name": "m", "initial_workers": null}',
        '{"url": "echo", "model_name": "m", "initial_workers": "1"}',
        '{"url": "echo", "model_name": "m", "unknown": {}}',
    ],
)
def test_json_is_read_leniently(stock: Stock, body: str) -> None:
    assert stock.ask("POST /models", body, "application/json") == SCALED
    assert stock.names == ["m", "start"]


# List.


def test_the_list_is_sorted_and_says_the_urls_as_they_were_given(stock: Stock) -> None:
    stock.load("b", "/echo/", initial_workers=0)
    stock.load("a", initial_workers=0)
    stock.load("B", initial_workers=0)
    listed = [("B", "echo"), ("a", "echo"), ("b", "/echo/"), ("start", "start")]
    models = [{"modelName": name, "modelUrl": url} for name, url in listed]
    assert stock.ask("GET /models") == (200, {"models": models})
    assert stock.ask("GET /models/") == (200, {"models": models})


@pytest.mark.parametrize(
    ("query", "token", "names"),
    [
        ("limit=1", "1", "a"),
        ("limit=2", "2", "a b"),
        ("limit=1&next_page_token=1", "2", "b"),
        ("limit=2&next_page_token=1", "3", "b start"),
        ("limit=1&next_page_token=2", "3", "start"),
        ("limit=1&next_page_token=3", None, ""),
        # A full page has a next one, even if there is nothing on it.
        ("limit=3", "3", "a b start"),
        ("limit=4", None, "a b start"),
        ("limit=0", "0", ""),
        ("limit=1&limit=2", "1", "a"),
        ("next_page_token=1", None, "b start"),
        ("next_page_token=9", None, ""),
        ("next_page_token=-1", None, "a b start"),
        ("next_page_token=x", None, "a b start"),
        ("limit=-1", None, "a b start"),
        ("limit=101", None, "a b start"),
        ("limit=x", None, "a b start"),
        ("limit=", None, "a b start"),
        ("limit=99999999999", None, "a b start"),
        ("model_name_pattern=a", None, "a b start"),
    ],
)
def test_a_list_comes_in_pages(stock: Stock, query: str, token: str | None, names: str) -> None:
    for name in "ab":
        stock.load(name, initial_workers=0)
    status, found = stock.ask(f"GET /models?{query}")
    assert status == 200
    assert found.get("nextPageToken") == token
    assert [model["modelName"] for model in found["models"]] == names.split()


# Describe.


def test_a_model_is_described(stock: Stock) -> None:
    stock.load("m", "/echo")
    status, found = stock.ask("GET /models/m")
    assert status == 200
    [worker] = found.pop("workers")
    assert list(found.items()) == [
        ("modelName", "m"),
        ("modelVersion", "1.0"),
        ("modelUrl", "/echo"),
        ("engine", "none"),
        ("runtime", "python"),
        ("minWorkers", 1),
        ("maxWorkers", 1),
        ("batchSize", 1),
        ("maxBatchDelay", 100),
        ("loadedAtStartup", False),
    ]
    assert list(worker) == ["id", "startTime", "status", "gpu", "memoryUsage"]
    assert re.fullmatch(r"90\d\d-[0-9a-f]{8}", worker["id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", worker["startTime"])
    assert (worker["status"], worker["gpu"]) == ("READY", False)
    assert isinstance(worker["memoryUsage"], int)
    assert stock.ask("GET /models/m/")[1]["modelName"] == "m"
    assert stock.ask("GET /models/start")[1]["loadedAtStartup"] is True


def test_without_a_manifest_no_version_and_no_engine_is_described(stock: Stock) -> None:
    stock.load("m", "bare", handler="model:handle", initial_workers=0)
    status, found = stock.ask("GET /models/m")
    assert (status, found) == (
        200,
        {
            "modelName": "m",
            "modelUrl": "bare",
            "runtime": "python",
            "minWorkers": 0,
            "maxWorkers": 0,
            "batchSize": 1,
            "maxBatchDelay": 100,
            "loadedAtStartup": False,
            "workers": [],
        },
    )


@pytest.mark.parametrize("name", ["none", "all", "Start"])
def test_an_unknown_model_is_not_found(stock: Stock, name: str) -> None:
    assert stock.ask(f"GET /models/{name}") == absent(name)
    assert stock.ask(f"DELETE /models/{name}") == absent(name)
    assert stock.ask(f"PUT /models/{name}") == absent(name)
    assert stock.call(f"POST /models/{name}/invoke", "x") == absent(name)
    assert stock.call(f"POST /predictions/{name}", "x") == absent(name)
    assert stock.call(f"POST /invocations?model_name={name}", "x") == absent(name)
    assert stock.call(f"POST /{name}/predict", "x") == absent(name)


# Scale.


def scale_of(stock: Stock, name: str) -> tuple[int, int, int]:
    found = stock.ask(f"GET /models/{name}")[1]
    return found["minWorkers"], found["maxWorkers"], len(found["workers"])


@pytest.mark.parametrize(
    ("query", "scale"),
    [
        ("min_worker=2", (2, 2, 2)),
        ("min_worker=1&max_worker=2", (1, 2, 1)),
        ("max_worker=2", (1, 2, 1)),
        ("", (1, 1, 1)),
        ("min_worker=x", (1, 1, 1)),
        ("max_worker=x", (1, 1, 1)),
        ("number_gpu=1&timeout=1", (1, 1, 1)),
        ("number_gpu=x&timeout=x", (1, 1, 1)),
        ("min_worker=0", (0, 0, 0)),
    ],
)
def test_a_model_is_scaled(stock: Stock, query: str, scale: tuple[int, int, int]) -> None:
    stock.load("m")
    assert stock.ask(f"PUT /models/m?{query}&synchronous=TRUE") == SCALED
    assert scale_of(stock, "m") == scale


@pytest.mark.parametrize("query", ["", "?synchronous=1", "?synchronous=", "?synchronous=false"])
def test_a_scaling_is_not_waited_for_unless_asked(stock: Stock, query: str) -> None:
    stock.load("m")
    assert stock.ask(f"PUT /models/m{query}") == ACCEPTED
    assert stock.ask(f"PUT /models/m{query}", {"min_worker": 2, "synchronous": True}) == ACCEPTED
    assert scale_of(stock, "m")[:2] == (1, 1)


def test_a_model_is_scaled_up_and_down_in_use(stock: Stock) -> None:
    stock.load("m")
    for count in (3, 1, 2):
        query = f"min_worker={count}&max_worker={count}&synchronous=true"
        assert stock.ask(f"PUT /models/m?{query}") == SCALED
        assert scale_of(stock, "m") == (count, count, count)
        assert stock.call("POST /models/m/invoke", "x") == (200, {"body": "x"})


def test_the_most_workers_are_no_fewer_than_the_fewest(stock: Stock) -> None:
    message = "max_worker cannot be less than min_worker."
    expected = error(400, "BadRequestException", message)
    stock.load("m")
    for name in ("m", "none"):
        assert stock.ask(f"PUT /models/{name}?min_worker=3&max_worker=1") == expected
        assert stock.ask(f"PUT /models/{name}?max_worker=0") == expected
    assert scale_of(stock, "m") == (1, 1, 1)


def test_fewer_workers_than_none_are_the_servers_fault(stock: Stock) -> None:
    stock.load("m")
    status, found = stock.ask("PUT /models/m?min_worker=-1&synchronous=true")
    assert (status, found["type"]) == (500, "IndexOutOfBoundsException")
    assert scale_of(stock, "m") == (-1, -1, 0)


def test_what_was_scaled_to_nothing_never_comes_back(stock: Stock) -> None:
    stock.load("m")
    assert stock.ask("PUT /models/m?min_worker=0&synchronous=true") == SCALED
    assert stock.call("POST /models/m/invoke", "x") == no_worker("m")
    with pytest.raises(TimeoutError):
        stock.ask("PUT /models/m?min_worker=1&synchronous=true", timeout=2)
    # It says that it is ready.
    assert scale_of(stock, "m") == (1, 1, 1)
    with pytest.raises(TimeoutError):
        stock.call("POST /models/m/invoke", "x", timeout=2)
    assert stock.call("GET /ping") == HEALTHY
    assert stock.ask("DELETE /models/m") == unloaded("m")
    assert stock.load("m") == SCALED


def test_one_registered_without_workers_can_be_scaled_up(stock: Stock) -> None:
    stock.load("m", initial_workers=0)
    assert stock.ask("PUT /models/m?min_worker=1&synchronous=true") == SCALED
    assert stock.call("POST /models/m/invoke", "x") == (200, {"body": "x"})


# Unload.


@pytest.mark.parametrize("query", ["", "?synchronous=true", "?synchronous=false", "?timeout=x"])
def test_a_model_is_unloaded_once(stock: Stock, query: str) -> None:
    stock.load("m")
    before = stock.server.pids("model_service_worker")
    assert stock.ask(f"DELETE /models/m{query}") == unloaded("m")
    assert stock.ask(f"DELETE /models/m{query}") == absent("m")
    assert stock.call("POST /models/m/invoke", "x") == absent("m")
    assert len(before) >= 3
    deadline = time.monotonic() + 10
    while len(stock.server.pids("model_service_worker")) > len(before) - 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_request_in_work_is_lost_when_its_model_is_unloaded(stock: Stock) -> None:
    stock.load("m", "slow")
    with ThreadPoolExecutor(1) as pool:
        lost = pool.submit(stock.call, "POST /models/m/invoke", "x")
        time.sleep(0.5)
        assert stock.ask("DELETE /models/m") == unloaded("m")
        assert lost.result() == DIED


def test_a_start_up_model_that_is_loaded_again_is_none() -> None:
    with running("start") as stock:
        assert stock.call("POST /invocations", "x") == (200, {"body": "x"})
        assert stock.ask("DELETE /models/start") == unloaded("start")
        assert stock.call("POST /invocations", "x") == NO_NAME
        assert stock.load("start", "start") == SCALED
        assert stock.ask("GET /models/start")[1]["loadedAtStartup"] is False
        assert stock.call("POST /invocations", "x") == NO_NAME
        assert stock.call("GET /ping") == HEALTHY


# Invoke.


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "ANYTHING"])
@pytest.mark.parametrize(
    "target",
    [
        "/models/start/invoke",
        "/models/start/invoke/",
        "/predictions/start",
        "/predictions/start/anything",
        "/start/predict",
        "/%73tart/predict",
        "/invocations",
        "/invocations/",
    ],
)
def test_any_method_is_a_prediction(stock: Stock, method: str, target: str) -> None:
    assert stock.call(f"{method} {target}", "x") == (200, {"body": "x"})
    assert stock.names == ["start"]


def test_what_a_query_says_reaches_the_handler_by_some_routes(stock: Stock) -> None:
    both = {"body": "x", "q": "1"}
    assert stock.call("POST /models/start/invoke?q=1", "x") == (200, both)
    assert stock.call("POST /invocations?q=1", "x") == (200, both)
    assert stock.call("POST /start/predict?q=1", "x") == (200, both)
    assert stock.call("POST /predictions/start?q=1", "x") == (200, {"body": "x"})
    named = {"body": "x", "model_name": "start"}
    assert stock.call("POST /invocations?model_name=start", "x") == (200, named)
    # The path says which model it is.
    named = {"body": "x", "model_name": "none"}
    assert stock.call("POST /models/start/invoke?model_name=none", "x") == (200, named)
    assert stock.call("POST /invocations?model_name=", "x")[0] == 200


def test_a_form_that_names_a_model_does_not_choose_it(stock: Stock) -> None:
    form = "application/x-www-form-urlencoded"
    found = stock.call("POST /invocations", "model_name=none&a=b", form)
    assert found == (200, {"model_name": "none", "a": "b"})


def test_a_prediction_has_no_content_type_and_no_reason(stock: Stock) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", stock.server.port, timeout=20)
    try:
        connection.request("POST", "/models/start/invoke", b"x")
        response = connection.getresponse()
        assert (response.status, response.reason) == (200, "")
        assert response.getheader("content-type") is None
        assert response.getheader("x-request-id")
    finally:
        connection.close()


def test_a_handler_decides_on_status_headers_and_type(stock: Stock) -> None:
    stock.load("m", "answer")
    reply = stock.server.request("x", path="/models/m/invoke")
    assert (reply.status, reply.body) == (418, b"ok")
    assert (reply.headers["content-type"], reply.headers["x-own"]) == ("text/plain", "1")


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ("raise", 503, "Prediction failed"),
        ("short", 503, "number of batch response mismatched"),
        ("memory", 507, "Out of resources"),
    ],
)
def test_a_prediction_that_fails_says_no_cause(
    stock: Stock, body: str, code: int, message: str
) -> None:
    expected = error(code, "InternalServerException", message)
    for target in ("/models/start/invoke", "/predictions/start", "/invocations"):
        assert stock.call(f"POST {target}", body) == expected
    assert stock.call("POST /invocations", "x") == (200, {"body": "x"})


def test_a_worker_that_dies_loses_its_request_and_comes_back(stock: Stock) -> None:
    stock.load("m", "dying")
    for _ in range(2):
        assert stock.call("POST /models/m/invoke", "x") == DIED


def test_an_answer_that_takes_longer_than_the_seconds_given_is_lost(stock: Stock) -> None:
    stock.load("m", "slow", response_timeout=1)
    began = time.monotonic()
    assert stock.call("POST /models/m/invoke", "x") == DIED
    assert time.monotonic() - began > 0.9


# Routes.


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "ANYTHING"])
@pytest.mark.parametrize("target", ["/ping", "/ping/", "/ping/anything", "/ping?a=b"])
def test_a_ping_is_answered_whatever_its_method(stock: Stock, method: str, target: str) -> None:
    assert stock.call(f"{method} {target}") == HEALTHY


def test_a_ping_has_status_200_whatever_it_says() -> None:
    with running() as stock:
        assert stock.call("GET /ping") == HEALTHY
        stock.load("m", "dying")
        # Each loss doubles the pause before its process starts anew.
        for _ in range(3):
            stock.call("POST /models/m/invoke", "x", timeout=20)
        said = set()
        deadline = time.monotonic() + 10
        while "Unhealthy" not in said:
            status, found = stock.call("GET /ping")
            assert status == 200
            said.add(found["status"])
            assert time.monotonic() < deadline, said


@pytest.mark.parametrize(
    "target",
    [
        "/nothing",
        "/MODELS",
        "/metrics",
        "/execution-parameters",
        "/nothing/at/all",
        "/start/predict/x",
        "/models/start/x",
        "/models/start/invoke/x",
        "/models//start",
        "/models/a%2Fb",
        "/predictions",
        "/predictions/",
        "/invocations/x",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_an_unknown_route_is_not_found(platform: Stock, method: str, target: str) -> None:
    platform.load("start", str(platform.store / "start"), initial_workers=0)
    assert platform.ask(f"{method} {target}") == NO_ROUTE


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "ANYTHING"])
def test_the_list_has_two_methods(stock: Stock, method: str) -> None:
    assert stock.ask(f"{method} /models") == NO_METHOD
    assert stock.ask(f"{method} /models/") == NO_METHOD


@pytest.mark.parametrize("method", ["POST", "PATCH", "OPTIONS", "TRACE", "ANYTHING"])
def test_a_model_has_three_methods(stock: Stock, method: str) -> None:
    assert stock.ask(f"{method} /models/start") == NO_METHOD
    assert stock.ask(f"{method} /models/none") == NO_METHOD


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH"])
def test_the_root_has_one_method(stock: Stock, method: str) -> None:
    assert stock.ask(f"{method} /") == NO_METHOD
    assert stock.call(f"{method} /") == NO_METHOD


def test_a_head_has_the_status_of_a_get_where_any_method_will_do(stock: Stock) -> None:
    assert stock.call("HEAD /ping") == (200, b"")
    assert stock.call("HEAD /invocations") == (200, b"")
    assert stock.ask("HEAD /models") == (405, b"")
    assert stock.ask("HEAD /nothing") == (404, b"")


@pytest.mark.parametrize(
    "line",
    [
        "GET /ping",
        "POST /invocations",
        "POST /predictions/start",
        "POST /start/predict",
        "POST /models/start/invoke",
        "OPTIONS /predictions/start",
    ],
)
def test_the_management_port_predicts_nothing(stock: Stock, line: str) -> None:
    assert stock.ask(line, "x") == NO_ROUTE


@pytest.mark.parametrize(
    "line",
    [
        "GET /models",
        "POST /models?url=echo",
        "GET /models/start",
        "PUT /models/start",
        "DELETE /models/start",
        "POST /models/start",
        "OPTIONS /models",
    ],
)
def test_the_inference_port_manages_nothing(stock: Stock, line: str) -> None:
    assert stock.call(line) == NO_ROUTE
    assert stock.names == ["start"]


INFERENCE_API = {
    "/": ["options"],
    "/{model_name}/predict": ["post"],
    "/ping": ["get"],
    "/predictions/{model_name}": ["post", "options"],
    "/api-description": ["get"],
    "/invocations": ["post"],
    "/models/{model_name}/invoke": ["post"],
}
MANAGEMENT_API = {
    "/": ["options"],
    "/models": ["get", "post"],
    "/models/{model_name}": ["get", "put", "delete"],
}


def routes(found: tuple[int, Any]) -> dict[str, list[str]]:
    status, document = found
    assert (status, document["openapi"]) == (200, "3.0.1")
    assert document["info"]["version"] == "1.0.0"
    return {path: list(methods) for path, methods in document["paths"].items()}


def test_each_port_describes_its_api(stock: Stock) -> None:
    assert routes(stock.call("OPTIONS /")) == INFERENCE_API
    assert stock.call("GET /api-description") == stock.call("OPTIONS /")
    assert routes(stock.ask("OPTIONS /")) == MANAGEMENT_API
    assert stock.ask("GET /api-description") == stock.ask("OPTIONS /")
    post = stock.ask("OPTIONS /")[1]["paths"]["/models"]["post"]
    # It has another name for what is called url.
    assert [parameter["name"] for parameter in post["parameters"]] == [
        "model_url",
        "model_name",
        "handler",
        "runtime",
        "batch_size",
        "max_batch_delay",
        "response_timeout",
        "initial_workers",
        "synchronous",
        "preload_model",
    ]


def test_one_port_describes_both_apis(platform: Stock) -> None:
    assert routes(platform.ask("OPTIONS /")) == {**INFERENCE_API, **MANAGEMENT_API}


def test_a_model_describes_its_api(stock: Stock) -> None:
    for target in ("/predictions/start", "/invocations", "/models/start/invoke"):
        found = stock.call(f"OPTIONS {target}")
        assert routes(found) == {"/prediction/start": ["post"]}
        assert found[1]["info"]["title"] == "RESTful API for: start"
    assert stock.call("OPTIONS /predictions/none") == absent("none")


def test_a_target_that_is_no_path_is_the_servers_fault(stock: Stock) -> None:
    message = "Index 1 out of bounds for length 1"
    expected = error(500, "ArrayIndexOutOfBoundsException", message)
    assert stock.ask("OPTIONS *") == expected
    assert stock.call("GET *") == expected


# As SageMaker does it.


def test_a_platform_loads_calls_and_unloads(platform: Stock) -> None:
    name, url = "5f" * 32, str(platform.store / "bare")
    assert platform.ask("GET /ping") == HEALTHY
    assert platform.ask("GET /models") == (200, {"models": []})
    assert platform.ask("POST /invocations", "x") == NO_NAME
    assert platform.ask(f"POST /models/{name}/invoke", "x") == absent(name)
    assert platform.load(name, url) == SCALED
    assert platform.load(name, url)[0] == 409
    listed = {"models": [{"modelName": name, "modelUrl": url}]}
    assert platform.ask("GET /models") == (200, listed)
    assert platform.ask(f"GET /models/{name}")[1]["modelUrl"] == url
    assert platform.ask(f"POST /models/{name}/invoke", "x") == (200, {"body": "x"})
    # One model is loaded, and still it must be named.
    assert platform.ask("POST /invocations", "x") == NO_NAME
    assert platform.ask(f"DELETE /models/{name}/invoke") == (200, {"body": ""})
    assert platform.ask(f"DELETE /models/{name}") == unloaded(name)
    assert platform.ask(f"GET /models/{name}") == absent(name)
    assert platform.ask(f"DELETE /models/{name}") == absent(name)


def test_a_file_is_taken_for_an_archive(platform: Stock) -> None:
    assert platform.load("m", str(platform.store / "bare" / "model.py")) == FAILED
    message = "Model not found in model store: /no\0where"
    assert platform.load("m", "/no\0where") == error(404, "ModelNotFoundException", message)


@pytest.mark.parametrize(
    ("name", "quoted"),
    [("a b", "a%20b"), ("é", "%C3%A9"), ("a?b#c", "a%3Fb%23c"), ("..", "..")],
)
def test_a_name_may_be_any_text_without_a_slash(platform: Stock, name: str, quoted: str) -> None:
    assert platform.load(name, str(platform.store / "bare")) == SCALED
    assert platform.ask(f"GET /models/{quoted}")[1]["modelName"] == name
    assert platform.ask(f"POST /models/{quoted}/invoke", "x") == (200, {"body": "x"})
    assert platform.ask(f"DELETE /models/{quoted}") == unloaded(name)


def test_a_name_with_a_slash_is_loaded_and_never_reached() -> None:
    with running() as stock:
        assert stock.load("a/b") == SCALED
        assert stock.names == ["a/b"]
        assert stock.ask("GET /models/a%2Fb") == NO_ROUTE
        assert stock.ask("DELETE /models/a%2Fb") == NO_ROUTE
        assert stock.call("POST /models/a%2Fb/invoke", "x") == NO_ROUTE


# Loads that hold up others.


def test_a_process_that_does_not_start_holds_up_all_connections_of_its_thread() -> None:
    with running(config="number_of_netty_threads=1\n") as stock, ThreadPoolExecutor(1) as pool:
        # It ends at once, and is waited for.
        loading = pool.submit(stock.load, "n", preload_model="x")
        time.sleep(0.5)
        with pytest.raises(TimeoutError):
            stock.call("GET /ping", timeout=2)
        stock.server.process.kill()
        assert isinstance(loading.exception(), OSError)


def test_a_process_that_does_not_start_is_waited_for_a_minute_and_keeps_the_name() -> None:
    with running() as stock:
        began = time.monotonic()
        found = stock.load("m", preload_model="x")
        assert found == error(500, "InternalServerException", "Failed to save model: echo")
        assert 59 < time.monotonic() - began < 65
        assert stock.ask("GET /models/m")[1]["workers"] == []
        assert stock.load("m")[0] == 409
        assert stock.ask("DELETE /models/m") == unloaded("m")
