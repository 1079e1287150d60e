"""The test client: a program in this process, and what it answers."""

from __future__ import annotations

import asyncio
import importlib
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sagemaker_inference import Context, Registry, testing
from sagemaker_inference.errors import (
    GenericInferenceToolkitError,
    StartError,
    UnprocessableInputError,
)
from sagemaker_inference.testing import Reply, TestClient

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference._program.location import Program

ECHO = """
from sagemaker_inference import model_loader, on_shutdown, predictor, serve

@model_loader
def load(model_dir):
    return model_dir

@predictor
def predict(data, model):
    if data == "fail":
        raise KeyError("no such key")
    return {"data": data, "model": model}

@on_shutdown
def clean_up():
    print("cleaned up")

serve(__name__)
"""


def echo(registry: Registry) -> Registry:
    registry.model_loader(lambda: None)
    registry.predictor(lambda data: data)
    return registry


def test_a_file_is_loaded_answers_and_cleans_up(
    program: Callable[..., Program], capsys: pytest.CaptureFixture[str]
) -> None:
    path = program(ECHO).path
    with TestClient(path) as client:
        reply = client.invoke({"a": 1})
        assert reply.status_code == 200
        assert reply.json() == {"data": {"a": 1}, "model": str(Path(path).parent)}
        assert reply.text == reply.body.decode()
        assert client.ping().status_code == 200
    assert capsys.readouterr().out == "cleaned up\n"


def test_a_path_a_module_and_a_registry_are_programs(
    program: Callable[..., Program], registry: Registry, tmp_path: Path
) -> None:
    found = program(ECHO)
    sys.path.insert(0, found.root)
    module = importlib.import_module("inference")
    module.marked = True
    for given in (found.path, Path(found.path), module):
        with TestClient(given, model_dir=tmp_path) as client:
            assert client.invoke("x").json() == {"data": "x", "model": str(tmp_path)}
    assert sys.modules["inference"].marked  # it was not run again
    with TestClient(echo(registry)) as client:
        assert client.invoke([1]).json() == [1]


@pytest.mark.parametrize(
    ("data", "content_type", "sent"),
    [
        (b"\x00[", "application/json", b"\x00["),
        (bytearray(b"a"), "text/csv", b"a"),
        (memoryview(b"a"), "a/b", b"a"),
        ("a b", "application/json", b'"a b"'),
        ("a b", "application/json; charset=utf-8", b'"a b"'),
        ("1,2", "text/csv", b"1,2"),
        ("é", "text/plain; charset=latin-1", b"\xe9"),
        ([[1.5, 2]], "text/csv", b"1.5,2.0"),
        ({"a": [1]}, "application/json", b'{"a":[1]}'),
        (np.array([1, 2]), "application/json", b"[1,2]"),
    ],
)
def test_python_values_become_bodies(
    registry: Registry, data: Any, content_type: str, sent: bytes
) -> None:
    got: list[bytes] = []
    registry.model_loader(lambda: None)
    registry.transformer(lambda model, body: got.append(bytes(body)) or b"")
    with TestClient(registry) as client:
        assert client.invoke(data, content_type=content_type).status_code == 200
    assert [body.rstrip(b"\n") for body in got] == [sent]


def test_a_request_has_data_or_files(registry: Registry) -> None:
    with TestClient(echo(registry)) as client:
        # None is data.
        assert client.invoke(None).json() is None
        with pytest.raises(TypeError, match="there is nothing to send: pass data"):
            client.invoke()
        with pytest.raises(TypeError, match="there is nothing to send"), client.stream():
            pass


def test_what_no_format_writes_is_refused(registry: Registry) -> None:
    with (
        TestClient(echo(registry)) as client,
        pytest.raises(TypeError, match=r"writes 'a/b': pass the body as bytes or str, not list"),
    ):
        client.invoke([1], content_type="a/b")


@pytest.mark.parametrize(
    ("data", "content_type", "problem"),
    [
        (object(), "application/json", "of type object cannot be written as JSON: no JSON form of"),
        (object(), "text/csv", "of type object cannot be written as a cell of CSV"),
        (np.zeros((2, 2, 2)), "text/csv", "of type numpy.ndarray .* as CSV: it has 3 dimensions"),
    ],
)
def test_an_input_that_its_format_cannot_write_is_refused(
    registry: Registry, data: Any, content_type: str, problem: str
) -> None:
    message = rf"^The input {problem}[^.]*\. Pass plain values or arrays, or the body as .* str\.$"
    with TestClient(echo(registry)) as client:
        with pytest.raises(TypeError, match=message):
            client.invoke(data, content_type=content_type)
        with pytest.raises(TypeError, match=message), client.stream(data, content_type):
            pass


def test_an_input_that_raises_shows_where(registry: Registry) -> None:
    class Broken:
        def tolist(self) -> list[int]:
            raise ValueError

    with TestClient(echo(registry)) as client, pytest.raises(TypeError) as caught:
        client.invoke(Broken())
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize(
    ("data", "content_type", "problem"),
    [
        ("é", "text/csv; charset=ascii", "'ascii' codec can't encode"),
        ("a", "text/csv; charset=none", "unknown encoding: none"),
        ("\ud800", "text/csv", "surrogates not allowed"),
    ],
)
def test_a_text_that_its_charset_cannot_write_is_refused(
    registry: Registry, data: str, content_type: str, problem: str
) -> None:
    message = rf"^the input cannot be sent as '{content_type}': .*{problem}.* the body as bytes\.$"
    with TestClient(echo(registry)) as client, pytest.raises(ValueError, match=message):
        client.invoke(data, content_type=content_type)


def test_headers_reach_the_program_and_come_back(registry: Registry) -> None:
    def predict(data: Any, model: None, context: Context) -> Any:
        context.custom_attributes = f"{context.custom_attributes} back"
        return [context.headers["x-more"], context.inference_id]

    registry.model_loader(lambda: None)
    registry.predictor(predict)
    with TestClient(registry) as client:
        headers = {"X-More": "é", "X-Amzn-SageMaker-Inference-Id": "7"}
        reply = client.invoke([1], accept="text/csv", custom_attributes="there", headers=headers)
    assert reply.text == "é\n7\n"
    assert reply.content_type == "text/csv"
    assert reply.headers["x-amzn-sagemaker-custom-attributes"] == "there back"
    assert len(reply.headers["X-Request-Id"]) == 36


def test_replies_are_read_by_their_type(registry: Registry) -> None:
    with TestClient(echo(registry)) as client:
        for accept in ("application/json", "text/csv", "application/x-npy"):
            array = client.invoke([[1, 2], [3, 4]], accept=accept).array()
            assert array.tolist() == [[1, 2], [3, 4]]
    assert repr(Reply(200, [("Content-Type", "a/b")], b"x")) == "<Reply 200 a/b b'x'>"
    with pytest.raises(TypeError, match="no built-in format reads 'a/b'"):
        Reply(200, [("Content-Type", "a/b")], b"").array()


@pytest.mark.parametrize("role", ["decoder", "predictor", "encoder", "transformer"])
def test_a_failure_has_the_traceback_of_the_handler(registry: Registry, role: str) -> None:
    def look_up(*_: Any) -> Any:
        return {}["no such key"]

    registry.model_loader(lambda: None)
    if role == "transformer":
        registry.transformer(lambda model, body: look_up())
    else:
        registry.predictor(lambda data: look_up() if role == "predictor" else data)
    if role == "decoder":
        registry.decoder("application/json")(lambda body: look_up())
    if role == "encoder":
        registry.encoder("application/json")(lambda prediction: look_up())
    with TestClient(registry) as client:
        reply = client.invoke([1])
        assert reply.status_code == 500
        assert reply.json()["error"]["code"].startswith(("decoder", "pred", "encoder", "transf"))
        lines = reply.traceback.splitlines()
        assert __file__ in lines[1]  # it begins with the program
        assert lines[-1] == "KeyError: 'no such key'"
        with pytest.raises(KeyError, match="no such key"):
            reply.raise_for_status()


def test_a_failure_of_one_request_of_a_batch_is_its_own(registry: Registry) -> None:
    registry.model_loader(lambda: None)
    registry.predictor(max_batch_size=8, max_batch_delay=0.5)(lambda batch: [1 / x for x in batch])
    with TestClient(registry) as client, ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(client.invoke, [1, 0, 2, 4]))
    assert [reply.status_code for reply in replies] == [200, 500, 200, 200]
    assert [bool(reply.traceback) for reply in replies] == [False, True, False, False]


def test_errors_of_the_family_are_raised_again(registry: Registry) -> None:
    def refuse(data: Any) -> Any:
        raise UnprocessableInputError("Send a dict.")

    registry.model_loader(lambda: None)
    registry.predictor(refuse)
    with TestClient(registry) as client:
        reply = client.invoke([1])
        with pytest.raises(UnprocessableInputError, match="Send a dict"):
            reply.raise_for_status()
        assert reply.status_code == 422


def test_what_no_handler_raised_is_raised_with_its_status(registry: Registry) -> None:
    with TestClient(echo(registry)) as client:
        reply = client.request("GET", "/nowhere")
        assert reply.traceback == ""
        with pytest.raises(GenericInferenceToolkitError, match="nothing at /nowhere") as caught:
            reply.raise_for_status()
        assert caught.value.status_code == 404
        good = client.ping()
        assert good.raise_for_status() is good


def test_a_query_becomes_parts(registry: Registry) -> None:
    registry.model_loader(lambda: None)
    registry.predictor(lambda data, model, context: [part.name for part in context.parts])
    with TestClient(registry) as client:
        path = "/invocations?a=1&b=&a=%C3%A9"
        reply = client.request("POST", path, b"[1]", {"Content-Type": "application/json"})
    assert reply.json() == ["a", "b", "a", "body"]


def test_it_is_usable_within_an_event_loop(registry: Registry) -> None:
    async def test() -> Any:
        with TestClient(echo(registry)) as client:
            return client.invoke([1]).json()

    assert asyncio.run(test()) == [1]


def test_it_can_be_entered_again(registry: Registry) -> None:
    loads: list[int] = []
    registry.model_loader(lambda: loads.append(1))
    registry.predictor(lambda data: data)
    client = TestClient(registry)
    for _ in range(2):
        with client:
            assert client.invoke([1]).json() == [1]
    assert loads == [1, 1]
    with pytest.raises(RuntimeError, match="with TestClient"):
        client.ping()


def test_it_is_entered_and_left_once_at_a_time(registry: Registry) -> None:
    client = TestClient(echo(registry))
    client.__exit__()
    with client:
        with pytest.raises(RuntimeError, match="the program is loaded already: leave its `with`"):
            client.__enter__()
        assert client.invoke([1]).json() == [1]
        client.__exit__()
    client.__exit__()


def test_no_thread_is_left(registry: Registry) -> None:
    before = set(threading.enumerate())
    with TestClient(echo(registry)) as client:
        client.invoke([1])
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("1 / 0", "inference.py, line 1: ZeroDivisionError"),
        ("", "registers no model_loader"),
        (ECHO.replace("return model_dir", "return {}[0]"), "loading the model from .*: KeyError"),
    ],
)
def test_a_program_that_cannot_be_loaded_says_why(
    program: Callable[..., Program], source: str, words: str
) -> None:
    before = set(threading.enumerate())
    client = TestClient(program(source).path)
    with pytest.raises(StartError, match=words), client:
        pass
    assert set(threading.enumerate()) <= before


def test_what_is_not_there_is_named(tmp_path: Path, registry: Registry) -> None:
    with pytest.raises(StartError, match=r"nowhere.py is not a file in .*Pass the program's file"):
        TestClient("nowhere.py")
    with pytest.raises(StartError, match="the module builtins has no file"):
        TestClient(importlib.import_module("builtins"))
    client = TestClient(echo(registry), model_dir=tmp_path / "none")
    with pytest.raises(StartError, match=r"none does not exist. Create it, or pass"), client:
        pass


def test_a_malformed_variable_is_named(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGEMAKER_MAX_PAYLOAD_IN_MB", "much")
    with pytest.raises(StartError, match="SAGEMAKER_MAX_PAYLOAD_IN_MB"), TestClient(echo(registry)):
        pass


def test_it_has_two_threads_and_no_process(program: Callable[..., Program]) -> None:
    before = set(threading.enumerate())
    with TestClient(program(ECHO).path):
        assert len(set(threading.enumerate()) - before) == 2


def test_these_names_are_public() -> None:
    assert testing.__all__ == [
        "Client",
        "Reply",
        "ServerProcess",
        "ServerSentEvent",
        "Stream",
        "TestClient",
        "WebSocket",
        "WebSocketClosed",
    ]
    assert all(getattr(testing, name) for name in testing.__all__)
    assert TestClient.__test__ is False


@pytest.mark.parametrize("is_async", [False, True])
def test_a_stream_comes_as_one_body(registry: Registry, *, is_async: bool) -> None:
    registry.model_loader(lambda: None)

    def items(data: Any) -> Any:
        yield 1
        yield 2
        if data:
            raise ValueError

    async def async_items(data: Any) -> Any:
        for item in items(data):
            await asyncio.sleep(0)
            yield item

    registry.predictor(async_items if is_async else items)
    with TestClient(registry) as client:
        assert client.invoke(0).body == b"1\n2\n"
        broken = client.invoke(1)
        assert broken.status_code == 200
        assert not broken.is_complete
        assert broken.body.startswith(b'1\n2\n{"error": {"code": "prediction_failed"')
        with pytest.raises(ValueError, match=r"^$"):
            broken.raise_for_status()


def test_a_server_that_was_never_started_says_so(tmp_path):
    (tmp_path / "inference.py").touch()
    server = testing.ServerProcess(tmp_path / "inference.py")
    for use, error in ((server.terminate, RuntimeError), (server.ping, ConnectionRefusedError)):
        with pytest.raises(error, match="the server does not run: write `with"):
            use()
    server.__exit__()
    assert (server.port, server.log) == (0, "")


def test_a_client_has_sessions(registry: Registry) -> None:
    ended: list[Any] = []
    registry.model_loader(lambda: None)
    registry.session_start(lambda: {"n": 0})
    registry.session_end(ended.append)

    @registry.predictor
    def predict(data: Any, model: Any, context: Context) -> Any:
        context.session.state["n"] += data
        return context.session.state["n"]

    name = "X-Amzn-SageMaker-Session-Id"
    with TestClient(registry) as client:
        begun = client.invoke(1, headers={name: "NEW_SESSION"})
        session = begun.headers[name].partition(";")[0]
        assert client.invoke(2, headers={name: session}).json() == 3
        assert client.invoke(2, headers={name: "unknown"}).status_code == 404
        assert not ended
    assert ended == [{"n": 3}]
