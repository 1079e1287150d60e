"""InvokeEndpointWithBidirectionalStream, as a plain WebSocket.

SageMaker's own API is an event stream over HTTP/2; what the container sees is the same.
https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, InvalidURI
from websockets.frames import CloseCode

from sagemaker_inference._emulator import errors, headers
from sagemaker_inference._emulator.relay import Relay, closing
from sagemaker_inference._log import escaped

if TYPE_CHECKING:
    from starlette.websockets import WebSocket
    from websockets.asyncio.client import ClientConnection

    from sagemaker_inference._emulator.platform import Platform

PATH: Final = "invocations-bidirectional-stream"
_INVOCATION_PATH: Final = "X-Amzn-SageMaker-Model-Invocation-Path"
_QUERY: Final = "X-Amzn-SageMaker-Model-Query-String"

logger = logging.getLogger(__name__)


class Bidirectional:
    """Joins a caller's WebSocket and the container's.

    Args:
        platform: the endpoint.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    async def connect(self, websocket: WebSocket) -> None:
        """Serve a caller."""
        try:
            connection = await self._open(websocket)
        except errors.PlatformError as error:
            logger.warning("%s", escaped(f"{websocket.url.path}: {error}"))
            await websocket.send_denial_response(error.response(""))
            return
        async with closing(connection):
            await websocket.accept()
            await _Relay(websocket, connection).run()

    async def _open(self, websocket: WebSocket) -> ClientConnection:
        platform = self._platform
        limits = platform.limits
        platform.check_endpoint(str(websocket.path_params["name"]))
        platform.check_variant(websocket.headers.get(headers.TARGET_VARIANT))
        path = websocket.headers.get(_INVOCATION_PATH, PATH)
        if path.startswith("/"):
            message = f"{_INVOCATION_PATH} is {path!r}: it begins without a slash"
            raise errors.validation_error(message)
        query = websocket.headers.get(_QUERY, "")
        url = f"{platform.container.url.replace('http', 'ws', 1)}/{path}{query and '?'}{query}"
        try:
            return await connect(
                url,
                open_timeout=limits.answer,
                ping_interval=limits.websocket_ping,
                ping_timeout=limits.websocket_patience,
                max_size=None,
                compression=None,
                proxy=None,
                user_agent_header=None,
            )
        except InvalidURI as error:
            message = f"{_INVOCATION_PATH} or {_QUERY} is not one: {error}"
            raise errors.validation_error(message) from None
        except (TimeoutError, asyncio.TimeoutError):  # which are two until Python 3.11
            raise errors.timed_out(platform.identity) from None
        except InvalidHandshake as error:
            response = getattr(error, "response", None)
            if response is None:
                raise errors.no_response(platform.identity) from None
            text = (response.body or b"").decode(errors="replace")
            raise errors.model_error(platform.identity, response.status_code, text) from None
        except OSError:
            raise errors.no_response(platform.identity) from None


class _Relay(Relay):
    """What passes between a caller and the container."""

    def left(self, code: int | None, reason: str) -> tuple[int, str]:
        """See `Relay.left`: callers of SageMaker have no codes."""
        del code, reason
        return CloseCode.NORMAL_CLOSURE, ""

    def ended(self, code: int | None, reason: str) -> tuple[int, str]:
        """See `Relay.ended`."""
        if code is None:
            code, reason = CloseCode.INTERNAL_ERROR, "StreamBroken"
        logger.info("the container has closed the connection: %s %s", code, reason)
        return code, reason
