"""Models from their load to their end; the test is the front end."""

from __future__ import annotations

import os
import signal
import socket
from typing import TYPE_CHECKING

from support.mms_bytes import predict_one
from support.model_bench import FAILING, SOURCE, ModelBench

from sagemaker_inference._ipc import slots
from sagemaker_inference._supervisor import deployment, model_repository
from sagemaker_inference._supervisor.deployment import Stage
from sagemaker_inference._supervisor.workers import Outcome

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def read(models: ModelBench, sock: socket.socket, end: bytes) -> bytes:
    """What comes back until its end."""
    answer = b""

    def has_come() -> bool:
        nonlocal answer
        try:
            answer += sock.recv(65536)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return end == b""
        return answer.endswith(end)

    models.wait(has_come)
    return answer


def first_of(models: ModelBench) -> deployment.Deployment:
    found = next(iter(models.repository._deployments))
    assert isinstance(found, deployment.Deployment)
    return found


def wait_running(models: ModelBench, count: int = 1) -> None:
    """Wait until so many requests are in progress."""
    one = first_of(models)

    def are_running() -> bool:
        pids = [handle.child.pid for handle in one.workers.handles]
        return sum(len(one._connections.held_by(pid)) for pid in pids) == count

    models.wait(are_running)


def test_a_server_without_models_stops(models: ModelBench) -> None:
    models.repository.stop()
    assert models.is_stopped


def test_what_is_in_progress_is_answered_and_what_waits_is_not(models: ModelBench) -> None:
    number = models.load()
    first, second, *_ = models.connections[number]
    first.send(predict_one("id-1", b"{'sleep': 0.5}"))
    wait_running(models)
    second.send(predict_one("id-2", b"'later'"))
    asked = models.ask("DELETE", "/models/m")
    models.next("retire")
    assert b"id-1" in read(models, first, b"\xff\xff\xff\xff")
    assert read(models, second, b"") == b""
    models.send("retired", id=number)
    assert models.reply()[:2] == (asked, 200)
    assert models.repository.count == 0
    assert models.pool.free == slots.count()


def test_what_is_still_in_progress_after_the_grace_is_503(
    models: ModelBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_repository, "GRACE_SECONDS", 0.2)
    number = models.load()
    [first, *_] = models.connections[number]
    first.send(predict_one("id-1", b"{'sleep': 60}"))
    wait_running(models)
    models.ask("DELETE", "/models/m")
    assert models.next("retire")["cause"] == "the model is being unloaded"
    answer = read(models, first, b"\xff\xff\xff\xff")
    assert (503).to_bytes(4, "big") in answer
    assert b"service_unavailable" in answer
    assert b"The model is being unloaded. Send the request again later." in answer
    models.send("retired", id=number)
    assert models.reply()[1] == 200


def test_a_front_end_that_does_not_say_that_it_has_retired_one_is_not_waited_for(
    models: ModelBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployment, "_RETIRED_SECONDS", 0.1)
    number = models.load()
    models.ask("DELETE", "/models/m")
    assert models.reply()[1] == 200
    models.send("retired", id=number)
    models.load()


def test_a_name_is_free_while_the_old_model_ends(models: ModelBench) -> None:
    number = models.load()
    [first, *_] = models.connections[number]
    first.send(predict_one("id-1", b"{'sleep': 1}"))
    wait_running(models)
    old = models.ask("DELETE", "/models/m")
    new = models.ask("POST", "/models", {"model_name": "m", "url": models.model()})
    assert models.retire() == number
    deploy = models.deploy()
    assert deploy["id"] == number + 1
    assert {models.reply()[:2], models.reply()[:2]} == {(old, 200), (new, 200)}
    assert models.answer("GET", "/models/m")[0] == 200


def test_a_model_unloaded_while_it_loads(
    models: ModelBench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    slow = models.model(FAILING.format("import time; time.sleep(60)"))
    loading = models.ask("POST", "/models", {"model_name": "m", "url": slow})
    unloading = models.ask("DELETE", "/models/m")
    number, status, answer = models.reply()
    assert (number, status) == (loading, 500)
    assert answer["message"] == "Model m was deleted while it was loading"
    assert models.reply()[:2] == (unloading, 200)
    assert models.repository.count == 0


def test_a_model_unloaded_while_the_front_end_connects(models: ModelBench) -> None:
    loading = models.ask("POST", "/models", {"model_name": "m", "url": models.model()})
    number = models.next("deploy")["id"]
    unloading = models.ask("DELETE", "/models/m")
    models.send("deployed", id=number)
    assert models.retire() == number
    assert {models.reply()[:2], models.reply()[:2]} == {(loading, 500), (unloading, 200)}


def test_a_front_end_that_cannot_connect_fails_the_load(models: ModelBench) -> None:
    models.ask("POST", "/models", {"model_name": "m", "url": models.model()})
    number = models.next("deploy")["id"]
    models.send("deploy_failed", id=number, error="Connection refused")
    _, status, answer = models.reply()
    assert status == 500
    assert answer["message"].endswith("the front end has failed: Connection refused")
    assert models.pool.free == slots.count()
    assert models.repository.count == 0


def test_a_model_beyond_the_last_connection_is_507(
    models: ModelBench, caplog: pytest.LogCaptureFixture
) -> None:
    taken = models.pool.take(slots.count())
    models.ask("POST", "/models", {"model_name": "m", "url": models.model()})
    _, status, answer = models.reply()
    assert status == 507
    assert answer["message"].endswith("no connection is left for it; unload others first")
    assert "no connection is left for it" in caplog.text
    models.pool.give_back(taken)
    models.load()


def test_the_last_connections_are_shared(models: ModelBench) -> None:
    source = SOURCE.replace("def transform_fn", "async def transform_fn")
    for free, expected in ((slots.count(), 35), (100, 25), (6, 4), (2, 2)):
        taken = models.pool.take(models.pool.free - free)
        models.ask("POST", "/models", {"model_name": str(free), "url": models.model(source)})
        assert models.deploy()["connections"] == expected
        assert models.reply()[1] == 200
        models.pool.give_back(taken)


def test_more_connections_than_slots_fail_the_load(
    models: ModelBench, caplog: pytest.LogCaptureFixture
) -> None:
    models.ask("POST", "/models", {"model_name": "m", "url": models.model()})
    number = models.next("deploy")["id"]
    taken = models.pool.take(slots.count())
    found = first_of(models)
    pairs = [socket.socketpair() for _ in range(10)]
    for _, theirs in pairs:
        found._take(theirs)
    models.send("deployed", id=number)
    assert models.next("retire")["id"] == number
    models.send("retired", id=number)
    _, status, answer = models.reply()
    assert (status, answer["message"].split(": ")[1][:16]) == (507, "no connection is")
    assert caplog.text.count("the front end opened more than") == 1
    models.pool.give_back(taken)
    for ours, _ in pairs:
        ours.close()


def test_a_connection_that_breaks_gives_its_slot_to_the_next(models: ModelBench) -> None:
    number = models.load()
    free = models.pool.free
    [first, *_] = models.connections[number]
    connections = first_of(models)._connections
    first.close()
    models.wait(lambda: len(list(connections)) == 3)
    assert models.pool.free == free


def test_a_slot_on_which_a_worker_is_still_at_work_is_left_alone(models: ModelBench) -> None:
    number = models.load()
    [first, *_] = models.connections[number]
    first.send(predict_one("id-1", b"{'sleep': 60}"))
    wait_running(models)
    first.close()
    connections = first_of(models)._connections
    models.wait(lambda: len(list(connections)) == 3)
    free = models.pool.free
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(first_of(models)._path)
    models.connections[number][0] = sock
    models.wait(lambda: len(list(connections)) == 4)
    assert models.pool.free == free - 1


def test_a_model_that_is_not_able_to_answer_for_long_is_let_go(tmp_path: Path) -> None:
    models = ModelBench(tmp_path, startup_timeout=4.0)
    once = """
        import os

        def model_fn(model_dir):
            path = model_dir + "/loaded"
            if os.path.exists(path): raise RuntimeError("no weights")
            open(path, "w")

        def predict_fn(data, model):
            return data
    """
    number = models.load(url=models.model(once, "once"))
    models.load("other")
    os.kill(first_of(models).workers.handles[0].child.pid, signal.SIGKILL)
    models.wait(lambda: models.lost == ["m"])
    assert models.retire() == number
    assert models.answer("GET", "/models/m")[0] == 404
    assert models.answer("GET", "/models/other")[0] == 200
    models.close()


def test_a_stop_lets_all_finish(models: ModelBench) -> None:
    for name in "ab":
        models.load(name)
    models.ask("POST", "/models", {"model_name": "c", "url": models.model(), "initial_workers": 0})
    models.reply()
    [first, *_] = models.connections[1]
    first.send(predict_one("id-1", b"{'sleep': 0.3}"))
    wait_running(models)
    models.repository.stop()
    assert b"id-1" in read(models, first, b"\xff\xff\xff\xff")
    models.retire()
    models.retire()
    models.wait(lambda: models.is_stopped)


def test_a_stop_gives_up_what_loads(models: ModelBench) -> None:
    slow = models.model(FAILING.format("import time; time.sleep(60)"), "slow")
    models.ask("POST", "/models", {"model_name": "m", "url": slow})
    models.wait(lambda: models.repository.count == 1)
    models.repository.stop()
    _, status, answer = models.reply()
    assert (status, answer["message"]) == (
        500,
        "Model m could not be loaded: the server is stopping",
    )
    models.wait(lambda: models.is_stopped)


def test_a_stop_may_be_cut_short(models: ModelBench) -> None:
    number = models.load()
    [first, *_] = models.connections[number]
    first.send(predict_one("id-1", b"{'sleep': 60}"))
    wait_running(models)
    models.repository.stop()
    models.repository.kill()
    answer = read(models, first, b"\xff\xff\xff\xff")
    assert b"service_unavailable" in answer
    assert b"The server is stopping. Send the request again later." in answer
    assert models.next("retire")["cause"] == "the server is stopping"
    models.send("retired", id=number)
    models.wait(lambda: models.is_stopped)


def test_a_model_that_is_being_unloaded_may_be_closed_at_once(models: ModelBench) -> None:
    number = models.load()
    found = first_of(models)
    [first, *_] = models.connections[number]
    first.send(predict_one("id-1", b"{'sleep': 60}"))
    wait_running(models)
    [child] = [handle.child for handle in found.workers.handles]
    models.ask("DELETE", "/models/m")
    models.next("retire")
    assert found.stage is Stage.RETIRING
    found.close()
    assert found.stage is Stage.GONE
    assert child.reap() == -signal.SIGKILL
    assert models.pool.free == slots.count()


def test_time_limits_are_no_longer_checked_of_one_that_ends(models: ModelBench) -> None:
    number = models.load()
    found = first_of(models)
    [first, *_] = models.connections[number]
    first.send(predict_one("id-1", b"{'sleep': 0.3}"))
    wait_running(models)
    models.ask("DELETE", "/models/m")
    models.retire()
    models.wait(lambda: found.stage is Stage.GONE)
    models.repository.check_time_limits()
    found.close()
    found.retire(0.0, "too late")
    found.on_failed(Outcome("too late"))
    found._kill()
    assert models.lost == []
    assert models.reply()[1] == 200


FURTHER = """
    from sagemaker_inference import model_loader, predictor

    @model_loader
    def load():
        return None

    {}
    @predictor("/embed")
    def embed(data):
        return data
"""


def test_further_paths_of_one_of_many_models_are_not_served(
    models: ModelBench, caplog: pytest.LogCaptureFixture
) -> None:
    url = models.model(FURTHER.format("predictor(lambda data: data)"))
    asked = models.ask("POST", "/models", {"model_name": "m", "url": url})
    assert models.deploy()["routes"] == ["/models/m/invoke", "/predictions/m"]
    assert models.reply()[:2] == (asked, 200)
    logged = "model /models/m/invoke: /embed is not served, since one of many models is invoked"
    assert logged in caplog.text


def test_a_model_that_answers_further_paths_alone_is_not_loaded(models: ModelBench) -> None:
    url = models.model(FURTHER.format(""))
    status, answer = models.answer("POST", "/models", {"model_name": "m", "url": url})
    assert status == 500
    assert answer["message"] == (
        "Model m could not be loaded: its program answers /embed alone, and one of many models is "
        "invoked by /models/m/invoke; add @predictor without a path"
    )
