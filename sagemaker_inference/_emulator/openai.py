"""The route for clients of OpenAI's API.

https://docs.aws.amazon.com/sagemaker/latest/dg/realtime-endpoints-openai.html
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from starlette.responses import Response

from sagemaker_inference._emulator import errors, headers
from sagemaker_inference._emulator.streams import OpenStream, StreamedResponse

if TYPE_CHECKING:
    from sagemaker_inference._emulator.exchange import Exchange
    from sagemaker_inference._emulator.platform import Platform

# The one that SageMaker is known to pass on.
_ROUTED: Final = "chat/completions"
# Of the container's answer, besides its body.
_RETURNED: Final = ("content-type", "content-encoding")
_PASSED: Final = {name: new for name, new in headers.INVOKE.items() if name != headers.TARGET_MODEL}

logger = logging.getLogger(__name__)


class OpenAI:
    """Passes requests on to the container's ``/v1``, and its answers as they are.

    Args:
        platform: the endpoint.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    async def invoke(self, exchange: Exchange) -> Response:
        """Answer a request; failures have OpenAI's form."""
        try:
            return await self._invoke(exchange)
        except errors.PlatformError as error:
            return _failure(error)

    async def _invoke(self, exchange: Exchange) -> Response:
        platform = self._platform
        body = await exchange.body(platform.limits.request_size)
        headers.check(exchange.headers)
        if headers.INFERENCE_COMPONENT in exchange.headers:
            message = f"{headers.INFERENCE_COMPONENT} is not supported: name it in the path"
            raise errors.validation_error(message)
        platform.check_endpoint(exchange.endpoint)
        path = exchange.request.path_params["path"]
        if path != _ROUTED:
            logger.warning("SageMaker is known to pass on %s alone, not %s", _ROUTED, path)
        sent = exchange.headers
        passed = {new: sent[name] for name, new in _PASSED.items() if name in sent}
        source = OpenStream(platform.container)
        await source.open(f"/v1/{quote(path)}", body, passed)
        answered = source.response.headers
        named = {name: answered[name] for name in _RETURNED if name in answered}
        return StreamedResponse(source, source.chunks(), source.response.status_code, named)


def _failure(error: errors.PlatformError) -> Response:
    is_models = "OriginalStatusCode" in error.members
    body = {
        "message": error.message,
        "type": "server_error" if is_models else "invalid_request_error",
        "code": "model_error" if is_models else error.code,
    }
    content = json.dumps({"error": body})
    return Response(content, error.status, media_type="application/json")
