"""What several test files make: requests, and programs that are ready to answer."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from typing import TYPE_CHECKING, Any

from sagemaker_inference._config import Config
from sagemaker_inference._http.messages import Headers, Part, Request
from sagemaker_inference._inference.assembly import assemble
from sagemaker_inference._inference.inference_handler import run_without_loop
from sagemaker_inference._os.event_loop import EventLoop
from sagemaker_inference._os.output import Outputs
from sagemaker_inference._supervisor.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference._http.messages import Response
    from sagemaker_inference._inference.inference_handler import InferenceHandler
    from sagemaker_inference._ipc.messages import Report
    from sagemaker_inference._program.registry import Registry
    from sagemaker_inference._supervisor.outcome import Outcome


def config(**changes: Any) -> Config:
    """What the environment of a test says, but for what the test is about."""
    usual = {
        "port": 1,
        "payload_limit": 1 << 20,
        "response_limit": 1 << 20,
        "timeout": 60.0,
        "startup_timeout": 60.0,
    }
    return dataclasses.replace(Config.from_environment(), **{**usual, **changes})


def settings(**changes: Any) -> Settings:
    """What a supervisor on this machine serves, but for what a test is about."""
    names = {field.name for field in dataclasses.fields(Config)} - {"workers"}
    usual = {
        "config": config(**{name: changes.pop(name) for name in names & changes.keys()}),
        "program": None,
        "handler_service": "",
        "model_dir": "",
        "host": "127.0.0.1",
        "workers": 1,
        "gpus": [],
    }
    return Settings(**{**usual, **changes})


class LoopBench:
    """An owner of workers that notes what it hears, and the loop that tells it."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.outcomes: list[Outcome] = []
        self.loop = EventLoop()
        self.outputs = Outputs(self.loop)

    def on_all_loaded(self, report: Report) -> None:
        self.heard.append("loaded")

    def on_failed(self, outcome: Outcome) -> None:
        self.heard.append("failed")
        self.outcomes.append(outcome)

    def on_all_stopped(self) -> None:
        self.heard.append("stopped")

    def wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < deadline, self.heard
            self.loop.turn()


def request(
    body: bytes = b"[1, 2]",
    content_type: str = "application/json",
    accept: str = "",
    headers: dict[str, str] | None = None,
) -> Request:
    """A request as it comes off the wire."""
    return Request.from_body(body, content_type, accept, headers, id="id-1")


def form(*parts: tuple[str, str, bytes], accept: str = "") -> Request:
    """A request of named parts, as Multi Model Server's own back end takes it apart."""
    fields = [Part(*part) for part in parts]
    return Request("id-1", Headers([("Accept", accept)]), fields=fields)


def loaded(registry: Registry, model_dir: str = "/models/iris") -> InferenceHandler:
    """A loaded program."""
    handler = assemble(registry, "inference.py")
    handler.load(model_dir)
    return handler


def answers(registry: Registry, *requests: Request) -> list[Response]:
    """What a program answers to a batch."""
    handler = loaded(registry)
    coroutine = handler.answer(requests)
    return asyncio.run(coroutine) if handler.concurrency.is_async else run_without_loop(coroutine)


def answer(registry: Registry, asked: Request) -> Response:
    """What a program answers to one request."""
    return answers(registry, asked)[0]


def error_of(response: Response) -> dict[str, Any]:
    """The error in a JSON answer."""
    found: dict[str, Any] = json.loads(bytes(response.body))["error"]
    return found
