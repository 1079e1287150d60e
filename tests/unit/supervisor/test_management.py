"""What clients are answered who ask about models; the test is the front end."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from support.mms_bytes import predict_one
from support.model_bench import FAILING, ModelBench, add, not_found, refused

from sagemaker_inference._supervisor.management import Management
from sagemaker_inference._supervisor.metrics import resident_bytes

if TYPE_CHECKING:
    import pytest

    from sagemaker_inference._supervisor.settings import Settings


def test_a_model_is_loaded_described_and_unloaded(
    models: ModelBench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    assert models.next() == {"type": "ask", "paths": ["/models", "/models/*"]}
    url = models.model()
    number = models.ask("POST", "/models", {"model_name": "a b", "url": url})
    deploy = models.deploy()
    assert deploy["routes"] == ["/models/a b/invoke", "/predictions/a b"]
    assert deploy["connections"] == 4
    assert models.reply() == (number, 200, {"status": "Workers scaled"})
    again = models.answer("POST", "/models", {"model_name": "a b", "url": url})
    assert again == refused(409, "ConflictStatusException", "Model a b is already registered.")
    status, described = models.answer("GET", "/models/a%20b")
    [worker] = described.pop("workers")
    assert (status, described) == (
        200,
        {
            "modelName": "a b",
            "modelUrl": url,
            "runtime": "python",
            "minWorkers": 1,
            "maxWorkers": 1,
            "batchSize": 1,
            "maxBatchDelay": 100,
            "loadedAtStartup": False,
        },
    )
    assert list(worker) == ["id", "startTime", "status", "gpu", "memoryUsage"]
    assert (worker["id"], worker["status"], worker["gpu"]) == ("0", "READY", False)
    assert worker["startTime"].endswith("Z")
    assert worker["memoryUsage"] > 1 << 20
    [front, *_] = models.connections[deploy["id"]]
    front.send(predict_one("id-1", b"'x'"))
    answer = b""

    def has_come() -> bool:
        nonlocal answer
        try:
            answer += front.recv(65536)
        except BlockingIOError:
            return False
        return b"a b x" in answer

    models.wait(has_come)
    number = models.ask("DELETE", "/models/a%20b")
    models.retire()
    assert models.reply() == (number, 200, {"status": 'Model "a b" unregistered'})
    assert models.answer("GET", "/models/a%20b") == not_found("a b")
    assert models.answer("DELETE", "/models/a%20b") == not_found("a b")
    assert [line for line in caplog.messages if "model a b" in line] == [
        "model a b is loaded",
        "model a b is unloaded",
    ]


def test_models_are_listed_by_name_in_pages(models: ModelBench) -> None:
    assert models.answer("GET", "/models") == (200, {"models": []})
    for name in "cab":
        add(models, name)
    url = models.model()
    listed = [{"modelName": name, "modelUrl": url} for name in "abc"]
    for query in ("", "?limit=3", "?limit=0", "?limit=x", "?limit=101&limit=1", "?limit=-1"):
        assert models.answer("GET", f"/models{query}") == (200, {"models": listed})
    assert models.answer("GET", "/models?limit=2") == (
        200,
        {"nextPageToken": "2", "models": listed[:2]},
    )
    assert models.answer("GET", "/models?limit=2&next_page_token=2") == (
        200,
        {"models": listed[2:]},
    )
    assert models.answer("GET", "/models?next_page_token=99999999999") == (200, {"models": listed})


def test_other_methods_are_refused_with_those_that_there_are(models: ModelBench) -> None:
    for method, path, allowed in (
        ("DELETE", "/models", "GET, POST"),
        ("POST", "/models/m", "GET, PUT, DELETE"),
    ):
        models.ask(method, path)
        message = models.next("reply")
        assert message["status"] == 405
        assert ["allow", allowed] in message["headers"]
    assert models.answer("PATCH", "/models")[1]["type"] == "MethodNotAllowedException"


def test_a_fault_of_ours_is_500_and_the_log_says_which(
    models: ModelBench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_arguments: object) -> Settings:
        raise ZeroDivisionError

    monkeypatch.setattr(Management, "_settings_of", fail)
    found = models.answer("POST", "/models", {"model_name": "m", "url": models.model()})
    assert found == refused(500, "InternalServerException", "The server failed; its log says why")
    assert "ZeroDivisionError" in caplog.text


def test_a_load_that_fails_says_why_and_frees_the_name(
    models: ModelBench, caplog: pytest.LogCaptureFixture
) -> None:
    broken = models.model(FAILING.format("raise ValueError('broken')"), "broken")
    message = f"Model m could not be loaded: loading the model from {broken} failed: "
    for _ in range(2):
        found = models.answer("POST", "/models", {"model_name": "m", "url": broken})
        assert found == refused(500, "InternalServerException", message + "ValueError: broken")
    assert "model m could not be loaded; the cause is above" in caplog.text
    assert models.repository.count == 0
    assert models.answer("GET", "/models/m") == not_found("m")
    short = models.model(FAILING.format("raise MemoryError"), "short")
    found = models.answer("POST", "/models", {"model_name": "m", "url": short})
    assert (found[0], found[1]["code"]) == (507, 507)
    models.load()


def test_a_load_that_nobody_waits_for_may_fail(
    models: ModelBench, caplog: pytest.LogCaptureFixture
) -> None:
    broken = models.model(FAILING.format("raise ValueError('broken')"), "broken")
    document = {"model_name": "m", "url": broken, "synchronous": "no"}
    assert models.answer("POST", "/models", document)[0] == 202
    models.wait(lambda: "could not be loaded" in caplog.text)
    assert models.repository.find("m") is None


def test_a_model_without_a_program_is_refused(
    models: ModelBench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SAGEMAKER_PROGRAM", "no_such_program.py")
    found = models.answer("POST", "/models", {"model_name": "m", "url": str(models.folder)})
    assert found[0] == 500
    cause = "SAGEMAKER_PROGRAM='no_such_program.py' was not found"
    assert found[1]["message"].startswith(f"Model m could not be loaded: {cause}")
    assert f"model m: {cause}" in caplog.text


def test_requirements_of_a_model_are_not_installed_and_that_is_said(
    models: ModelBench, caplog: pytest.LogCaptureFixture
) -> None:
    add(models, "a")
    assert "requirements" not in caplog.text
    Path(models.model(), "code", "requirements.txt").touch()
    add(models, "b")
    assert "model b: its requirements.txt is not installed" in caplog.text


def settings_of(models: ModelBench, name: str) -> Settings:
    model = models.repository.find(name)
    assert model is not None
    return model.settings


def test_a_request_says_how_a_model_is_served(models: ModelBench) -> None:
    add(models, "é?", handler="service.py:handle", batch_size=8, max_batch_delay=50)
    settings = settings_of(models, "é?")
    assert (settings.program, settings.handler_service) == (None, "service.py:handle")
    assert (settings.config.max_batch_size, settings.config.max_batch_delay) == (8, 0.05)
    assert (settings.path, settings.model_name) == ("/models/%C3%A9%3F/invoke", "é?")
    described = models.answer("GET", "/models/%C3%A9%3F")[1]
    assert (described["batchSize"], described["maxBatchDelay"]) == (8, 50)
    add(models, "n", response_timeout=7)
    assert (
        settings_of(models, "n").config.timeout,
        settings_of(models, "n").config.max_batch_size,
    ) == (
        7,
        None,
    )


def test_messages_name_the_parameters_of_the_request(models: ModelBench) -> None:
    one_at_a_time = models.model(FAILING.format("pass"), "one")
    status, answer = models.answer(
        "POST", "/models", {"model_name": "m", "url": one_at_a_time, "batch_size": 4}
    )
    assert status == 500
    assert "batch_size=4 enables batches, but the predictor takes one request" in answer["message"]
    assert "SAGEMAKER" not in answer["message"]
    add(models, "n", response_timeout=7)
    add(models, "o")
    names = [
        (config.workers_name, config.timeout_name, config.max_batch_size_name)
        for config in (settings_of(models, name).config for name in "no")
    ]
    assert names == [
        ("initial_workers", "response_timeout", "SAGEMAKER_MAX_BATCH_SIZE"),
        ("initial_workers", "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS", "SAGEMAKER_MAX_BATCH_SIZE"),
    ]


def test_a_manifests_version_is_shown(models: ModelBench) -> None:
    folder = Path(models.model(), "MAR-INF")
    folder.mkdir()
    (folder / "MANIFEST.json").write_text('{"model": {"modelVersion": "2.1"}}')
    add(models, "m")
    assert list(models.answer("GET", "/models/m")[1])[:2] == ["modelName", "modelVersion"]


def test_the_first_workers_of_models_share_the_gpus(tmp_path: Path) -> None:
    one = ModelBench(tmp_path, gpus=["0", "1"])
    for name in "abc":
        add(one, name)
    assert [settings_of(one, name).gpus for name in "abc"] == [["0", "1"], ["1", "0"], ["0", "1"]]
    one.close()


def test_nothing_is_loaded_when_the_server_stops(models: ModelBench) -> None:
    models.repository.refuse_loads()
    found = models.answer("POST", "/models", {"model_name": "m", "url": models.model()})
    assert found == refused(503, "ServiceUnavailableException", "The server is stopping")


def test_the_memory_of_a_process_that_is_gone_is_none() -> None:
    assert resident_bytes(2**22 + 1) == 0
    assert resident_bytes(os.getpid()) > 0


def test_a_batch_is_as_large_as_the_client_says(models: ModelBench) -> None:
    source = """
        import os
        from sagemaker_inference import model_loader, predictor

        @model_loader
        def load(model_dir):
            return None

        @predictor(max_batch_size=2)
        def predict(data, model):
            return data
    """
    url = models.model(source)
    models.ask(
        "POST",
        "/models",
        {"model_name": "m", "url": url, "batch_size": 30, "max_batch_delay": 5},
    )
    # Another batch may wait; that one of many models has less ahead is subtracted.
    assert models.deploy()["connections"] == 30 + 30 - 4
