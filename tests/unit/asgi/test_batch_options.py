"""Options of batches that change while the program serves, and a program that is stuck."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from support.streams import wait_until

from sagemaker_inference.asgi._application import Application
from sagemaker_inference.asgi._source import Source
from sagemaker_inference.errors import StartError
from sagemaker_inference.testing import TestClient

if TYPE_CHECKING:
    from sagemaker_inference import Registry


class Batches:
    """A program that takes batches, and how large they were; each waits until it may go on."""

    def __init__(self, registry: Registry) -> None:
        self.sizes: list[int] = []
        self.may_go_on = threading.Semaphore(0)
        registry.model_loader(lambda: None)
        registry.predictor(max_batch_size=8, max_batch_delay=0)(self.predict)

    def predict(self, batch: list[Any]) -> list[Any]:
        self.sizes.append(len(batch))
        assert self.may_go_on.acquire(timeout=20)
        return batch


def test_batches_become_smaller(registry: Registry) -> None:
    batches = Batches(registry)
    with TestClient(registry) as client, ThreadPoolExecutor(10) as pool:
        replies = [pool.submit(client.invoke, 0)]
        wait_until(lambda: batches.sizes == [1])
        client._application.configure(max_batch_size=2)
        # One that was there before may be taken with what was said then.
        replies.append(pool.submit(client.invoke, 1))
        batches.may_go_on.release()
        wait_until(lambda: batches.sizes == [1, 1])
        replies += [pool.submit(client.invoke, number) for number in (2, 3, 4)]
        waiting = "sagemaker_inference_requests_waiting 3"
        wait_until(lambda: waiting in client.request("GET", "/metrics").text)
        for _ in range(3):
            batches.may_go_on.release()
        assert [reply.result(20).json() for reply in replies] == [0, 1, 2, 3, 4]
    assert batches.sizes == [1, 1, 2, 1]


def test_the_limits_of_paths_are_no_larger_than_that_of_all(registry: Registry) -> None:
    registry.model_loader(lambda: None)
    registry.predictor(max_batch_size=8)(lambda batch: batch)
    registry.predictor("/rank", max_batch_size=3)(lambda batch: batch)
    with TestClient(registry) as client:
        application = client._application
        application.configure(max_batch_size=4)
        assert application._model is not None
        concurrency = application._model.loaded.result().concurrency
        assert concurrency.batch_limits == {"/invocations": 4, "/rank": 3}
        assert client.invoke(1, path="/rank").json() == 1


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"max_batch": 4}, "max_batch is not an option; there are max_batch_size and max_batch_d"),
        ({"max_batch_size": 9}, "max_batch_size must be at most 8, as the program says; got 9"),
        ({"max_batch_size": 0}, "max_batch_size must be an integer from 1 to"),
        ({"max_batch_delay": -1}, "max_batch_delay must be a number of seconds"),
    ],
)
def test_what_cannot_be_used_is_refused(
    registry: Registry, options: dict[str, Any], problem: str
) -> None:
    Batches(registry)
    with TestClient(registry) as client, pytest.raises(StartError, match=problem):
        client._application.configure(**options)


def test_a_program_without_batches_has_no_options(registry: Registry) -> None:
    registry.model_loader(lambda: None)
    registry.predictor(lambda data: data)
    with TestClient(registry) as client:
        client._application.configure()
        with pytest.raises(StartError, match="takes no batches"):
            client._application.configure(max_batch_size=1)


def test_a_program_that_is_not_loaded_has_a_problem_and_no_options(registry: Registry) -> None:
    application = Application(Source(None, registry), ".")
    assert application.problem == "the program is not loaded"
    with pytest.raises(StartError, match="the program is not loaded"):
        application.configure()


@pytest.mark.parametrize("threads", [1, 2])
def test_a_program_whose_threads_are_all_stuck_is_not_healthy(
    registry: Registry, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGEMAKER_MODEL_SERVER_TIMEOUT", "1")
    may_go_on = threading.Event()
    registry.model_loader(lambda: None)
    registry.predictor(threads=threads)(lambda data: may_go_on.wait(20))
    with TestClient(registry) as client, ThreadPoolExecutor(threads) as pool:
        application = client._application
        replies = [pool.submit(client.invoke, 1)]
        for _ in range(threads - 1):
            assert replies[-1].result(20).status_code == 504
            assert client.ping().status_code == 200
            replies.append(pool.submit(client.invoke, 1))
        assert replies[-1].result(20).status_code == 504
        assert application.problem == "the program is at work for longer than 1 s"
        assert client.ping().json() == {"status": "critical", "cause": application.problem}
        may_go_on.set()
        wait_until(lambda: client.ping().status_code == 200)
        assert not application.problem
