"""Endpoints, as scripts create, change and delete them.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateEndpoint.html
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference._emulator import errors
from sagemaker_inference._emulator.listing import page
from sagemaker_inference._emulator.resources import Resources

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sagemaker_inference._emulator.platform import Platform
    from sagemaker_inference._emulator.tags import Tags

    Fields = dict[str, Any]

_NAME: Final = "EndpointName"
_CONFIG_NAME: Final = "EndpointConfigName"
_VARIANTS: Final = ("ProductionVariants", "ShadowProductionVariants")
_ASYNC: Final = "AsyncInferenceConfig"
_CAPTURE: Final = "DataCaptureConfig"
_DEPLOYMENT: Final = "DeploymentConfig"
_LAST_DEPLOYMENT: Final = "LastDeploymentConfig"
# What DescribeEndpoint has of the configuration as it is.
_COPIED: Final = (_ASYNC, "ExplainerConfig", "MetricsConfig", "CrossRegionTrafficConfig")
# The properties of a variant that an update may retain, and where a description has them.
_PROPERTIES: Final = {
    "DesiredWeight": ("CurrentWeight", "DesiredWeight"),
    "DesiredInstanceCount": ("CurrentInstanceCount", "DesiredInstanceCount"),
}
_SERVERLESS: Final = ("CurrentServerlessConfig", "DesiredServerlessConfig")

logger = logging.getLogger(__name__)


class Endpoints:
    """Answers the operations of endpoints.

    Args:
        platform: the endpoint, which all of them are.
        tags: those of all resources.
        models: those that there are.
        configs: the endpoint configurations.

    Attributes:
        operations: by name.
    """

    def __init__(
        self, platform: Platform, tags: Tags, models: Resources, configs: Resources
    ) -> None:
        self._platform = platform
        self._models = models
        self._configs = configs
        # "The name is case-insensitive in CreateEndpoint", says the API of endpoints alone.
        self._endpoints = Resources(
            platform.identity, tags, "Endpoint", "endpoint", "endpoint", is_case_sensitive=False
        )
        self.operations: Mapping[str, Callable[[Fields], Fields]] = {
            "CreateEndpoint": self._create,
            "DescribeEndpoint": self._describe,
            "DeleteEndpoint": self._delete,
            "ListEndpoints": self._list,
            "UpdateEndpoint": self._update,
            "UpdateEndpointWeightsAndCapacities": self._update_variants,
        }

    # Operations.

    def _create(self, fields: Fields) -> Fields:
        # The platform looks for the models here, and not at CreateEndpointConfig.
        config = self._config_of(fields)
        created = self._endpoints.create({_NAME: fields[_NAME], "Tags": fields.get("Tags", ())})
        record = self._use(fields, config)
        record["LastModifiedTime"] = record["CreationTime"]
        return created

    def _describe(self, fields: Fields) -> Fields:
        return self._with_status(self._endpoints.describe(fields))

    def _list(self, asked: Fields) -> Fields:
        records = [self._with_status(record) for record in self._endpoints.records.values()]
        more = ("LastModifiedTime", "EndpointStatus")
        return page(records, asked, "Endpoint", "Endpoints", more)

    def _update(self, fields: Fields) -> Fields:
        self._changeable(fields)
        return _changed(self._use(fields, self._config_of(fields)))

    def _update_variants(self, fields: Fields) -> Fields:
        record = self._changeable(fields)
        variants = {one["VariantName"]: dict(one) for one in record[_VARIANTS[0]]}
        for desired in fields["DesiredWeightsAndCapacities"]:
            name = desired["VariantName"]
            if name not in variants:
                message = f'The variant "{name}" of endpoint "{record["EndpointArn"]}" not found.'
                raise errors.invalid(message)
            _change(variants[name], desired)
        record[_VARIANTS[0]] = list(variants.values())
        self._share(record)
        return _changed(record)

    def _delete(self, fields: Fields) -> Fields:
        record = self._endpoints.describe(fields)
        self._refuse_in_progress(record)
        self._endpoints.delete(fields)
        self._platform.delete_endpoint(fields[_NAME])
        return {}

    # What they are.

    def _with_status(self, record: Fields) -> Fields:
        health = self._platform.health
        described = {**record, "EndpointStatus": health.status}
        if health.failure_reason:
            described["FailureReason"] = health.failure_reason
        return described

    def _changeable(self, fields: Fields) -> Fields:
        """An endpoint that may be changed now."""
        record = self._endpoints.describe(fields)
        self._refuse_in_progress(record)
        if self._platform.health.status == "Failed":
            message = f'Cannot update failed endpoint "{record["EndpointArn"]}". Delete it.'
            raise errors.invalid(message)
        return record

    def _refuse_in_progress(self, record: Fields) -> None:
        if self._platform.health.status == "Creating":
            message = f'Cannot update in-progress endpoint "{record["EndpointArn"]}".'
            raise errors.invalid(message)

    def _config_of(self, endpoint: Fields) -> Fields:
        config = self._configs.describe(endpoint)
        for variant in (one for kind in _VARIANTS for one in config.get(kind, ())):
            # An endpoint of inference components has none.
            if "ModelName" in variant:
                self._models.describe(variant)
        return config

    def _use(self, asked: Fields, config: Fields) -> Fields:
        """Have an endpoint what a configuration says, which may be deleted afterwards."""
        record = self._endpoints.records[asked[_NAME]]
        before = {**record}
        record[_CONFIG_NAME] = asked[_CONFIG_NAME]
        for kind in _VARIANTS:
            _set(record, kind, [_described(variant) for variant in config.get(kind, ())])
        for member in _COPIED:
            _set(record, member, config.get(member))
        _set(record, _CAPTURE, _summarized(config.get(_CAPTURE)))
        if asked.get("RetainAllVariantProperties"):
            excluded = asked.get("ExcludeRetainedVariantProperties", ())
            _retain(record, before, {one["VariantPropertyType"] for one in excluded})
        if not asked.get("RetainDeploymentConfig"):
            _set(record, _LAST_DEPLOYMENT, asked.get(_DEPLOYMENT))
        if record.get(_CAPTURE, {}).get("EnableCapture"):
            logger.warning(
                "%s: the emulator captures nothing: set SAGEMAKER_CAPTURE", record[_NAME]
            )
        self._share(record)
        return record

    def _share(self, record: Fields) -> None:
        """Have requests answered as an endpoint is described."""
        name = record[_NAME]
        self._platform.endpoints[name] = {
            variant["VariantName"]: variant["CurrentWeight"] for variant in record[_VARIANTS[0]]
        }
        _set(self._platform.async_configs, name, record.get(_ASYNC))


def _set(fields: Fields, member: str, value: Any) -> None:
    """Have a member, or none where its value is empty."""
    fields.pop(member, None)
    if value:
        fields[member] = value


def _changed(record: Fields) -> Fields:
    record["LastModifiedTime"] = time.time()
    return {"EndpointArn": record["EndpointArn"]}


def _described(variant: Fields) -> Fields:
    """A variant of a configuration, as that of an endpoint."""
    described: Fields = {"VariantName": variant["VariantName"]}
    weight = float(variant.get("InitialVariantWeight", 1.0))
    described |= dict.fromkeys(_PROPERTIES["DesiredWeight"], weight)
    if "ServerlessConfig" in variant:
        return described | dict.fromkeys(_SERVERLESS, variant["ServerlessConfig"])
    count = variant.get("InitialInstanceCount", 1)
    return described | dict.fromkeys(_PROPERTIES["DesiredInstanceCount"], count)


def _change(variant: Fields, desired: Fields) -> None:
    """Have the variant of an endpoint what UpdateEndpointWeightsAndCapacities asks for."""
    for member, described in _PROPERTIES.items():
        if member in desired:
            variant |= dict.fromkeys(described, desired[member])
    if "ServerlessUpdateConfig" in desired:
        config = variant.get(_SERVERLESS[0], {}) | desired["ServerlessUpdateConfig"]
        variant |= dict.fromkeys(_SERVERLESS, config)


def _retain(record: Fields, before: Fields, excluded: set[str]) -> None:
    """Keep properties that an endpoint had before an update."""
    old = {variant["VariantName"]: variant for variant in before.get(_VARIANTS[0], ())}
    kept = [property_ for property_ in _PROPERTIES if property_ not in excluded]
    for variant in record[_VARIANTS[0]]:
        had = old.get(variant["VariantName"], {})
        _change(variant, {property_: had[property_] for property_ in kept if property_ in had})
    if _CAPTURE not in excluded:
        _set(record, _CAPTURE, before.get(_CAPTURE))


def _summarized(capture: Fields | None) -> Fields:
    """The data capture of a configuration, as that of an endpoint."""
    if capture is None:
        return {}
    return {
        "EnableCapture": capture.get("EnableCapture", True),
        # "Whether data capture is currently functional".
        "CaptureStatus": "Stopped",
        "CurrentSamplingPercentage": capture["InitialSamplingPercentage"],
        "DestinationS3Uri": capture["DestinationS3Uri"],
        "KmsKeyId": capture.get("KmsKeyId", ""),
    }
