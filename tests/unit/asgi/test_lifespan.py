"""When the ASGI application loads its model, and what it answers until then."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from support.asgi_server import Call, Life, ask, run, until

from sagemaker_inference import Registry, asgi

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from sagemaker_inference._program.location import Program


def test_a_lifespan_loads_and_cleans_up(registry: Registry) -> None:
    heard: list[str] = []
    threads: set[int] = set()

    def note(word: str) -> None:
        heard.append(word)
        threads.add(threading.get_ident())

    registry.before_load(lambda: note("before"))
    registry.model_loader(lambda: note("load"))
    registry.warmup(lambda: note("warm up"))
    registry.predictor(lambda data: note("predict") or data)
    registry.on_shutdown(lambda: note("clean up"))
    application = asgi.app(registry)

    async def test() -> None:
        for _ in range(2):  # a server may start it again
            heard.clear()
            life = Life(application)
            assert await life.start() == {"type": "lifespan.startup.complete"}
            assert heard == ["before", "load", "warm up"]
            assert (await ask(application, "POST", "/invocations", b"1")).text == "1"
            assert await life.stop() == {"type": "lifespan.shutdown.complete"}
            assert heard[3:] == ["predict", "clean up"]
            assert len(threads) == 1
            assert threading.get_ident() not in threads
            threads.clear()

    run(test)


def test_a_failed_start_says_why(program: Callable[..., Program]) -> None:
    application = asgi.app(program("def model_fn(path):\n    {}['key']\n").path)

    async def test() -> None:
        message = await Life(application).start()
        assert message["type"] == "lifespan.startup.failed"
        assert "failed: KeyError\nTraceback" in message["message"]
        assert message["message"].endswith("KeyError: 'key'")

    run(test)


def test_while_the_model_loads_requests_are_told_so(registry: Registry) -> None:
    is_loading, may_load = threading.Event(), threading.Event()
    is_warming_up, may_warm_up = threading.Event(), threading.Event()
    registry.model_loader(lambda: is_loading.set() or may_load.wait(10))
    registry.warmup(lambda: is_warming_up.set() or may_warm_up.wait(10))
    registry.predictor(lambda data: data)
    application = asgi.app(registry)

    async def phase() -> str:
        call = await ask(application, "GET", "/ping")
        assert await call.status() == 503
        state = json.loads(call.text)
        assert state["status"] == "initializing"
        return str(state["phase"])

    async def test() -> None:
        life = Life(application)
        life.begin()
        await asyncio.sleep(0)  # until its task has begun
        await until(is_loading.is_set)
        assert await phase() == "loading"
        for path, message in (
            ("/invocations", "No model is loaded yet"),
            ("/embed", "No model is loaded yet"),
            ("/execution-parameters", "The model is not loaded yet"),
        ):
            method = "GET" if "-" in path else "POST"
            call = await ask(application, method, path)
            assert await call.status() == 503
            assert call.headers[b"retry-after"] == b"5"
            assert json.loads(call.text)["error"]["message"] == message
        call = await ask(application, "POST", "/predictions/model")
        assert "Model model is not loaded" in call.text
        call = await ask(application, "GET", "/metrics")
        assert 'health{state="initializing"} 1' in call.text
        assert "model_load_seconds{" not in call.text
        may_load.set()
        await until(is_warming_up.is_set)
        assert await phase() == "warming up"
        may_warm_up.set()
        assert (await life.sent.get())["type"] == "lifespan.startup.complete"
        assert await (await ask(application, "GET", "/ping")).status() == 200
        await life.stop()

    run(test)


def test_without_a_lifespan_the_first_requests_wait_for_the_model(registry: Registry) -> None:
    loads: list[int] = []
    may_load = threading.Event()
    registry.model_loader(lambda: loads.append(1) or may_load.wait(10))
    registry.predictor(lambda data: data)
    application = asgi.app(registry)

    async def test() -> None:
        calls = [Call(application, "POST", "/invocations").body(b"1") for _ in range(3)]
        await asyncio.sleep(0)  # until their tasks have begun
        calls[0].task.cancel()
        may_load.set()
        assert [await call.status() for call in calls[1:]] == [200, 200]
        assert loads == [1]

    run(test)


def test_without_a_lifespan_a_failed_load_is_answered(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    loads: list[int] = []
    registry.model_loader(lambda: loads.append(1) or 1 / 0)
    registry.predictor(lambda data: data)
    application = asgi.app(registry, docs=True)
    reason = f"loading the model from {Path.cwd()} failed: ZeroDivisionError"

    async def test() -> None:
        call = await ask(application, "GET", "/ping")
        assert await call.status() == 503
        assert json.loads(call.text) == {"status": "critical", "cause": reason}
        for method, path in (
            ("POST", "/invocations"),
            ("POST", "/models/model/invoke"),
            ("POST", "/embed"),
            ("GET", "/execution-parameters"),
            ("GET", "/openapi.json"),
        ):
            call = await ask(application, method, path)
            assert await call.status() == 503
            assert b"retry-after" not in call.headers
            assert json.loads(call.text)["error"]["message"] == reason
        call = await ask(application, "GET", "/metrics")
        assert 'health{state="critical"} 1' in call.text

    run(test)
    assert loads == [1]
    [record] = caplog.records
    assert record.getMessage() == f"the program is not loaded: {reason}"
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


def test_without_a_lifespan_a_program_that_cannot_be_imported_is_named(
    program: Callable[..., Program], caplog: pytest.LogCaptureFixture
) -> None:
    application = asgi.app(program("def model_fn(a, b, c, d): ...\n").path)

    async def test() -> None:
        call = await ask(application, "GET", "/ping")
        assert await call.status() == 503
        assert "model_fn" in json.loads(call.text)["cause"]

    run(test)
    assert "model_fn" in caplog.text
    assert "Traceback" not in caplog.text
