"""A program that streams when it may, for tests of the ASGI application."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

from sagemaker_inference import asgi

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from support.asgi_server import Call

    from sagemaker_inference import Registry

KINDS = ["plain", "threads", "async"]
EVENTS = "text/event-stream"


class Items:
    """A program that yields a number when it may, and what has become of it."""

    def __init__(self, registry: Registry, kind: str) -> None:
        self.may_go_on = threading.Semaphore(0)
        self.is_closed = threading.Event()
        self.error: BaseException | None = None
        registry.model_loader(lambda: None)
        predict: Any = self.predict_async if kind == "async" else self.predict
        registry.predictor(**({"threads": 2} if kind == "threads" else {}))(predict)
        self.application = asgi.app(registry)

    def predict(self, count: int) -> Iterator[int]:
        try:
            for number in range(count):
                assert self.may_go_on.acquire(timeout=20)
                yield number
            if self.error is not None:
                raise self.error
        finally:
            self.is_closed.set()

    async def predict_async(self, count: int) -> AsyncIterator[int]:
        try:
            for number in range(count):
                while not self.may_go_on.acquire(blocking=False):  # noqa: ASYNC110 - of a thread
                    await asyncio.sleep(0.001)
                yield number
            if self.error is not None:
                raise self.error
        finally:
            self.is_closed.set()


def bodies(call: Call) -> list[bytes]:
    return [message["body"] for message in call.sent[1:]]
