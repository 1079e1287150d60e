"""InvokeEndpointWithResponseStream.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpointWithResponseStream.html
"""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

import anyio
import httpx
from starlette.responses import Response, StreamingResponse

from sagemaker_inference._emulator import errors, event_stream, headers
from sagemaker_inference._emulator.container import INVOCATIONS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Receive, Scope, Send

    from sagemaker_inference._emulator.container import Container
    from sagemaker_inference._emulator.exchange import Exchange
    from sagemaker_inference._emulator.platform import Platform

API: Final = "InvokeEndpointWithResponseStream"

logger = logging.getLogger(__name__)


class OpenStream:
    """A container's answer that is read as it comes; closed by `close`.

    Attributes:
        response: its head.
        first: its first chunk; None if it has none.
    """

    def __init__(self, container: Container) -> None:
        self._container = container
        self._stack = AsyncExitStack()
        self._deadline = anyio.current_time() + container.limits.stream
        self.response: httpx.Response
        self.first: bytes | None = None

    async def open(self, path: str, body: bytes, passed: dict[str, str]) -> None:
        """Send the request, and wait for the first chunk.

        Args:
            path: the container's path.
            body: the body.
            passed: the headers.

        Raises:
            PlatformError: ModelError: it did not come.
        """
        identity = self._container.identity
        try:
            with anyio.fail_after(self._container.limits.answer):
                opened = self._container.opened(path, body, passed)
                self.response = await self._stack.enter_async_context(opened)
                self._chunks = self._container.reading.chunks(self.response)
                self.first = await anext(self._chunks, None)
        except TimeoutError:
            await self.close()
            raise errors.timed_out(identity) from None
        except httpx.TransportError:
            await self.close()
            raise errors.model_error(identity, self.response.status_code, None) from None

    async def chunks(self) -> AsyncIterator[bytes]:
        """The chunks, from the first on.

        Raises:
            TimeoutError: the stream takes longer than the platform allows.
            httpx.TransportError: it broke off.
        """
        chunk = self.first
        while chunk is not None:
            yield chunk
            with anyio.fail_after(self._deadline - anyio.current_time()):
                chunk = await anext(self._chunks, None)

    async def close(self) -> None:
        """Close the connection to the container, unless the answer was complete."""
        await self._stack.aclose()


class StreamedResponse(StreamingResponse):
    """An answer from an open stream, which is closed with it.

    Args:
        source: the stream.
        content: the body.
        status: the status.
        named: the headers.
    """

    def __init__(
        self,
        source: OpenStream,
        content: AsyncIterator[bytes],
        status: int,
        named: dict[str, str],
    ) -> None:
        super().__init__(content, status, named)
        self._source = source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await self._source.close()


class Streams:
    """Answers InvokeEndpointWithResponseStream.

    Args:
        platform: the endpoint.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    async def invoke(self, exchange: Exchange) -> Response:
        """Answer a request, from the first part on.

        Raises:
            PlatformError: it fails before that.
        """
        platform = self._platform
        body = await exchange.body(platform.limits.request_size)
        headers.check(exchange.headers, streams=True)
        platform.check_endpoint(exchange.endpoint)
        variant = platform.check_variant(exchange.headers.get(headers.TARGET_VARIANT))
        source = OpenStream(platform.container)
        passed = headers.to_container(exchange.headers, headers.STREAM, API)
        await source.open(INVOCATIONS, body, passed)
        named = headers.to_stream_caller(source.response.headers, variant)
        named["Content-Type"] = event_stream.CONTENT_TYPE
        return StreamedResponse(source, self._events(source), source.response.status_code, named)

    @staticmethod
    async def _events(source: OpenStream) -> AsyncIterator[bytes]:
        try:
            async for chunk in source.chunks():
                yield event_stream.payload_part(chunk)
        except TimeoutError:
            logger.warning("the stream took too long: ModelInvocationTimeExceeded")
            yield event_stream.model_stream_error(event_stream.TIME_EXCEEDED)
        except httpx.TransportError:
            logger.warning("the container broke the stream off: StreamBroken")
            yield event_stream.model_stream_error(event_stream.STREAM_BROKEN)
        except Exception:
            logger.exception("the emulator has failed")
            yield event_stream.internal_stream_failure()
