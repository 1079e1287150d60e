"""SageMaker's emulator in front of a small container, both in this process, and clients of it."""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from support.ports import free_port

from sagemaker_inference._cli._emulated_jobs import transform
from sagemaker_inference._emulator.application import application
from sagemaker_inference._emulator.identity import Identity
from sagemaker_inference._emulator.limits import REAL_TIME
from sagemaker_inference._emulator.models import Models
from sagemaker_inference._emulator.platform import Platform
from sagemaker_inference._emulator.storage import Storage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from starlette.requests import Request
    from starlette.websockets import WebSocket

    from sagemaker_inference._emulator.limits import Limits
    from sagemaker_inference._emulator.transform_jobs import Transform

# Patient where the machine has other work, and quick where the platform takes its time.
LIMITS = replace(REAL_TIME, accept=20.0, ping=20.0, first_ping_pause=0.01, ping_pause=0.01)


def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait until something is the case in another thread."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


@contextlib.contextmanager
def served(app: Any) -> Iterator[str]:
    """Run an ASGI application on a free port; yields its URL."""
    with served_at(free_port(), app) as url:
        yield url


@contextlib.contextmanager
def served_at(port: int, app: Any) -> Iterator[str]:
    """Run an ASGI application on a port; yields its URL."""
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            port=port,
            log_config=None,
            ws="websockets-sansio",
            timeout_graceful_shutdown=1,
        )
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started or not thread.is_alive())
    assert server.started
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


class Asked:
    """A request that the container has got."""

    def __init__(self, request: Request, body: bytes) -> None:
        self.method = request.method
        # As it was sent: some versions of Starlette read "%3F" as the beginning of a query.
        self.path = request.scope["raw_path"].decode()
        self.query = request.scope["query_string"].decode()
        self.body = body
        self.headers = request.headers
        # But for those that HTTP itself needs.
        self.names = {name for name in request.headers if name not in {"host", "content-length"}}

    async def echo(self) -> Response:
        """An answer with the body and the type of the request."""
        # Not media_type, to which Starlette adds a charset.
        kind = self.headers.get("content-type", "text/plain")
        return Response(self.body, 200, {"Content-Type": kind})


class SmallContainer:
    """A container whose answers a test chooses.

    Attributes:
        asked: the requests, but for pings and scrapes.
        answer: answers them.
        ping: answers pings.
        talk: serves WebSockets.
    """

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.pings = 0
        self.scrapes = 0
        self.answer: Callable[[Asked], Awaitable[Response]] = Asked.echo
        self.ping: Callable[[], Awaitable[Response]] = self._healthy
        self.metrics: Callable[[], Response] = lambda: Response(status_code=404)
        self.talk: Callable[[WebSocket], Awaitable[None]] | None = None
        methods = ["GET", "POST", "DELETE"]
        self.app = Starlette(
            routes=[
                Route("/ping", self._ping),
                Route("/metrics", self._scrape),
                WebSocketRoute("/{path:path}", self._talk),
                Route("/{path:path}", self._answer, methods=methods),
            ]
        )

    @staticmethod
    async def _healthy() -> Response:
        return Response()

    async def _ping(self, _: Request) -> Response:
        self.pings += 1
        return await self.ping()

    async def _scrape(self, _: Request) -> Response:
        self.scrapes += 1
        return self.metrics()

    async def _answer(self, request: Request) -> Response:
        asked = Asked(request, await request.body())
        self.asked.append(asked)
        return await self.answer(asked)

    async def _talk(self, websocket: WebSocket) -> None:
        assert self.talk is not None
        await self.talk(websocket)


class Emulated:
    """An emulator that runs, and boto3's clients of it.

    Attributes:
        url: where the emulator serves.
        platform: the emulator's endpoint.
        container: the container behind it.
        folder: what stands for S3.
        models: the endpoint's models, if they are many.
    """

    def __init__(
        self, url: str, platform: Platform, container: SmallContainer, folder: Path
    ) -> None:
        self.url = url
        self.folder = folder
        self.models: Models | None = None
        self._clients: dict[str, Any] = {}
        self._open: list[Any] = []
        self.platform = platform
        self.container = container

    def close(self) -> None:
        """Close the connections of clients."""
        for body in self._open:
            body.close()
        for client in self._clients.values():
            client.close()

    def client(self, service: str = "sagemaker-runtime") -> Any:
        """A client of boto3, with credentials that are nobody's."""
        if service not in self._clients:
            self._clients[service] = self._new_client(service)
        return self._clients[service]

    def _new_client(self, service: str) -> Any:
        import boto3
        from botocore.config import Config

        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="none",
            aws_secret_access_key="none",  # noqa: S106 - signatures are not checked
            config=Config(retries={"max_attempts": 0}),
        )

    def invoke(self, body: bytes = b"[1]", **more: Any) -> Any:
        """`invoke_endpoint` of boto3."""
        return self.closing(self.client().invoke_endpoint(EndpointName="demo", Body=body, **more))

    def closing(self, reply: Any) -> Any:
        """Note an answer whose body a test need not read."""
        self._open.append(reply["Body"])
        return reply


@contextlib.contextmanager
def emulated(
    container: SmallContainer | None = None,
    limits: Limits = LIMITS,
    *,
    url: str | None = None,
    models: Path | None = None,
    in_service: bool = True,
    transform: Transform = transform,
    **options: Any,
) -> Iterator[Emulated]:
    """Run the emulator before a container.

    Args:
        container: the container, which is started.
        limits: the platform's limits.
        url: where another container serves.
        models: the folder of many models.
        in_service: wait until the endpoint is in service.
        transform: transforms files, for transform jobs.
        **options: for `Platform`.
    """
    behind = container or SmallContainer()
    with contextlib.ExitStack() as stack:
        at = url or stack.enter_context(served(behind.app))
        platform = Platform(at, Identity("demo"), limits, **options)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        many = None
        if models is not None:
            many = Models(platform, models, folder / "unpacked")
        app = application(platform, Storage(folder), many, transform)
        own = stack.enter_context(served(app))
        if in_service:
            until(lambda: platform.health.status == "InService")
        running = Emulated(own, platform, behind, folder)
        running.models = many
        stack.callback(running.close)
        yield running
