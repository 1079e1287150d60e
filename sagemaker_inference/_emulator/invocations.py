"""InvokeEndpoint.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.responses import Response

from sagemaker_inference._emulator import errors, headers
from sagemaker_inference._emulator.container import INVOCATIONS

if TYPE_CHECKING:
    from sagemaker_inference._emulator.exchange import Exchange
    from sagemaker_inference._emulator.models import Models
    from sagemaker_inference._emulator.platform import Platform

API: Final = "InvokeEndpoint"


class Invocations:
    """Answers InvokeEndpoint.

    Args:
        platform: the endpoint.
        models: its models, if they are many.
    """

    def __init__(self, platform: Platform, models: Models | None) -> None:
        self._platform = platform
        self._models = models

    async def invoke(self, exchange: Exchange) -> Response:
        """Answer a request.

        Raises:
            PlatformError: it fails.
        """
        platform = self._platform
        body = await exchange.body(platform.limits.request_size)
        headers.check(exchange.headers)
        platform.check_endpoint(exchange.endpoint)
        variant = platform.check_variant(exchange.headers.get(headers.TARGET_VARIANT))
        passed = headers.to_container(exchange.headers, headers.INVOKE, API)
        target = exchange.headers.get(headers.TARGET_MODEL)
        if self._models is not None:
            answer = await self._models.invoke(exchange.id, target, body, passed)
        elif target is None:
            answer = await platform.container.invoke(INVOCATIONS, body, passed)
        else:
            message = (
                f"Endpoint {exchange.endpoint} is not a multi-model endpoint and does not support "
                "target model header."
            )
            raise errors.validation_error(message)
        returned = headers.to_caller(answer.headers, variant)
        if "content-type" in answer.headers:
            returned["Content-Type"] = answer.headers["content-type"]
        return Response(answer.body, answer.status, returned)
