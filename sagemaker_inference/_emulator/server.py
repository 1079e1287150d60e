"""The platform as a server on this machine."""

from __future__ import annotations

import logging
from asyncio import CancelledError
from typing import TYPE_CHECKING, Final

import uvicorn

if TYPE_CHECKING:
    from socket import socket
    from types import FrameType

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
    # A request that is given up at the end has not failed.
    logging.getLogger("uvicorn.error").addFilter(_is_not_cancelled)
    made = _Server(config)

    def end() -> None:
        made.should_exit = True

    platform.on_failed_start = end
    return made


class _Server(uvicorn.Server):
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        # After a second signal, it does not wait for requests, whose connections are to close.
        if self.force_exit:
            for task in tuple(self.server_state.tasks):
                task.cancel()

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        await super().shutdown(sockets)
        # The container is stopped as ever.
        if self.force_exit:
            await self.lifespan.shutdown()


def _is_not_cancelled(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], CancelledError))
