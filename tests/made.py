"""What several test files make: requests, and programs that are ready to answer."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from sagemaker_inference.assembly import assemble
from sagemaker_inference.pipeline import Pipeline
from sagemaker_inference.requests import Headers, Part, Request
from sagemaker_inference.service import run

if TYPE_CHECKING:
    from sagemaker_inference.registry import Registry
    from sagemaker_inference.requests import Response


def request(
    body: bytes = b"[1, 2]",
    content_type: str = "application/json",
    accept: str = "",
    headers: dict[str, str] | None = None,
) -> Request:
    """A request as it comes off the wire."""
    items = {"Content-Type": content_type, "Accept": accept, **(headers or {})}
    items = {name: value for name, value in items.items() if value}
    return Request("id-1", Headers(items.items()), [Part("body", content_type, body)])


def form(*parts: tuple[str, str, bytes], accept: str = "") -> Request:
    """A request of named parts."""
    return Request("id-1", Headers([("Accept", accept)]), [Part(*part) for part in parts])


def pipeline(registry: Registry, model_dir: str = "/models/iris") -> Pipeline:
    """A loaded program."""
    ready = Pipeline(assemble(registry, "inference.py"), model_dir)
    ready.load()
    return ready


def answers(registry: Registry, *requests: Request) -> list[Response]:
    """What a program answers to a batch."""
    ready = pipeline(registry)
    coroutine = ready.answer(requests)
    return asyncio.run(coroutine) if ready.plan.is_async else run(coroutine)


def answer(registry: Registry, asked: Request) -> Response:
    """What a program answers to one request."""
    return answers(registry, asked)[0]


def error_of(response: Response) -> dict[str, Any]:
    """The error in a JSON answer."""
    found: dict[str, Any] = json.loads(bytes(response.body))["error"]
    return found
