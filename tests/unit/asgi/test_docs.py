"""`asgi.app(..., docs=True)`: the description of the program."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.asgi_server import Life, ask, run, until

from sagemaker_inference import asgi
from sagemaker_inference.__main__ import main
from sagemaker_inference.asgi._source import Source

if TYPE_CHECKING:
    import pytest

    from sagemaker_inference import Registry
    from sagemaker_inference._inference.inference_handler import InferenceHandler

PATH = "/openapi.json"
PROGRAM = '''\
"""Add one."""
from sagemaker_inference import model_loader, predictor

@model_loader
def load(model_dir):
    return 1

@predictor
def predict(data: list[int], model) -> list[int]:
    return [one + model for one in data]
'''


def asked(application: asgi.Application, method: str = "GET") -> tuple[int, Any]:
    found: list[tuple[int, Any]] = []

    async def test() -> None:
        call = await ask(application, method, PATH)
        assert call.headers[b"content-type"] == b"application/json"
        found.append((await call.status(), json.loads(call.text or "null")))

    run(test)
    return found[0]


def test_a_program_is_described_as_schema_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("inference.py").write_text(PROGRAM)
    assert main(["schema", "inference.py"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["info"]["description"] == "Add one."
    assert asked(asgi.app("inference.py", docs=True)) == (200, document)


def test_a_registry_is_described(registry: Registry) -> None:
    @registry.predictor
    def predict(data: list[int]) -> list[int]:
        return data

    registry.model_loader(lambda: None)
    application = asgi.app(registry, docs=True)
    status, document = asked(application)
    assert (status, document["openapi"]) == (200, "3.1.0")
    content = document["paths"]["/invocations"]["post"]["requestBody"]["content"]
    assert content["application/json"]["schema"]["type"] == "array"
    assert asked(application, "POST")[0] == 405
    assert asked(application, "HEAD") == (200, None)


def test_without_the_option_there_is_nothing(doubles: asgi.Application) -> None:
    assert asked(doubles)[0] == 404


def test_a_sample_that_is_broken_ends_the_start(tmp_path: Path) -> None:
    (tmp_path / "inference.py").write_text(PROGRAM)
    (tmp_path / "request.json").write_text("{")

    async def test() -> None:
        message = await Life(asgi.app(tmp_path / "inference.py", docs=True)).start()
        assert message["type"] == "lifespan.startup.failed"
        assert "request.json is not JSON" in message["message"]

    run(test)


def test_before_the_program_is_imported_it_is_not_described(
    doubles: asgi.Application, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    described = Source.described

    def wait(source: Source, handler: InferenceHandler) -> bytes:
        go_on.wait(20)
        return described(source, handler)

    monkeypatch.setattr(Source, "described", wait)
    application = asgi.app(registry, docs=True)

    async def test() -> None:
        life = Life(application)
        life.begin()
        await until(lambda: application._model)
        call = await ask(application, "GET", PATH)
        assert await call.status() == 503
        assert call.headers[b"retry-after"]
        go_on.set()
        assert (await life.sent.get())["type"] == "lifespan.startup.complete"
        assert await (await ask(application, "GET", PATH)).status() == 200
        await life.stop()

    run(test)
