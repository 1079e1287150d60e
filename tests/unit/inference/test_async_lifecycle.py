"""Async loaders, warm-ups and shut-downs: one event loop from the load to the end."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import pytest
from support.builders import request
from support.deployed import benches

from sagemaker_inference import transformer
from sagemaker_inference._inference.assembly import assemble
from sagemaker_inference._inference.inference_handler import run_without_loop
from sagemaker_inference._inference.runner import Runner
from sagemaker_inference._supervisor.outcome import STOPPING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.deployed import Bench

    from sagemaker_inference import Registry


def test_every_handler_of_a_program_runs_in_one_loop(registry: Registry) -> None:
    loops: list[Any] = []

    def note() -> None:
        loops.append(asyncio.get_running_loop())

    @registry.before_load
    async def prepare() -> None:
        note()

    @registry.model_loader
    async def load() -> str:
        await asyncio.sleep(0)
        note()
        return "model"

    @registry.warmup
    async def warm(model_dir: str, model: str) -> None:
        assert (model_dir, model) == ("/m", "model")
        note()

    @registry.predictor
    async def predict(data: object, model: str) -> str:
        note()
        return model

    @registry.on_shutdown
    async def clean_up(model: str) -> None:
        assert model == "model"
        note()

    handler = assemble(registry)
    assert not handler.has_event_loop
    handler.load("/m")
    assert handler.has_event_loop
    [response] = handler.run(handler.answer([request()]))
    assert bytes(response.body) == b'"model"'
    handler.close()
    assert len(loops) == 5
    assert len(set(loops)) == 1
    assert loops[0].is_closed()


def test_aws_transformer_answers_in_the_loop_of_the_loader(registry: Registry) -> None:
    @registry.model_loader
    async def load() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    @registry.predictor
    async def predict(data: object, model: asyncio.AbstractEventLoop) -> bool:
        return model is asyncio.get_running_loop()

    handler = assemble(registry)
    handler.load("/m")
    [response] = transformer._run(handler, [request()])
    assert bytes(response.body) == b"true"
    handler.close()


def test_a_program_may_await_its_model_alone(registry: Registry) -> None:
    @registry.model_loader
    async def load() -> int:
        return 3

    registry.predictor(lambda data, model: model)
    handler = assemble(registry)
    handler.load("/m")
    assert not handler.concurrency.is_async
    [response] = run_without_loop(handler.answer([request()]))
    assert bytes(response.body) == b"3"
    handler.close()
    assert not handler.has_event_loop


def test_what_an_async_shutdown_raises_is_logged(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    registry.model_loader(lambda: None)
    registry.predictor(lambda data: data)

    @registry.on_shutdown
    async def clean_up() -> None:
        raise ValueError("gone")

    handler = assemble(registry)
    handler.load("/m")
    handler.close()
    assert "ValueError: gone" in caplog.text
    assert not handler.has_event_loop


def test_tasks_that_are_left_are_cancelled_at_the_end() -> None:
    ends: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    async def start() -> None:
        tasks.append(asyncio.create_task(work()))
        await asyncio.sleep(0)

    tasks: list[asyncio.Task[None]] = []
    runner = Runner()
    runner.run(start())
    runner.close()
    runner.close()
    assert ends == ["cancelled"]


def test_tasks_are_cancelled_where_one_exits() -> None:
    ends: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ends.append("cancelled")

    async def leave() -> None:
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(sys.exit, 3)
        await task

    runner = Runner()
    with pytest.raises(SystemExit):
        runner.run(leave())
    assert ends == ["cancelled"]
    assert not runner.is_open


# The answers of a task that the loader has started, and whether all is in one loop.
FED = """
    import asyncio
    from pathlib import Path
    from sagemaker_inference import model_loader, on_shutdown, transformer

    class Feed:
        def __init__(self, folder):
            self.folder, self.asked, self.loop = folder, asyncio.Queue(), asyncio.get_running_loop()
            self.task = asyncio.create_task(self.serve())

        async def serve(self):
            while True:
                text, answer = await self.asked.get()
                answer.set_result(text.upper())

    @model_loader
    async def load(model_dir):
        return Feed(Path(model_dir))

    @transformer
    async def transform(model, body: str):
        answer = model.loop.create_future()
        model.asked.put_nowait((body, answer))
        return await answer, "a/b"

    @on_shutdown
    async def close(model):
        assert model.loop is asyncio.get_running_loop()
        model.task.cancel()
        (model.folder / "closed").touch()
"""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    with benches(tmp_path) as make:
        yield make


@pytest.mark.parametrize("preload", [False, True])
def test_a_worker_keeps_what_its_loader_has_opened(
    bench: Callable[..., Bench],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    *,
    preload: bool,
) -> None:
    one = bench(FED, preload=preload)
    one.wait(lambda: "loaded" in one.heard)
    assert b"ABC" in one.ask(b"abc")
    one.workers.stop(STOPPING)
    one.wait(lambda: "stopped" in one.heard)
    assert (tmp_path / "closed").exists()
    is_refused = "whose event loop belongs to one process" in caplog.text
    assert is_refused is preload
