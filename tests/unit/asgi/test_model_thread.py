"""The thread that has the model: which thread calls what, batches, health, and accidents."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from support.builders import config, request

from sagemaker_inference.asgi._model_thread import ModelThread
from sagemaker_inference.asgi._source import Source
from sagemaker_inference.errors import StartError
from sagemaker_inference.testing import TestClient

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference import Registry
    from sagemaker_inference._http.messages import Response
    from sagemaker_inference._program.location import Program


DATABASE = """
import sqlite3
connection = sqlite3.connect(":memory:")

def model_fn(path):
    connection.execute("create table numbers (number)")
    return connection

def predict_fn(data, model):
    return model.execute("select count(*) from numbers").fetchone()[0]
"""


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def all_at_once(client: TestClient, count: int) -> list[Any]:
    with ThreadPoolExecutor(count) as pool:
        return [reply.json() for reply in pool.map(client.invoke, range(count))]


def test_the_thread_that_loads_the_model_predicts(
    program: Callable[..., Program],
) -> None:
    """As in a worker: what belongs to a thread, such as a database's connection, can be used."""
    with TestClient(program(DATABASE).path) as client:
        assert client.invoke([1]).raise_for_status().json() == 0


def test_requests_that_wait_form_the_next_batch(registry: Registry) -> None:
    may_go_on, has_begun = threading.Event(), threading.Event()
    sizes: list[int] = []

    def predict(batch: list[Any]) -> list[Any]:
        sizes.append(len(batch))
        has_begun.set()
        may_go_on.wait(10)
        return batch

    registry.model_loader(lambda: None)
    registry.predictor(max_batch_size=8)(predict)
    model = ModelThread(Source(None, registry), ".", config())
    model.start()
    works = [model.submit(request(b"1"))]
    has_begun.wait(10)
    works += [model.submit(request(b"2")) for _ in range(5)]
    may_go_on.set()
    assert [work.answer.result(10).status for work in works] == [200] * 6
    assert sizes == [1, 5]
    model.close()
    model.ended.result(10)


def test_a_batch_waits_as_long_as_the_program_says(registry: Registry) -> None:
    sizes: list[int] = []
    registry.model_loader(lambda: None)
    registry.predictor(max_batch_size=3, max_batch_delay=10)(
        lambda batch: sizes.append(len(batch)) or batch
    )
    with TestClient(registry) as client:
        assert all_at_once(client, 3) == [0, 1, 2]
    assert sizes == [3]


def test_a_batch_that_waits_is_answered_when_the_program_ends(registry: Registry) -> None:
    registry.model_loader(lambda: None)
    registry.predictor(max_batch_size=3, max_batch_delay=60)(lambda batch: batch)
    model = ModelThread(Source(None, registry), ".", config())
    model.start()
    work = model.submit(request(b"1"))
    model.close()
    assert work.answer.result(10).status == 200
    model.ended.result(10)


def test_sizes_of_batches_are_tried_while_nobody_waits(registry: Registry) -> None:
    sizes: list[int] = []
    registry.model_loader(lambda: None)
    registry.predictor(batch_sizes=[1, 2, 4])(lambda batch: sizes.append(len(batch)) or batch)
    with TestClient(registry) as client:
        client.invoke(1)
        wait_for(lambda: len(sizes) == 3)
    assert sorted(sizes) == [1, 2, 4]


def test_threads_predict_at_the_same_time(registry: Registry) -> None:
    barrier = threading.Barrier(3)
    threads: list[str] = []

    def predict(data: Any) -> Any:
        barrier.wait(10)
        threads.append(threading.current_thread().name)
        return data

    registry.model_loader(lambda: None)
    registry.predictor(threads=3)(predict)
    with TestClient(registry) as client:
        assert all_at_once(client, 6) == list(range(6))
    assert len(set(threads)) == 3


def test_async_handlers_run_in_one_loop_from_the_load_to_the_end(registry: Registry) -> None:
    loops: set[int] = set()
    running: list[int] = [0, 0]

    def note() -> None:
        loops.add(id(asyncio.get_running_loop()))

    async def load() -> Any:
        note()
        return asyncio.Event()

    async def predict(data: Any, model: Any) -> Any:
        note()
        running[0] += 1
        running[1] = max(running)
        if running[0] == 5:
            model.set()
        await asyncio.wait_for(model.wait(), 10)
        running[0] -= 1
        return data

    async def clean_up() -> None:
        note()

    registry.model_loader(load)
    registry.predictor(predict)
    registry.on_shutdown(clean_up)
    with TestClient(registry) as client:
        assert all_at_once(client, 5) == list(range(5))
    assert running == [0, 5]
    assert len(loops) == 1


def test_an_async_program_has_no_more_requests_than_in_a_worker(registry: Registry) -> None:
    may_go_on = threading.Event()
    most = [0, 0]

    async def predict(data: Any) -> Any:
        most[0] += 1
        most[1] = max(most)
        while not may_go_on.is_set():  # noqa: ASYNC110 - it is of another thread
            await asyncio.sleep(0.001)
        most[0] -= 1
        return data

    registry.model_loader(lambda: None)
    registry.predictor(predict)
    model = ModelThread(Source(None, registry), ".", config())
    model.start()
    limit = model.loaded.result(10).concurrency.limit
    works = [model.submit(request(b"1")) for _ in range(limit + 3)]
    wait_for(lambda: most[0] == limit)
    assert model.running == limit
    assert model.waiting == 3
    model.close()  # what has arrived is answered
    may_go_on.set()
    assert [work.answer.result(10).status for work in works] == [200] * (limit + 3)
    model.ended.result(10)
    assert most == [0, limit]


def test_an_async_request_that_runs_when_the_program_ends_is_answered(registry: Registry) -> None:
    async def predict(data: Any) -> Any:
        has_begun.set()
        await asyncio.sleep(0.05)
        return data

    has_begun = threading.Event()
    registry.model_loader(lambda: None)
    registry.predictor(predict)
    model = ModelThread(Source(None, registry), ".", config())
    model.start()
    work = model.submit(request(b"1"))
    has_begun.wait(10)
    model.close()
    assert work.answer.result(10).status == 200
    model.ended.result(10)


@pytest.mark.parametrize("kind", ["plain", "batches", "threads", "async"])
def test_a_health_check_that_fails_is_what_ping_says(
    registry: Registry, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    is_healthy = [True]

    async def predict(data: Any) -> Any:
        return data

    options: dict[str, Any] = {"batches": {"max_batch_size": 2}, "threads": {"threads": 2}}
    registry.model_loader(lambda: None)
    registry.predictor(**options.get(kind, {}))(predict if kind == "async" else lambda data: data)
    registry.health_check(interval=0.01)(lambda: is_healthy[0])
    with TestClient(registry) as client:
        assert client.ping().status_code == 200
        is_healthy[0] = False
        wait_for(lambda: client.ping().status_code == 503)
        cause = "the program's health check has failed; see the log"
        assert client.ping().json() == {"status": "critical", "cause": cause}
        wait_for(lambda: "returned False: /ping answers 503 until it succeeds" in caplog.text)
        assert 'health{state="critical"} 1' in client.request("GET", "/metrics").text
        assert client.invoke(1).status_code == 200
        is_healthy[0] = True
        wait_for(lambda: client.ping().status_code == 200)


def test_a_program_that_ends_its_thread_is_over(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    async def predict(data: Any) -> Any:
        if data:
            # Not in the handler, where it would be this request's failure.
            asyncio.get_running_loop().call_soon(sys.exit, 3)
        await asyncio.sleep(60)

    registry.model_loader(lambda: None)
    registry.predictor(predict)
    with TestClient(registry) as client, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.invoke, 0)
        wait_for(lambda: client.request("GET", "/metrics").text.count("requests_running 1\n"))
        assert client.invoke(1).status_code == 500
        assert waiting.result(10).status_code == 500
        wait_for(lambda: client.ping().status_code == 503)
        assert "has ended the thread that has the model" in client.ping().json()["cause"]
        error = client.invoke(1).json()["error"]
        assert error["code"] == "process_died"
        assert error["message"].startswith("Nothing can answer: the program has ended the thread")
    assert "SystemExit: 3" in caplog.text


def test_a_health_check_that_exits_ends_the_thread(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    registry.model_loader(lambda: None)
    registry.predictor(lambda data: data)
    registry.health_check(interval=0.01)(lambda: sys.exit(3))
    with TestClient(registry) as client:
        wait_for(lambda: client.ping().status_code == 503)
        assert "has ended the thread that has the model" in client.ping().json()["cause"]
        assert client.invoke(1).json()["error"]["code"] == "process_died"
    assert "SystemExit: 3" in caplog.text


@pytest.mark.parametrize("threads", [1, 2])
def test_an_answer_that_fails_outside_of_handlers_is_a_failure(
    registry: Registry, threads: int, caplog: pytest.LogCaptureFixture
) -> None:
    registry.model_loader(lambda: None)
    registry.predictor(threads=threads)(lambda data: data)
    model = ModelThread(Source(None, registry), ".", config())
    model.start()
    handler: Any = model.loaded.result(10)
    answer = handler.answer

    async def wait(_requests: Any) -> list[Response]:
        await asyncio.sleep(0)
        return []

    handler.answer = wait
    response = model.submit(request(b"1")).answer.result(10)
    assert response.status == 500
    assert b"Nothing can answer: RuntimeError." in bytes(response.body)  # type: ignore[arg-type]
    assert "a handler that is not async awaited something" in caplog.text
    handler.answer = answer
    assert model.submit(request(b"1")).answer.result(10).status == 200
    model.close()
    model.ended.result(10)


def test_what_comes_after_the_end_is_refused(registry: Registry) -> None:
    registry.model_loader(lambda: None)
    registry.predictor(lambda data: data)
    model = ModelThread(Source(None, registry), ".", config())
    model.start()
    model.loaded.result(10)
    model.close()
    model.ended.result(10)
    response = model.submit(request(b"1")).answer.result(10)
    assert response.status == 503
    assert b"The server is stopping" in bytes(response.body)  # type: ignore[arg-type]


def test_what_comes_after_the_end_of_an_event_loop_is_refused(registry: Registry) -> None:
    async def predict(data: Any) -> Any:
        return data

    registry.model_loader(lambda: None)
    registry.predictor(predict)
    model = ModelThread(Source(None, registry), ".", config())
    model.start()
    assert model.submit(request(b"1")).answer.result(10).status == 200
    model.close()
    model.ended.result(10)
    assert model.submit(request(b"1")).answer.result(10).status == 503


def test_a_failed_load_ends_the_thread(registry: Registry) -> None:
    registry.model_loader(lambda: 1 / 0)
    registry.predictor(lambda data: data)
    model = ModelThread(Source(None, registry), ".", config())
    model.start()
    with pytest.raises(StartError):
        model.loaded.result(10)
    model.ended.result(10)
    assert not model.is_loaded


LATE = """
import asyncio
from sagemaker_inference import Registry, asgi
registry = Registry()
registry.model_loader(lambda: None)
registry.predictor(lambda data: data)
registry.on_shutdown(lambda: print("cleaned up"))
application = asgi.app(registry)

async def receive():
    return {"type": "http.request"}

async def send(message):
    print(message.get("status", ""), end="")

scope = {"type": "http", "method": "GET", "path": "/ping", "headers": []}
asyncio.run(application(scope, receive, send))
"""


def test_without_a_lifespan_the_program_cleans_up_when_the_process_ends() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LATE], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "200cleaned up\n"
