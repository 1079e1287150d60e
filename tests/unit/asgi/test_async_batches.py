"""Batches of programs that run in an event loop: as a worker forms them."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
from support.builders import config, request
from support.streams import wait_until

from sagemaker_inference.asgi._batch_options import changed
from sagemaker_inference.asgi._model_thread import ModelThread
from sagemaker_inference.asgi._source import Source

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sagemaker_inference import Registry
    from sagemaker_inference.asgi._inbox import Work


class Program:
    """Answers batches when it may, and notes what it gets."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self.may_go_on = threading.Event()
        self.loop: Any = None

    async def stream(self, batch: list[Any]) -> AsyncIterator[list[Any]]:
        self.loop = asyncio.get_running_loop()
        self.batches.append(batch)
        while not self.may_go_on.is_set():  # noqa: ASYNC110 - it is of another thread
            await asyncio.sleep(0.001)
        yield batch
        await asyncio.sleep(0)
        yield batch

    def predict(self, batch: list[Any]) -> list[Any]:
        self.batches.append(batch)
        assert self.may_go_on.wait(10)
        return batch

    @property
    def sizes(self) -> list[int]:
        return [len(batch) for batch in self.batches]


@pytest.fixture
def program() -> Program:
    return Program()


@pytest.fixture
def models() -> Iterator[list[ModelThread]]:
    """Those that are to end with the test."""
    started: list[ModelThread] = []
    yield started
    for model in started:
        model.close()
        model.ended.result(10)


def start(models: list[ModelThread], registry: Registry) -> ModelThread:
    model = ModelThread(Source(None, registry), ".", config())
    model.start()
    model.loaded.result(10)
    models.append(model)
    return model


def submit(model: ModelThread, *bodies: int, path: str = "/invocations") -> list[Work]:
    works = []
    for body in bodies:
        sent = request(str(body).encode())
        sent.path = path
        works.append(model.submit(sent))
    return works


def statuses(works: list[Work]) -> list[int]:
    return [work.answer.result(10).status for work in works]


async def read(body: bytes, content_type: str) -> int:
    return int(body)


@pytest.mark.parametrize("kind", ["stream", "predict"])
def test_requests_that_wait_form_the_next_batch(
    registry: Registry, models: list[ModelThread], program: Program, kind: str
) -> None:
    """Of a generator, and of a plain function whose decoder is async."""
    registry.model_loader(lambda: None)
    registry.decoder("application/json")(read)
    registry.predictor(max_batch_size=8)(getattr(program, kind))
    model = start(models, registry)
    works = submit(model, 0)
    wait_until(lambda: program.sizes == [1])
    works += submit(model, *range(1, 11))
    program.may_go_on.set()
    for work in works:
        body = work.answer.result(10).body
        if kind == "stream":
            body.leave()  # type: ignore[union-attr]
    assert statuses(works) == [200] * 11
    wait_until(lambda: len(program.batches) == 3)
    assert program.batches == [[0], list(range(1, 9)), [9, 10]]


def test_a_batch_begins_when_the_streams_of_the_last_one_have_ended(
    registry: Registry, models: list[ModelThread], program: Program
) -> None:
    program.may_go_on.set()
    registry.model_loader(lambda: None)
    registry.predictor(max_batch_size=4)(program.stream)
    model = start(models, registry)
    [first] = submit(model, 1)
    assert first.answer.result(10).status == 200
    [second] = submit(model, 2)
    asyncio.run_coroutine_threadsafe(asyncio.sleep(0.02), program.loop).result(10)
    assert program.batches == [[1]]
    assert not second.answer.done()
    first.answer.result().body.leave()  # type: ignore[union-attr]
    assert second.answer.result(10).status == 200
    second.answer.result().body.leave()  # type: ignore[union-attr]
    assert program.batches == [[1], [2]]


def test_a_batch_waits_as_long_as_the_program_says(
    registry: Registry, models: list[ModelThread], program: Program
) -> None:
    program.may_go_on.set()
    registry.model_loader(lambda: None)
    registry.decoder("application/json")(read)
    registry.predictor(max_batch_size=3, max_batch_delay=10)(program.predict)
    model = start(models, registry)
    works = submit(model, 0)
    works += submit(model, 1)
    wait_until(lambda: model.waiting == 0)
    assert not program.batches
    works += submit(model, 2)
    assert statuses(works) == [200] * 3
    assert program.batches == [[0, 1, 2]]


def test_a_window_ends(registry: Registry, models: list[ModelThread], program: Program) -> None:
    program.may_go_on.set()
    registry.model_loader(lambda: None)
    registry.decoder("application/json")(read)
    registry.predictor(max_batch_size=3, max_batch_delay=0.01)(program.predict)
    assert statuses(submit(start(models, registry), 0)) == [200]
    assert program.batches == [[0]]


def test_a_batch_that_waits_is_answered_when_the_program_ends(
    registry: Registry, models: list[ModelThread], program: Program
) -> None:
    program.may_go_on.set()
    registry.model_loader(lambda: None)
    registry.decoder("application/json")(read)
    registry.predictor(max_batch_size=3, max_batch_delay=60)(program.predict)
    model = start(models, registry)
    works = submit(model, 0)
    model.close()
    assert statuses(works) == [200]
    assert program.batches == [[0]]


def test_each_path_has_calls_of_its_own(
    registry: Registry, models: list[ModelThread], program: Program
) -> None:
    registry.model_loader(lambda: None)
    registry.decoder("application/json")(read)
    registry.predictor(max_batch_size=8, max_batch_delay=60)(program.predict)
    registry.predictor("/pairs", max_batch_size=2)(program.predict)
    registry.predictor("/single")(lambda item: program.batches.append([item]))
    model = start(models, registry)
    works = submit(model, 9)
    wait_until(lambda: program.sizes == [1])
    works += submit(model, 0, path="/single")
    works += submit(model, 1, 2)
    works += submit(model, 3, 4, 5, path="/pairs")
    works += submit(model, 6, path="/single")
    program.may_go_on.set()
    assert statuses(works) == [200] * 8
    assert program.batches == [[9], [0], [1, 2], [3, 4], [5], [6]]


def test_a_request_to_a_path_without_batches_does_not_wait_for_others(
    registry: Registry, models: list[ModelThread], program: Program
) -> None:
    program.may_go_on.set()
    registry.model_loader(lambda: None)
    registry.decoder("application/json")(read)
    registry.predictor(max_batch_size=8, max_batch_delay=60)(program.predict)
    registry.predictor("/single", max_batch_delay=60)(lambda item: program.batches.append([item]))
    model = start(models, registry)
    works = submit(model, 0)
    wait_until(lambda: model.waiting == 0)
    assert not program.batches
    works += submit(model, 1, path="/single")
    assert statuses(works) == [200] * 2
    assert program.batches == [[0], [1]]


def test_options_change_from_the_next_batch_on(
    registry: Registry, models: list[ModelThread], program: Program
) -> None:
    registry.model_loader(lambda: None)
    registry.decoder("application/json")(read)
    registry.predictor(max_batch_size=8)(program.predict)
    model = start(models, registry)
    works = submit(model, 0)
    wait_until(lambda: program.sizes == [1])
    handler = model.loaded.result()
    handler.concurrency = changed(model.declared, {"max_batch_size": 1})
    works += submit(model, 1, 2)
    program.may_go_on.set()
    assert statuses(works) == [200] * 3
    assert program.batches == [[0], [1], [2]]


def test_one_failure_is_its_own(registry: Registry, models: list[ModelThread]) -> None:
    has_begun, may_go_on = threading.Event(), threading.Event()

    async def predict(batch: list[int]) -> AsyncIterator[list[float]]:
        has_begun.set()
        while not may_go_on.is_set():  # noqa: ASYNC110 - it is of another thread
            await asyncio.sleep(0.001)
        yield [1 / item for item in batch]

    registry.model_loader(lambda: None)
    registry.predictor(max_batch_size=8)(predict)
    model = start(models, registry)
    works = submit(model, 1)
    has_begun.wait(10)
    works += submit(model, 2, 0, 4)
    may_go_on.set()
    for work in works:
        if hasattr(body := work.answer.result(10).body, "leave"):
            body.leave()
    assert statuses(works) == [200, 200, 500, 200]


def test_what_fails_outside_of_handlers_is_a_failure(
    registry: Registry, models: list[ModelThread], caplog: pytest.LogCaptureFixture
) -> None:
    registry.model_loader(lambda: None)
    registry.decoder("application/json")(read)
    registry.predictor(max_batch_size=8)(lambda batch: batch)
    model = start(models, registry)
    handler: Any = model.loaded.result()
    answer = handler.answer

    async def fail(_requests: Any) -> Any:
        raise ValueError

    handler.answer = fail
    assert statuses(submit(model, 1)) == [500]
    assert "requests got no answer" in caplog.text
    handler.answer = answer
    assert statuses(submit(model, 1)) == [200]


def test_health_is_checked_while_a_batch_runs(
    registry: Registry, models: list[ModelThread], program: Program
) -> None:
    is_healthy = [True]
    registry.model_loader(lambda: None)
    registry.predictor(max_batch_size=8)(program.stream)
    registry.health_check(interval=0.01)(lambda: is_healthy[0])
    model = start(models, registry)
    [work] = submit(model, 1)
    wait_until(lambda: program.sizes == [1])
    is_healthy[0] = False
    wait_until(lambda: "health check has failed" in model.problem)
    is_healthy[0] = True
    wait_until(lambda: not model.problem)
    program.may_go_on.set()
    work.answer.result(10).body.leave()  # type: ignore[union-attr]
