"""InvokeInferenceRouter and InvokeInferenceRouterAsync, for routers with this one destination.

The rules are those of botocore's service model of 2026-01-01.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

from sagemaker_inference._emulator import errors, headers
from sagemaker_inference._emulator.container import INVOCATIONS
from sagemaker_inference._emulator.invocations import API

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagemaker_inference._emulator.async_invocations import AsyncInvocations
    from sagemaker_inference._emulator.exchange import Exchange
    from sagemaker_inference._emulator.platform import Platform

_TOO_LARGE: Final = 413
# The destination is in the router's Region, and healthy.
_REASON: Final = "local-preferred"
# Errors of endpoints have other names here.
_CODES: Final = {
    "ValidationError": "ValidationException",
    "ServiceUnavailable": "ServiceUnavailableException",
}
_RETURNED: Final = (headers.CUSTOM_ATTRIBUTES, headers.INVOKED_VARIANT)
_PASSED: Final = {
    name: name
    for name in ("Content-Type", "Accept", headers.CUSTOM_ATTRIBUTES, headers.INFERENCE_ID)
}


class InferenceRouters:
    """Answers for routers of any name, and for routing targets of any name.

    Args:
        platform: the endpoint to which they route.
        asynchronous: its asynchronous requests.
    """

    def __init__(self, platform: Platform, asynchronous: AsyncInvocations) -> None:
        self._platform = platform
        self._asynchronous = asynchronous

    async def invoke(self, exchange: Exchange) -> Response:
        """Answer a request.

        Raises:
            PlatformError: it fails.
        """
        platform = self._platform
        with _renamed_errors():
            body = await exchange.body(platform.limits.router_size, _TOO_LARGE)
            self._check(exchange)
            if not body:
                message = "The body of a request to an inference router must not be empty."
                raise errors.validation_error(message)
            passed = headers.to_container(exchange.headers, _PASSED, API)
            answer = await platform.container.invoke(INVOCATIONS, body, passed)
        identity = platform.identity
        returned = headers.to_caller(answer.headers, identity.variant)
        kept = {name: returned[name] for name in _RETURNED if name in returned}
        if "content-type" in answer.headers:
            kept["Content-Type"] = answer.headers["content-type"]
        kept[headers.ROUTED_RESOURCE] = identity.arn("endpoint", identity.endpoint)
        kept[headers.ROUTING_REASON] = _REASON
        return Response(answer.body, answer.status, kept)

    async def invoke_later(self, exchange: Exchange) -> Response:
        """Accept an asynchronous request.

        Raises:
            PlatformError: it is not valid.
        """
        with _renamed_errors():
            self._check(exchange)
            # Its input is not in the request.
            return self._asynchronous.accept(exchange, b"")

    def _check(self, exchange: Exchange) -> None:
        headers.check(exchange.headers)
        headers.refuse([headers.ROUTER_NAME.problem(exchange.endpoint)])
        if headers.ROUTING_TARGET not in exchange.headers:
            message = "A request to an inference router names a routing target."
            raise errors.validation_error(message)
        health = self._platform.health
        if health.status != "InService" or not health.takes_requests:
            raise errors.service_unavailable()


@contextmanager
def _renamed_errors() -> Iterator[None]:
    try:
        yield
    except errors.PlatformError as error:
        error.code = _CODES.get(error.code, error.code)
        raise
