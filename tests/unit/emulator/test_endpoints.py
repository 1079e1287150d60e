"""What scripts ask of an endpoint while it lives, besides answers of its model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from botocore.exceptions import ClientError
from starlette.responses import Response
from support import service_model
from support.emulated import LIMITS, Emulated, SmallContainer, emulated, until
from support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

ARN = "arn:aws:sagemaker:us-east-1:123456789012:"
CAPTURE = {
    "InitialSamplingPercentage": 50,
    "DestinationS3Uri": "s3://b/captured",
    "CaptureOptions": [{"CaptureMode": "Input"}],
}


@pytest.fixture
def emulator() -> Iterator[Emulated]:
    """An emulator in which nothing has been created."""
    with emulated(any_name=True) as running:
        yield running


def configure(client: Any, name: str, *variants: Any, **more: Any) -> None:
    """Create a configuration of variants, each a name or what it is."""
    described = [{"VariantName": one} if isinstance(one, str) else one for one in variants]
    client.create_endpoint_config(
        EndpointConfigName=name, ProductionVariants=described or [{"VariantName": "a"}], **more
    )


def weighted(name: str, weight: float, count: int) -> dict[str, Any]:
    """A variant."""
    return {
        "VariantName": name,
        "InitialVariantWeight": weight,
        "InitialInstanceCount": count,
    }


def variants(client: Any) -> dict[str, Any]:
    """By name, those of the endpoint."""
    described = client.describe_endpoint(EndpointName="mine")["ProductionVariants"]
    return {one.pop("VariantName"): one for one in described}


def described(weight: float, count: int) -> dict[str, Any]:
    """A variant as an endpoint has it."""
    weights = dict.fromkeys(("CurrentWeight", "DesiredWeight"), weight)
    return {**weights, **dict.fromkeys(("CurrentInstanceCount", "DesiredInstanceCount"), count)}


@pytest.mark.rule("control-names")
def test_names_of_endpoints_differ_in_more_than_case(emulator: Emulated) -> None:
    client, runtime = emulator.client("sagemaker"), emulator.client()
    for name in ("mine", "MINE"):
        client.create_model(ModelName=name)
        configure(client, name, {"VariantName": "a", "ModelName": name})
    client.create_endpoint(EndpointName="Mine", EndpointConfigName="MINE")
    with pytest.raises(ClientError, match=f'existing endpoint "{ARN}endpoint/mINE"'):
        client.create_endpoint(EndpointName="mINE", EndpointConfigName="mine")
    # Its case is kept, and counts.
    assert client.list_endpoints()["Endpoints"][0]["EndpointName"] == "Mine"
    assert runtime.invoke_endpoint(EndpointName="Mine", Body=b"1")["Body"].read() == b"1"
    with pytest.raises(ClientError, match="Endpoint mine of account 123456789012 not found"):
        runtime.invoke_endpoint(EndpointName="mine", Body=b"1")


@pytest.mark.rule("control-busy")
def test_an_endpoint_that_is_being_created_is_not_changed() -> None:
    container, is_ready = SmallContainer(), []

    async def ping() -> Response:
        return Response(status_code=200 if is_ready else 503)

    container.ping = ping
    with emulated(container, in_service=False) as emulator:
        client = emulator.client("sagemaker")
        weights = [{"VariantName": "AllTraffic", "DesiredWeight": 1}]

        def calls() -> Iterator[Any]:
            yield lambda: client.update_endpoint(EndpointName="demo", EndpointConfigName="demo")
            yield lambda: client.update_endpoint_weights_and_capacities(
                EndpointName="demo", DesiredWeightsAndCapacities=weights
            )
            yield lambda: client.delete_endpoint(EndpointName="demo")

        for call in calls():
            with pytest.raises(ClientError) as caught:
                call()
            assert caught.value.response["Error"] == {
                "Code": "ValidationException",
                "Message": f'Cannot update in-progress endpoint "{ARN}endpoint/demo".',
            }
        is_ready.append(True)
        until(lambda: emulator.platform.health.status == "InService")
        for call in calls():
            call()
        assert client.list_endpoints()["Endpoints"] == []


def test_an_endpoint_that_has_failed_can_only_be_deleted() -> None:
    limits = replace(LIMITS, start=0.05)
    url = f"http://127.0.0.1:{free_port()}"
    with emulated(limits=limits, url=url, in_service=False) as emulator:
        client = emulator.client("sagemaker")
        until(lambda: emulator.platform.health.status == "Failed")
        with pytest.raises(ClientError, match=f'update failed endpoint "{ARN}endpoint/demo"'):
            client.update_endpoint(EndpointName="demo", EndpointConfigName="demo")
        client.delete_endpoint(EndpointName="demo")


@pytest.mark.rule("control-weights")
def test_weights_and_capacities_are_changed(emulator: Emulated) -> None:
    client, runtime = emulator.client("sagemaker"), emulator.client()
    serverless = {"MemorySizeInMB": 1024, "MaxConcurrency": 1}
    free = {"VariantName": "free", "ServerlessConfig": serverless, "InitialVariantWeight": 0}
    configure(client, "c", weighted("blue", 1, 2), weighted("green", 0, 2), free)
    client.create_endpoint(EndpointName="mine", EndpointConfigName="c")

    def invoked() -> set[str]:
        replies = [runtime.invoke_endpoint(EndpointName="mine", Body=b"1") for _ in range(5)]
        return {emulator.closing(reply)["InvokedProductionVariant"] for reply in replies}

    def change(name: str, **desired: Any) -> Any:
        return client.update_endpoint_weights_and_capacities(
            EndpointName="mine",
            DesiredWeightsAndCapacities=[
                {"VariantName": "blue", "DesiredWeight": 0},
                {"VariantName": name, **desired},
            ],
        )

    assert invoked() == {"blue"}
    answer = change("green", DesiredWeight=1, DesiredInstanceCount=5)
    assert answer["EndpointArn"] == f"{ARN}endpoint/mine"
    assert invoked() == {"green"}
    change("free", ServerlessUpdateConfig={"MaxConcurrency": 7})
    now = {**serverless, "MaxConcurrency": 7}
    weights = dict.fromkeys(("CurrentWeight", "DesiredWeight"), 0.0)
    assert variants(client) == {
        "blue": described(0.0, 2),
        "green": described(1.0, 5),
        "free": {**weights, "CurrentServerlessConfig": now, "DesiredServerlessConfig": now},
    }
    found = client.describe_endpoint(EndpointName="mine")
    assert found["LastModifiedTime"] > found["CreationTime"]
    with pytest.raises(ClientError, match=f'variant "red" of endpoint "{ARN}endpoint/mine" not'):
        change("red", DesiredWeight=1)
    assert variants(client)["blue"] == described(0.0, 2)


@pytest.mark.rule("control-retain")
def test_an_update_retains_what_it_is_asked_to(emulator: Emulated) -> None:
    client = emulator.client("sagemaker")
    configure(client, "first", weighted("blue", 3, 4), DataCaptureConfig=CAPTURE)
    configure(client, "second", weighted("blue", 1, 2), weighted("green", 1, 2))
    client.create_endpoint(EndpointName="mine", EndpointConfigName="first")

    def update(*excluded: str, is_retained: bool) -> dict[str, Any]:
        client.update_endpoint(EndpointName="mine", EndpointConfigName="first")
        client.update_endpoint(
            EndpointName="mine",
            EndpointConfigName="second",
            RetainAllVariantProperties=is_retained,
            ExcludeRetainedVariantProperties=[{"VariantPropertyType": one} for one in excluded],
        )
        found = client.describe_endpoint(EndpointName="mine")
        captured = found.get("DataCaptureConfig", {}).get("DestinationS3Uri")
        return {**variants(client), "captured": captured}

    green, captured = described(1.0, 2), "s3://b/captured"
    new = {"blue": green, "green": green, "captured": None}
    assert update(is_retained=False) == new
    assert update(is_retained=True) == {**new, "blue": described(3.0, 4), "captured": captured}
    assert update("DesiredWeight", "DataCaptureConfig", is_retained=True) == {
        **new,
        "blue": described(1.0, 4),
    }
    assert update("DesiredInstanceCount", is_retained=True)["blue"] == described(3.0, 2)


@pytest.mark.rule("control-described")
def test_an_endpoint_says_what_its_configuration_does(
    emulator: Emulated, caplog: pytest.LogCaptureFixture
) -> None:
    client = emulator.client("sagemaker")
    asynchronous = {"OutputConfig": {"S3OutputPath": "s3://b/c"}}
    metrics = {"EnableEnhancedMetrics": True}
    deployment = {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "a"}]}}

    def describe(name: str, *, update: Any = None, **more: Any) -> Any:
        configure(client, name, **more)
        change = client.update_endpoint if name != "first" else client.create_endpoint
        change(EndpointName="mine", EndpointConfigName=name, **(update or {}))
        return client.describe_endpoint(EndpointName="mine")

    found = describe(
        "first",
        update={"DeploymentConfig": deployment},
        AsyncInferenceConfig=asynchronous,
        DataCaptureConfig=CAPTURE,
        MetricsConfig=metrics,
        ShadowProductionVariants=[weighted("shadow", 1, 1)],
    )
    assert found["AsyncInferenceConfig"] == asynchronous
    assert found["MetricsConfig"] == metrics
    assert found["LastDeploymentConfig"] == deployment
    assert found["ShadowProductionVariants"][0]["VariantName"] == "shadow"
    assert found["DataCaptureConfig"] == {
        "EnableCapture": True,
        # Nothing is captured.
        "CaptureStatus": "Stopped",
        "CurrentSamplingPercentage": 50,
        "DestinationS3Uri": "s3://b/captured",
        "KmsKeyId": "",
    }
    assert "mine: the emulator captures nothing: set SAGEMAKER_CAPTURE" in caplog.text
    caplog.clear()
    disabled = {**CAPTURE, "EnableCapture": False}
    retained = {"RetainDeploymentConfig": True}
    found = describe("second", update=retained, DataCaptureConfig=disabled)
    assert found["DataCaptureConfig"]["EnableCapture"] is False
    assert found["LastDeploymentConfig"] == deployment
    assert "captures nothing" not in caplog.text
    found = describe("third")
    absent = {"DataCaptureConfig", "LastDeploymentConfig", "MetricsConfig", "AsyncInferenceConfig"}
    assert absent & set(found) == set()
    assert "ShadowProductionVariants" not in found


def test_a_model_of_a_shadow_variant_is_looked_for(emulator: Emulated) -> None:
    client = emulator.client("sagemaker")
    shadow = {"VariantName": "shadow", "ModelName": "none"}
    configure(client, "c", ShadowProductionVariants=[shadow])
    with pytest.raises(ClientError, match=f'find model "{ARN}model/none"'):
        client.create_endpoint(EndpointName="mine", EndpointConfigName="c")


@pytest.mark.rule("control-tags")
def test_tags_are_kept_as_long_as_their_resource(emulator: Emulated) -> None:
    client = emulator.client("sagemaker")
    tags = [{"Key": "a", "Value": "b"}]
    client.create_model(ModelName="a")
    configure(client, "a", Tags=tags)
    client.create_endpoint(EndpointName="a", EndpointConfigName="a", Tags=tags)
    assert client.list_tags(ResourceArn=f"{ARN}endpoint-config/a")["Tags"] == tags
    arn = f"{ARN}endpoint/a"
    assert client.list_tags(ResourceArn=arn)["Tags"] == tags
    more = [{"Key": "a", "Value": "c"}, {"Key": "d", "Value": "e"}]
    assert client.add_tags(ResourceArn=arn, Tags=more)["Tags"] == more
    client.delete_tags(ResourceArn=arn, TagKeys=["a", "z"])
    assert client.list_tags(ResourceArn=arn)["Tags"] == more[1:]
    many = [{"Key": str(number), "Value": ""} for number in range(49)]
    pages = client.get_paginator("list_tags").paginate(ResourceArn=arn)
    client.add_tags(ResourceArn=arn, Tags=many)
    assert len([tag for page in pages for tag in page["Tags"]]) == 50
    with pytest.raises(ClientError, match="at most 50 tags; it would have 51"):
        client.add_tags(ResourceArn=arn, Tags=tags)
    client.delete_endpoint(EndpointName="a")
    for call in (
        lambda: client.list_tags(ResourceArn=arn),
        lambda: client.add_tags(ResourceArn=arn, Tags=tags),
        lambda: client.delete_tags(ResourceArn=arn, TagKeys=["a"]),
    ):
        with pytest.raises(ClientError) as caught:
            call()
        assert caught.value.response["Error"] == {
            "Code": "ValidationException",
            "Message": f'Could not find resource "{arn}".',
        }
    client.create_endpoint(EndpointName="a", EndpointConfigName="a")
    assert client.list_tags(ResourceArn=arn)["Tags"] == []


def until_stopped(*arguments: Any) -> str:
    """A transform without end."""
    until(arguments[-1])
    return ""


def test_answers_are_those_of_the_service_model() -> None:
    with emulated(any_name=True, transform=until_stopped) as emulator:
        check_answers(emulator)


def check_answers(emulator: Emulated) -> None:
    """Call each operation."""
    (emulator.folder / "b").mkdir()
    (emulator.folder / "b" / "in").write_text("1")

    def call(operation: str, **fields: Any) -> None:
        headers = {"X-Amz-Target": f"SageMaker.{operation}"}
        reply = httpx.post(emulator.url, json=fields, headers=headers, timeout=30, trust_env=False)
        assert reply.status_code == 200, reply.text
        assert service_model.problems(operation, reply.json()) == "", operation
        called.add(operation)

    called: set[str] = set()
    tags = [{"Key": "a", "Value": "b"}]
    container = {"Image": "image:latest", "Environment": {"a": "b"}}
    call("CreateModel", ModelName="m", PrimaryContainer=container, Tags=tags)
    variant = {**weighted("v", 1, 1), "ModelName": "m", "InstanceType": "ml.m5.large"}
    call(
        "CreateEndpointConfig",
        EndpointConfigName="c",
        ProductionVariants=[variant],
        DataCaptureConfig=CAPTURE,
        Tags=tags,
    )
    call("CreateEndpoint", EndpointName="e", EndpointConfigName="c", Tags=tags)
    desired = [{"VariantName": "v", "DesiredWeight": 2, "DesiredInstanceCount": 2}]
    call("UpdateEndpoint", EndpointName="e", EndpointConfigName="c")
    call(
        "UpdateEndpointWeightsAndCapacities",
        EndpointName="e",
        DesiredWeightsAndCapacities=desired,
    )
    job = {
        "ModelName": "m",
        "TransformInput": {
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/in"}}
        },
        "TransformOutput": {"S3OutputPath": "s3://b/out"},
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        "Tags": tags,
    }
    call("CreateTransformJob", TransformJobName="j", **job)
    call("StopTransformJob", TransformJobName="j")
    arn = f"{ARN}transform-job/j"
    call("ListTags", ResourceArn=arn)
    call("AddTags", ResourceArn=arn, Tags=tags)
    call("DeleteTags", ResourceArn=arn, TagKeys=["a"])
    for name, initial in (("TransformJob", "j"), ("Endpoint", "e"), ("EndpointConfig", "c")):
        call(f"Describe{name}", **{f"{name}Name": initial})
        call(f"List{name}s")
    call("DescribeModel", ModelName="m")
    call("ListModels")
    for name, initial in (("Endpoint", "e"), ("EndpointConfig", "c"), ("Model", "m")):
        call(f"Delete{name}", **{f"{name}Name": initial})
    assert called == set(service_model.OPERATIONS)
