"""Many models, loaded and unloaded over HTTP, on the real front end."""

from __future__ import annotations

import os
import random
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from support.documents import ROOT
from support.measurement import UNMEASURED
from support.models import FAILING, Models

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.conftest import Reply

pytestmark = pytest.mark.java


def is_alive(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_models_come_and_go_and_do_not_see_each_other(many: Callable[..., Models]) -> None:
    one = many()
    assert one.server.request(method="GET", path="/ping").status == 200
    assert one.names == []
    first, second = one.write("first"), one.write("second")
    assert one.load("a", first).status == 200
    assert one.load("a", first).status == 409
    assert one.load("b", second).status == 200
    assert one.names == ["a", "b"]
    described = one.server.request(method="GET", path="/models/a")
    assert (described.status, described.json["modelUrl"]) == (200, str(first))
    assert one.server.request(method="GET", path="/models/c").status == 404
    a, b = one.invoke("a"), one.invoke("b")
    assert (a.json["model"], b.json["model"]) == ("first", "second")
    for name, status in (("b", 200), ("c", 404)):
        # As SageMaker's clients name a model.
        target = {"X-Amzn-SageMaker-Target-Model": name}
        assert one.server.request("[1]", target).status == status
    assert str(first / "code") in a.json["path"]
    one.server.wait_for_log("INFO POST /models/a/invoke 200 ")
    assert not [path for path in a.json["path"] if path.startswith(str(second))]
    assert one.invoke("c").status == 404
    assert one.unload("c").status == 404
    assert is_alive(a.json["pid"])
    assert one.unload("a").status == 200
    # Its memory is back before the answer comes.
    assert not is_alive(a.json["pid"])
    assert one.names == ["b"]
    assert one.invoke("a").status == 404
    one.server.wait_for_log("model a is unloaded")
    assert one.load("a", first).status == 200
    assert one.invoke("a").json["model"] == "first"
    assert "ERROR" not in one.server.log


def test_a_model_that_cannot_be_loaded_is_refused_and_may_come_again(
    many: Callable[..., Models],
) -> None:
    one = many()
    broken = one.write("broken", FAILING.format("raise ValueError('broken weights')"))
    reply = one.load("m", broken)
    assert reply.status == 500
    cause = f"loading the model from {broken} failed: ValueError: broken weights"
    assert reply.json["message"] == f"Model m could not be loaded: {cause}"
    assert int(reply.headers["content-length"]) == len(reply.body)
    query = f"/models?model_name=m&url={broken}&initial_workers=1&synchronous=true"
    assert one.server.request("", {"Content-Type": ""}, path=query).json == reply.json
    assert "ValueError: broken weights" in one.server.log
    for _ in range(5):
        assert one.load("m", broken).status == 500
    one.write("broken")
    assert one.load("m", broken).status == 200
    assert one.invoke("m").json["model"] == "broken"
    reply = one.load("large", one.write("large", FAILING.format("raise MemoryError")))
    assert reply.status == 507
    assert reply.json["message"].endswith("failed: MemoryError")
    dying = one.write("dying", FAILING.format("import os; print('why', flush=True); os._exit(3)"))
    reply = one.load("dying", dying)
    assert reply.status == 500
    assert (
        reply.json["message"]
        == "Model dying could not be loaded: its worker ended with exit code 3: why"
    )
    assert "model large could not be loaded" in one.server.log
    (one.folder / "models" / "empty").mkdir()
    reply = one.load("empty", one.folder / "models" / "empty")
    assert reply.status == 500
    assert "empty could not be loaded: SAGEMAKER_PROGRAM='inference.py'" in reply.json["message"]
    assert "model empty: SAGEMAKER_PROGRAM='inference.py' was not found" in one.server.log
    odd = one.write("odd", FAILING.format(r"raise ValueError('a\n  b \udcff\u20ac')"))
    reply = one.load("odd", odd)
    assert reply.status == 500
    assert reply.json["message"].endswith("failed: ValueError: a b ?€")
    assert one.load("absent", one.folder / "models" / "absent").status == 404
    one.wait_listed("m")
    assert one.invoke("m").status == 200


def test_a_load_that_cannot_be_is_refused_at_once(many: Callable[..., Models]) -> None:
    one = many()
    path = one.write("m")
    json_type = {"Content-Type": "application/json"}
    unreadable = "The body cannot be read; send {"
    for body, message in (
        *dict.fromkeys(("", "null", "[]", "{", '"m"'), unreadable).items(),
        ('{"model_name": {}}', "model_name "),
        ('{"initial_workers": "x"}', "initial_workers "),
    ):
        reply = one.server.request(body, json_type, path="/models")
        assert (reply.status, reply.json["code"]) == (400, 400), body
        assert reply.json["message"].startswith(message)
    for body in ("{}", '{"model_name": "m"}', '{"model_name": "m", "url": ""}'):
        reply = one.server.request(body, json_type, path="/models")
        assert (reply.status, reply.json["message"][:25]) == (400, "The model's url is missin"), (
            body
        )
    query = f"/models?model_name=m&url={path}&batch_size=many"
    assert one.server.request(b"", path=query, method="POST").status in (200, 400)
    one.unload("m")
    # The type that curl sends when it is told nothing.
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert one.server.request(f'{{"url": "{path}"}}', form, path="/models").status == 400
    for more in ('"initial_workers": -1', '"response_timeout": 0', '"runtime": "python2"'):
        body = f'{{"model_name": "m", "url": "{path}", {more}}}'
        assert one.server.request(body, json_type, path="/models").status == 400
    began = time.monotonic()
    body = f'{{"model_name": "m", "url": "{path}", "handler": "{"x" * 200_000}"}}'
    reply = one.server.request(body, json_type, path="/models")  # no process takes that
    assert (reply.status, time.monotonic() - began < 20) == (500, True)
    assert reply.json["message"].endswith("loaded: its worker could not be started")
    assert one.unload("m").status == 404
    for url in ("/dev/null", path / "code" / "inference.py", "/no\\u0000where"):
        reply = one.load("m", url)
        assert reply.status == 404
        assert reply.json["message"].startswith("No such directory, or no access to it: ")
    for name in ("x" * 3001, "\\ud800", "x\\u0000y"):
        assert one.load(name, path).status == 400
    for name in ("a/b", "/", "a/"):
        reply = one.load(name, path)
        assert (reply.status, reply.json["message"]) == (400, f"model_name has a slash: {name}")
    assert one.names == []
    assert one.load("m", path).status == 200
    reply = one.server.request("a=b&c=%", form, path="/models/m/invoke")
    assert reply.status == 400
    assert one.unload("m").status == 200
    for name in ("a b", "%2e", "é", "..", "a?b#c"):
        assert one.load(name, path).status == 200
        quoted = "%2E%2E" if name == ".." else quote(name, safe="")
        assert one.invoke(quoted).json["model"] == "m"
        assert one.unload(quoted).status == 200
    assert one.names == []


def test_no_model_comes_from_the_network(many: Callable[..., Models]) -> None:
    one = many()
    assert one.load("far", "s3://bucket/model").status == 400
    with socket.create_server(("127.0.0.1", 0)) as far:
        far.settimeout(0.5)
        reply = one.load("far", f"http://127.0.0.1:{far.getsockname()[1]}/model.mar")
        assert reply.status == 400
        with pytest.raises(TimeoutError):
            far.accept()
    assert one.names == []


def test_each_model_gets_a_gpu(many: Callable[..., Models]) -> None:
    one = many(CUDA_VISIBLE_DEVICES="GPU-4,GPU-7")
    source = """
        import os

        def model_fn(model_dir):
            return os.environ["CUDA_VISIBLE_DEVICES"]

        def predict_fn(data, model):
            return model
    """
    path = one.write("m", source)
    for name in "ab":
        assert one.load(name, path).status == 200
    assert sorted(one.invoke(name).json for name in "ab") == ["GPU-4", "GPU-7"]


def test_a_process_that_dies_is_replaced_and_goes_with_its_model(
    many: Callable[..., Models],
) -> None:
    one = many(SAGEMAKER_MODEL_SERVER_WORKERS="2")
    assert one.load("m", one.write("m")).status == 200
    pids = {one.invoke("m").json["pid"] for _ in range(20)}
    for _ in range(2):
        lost = one.invoke("m", '"kill"')
        assert (lost.status, lost.json["error"]["code"]) == (500, "process_died")
    pids |= {one.invoke("m").json["pid"] for _ in range(20)}
    assert one.unload("m").status == 200
    assert not [pid for pid in pids if is_alive(pid)]
    one.server.wait_for_log("model m is unloaded")
    assert one.server.pids("sagemaker_inference._worker") == []


def test_a_request_in_work_on_a_model_that_is_deleted_gets_an_answer(
    many: Callable[..., Models],
) -> None:
    one = many(SAGEMAKER_MODEL_SERVER_WORKERS="2")
    for name in ("m", "n"):
        assert one.load(name, one.write(name)).status == 200
    with ThreadPoolExecutor(9) as pool:
        pending = [pool.submit(one.invoke, "m", '"sleep"') for _ in range(8)]
        other = pool.submit(one.invoke, "n", '"sleep"')
        one.server.wait_busy(5)
        began = time.monotonic()
        assert one.unload("m").status == 200
        statuses = {future.result().status for future in pending}
        assert time.monotonic() - began < 5
        assert statuses <= {200, 500, 503}
        assert statuses != {200}
        assert other.result().status == 200
    assert one.load("m", one.write("m")).status == 200
    assert one.invoke("m").status == 200


def test_a_model_that_is_not_able_to_answer_for_long_is_let_go(
    many: Callable[..., Models],
) -> None:
    one = many(SAGEMAKER_STARTUP_TIMEOUT="12")
    path = one.write("m")
    assert one.load("m", path).status == 200
    for _ in range(6):
        assert one.invoke("m", '"kill"').status == 500
    assert one.invoke("m").status == 200
    one.write("m", FAILING.format("raise ValueError('no weights')"))
    assert one.invoke("m", '"kill"').status == 500
    one.server.wait_for_log("no worker has been able to answer for 12 s")
    one.write("m")
    one.wait_listed()
    assert one.load("n", one.write("n")).status == 200
    assert one.invoke("n").status == 200
    # Nothing of the one before comes back under its name.
    assert one.load("m", one.write("other")).status == 200
    pid = one.invoke("m").json["pid"]
    time.sleep(2.5)
    reply = one.invoke("m").json
    assert (reply["pid"], reply["model"]) == (pid, "other")
    assert one.unload("m").status == 200
    assert not is_alive(pid)
    one.server.wait_for_log("model m is unloaded")
    assert one.load("m", one.folder / "models" / "m").status == 200
    assert one.invoke("m").json["model"] == "m"


def test_a_load_that_takes_too_long_is_refused(many: Callable[..., Models]) -> None:
    one = many(SAGEMAKER_STARTUP_TIMEOUT="1")
    slow = one.write("slow", FAILING.format("import time; time.sleep(60)"))
    reply = one.load("slow", slow)
    assert reply.status == 500
    assert reply.json["message"].endswith("by SIGKILL (it took longer than its time limit)")
    assert "the model did not load within 1 s" in one.server.log
    one.wait_listed()


def test_a_model_can_be_let_go_while_it_loads(many: Callable[..., Models]) -> None:
    one = many()
    with one.loading("slow") as loading:
        assert one.unload("slow").status == 200
        reply = loading.result()
    assert reply.status == 500
    assert reply.json["message"] == "Model slow was deleted while it was loading"
    one.wait_listed()
    one.server.wait_for_log("model slow is unloaded")
    assert one.server.pids("sagemaker_inference._worker") == []


def test_clients_that_fight_over_a_name_leave_nothing_behind(many: Callable[..., Models]) -> None:
    one = many()
    first, second = one.write("first"), one.write("second")

    def fight(seed: int) -> None:
        pauses = random.Random(seed)  # noqa: S311 - pauses, not secrets
        for _ in range(12):
            assert one.load("m", first).status in (200, 409, 500)
            time.sleep(pauses.random() / 500)
            assert one.unload("m").status in (200, 404)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(fight, range(2)))
    one.unload("m")
    one.wait_listed()
    deadline = time.monotonic() + 20
    while one.server.pids("sagemaker_inference._worker"):
        assert time.monotonic() < deadline, one.server.log
        time.sleep(0.05)
    assert one.load("m", second).status == 200
    assert one.invoke("m").json["model"] == "second"
    pid = one.invoke("m").json["pid"]
    assert one.unload("m").status == 200
    assert not is_alive(pid)


def test_a_stop_does_not_wait_for_a_model_that_loads(many: Callable[..., Models]) -> None:
    one = many()
    with one.loading("slow") as loading:
        began = time.monotonic()
        assert one.server.stop() == 0
        assert time.monotonic() - began < 15
        reply = loading.result()
    assert reply.status == 500
    assert reply.json["message"].endswith("the server is stopping")


def test_a_model_scaled_down_to_nothing_can_be_scaled_up(many: Callable[..., Models]) -> None:
    one = many()

    def scale(count: int) -> int:
        path = f"/models/m?min_worker={count}&max_worker={count}&synchronous=true"
        return one.server.request(method="PUT", path=path).status

    assert one.load("m", one.write("m")).status == 200
    before = one.invoke("m").json["pid"]
    assert scale(2) == 200
    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(lambda _: one.invoke("m", '"sleep"'), range(4)))
    pids = {reply.json["pid"] for reply in replies}
    assert len(pids) == 2
    assert before in pids
    assert scale(1) == 200
    assert not [pid for pid in pids - {before} if is_alive(pid)]
    assert one.invoke("m").json["pid"] == before
    assert scale(0) == 200
    assert not is_alive(before)
    assert one.invoke("m").status == 503
    assert scale(1) == 200
    assert one.invoke("m").json["model"] == "m"
    assert one.unload("m").status == 200
    one.server.wait_for_log("model m is unloaded")


def test_a_stop_waits_for_the_request_in_work(many: Callable[..., Models]) -> None:
    one = many()
    assert one.load("m", one.write("m")).status == 200
    replies: list[Reply] = []
    asking = threading.Thread(target=lambda: replies.append(one.invoke("m", '"sleep"')))
    asking.start()
    one.server.wait_busy(1)
    assert one.server.stop() == 0
    asking.join()
    assert [reply.status for reply in replies] == [200]


def test_a_killed_supervisor_leaves_no_process(many: Callable[..., Models]) -> None:
    one = many(**UNMEASURED)
    assert one.load("m", one.write("m")).status == 200
    os.kill(one.server.process.pid, signal.SIGKILL)
    one.server.wait_end()
    one.server.wait_gone()


def test_the_models_run_with_a_containers_handler_service(many: Callable[..., Models]) -> None:
    example = ROOT / "examples" / "framework_container"
    # In front of what is there: the package may be found by it, too.
    path = os.pathsep.join([str(example), os.environ.get("PYTHONPATH", "")])
    one = many(handler="'handler_service'", PYTHONPATH=path)
    assert one.load("m", example / "ml" / "model").status == 200
    reply = one.invoke("m", '["what a lovely day"]')
    assert reply.status == 200, reply.body
    assert one.unload("m").status == 200


def test_a_model_whose_process_has_died_takes_no_other_along(many: Callable[..., Models]) -> None:
    one = many()
    for name in "abc":
        assert one.load(name, one.write(name)).status == 200
    for name in "abc":
        assert one.invoke(name, '"kill"').status == 500
        assert one.invoke(name).status == 200
    # The front end's threads for those that have died are free for this one's.
    assert one.load("m", one.write("m")).status == 200
    with ThreadPoolExecutor(9) as pool:
        pending = [pool.submit(one.invoke, "m", '"sleep"') for _ in range(4)]
        one.server.wait_busy(2)
        for name in "abc":
            assert one.unload(name).status == 200
        assert {future.result().status for future in pending} == {200}
    assert one.names == ["m"]
