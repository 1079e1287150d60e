"""A caller's request: its id, its body, and the answer where it fails."""

from __future__ import annotations

import logging
from time import monotonic
from typing import TYPE_CHECKING
from uuid import uuid4

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from sagemaker_inference._emulator import errors
from sagemaker_inference._http.messages import CLIENT_CLOSED_REQUEST
from sagemaker_inference._log import escaped

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Handler = Callable[["Exchange"], Awaitable[Response]]


logger = logging.getLogger(__name__)


class Exchange:
    """A request and what belongs to it.

    Args:
        request: the request.

    Attributes:
        id: the request's id, which the caller gets.
        headers: the caller's.
    """

    def __init__(self, request: Request) -> None:
        self.id = str(uuid4())
        self.request = request
        self.headers = request.headers
        self.began = monotonic()

    @property
    def endpoint(self) -> str:
        """The name of the endpoint, or of the inference router, in the path."""
        return str(self.request.path_params["name"])

    async def body(self, limit: int, status: int = 400) -> bytes:
        """Read the body.

        Args:
            limit: the largest size that is allowed.
            status: the status of the error.

        Raises:
            PlatformError: it is larger.
        """
        chunks = []
        size = 0
        async for chunk in self.request.stream():
            size += len(chunk)
            # Read to the end: a caller that is still sending would not read the answer.
            if size <= limit:
                chunks.append(chunk)
        if size > limit:
            logger.warning("the body has %d bytes: SageMaker takes at most %d", size, limit)
            raise errors.too_large(self.id, status)
        return b"".join(chunks)


def answering(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """A route of Starlette: what a handler raises is the answer, and each request has a line."""

    async def answer(request: Request) -> Response:
        exchange = Exchange(request)
        try:
            response = await handler(exchange)
        except errors.PlatformError as error:
            _report(exchange, f"{error.status} {error}")
            return error.response(exchange.id)
        except ClientDisconnect:
            # The application has not failed, and nobody will read this answer.
            _report(exchange, "the caller has gone")
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        response.headers["x-amzn-RequestId"] = exchange.id
        _report(exchange, str(response.status_code))
        return response

    return answer


def _report(exchange: Exchange, result: str) -> None:
    took = (monotonic() - exchange.began) * 1000
    request = exchange.request
    line = escaped(f"{request.method} {request.url.path}: {result}")
    logger.info("%s (%.0f ms)", line, took)
