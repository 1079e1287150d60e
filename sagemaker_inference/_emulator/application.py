"""The platform as an ASGI application."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Route, WebSocketRoute

from sagemaker_inference._emulator import errors
from sagemaker_inference._emulator.async_invocations import AsyncInvocations
from sagemaker_inference._emulator.bidirectional import PATH as BIDIRECTIONAL
from sagemaker_inference._emulator.bidirectional import Bidirectional
from sagemaker_inference._emulator.control_plane import ControlPlane
from sagemaker_inference._emulator.exchange import Exchange, answering
from sagemaker_inference._emulator.faults import Faults
from sagemaker_inference._emulator.guard import Guard
from sagemaker_inference._emulator.inference_routers import InferenceRouters
from sagemaker_inference._emulator.invocations import Invocations
from sagemaker_inference._emulator.openai import OpenAI
from sagemaker_inference._emulator.streams import Streams

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.responses import Response

    from sagemaker_inference._emulator.exchange import Handler
    from sagemaker_inference._emulator.models import Models
    from sagemaker_inference._emulator.platform import Platform
    from sagemaker_inference._emulator.storage import Storage
    from sagemaker_inference._emulator.transform_jobs import Transform


def application(
    platform: Platform,
    storage: Storage,
    models: Models | None = None,
    transform: Transform | None = None,
) -> Starlette:
    """Create the application; its lifespan pings the container.

    Args:
        platform: the endpoint.
        storage: what stands for S3.
        models: the endpoint's models, if they are many.
        transform: transforms files, for transform jobs; None where there are none.
    """
    invocations = Invocations(platform, models)
    streams = Streams(platform)
    openai = OpenAI(platform)
    asynchronous = AsyncInvocations(platform, storage)
    routers = InferenceRouters(platform, asynchronous)
    bidirectional = Bidirectional(platform)
    control_plane = ControlPlane(platform, storage, transform)
    faults = Faults(platform)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with platform.running():
            yield

    return Starlette(
        routes=[
            _post("/endpoints/{name}/invocations", invocations.invoke),
            _post("/endpoints/{name}/invocations-response-stream", streams.invoke),
            _post("/endpoints/{name}/async-invocations", asynchronous.invoke),
            _post("/inference-routers/{name}/invocations", routers.invoke),
            _post("/inference-routers/{name}/async-invocations", routers.invoke_later),
            WebSocketRoute(f"/endpoints/{{name}}/{BIDIRECTIONAL}", bidirectional.connect),
            _post("/", control_plane.answer),
            _post("/_emulator/sigterm", faults.sigterm),
            _post("/_emulator/kill-worker", faults.kill_worker),
            _post("/endpoints/{name}/openai/v1/{path:path}", openai.invoke),
            _post(
                "/endpoints/{name}/inference-components/{component}/openai/v1/{path:path}",
                openai.invoke,
            ),
        ],
        lifespan=lifespan,
        middleware=[Middleware(Guard)],
        exception_handlers={HTTPException: _refuse, Exception: _fail},
    )


def _post(path: str, handler: Handler) -> Route:
    return Route(path, answering(handler), methods=["POST"])


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for that
    answer = errors.PlatformError(
        error.status_code,
        "UnknownOperationException",
        f"{request.method} {request.url.path} is not an operation of SageMaker",
    )
    return answer.response(Exchange(request).id)


async def _fail(request: Request, _: Exception) -> Response:
    return errors.internal_failure().response(Exchange(request).id)
