"""The servers that people run ASGI applications with."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import hypercorn.asyncio
import hypercorn.config
import uvicorn
from support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference import asgi


def under_uvicorn(
    application: asgi.Application, check: Callable[[int], None], ws: Any = "none"
) -> None:
    """Serve an application while a function talks to a port; ws is uvicorn's option."""
    port = free_port()
    # Without logging of uvicorn's own, which later tests of the process would have, too.
    config = uvicorn.Config(application, port=port, log_config=None, lifespan="on", ws=ws)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        check(port)
    finally:
        server.should_exit = True
        thread.join()


def under_hypercorn(application: asgi.Application, check: Callable[[int], None]) -> None:
    """Serve an application while a function talks to a port."""
    port = free_port()
    config = hypercorn.config.Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.errorlog = None

    async def serve() -> None:
        ended = asyncio.Event()
        serving = asyncio.create_task(
            hypercorn.asyncio.serve(application, config, shutdown_trigger=ended.wait)  # type: ignore[arg-type]
        )
        try:
            await asyncio.to_thread(check, port)
        finally:
            ended.set()
            await serving

    asyncio.run(serve())
