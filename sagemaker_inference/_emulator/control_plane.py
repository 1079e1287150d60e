"""Models, endpoint configurations, endpoints and transform jobs, for scripts that create them.

All endpoints are the one container; what is created is kept as long as the emulator runs.
https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_Operations_Amazon_SageMaker_Service.html
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response

from sagemaker_inference._emulator import errors, shapes
from sagemaker_inference._emulator.endpoints import Endpoints
from sagemaker_inference._emulator.listing import page
from sagemaker_inference._emulator.resources import Resources
from sagemaker_inference._emulator.tags import Tags
from sagemaker_inference._emulator.transform_jobs import TransformJobs
from sagemaker_inference._log import escaped

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference._emulator.exchange import Exchange
    from sagemaker_inference._emulator.platform import Platform
    from sagemaker_inference._emulator.storage import Storage
    from sagemaker_inference._emulator.transform_jobs import Transform

    Fields = dict[str, Any]

_TARGET: Final = "X-Amz-Target"
_SERVICE: Final = "SageMaker."
_CONTENT_TYPE: Final = "application/x-amz-json-1.1"
_MOST_BYTES: Final = 1 << 20

logger = logging.getLogger(__name__)


class ControlPlane:
    """Answers the operations of boto3's client "sagemaker" that it knows.

    Args:
        platform: the endpoint.
        storage: what stands for S3.
        transform: transforms files; None where there are no transform jobs.
    """

    def __init__(
        self, platform: Platform, storage: Storage, transform: Transform | None = None
    ) -> None:
        identity, tags = platform.identity, Tags()
        self._models = Resources(identity, tags, "Model", "model", "model")
        self._configs = Resources(
            identity, tags, "EndpointConfig", "endpoint-config", "endpoint configuration"
        )
        self._operations: dict[str, Callable[[Fields], Fields]] = {
            "CreateModel": self._models.create,
            "DescribeModel": self._models.describe,
            "DeleteModel": self._models.delete,
            "ListModels": lambda asked: _list(self._models, asked),
            "CreateEndpointConfig": self._create_config,
            "DescribeEndpointConfig": self._configs.describe,
            "DeleteEndpointConfig": self._configs.delete,
            "ListEndpointConfigs": lambda asked: _list(self._configs, asked),
            **Endpoints(platform, tags, self._models, self._configs).operations,
            **tags.operations,
        }
        if transform is not None:
            jobs = TransformJobs(platform, storage, tags, transform, self._models.describe)
            self._operations |= jobs.operations
        for name in list(platform.endpoints):
            self._create_of_platform(name, identity.variant)

    def _create_of_platform(self, name: str, variant: str) -> None:
        """Create what a script finds of an endpoint that it has not created itself."""
        variants = [{"VariantName": variant, "ModelName": name}]
        create = self._operations
        create["CreateModel"]({"ModelName": name})
        create["CreateEndpointConfig"]({"EndpointConfigName": name, "ProductionVariants": variants})
        create["CreateEndpoint"]({"EndpointName": name, "EndpointConfigName": name})

    async def answer(self, exchange: Exchange) -> Response:
        """Answer an operation."""
        target = exchange.headers.get(_TARGET, "")
        try:
            body = await exchange.body(_MOST_BYTES)
            found = self._done(target, body)
        except errors.PlatformError as error:
            # The protocol json, not rest-json.
            found = {"__type": error.code, "message": error.message}
            logger.warning("%s", escaped(f"{target.removeprefix(_SERVICE)}: {error}"))
            return Response(json.dumps(found), error.status, media_type=_CONTENT_TYPE)
        logger.info("%s", target.removeprefix(_SERVICE))
        return Response(json.dumps(found), media_type=_CONTENT_TYPE)

    def _done(self, target: str, body: bytes) -> Fields:
        name = target.removeprefix(_SERVICE)
        if name not in self._operations or not target.startswith(_SERVICE):
            known = ", ".join(sorted(self._operations))
            message = f"The emulator has no operation {name!r}; it has: {known}"
            raise errors.PlatformError(400, "UnknownOperationException", message)
        return self._operations[name](shapes.read(name, body))

    def _create_config(self, fields: Fields) -> Fields:
        names = [variant["VariantName"] for variant in fields["ProductionVariants"]]
        if len(set(names)) < len(names):
            message = "The names of production variants must be unique within a configuration."
            raise errors.invalid(message)
        return self._configs.create(fields)


def _list(resources: Resources, asked: Fields) -> Fields:
    noun = resources.noun
    return page(resources.records.values(), asked, noun, f"{noun}s")
