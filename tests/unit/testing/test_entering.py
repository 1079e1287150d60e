"""The test client's `with`, also where others use it or the load fails."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from sagemaker_inference.errors import StartError
from sagemaker_inference.testing import TestClient

if TYPE_CHECKING:
    from sagemaker_inference import Registry


def test_one_thread_enters_while_another_one_loads(registry: Registry) -> None:
    loading, go_on = threading.Event(), threading.Event()

    @registry.model_loader
    def load() -> None:
        loading.set()
        assert go_on.wait(10)

    registry.predictor(lambda data: data)
    client = TestClient(registry)
    with ThreadPoolExecutor(1) as pool:
        entered = pool.submit(client.__enter__)
        assert loading.wait(10)
        with pytest.raises(RuntimeError, match="the program is loaded already"):
            client.__enter__()
        go_on.set()
        entered.result()
    assert client.invoke(1).json() == 1
    client.__exit__()


def test_a_load_that_fails_can_be_tried_again(registry: Registry) -> None:
    failures = [KeyError("a")]

    @registry.model_loader
    def load() -> None:
        if failures:
            raise failures.pop()

    registry.predictor(lambda data: data)
    client = TestClient(registry)
    with pytest.raises(StartError):
        client.__enter__()
    with client:
        assert client.invoke(1).json() == 1
