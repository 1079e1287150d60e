"""Models, endpoint configurations, endpoints and transform jobs, for scripts that create them.

All endpoints are the one container; what is created is kept as long as the emulator runs.
https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_Operations_Amazon_SageMaker_Service.html
"""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response

from sagemaker_inference._emulator import errors, shapes
from sagemaker_inference._emulator.listing import page
from sagemaker_inference._emulator.resources import Resources
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
_CREATE: Final = "Create"
_ASYNC: Final = "AsyncInferenceConfig"
_CAPTURE: Final = "DataCaptureConfig"

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
        identity = platform.identity
        self._platform = platform
        self._tags: dict[str, dict[str, str]] = {}
        self._models = Resources(identity, "Model", "model", "model")
        self._configs = Resources(
            identity, "EndpointConfig", "endpoint-config", "endpoint configuration"
        )
        self._endpoints = Resources(identity, "Endpoint", "endpoint", "endpoint")
        self._operations: dict[str, Callable[[Fields], Fields]] = {
            "AddTags": self._add_tags,
            "ListTags": self._list_tags,
            "CreateModel": self._models.create,
            "DescribeModel": self._models.describe,
            "DeleteModel": self._models.delete,
            "ListModels": lambda asked: self._list(self._models, asked),
            "CreateEndpointConfig": self._create_config,
            "DescribeEndpointConfig": self._configs.describe,
            "DeleteEndpointConfig": self._configs.delete,
            "ListEndpointConfigs": lambda asked: self._list(self._configs, asked),
            "CreateEndpoint": self._create_endpoint,
            "DescribeEndpoint": self._describe_endpoint,
            "DeleteEndpoint": self._delete_endpoint,
            "ListEndpoints": self._list_endpoints,
            "UpdateEndpoint": self._update_endpoint,
        }
        if transform is not None:
            jobs = TransformJobs(platform, storage, transform, self._models.describe)
            self._operations |= jobs.operations
        for name in list(platform.endpoints):
            self._create_of_platform(name)

    def _create_of_platform(self, name: str) -> None:
        """Create what a script finds of an endpoint that it has not created itself."""
        variant = {"VariantName": self._platform.identity.variant, "ModelName": name}
        self._models.create({"ModelName": name})
        self._create_config({"EndpointConfigName": name, "ProductionVariants": [variant]})
        self._create_endpoint({"EndpointName": name, "EndpointConfigName": name})

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
        fields = shapes.read(name, body)
        answer = self._operations[name](fields)
        if name.startswith(_CREATE):
            (arn,) = answer.values()
            self._tags[arn] = {}
            self._tag(arn, fields)
        return answer

    # Tags.

    def _tag(self, arn: str, fields: Fields) -> None:
        new = {tag["Key"]: tag["Value"] for tag in fields.get("Tags", ())}
        self._tags.setdefault(arn, {}).update(new)

    def _add_tags(self, fields: Fields) -> Fields:
        self._tag(fields["ResourceArn"], fields)
        return self._list_tags(fields)

    def _list_tags(self, fields: Fields) -> Fields:
        # A resource has at most 50, which is the smallest page.
        tags = self._tags.get(fields["ResourceArn"], {})
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    # Resources.

    @staticmethod
    def _list(resources: Resources, asked: Fields) -> Fields:
        found = page(resources.records.values(), asked, resources.noun, ())
        return {f"{resources.noun}s": found.pop("Summaries"), **found}

    def _create_config(self, fields: Fields) -> Fields:
        names = [variant["VariantName"] for variant in fields["ProductionVariants"]]
        if len(set(names)) < len(names):
            message = "The names of production variants must be unique within a configuration."
            raise errors.invalid(message)
        return self._configs.create(fields)

    def _create_endpoint(self, fields: Fields) -> Fields:
        # Which is where the platform looks for the models, and not at CreateEndpointConfig.
        config = self._config_of(fields)
        created = self._endpoints.create(fields)
        self._use(fields, config)
        return created

    def _update_endpoint(self, fields: Fields) -> Fields:
        record = self._endpoints.describe(fields)
        self._use(fields, self._config_of(fields))
        record["LastModifiedTime"] = time.time()
        return {"EndpointArn": record["EndpointArn"]}

    def _delete_endpoint(self, fields: Fields) -> Fields:
        self._endpoints.delete(fields)
        self._platform.delete_endpoint(fields["EndpointName"])
        return {}

    def _config_of(self, endpoint: Fields) -> Fields:
        config = self._configs.describe(endpoint)
        for variant in config["ProductionVariants"]:
            # An endpoint of inference components has none.
            if "ModelName" in variant:
                self._models.describe(variant)
        return config

    def _use(self, endpoint: Fields, config: Fields) -> None:
        """Have an endpoint what a configuration says, which may be deleted afterwards."""
        name, variants = endpoint["EndpointName"], config["ProductionVariants"]
        record, asynchronous = self._endpoints.records[name], self._platform.async_configs
        for said, member in ((record, _ASYNC), (record, _CAPTURE), (asynchronous, name)):
            said.pop(member, None)
        if _ASYNC in config:
            record[_ASYNC] = asynchronous[name] = config[_ASYNC]
        if _CAPTURE in config:
            record[_CAPTURE] = _summarized(config[_CAPTURE])
        record |= {
            "EndpointConfigName": endpoint["EndpointConfigName"],
            "ProductionVariants": [_described(variant) for variant in variants],
        }
        self._platform.endpoints[name] = {
            variant["VariantName"]: _weight(variant) for variant in variants
        }

    def _with_status(self, record: Fields) -> Fields:
        health = self._platform.health
        described = {**record, "EndpointStatus": health.status}
        if health.failure_reason:
            described["FailureReason"] = health.failure_reason
        return described

    def _describe_endpoint(self, fields: Fields) -> Fields:
        return self._with_status(self._endpoints.describe(fields))

    def _list_endpoints(self, asked: Fields) -> Fields:
        records = [self._with_status(record) for record in self._endpoints.records.values()]
        found = page(records, asked, "Endpoint", ("LastModifiedTime", "EndpointStatus"))
        return {"Endpoints": found.pop("Summaries"), **found}


def _weight(variant: Fields) -> float:
    return float(variant.get("InitialVariantWeight", 1.0))


def _summarized(capture: Fields) -> Fields:
    """The data capture of a configuration, as that of an endpoint."""
    is_enabled = capture.get("EnableCapture", True)
    summary = {
        "EnableCapture": is_enabled,
        "CaptureStatus": "Started" if is_enabled else "Stopped",
        "CurrentSamplingPercentage": capture["InitialSamplingPercentage"],
        "DestinationS3Uri": capture["DestinationS3Uri"],
    }
    return {**summary, "KmsKeyId": capture.get("KmsKeyId", "")}


def _described(variant: Fields) -> Fields:
    """A variant of a configuration, as that of an endpoint."""
    weight, count = _weight(variant), variant.get("InitialInstanceCount", 1)
    return {
        "VariantName": variant["VariantName"],
        "CurrentWeight": weight,
        "DesiredWeight": weight,
        "CurrentInstanceCount": count,
        "DesiredInstanceCount": count,
    }
