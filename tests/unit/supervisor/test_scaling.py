"""Models get more workers, and fewer; the test is the front end."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from support.mms_bytes import predict_one
from support.model_bench import FAILING, ModelBench, add, not_found, refused

from sagemaker_inference._os.child_process import ChildProcess

if TYPE_CHECKING:
    from pathlib import Path

    from sagemaker_inference._supervisor.deployment import Deployment


def test_a_model_without_workers_is_503_until_it_has_some(models: ModelBench) -> None:
    assert models.next("ask")["paths"] == ["/models", "/models/*"]
    models.ask("POST", "/models", {"model_name": "m", "url": models.model(), "initial_workers": 0})
    assert models.next("ask")["paths"] == [
        "/models",
        "/models/*",
        "/models/*/invoke",
        "/predictions/*",
    ]
    models.next("reply")
    message = "No worker is available to serve request for model: m."
    for path in ("/models/m/invoke", "/predictions/m"):
        found = models.answer("POST", path)
        assert found == refused(503, "ServiceUnavailableException", message)
    assert models.answer("POST", "/models/other/invoke") == not_found("other")
    assert models.answer("POST", "/") == not_found("")
    assert models.answer("PUT", "/models/m?min_worker=0&synchronous=true")[0] == 200
    models.ask("PUT", "/models/m?min_worker=1&synchronous=true")
    models.deploy()
    assert models.next("ask")["paths"] == ["/models", "/models/*"]
    assert models.reply()[1:] == (200, {"status": "Workers scaled"})
    models.ask("PUT", "/models/m?min_worker=0&synchronous=true")
    retired = models.next("retire")
    assert retired["cause"] == "the model has fewer workers now"
    models.send("retired", id=retired["id"])
    assert models.reply()[1:] == (200, {"status": "Workers scaled"})
    status, described = models.answer("GET", "/models/m")
    assert (status, described["workers"], described["minWorkers"]) == (200, [], 0)
    assert models.answer("DELETE", "/models/m")[0] == 200


def test_a_load_that_fails_when_scaling_up_from_nothing_keeps_the_model(models: ModelBench) -> None:
    add(models, "m", url=models.model(FAILING.format("raise ValueError('no')"), "broken"))
    status, answer = models.answer("PUT", "/models/m?min_worker=1&synchronous=true")
    assert (status, answer["message"].endswith("ValueError: no")) == (500, True)
    assert models.answer("GET", "/models/m")[1]["maxWorkers"] == 0


def test_workers_are_added_and_taken_away(models: ModelBench) -> None:
    models.load()
    assert models.answer("PUT", "/models/m?min_worker=2&synchronous=true")[0] == 200
    described = models.answer("GET", "/models/m")[1]
    assert [worker["id"] for worker in described["workers"]] == ["0", "1"]
    assert models.answer("PUT", "/models/m?min_worker=1&max_worker=2&synchronous=true")[0] == 200
    assert len(models.answer("GET", "/models/m")[1]["workers"]) == 2
    assert models.answer("PUT", "/models/m") == (202, {"status": "Processing worker updates..."})
    models.wait(lambda: models.repository.count == 1)
    described = models.answer("GET", "/models/m")[1]
    assert (described["minWorkers"], described["maxWorkers"]) == (1, 1)


def test_what_cannot_be_scaled_is_refused(models: ModelBench) -> None:
    assert models.answer("PUT", "/models/m") == not_found("m")
    for query, message in (
        ("min_worker=2&max_worker=1", "max_worker cannot be less than min_worker."),
        ("max_worker=0", "max_worker cannot be less than min_worker."),
        ("min_worker=x", "min_worker has to be a number from 0 to 256, and is 'x'."),
        ("min_worker=-1", "min_worker has to be a number from 0 to 256, and is '-1'."),
        ("min_worker=257", "min_worker has to be a number from 0 to 256, and is '257'."),
    ):
        found = models.answer("PUT", f"/models/m?{query}")
        assert found == refused(400, "BadRequestException", message)


def test_one_change_at_a_time(models: ModelBench) -> None:
    slow = models.model("import time; time.sleep(1)\n" + FAILING.format("return 1"), "slow")
    models.ask("POST", "/models", {"model_name": "m", "url": slow, "synchronous": "false"})
    assert models.reply()[1:] == (202, {"status": "Processing worker updates..."})
    busy = refused(
        409,
        "ConflictStatusException",
        "Model m is being loaded or scaled. Try again when that is over.",
    )
    assert models.answer("PUT", "/models/m?min_worker=2") == busy
    assert models.answer("GET", "/models/m")[1]["workers"][0]["status"] == "LOADING"
    models.deploy()
    model = models.repository.find("m")
    assert model is not None
    models.wait(lambda: model.on_done is None)
    scaling = models.ask("PUT", "/models/m?min_worker=2&synchronous=true")
    assert models.answer("PUT", "/models/m?min_worker=3") == busy
    assert models.reply() == (scaling, 200, {"status": "Workers scaled"})


def test_a_worker_that_cannot_be_added_is_taken_back(models: ModelBench) -> None:
    url = models.model(
        """
        import os

        def model_fn(model_dir):
            mark = model_dir + "/loaded"
            if os.path.exists(mark):
                raise MemoryError
            open(mark, "w").close()

        def predict_fn(data, model):
            return data
        """
    )
    models.load(url=url)
    status, answer = models.answer("PUT", "/models/m?min_worker=3&synchronous=true")
    assert (status, answer["code"], answer["type"]) == (507, 507, "InternalServerException")
    assert answer["message"].endswith("MemoryError")
    models.wait(lambda: models.repository.count == 1)
    assert models.answer("GET", "/models/m")[1]["workers"][0]["status"] == "READY"
    models.unload()


def test_a_model_unloaded_while_it_is_scaled(models: ModelBench) -> None:
    source = """
        import os, time

        def model_fn(model_dir):
            mark = model_dir + "/loaded"
            time.sleep(60 if os.path.exists(mark) else 0)
            open(mark, "w").close()

        def predict_fn(data, model):
            return data
    """
    models.load(url=models.model(source))
    scaling = models.ask("PUT", "/models/m?min_worker=2&synchronous=true")
    unloading = models.ask("DELETE", "/models/m")
    models.retire()
    answers = {}
    for _ in range(2):
        number, status, answer = models.reply()
        answers[number] = (status, answer.get("message"))
    assert answers[unloading] == (200, None)
    assert answers[scaling] == (500, "Model m was deleted while it was loading")


def test_a_preloaded_model_comes_and_goes(tmp_path: Path) -> None:
    one = ModelBench(tmp_path, preload=True, workers=2)
    one.load()
    assert one.repository.count == 3
    assert one.answer("PUT", "/models/m?min_worker=3&synchronous=true")[0] == 200
    assert one.repository.count == 4
    one.unload()
    assert one.repository.count == 0
    broken = one.model(FAILING.format("raise ValueError('broken')"), "broken")
    assert one.answer("POST", "/models", {"model_name": "m", "url": broken})[0] == 500
    one.close()


def test_workers_that_cannot_be_started_fail_the_change(
    models: ModelBench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise OSError(7, "Argument list too long")

    url = models.model()
    with monkeypatch.context() as patch:
        patch.setattr(ChildProcess, "spawn", fail)
        status, answer = models.answer("POST", "/models", {"model_name": "m", "url": url})
        assert (status, answer["code"]) == (500, 500)
        assert answer["message"].endswith("its worker could not be started")
        assert "a worker could not be started: [Errno 7] Argument list" in caplog.text
    models.load()
    with monkeypatch.context() as patch:
        patch.setattr(ChildProcess, "spawn", fail)
        status, _ = models.answer("PUT", "/models/m?min_worker=2&synchronous=true")
        assert status == 500
    assert models.answer("GET", "/models/m")[1]["maxWorkers"] == 1


@pytest.mark.parametrize("preload", [False, True])
def test_a_worker_that_cannot_be_started_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, preload: bool
) -> None:
    one = ModelBench(tmp_path, preload=preload)
    one.load()
    before = {worker.child.pid for worker in all_of(one)}
    real, failed = ChildProcess.spawn, []

    def fail_once(*arguments: Any, **options: Any) -> Any:
        if not failed:
            failed.append(True)
            raise OSError(11, "no process")
        return real(*arguments, **options)

    monkeypatch.setattr(ChildProcess, "spawn", fail_once)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    one.wait(lambda: bool(failed))
    one.wait(
        lambda: (
            len(all_of(one)) == len(before)
            and not before & {worker.child.pid for worker in all_of(one)}
            and all(worker.is_loaded for worker in all_of(one))
        )
    )
    one.close()


def all_of(models: ModelBench) -> list[Any]:
    model = models.repository.find("m")
    assert model is not None
    assert model.deployment is not None
    return model.deployment.workers.processes


def pids_of(deployment: Deployment) -> list[int]:
    return [worker.child.pid for worker in deployment.workers.handles]


def test_a_worker_too_many_finishes_its_request(models: ModelBench) -> None:
    number = models.load(initial_workers=2)
    model = models.repository.find("m")
    assert model is not None
    assert model.deployment is not None
    found = model.deployment
    fronts = models.connections[number][:2]
    for front in fronts:
        front.send(predict_one("id-1", b"{'sleep': 0.5}"))

    models.wait(lambda: all(map(found._connections.held_by, pids_of(found))))
    assert models.answer("PUT", "/models/m?min_worker=1&synchronous=true")[0] == 200
    # The other worker may still be at work on its own.
    models.wait(lambda: not any(map(found._connections.held_by, pids_of(found))))
    for front in fronts:
        assert b"m {'sleep': 0.5}" in front.recv(1000)
    assert models.repository.count == 1
