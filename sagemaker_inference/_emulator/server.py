"""The platform as a server on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import uvicorn

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from sagemaker_inference._emulator.platform import Platform

HOST: Final = "127.0.0.1"
# For requests in progress: as long as a container has.
_PATIENCE_SECONDS: Final = 30


def server(app: Starlette, platform: Platform, port: int) -> uvicorn.Server:
    """Create a server; its ``run`` returns after SIGINT or SIGTERM, when the container has ended.

    It also ends where the container does before it was ready.

    Args:
        app: the application of the platform.
        platform: the endpoint.
        port: where it serves, on this machine alone.
    """
    config = uvicorn.Config(
        app,
        host=HOST,
        port=port,
        log_config=None,
        access_log=False,
        lifespan="on",
        ws="websockets-sansio",
        timeout_graceful_shutdown=_PATIENCE_SECONDS,
    )
    made = uvicorn.Server(config)

    def end() -> None:
        made.should_exit = True

    platform.on_failed_start = end
    return made
