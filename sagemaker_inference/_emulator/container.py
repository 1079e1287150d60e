"""The container, as the platform sees it: an HTTP server on one port."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

import anyio
import httpx

from sagemaker_inference._emulator import errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from sagemaker_inference._emulator.faults import Reading
    from sagemaker_inference._emulator.identity import Identity
    from sagemaker_inference._emulator.limits import Limits

INVOCATIONS = "/invocations"


class Answer(NamedTuple):
    """A container's whole answer."""

    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def text(self) -> str:
        """The body, for messages."""
        return self.body.decode(errors="replace")


class Container:
    """Sends requests to the container.

    Args:
        url: where it serves.
        identity: the endpoint, for errors.
        limits: the platform's.
        reading: how answers are read.
    """

    def __init__(self, url: str, identity: Identity, limits: Limits, reading: Reading) -> None:
        self.url = url.rstrip("/")
        self.identity = identity
        self.limits = limits
        self.reading = reading
        # A variable for proxies is not about this machine.
        self._client = httpx.AsyncClient(
            base_url=self.url,
            timeout=httpx.Timeout(None, connect=limits.accept),
            limits=httpx.Limits(max_connections=None, keepalive_expiry=5.0),
            trust_env=False,
        )
        # The container sees no header that the caller has not sent.
        self._client.headers.clear()

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def get(self, path: str, limit: float) -> Answer:
        """Send a GET request.

        Raises:
            httpx.HTTPError: there is no answer.
            TimeoutError: not in time.
        """
        return await self.request("GET", path, limit=limit)

    async def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        limit: float,
    ) -> Answer:
        """Send a request and read the answer.

        Args:
            method: the HTTP method.
            path: the path.
            body: the body.
            headers: the headers.
            limit: seconds.

        Raises:
            httpx.HTTPError: there is no answer.
            TimeoutError: not in time.
        """
        with anyio.fail_after(limit):
            response = await self._client.request(
                method, path, content=body or None, headers=dict(headers or {})
            )
        return Answer(response.status_code, response.headers, response.content)

    async def invoke(
        self, path: str, body: bytes, headers: Mapping[str, str], limit: float | None = None
    ) -> Answer:
        """Send a caller's request, and read the answer.

        Args:
            path: the container's path.
            body: the body.
            headers: the headers.
            limit: seconds; None for the platform's limit.

        Raises:
            PlatformError: ModelError: there is no answer, or none that the platform passes on.
        """
        seconds = self.limits.answer if limit is None else limit
        try:
            with anyio.fail_after(seconds):
                async with self.opened(path, body, headers) as response:
                    content = await self._read(response)
        except TimeoutError:
            raise errors.timed_out(self.identity) from None
        return Answer(response.status_code, response.headers, content)

    @asynccontextmanager
    async def opened(
        self, path: str, body: bytes, headers: Mapping[str, str]
    ) -> AsyncIterator[httpx.Response]:
        """Send a caller's request; the answer's head has been read, and is one of success.

        Raises:
            PlatformError: ModelError: there is no answer, or one of failure.
        """
        request = self._client.build_request("POST", path, content=body, headers=dict(headers))
        try:
            response = await self._client.send(request, stream=True)
        except httpx.TransportError:
            raise errors.no_response(self.identity) from None
        try:
            if not response.is_success:
                raise await self._failure(response)
            yield response
        finally:
            with anyio.CancelScope(shield=True):
                await response.aclose()

    async def _failure(self, response: httpx.Response) -> errors.PlatformError:
        status = response.status_code
        content = await self._read(response)
        text = content.decode(errors="replace")
        return errors.model_error(self.identity, status, text)

    async def _read(self, response: httpx.Response) -> bytes:
        # Not aread, which would undo a Content-Encoding.
        try:
            return b"".join([chunk async for chunk in self.reading.chunks(response)])
        except httpx.TransportError:
            raise errors.model_error(self.identity, response.status_code, None) from None
