"""Models, configurations and endpoints, as scripts create them with boto3."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from botocore.exceptions import ClientError, WaiterError
from support.emulated import LIMITS, Emulated, emulated
from support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

ARN = "arn:aws:sagemaker:us-east-1:123456789012:"
ROLE = "arn:aws:iam::123456789012:role/any"


@pytest.fixture
def emulator() -> Iterator[Emulated]:
    """An emulator in which nothing has been created."""
    with emulated(any_name=True) as running:
        yield running


def create(client: Any, name: str = "mine") -> None:
    client.create_model(
        ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer={"Image": "image:latest"}
    )
    client.create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[
            {
                "VariantName": "AllTraffic",
                "ModelName": name,
                "InstanceType": "ml.m5.large",
                "InitialInstanceCount": 2,
                "InitialVariantWeight": 0.5,
            }
        ],
    )
    client.create_endpoint(EndpointName=name, EndpointConfigName=name)


@pytest.mark.rule("control-create")
def test_a_script_that_deploys_and_invokes_runs(emulator: Emulated) -> None:
    client = emulator.client("sagemaker")
    create(client)
    client.get_waiter("endpoint_in_service").wait(EndpointName="mine")
    described = client.describe_endpoint(EndpointName="mine")
    assert described["EndpointArn"] == f"{ARN}endpoint/mine"
    assert described["EndpointStatus"] == "InService"
    assert described["ProductionVariants"][0]["CurrentInstanceCount"] == 2
    assert described["CreationTime"].year >= 2026
    runtime = emulator.client()
    assert runtime.invoke_endpoint(EndpointName="mine", Body=b"1")["Body"].read() == b"1"
    model = client.describe_model(ModelName="mine")
    assert model["PrimaryContainer"] == {"Image": "image:latest"}
    config = client.describe_endpoint_config(EndpointConfigName="mine")
    assert config["ProductionVariants"][0]["ModelName"] == "mine"
    assert [found["ModelName"] for found in client.list_models()["Models"]] == ["mine"]
    client.update_endpoint(EndpointName="mine", EndpointConfigName="mine")
    for kind in ("endpoint", "endpoint_config", "model"):
        name = "".join(word.capitalize() for word in kind.split("_"))
        getattr(client, f"delete_{kind}")(**{f"{name}Name": "mine"})
    client.get_waiter("endpoint_deleted").wait(EndpointName="mine")
    for name in ("mine", "MINE"):
        with pytest.raises(ClientError, match=f"Endpoint {name} of account 123456789012 not found"):
            runtime.invoke_endpoint(EndpointName=name, Body=b"1")
    assert runtime.invoke_endpoint(EndpointName="other", Body=b"1")["Body"].read() == b"1"
    assert client.list_models()["Models"] == []
    assert client.list_endpoint_configs()["EndpointConfigs"] == []


def test_the_endpoint_of_the_command_line_is_there() -> None:
    with emulated() as emulator:
        client = emulator.client("sagemaker")
        found = client.list_endpoints()["Endpoints"]
        assert [(one["EndpointName"], one["EndpointStatus"]) for one in found] == [
            ("demo", "InService")
        ]
        # As the SDK's Predictor deletes it.
        described = client.describe_endpoint(EndpointName="demo")
        assert described["ProductionVariants"][0]["VariantName"] == "AllTraffic"
        config = described["EndpointConfigName"]
        (variant,) = client.describe_endpoint_config(EndpointConfigName=config)[
            "ProductionVariants"
        ]
        client.delete_model(ModelName=variant["ModelName"])
        client.delete_endpoint_config(EndpointConfigName=config)
        client.delete_endpoint(EndpointName="demo")
        with pytest.raises(ClientError, match="Endpoint demo of account 123456789012 not found"):
            emulator.invoke()


@pytest.mark.rule("control-errors")
def test_what_is_not_there_or_there_already_is_refused(emulator: Emulated) -> None:
    client = emulator.client("sagemaker")
    with pytest.raises(ClientError) as caught:
        client.describe_model(ModelName="none")
    assert caught.value.response["Error"] == {
        "Code": "ValidationException",
        "Message": f'Could not find model "{ARN}model/none".',
    }
    with pytest.raises(ClientError, match=f'configuration "{ARN}endpoint-config/none"'):
        client.create_endpoint(EndpointName="a", EndpointConfigName="none")
    create(client)
    with pytest.raises(ClientError, match=f'existing model "{ARN}model/mine"'):
        client.create_model(ModelName="mine")
    client.create_endpoint_config(
        EndpointConfigName="other",
        ProductionVariants=[{"VariantName": "a", "ModelName": "none"}],
    )
    for call in (client.update_endpoint, client.create_endpoint):
        name = "mine" if call == client.update_endpoint else "new"
        with pytest.raises(ClientError, match=f'model "{ARN}model/none"'):
            call(EndpointName=name, EndpointConfigName="other")
    with pytest.raises(ClientError, match="names of production variants must be unique"):
        client.create_endpoint_config(
            EndpointConfigName="twice", ProductionVariants=[{"VariantName": "a"}] * 2
        )


def test_a_configuration_of_inference_components_names_no_model(emulator: Emulated) -> None:
    client = emulator.client("sagemaker")
    client.create_endpoint_config(
        EndpointConfigName="bare", ProductionVariants=[{"VariantName": "a"}]
    )
    client.create_endpoint(EndpointName="bare", EndpointConfigName="bare")
    (variant,) = client.describe_endpoint(EndpointName="bare")["ProductionVariants"]
    assert variant["CurrentWeight"] == 1.0


@pytest.mark.rule("control-failed")
def test_an_endpoint_that_has_failed_says_why() -> None:
    limits = replace(LIMITS, start=0.05)
    url = f"http://127.0.0.1:{free_port()}"
    with emulated(limits=limits, url=url, in_service=False) as emulator:
        client = emulator.client("sagemaker")
        waiter = client.get_waiter("endpoint_in_service")
        with pytest.raises(WaiterError, match="terminal failure state"):
            waiter.wait(EndpointName="demo", WaiterConfig={"Delay": 1, "MaxAttempts": 20})
        reason = client.describe_endpoint(EndpointName="demo")["FailureReason"]
    assert "did not pass the ping health check" in reason


@pytest.mark.rule("control-variants")
def test_a_request_may_name_a_variant_of_its_endpoint(emulator: Emulated) -> None:
    client, runtime = emulator.client("sagemaker"), emulator.client()
    client.create_model(ModelName="m")

    def configure(name: str, **weights: float) -> None:
        client.create_endpoint_config(
            EndpointConfigName=name,
            ProductionVariants=[
                {"VariantName": variant, "ModelName": "m", "InitialVariantWeight": weight}
                for variant, weight in weights.items()
            ],
        )

    def invoked(**more: str) -> str:
        reply = runtime.invoke_endpoint(EndpointName="mine", Body=b"1", **more)
        emulator.closing(reply)
        return str(reply["InvokedProductionVariant"])

    configure("first", blue=1, green=0)
    client.create_endpoint(EndpointName="mine", EndpointConfigName="first")
    client.delete_endpoint_config(EndpointConfigName="first")
    described = client.describe_endpoint(EndpointName="mine")["ProductionVariants"]
    assert [one["VariantName"] for one in described] == ["blue", "green"]
    assert invoked(TargetVariant="green") == "green"
    # Without one, the weights choose.
    assert {invoked() for _ in range(5)} == {"blue"}
    with pytest.raises(ClientError, match="Variant AllTraffic of endpoint mine not found"):
        invoked(TargetVariant="AllTraffic")
    configure("second", red=0)
    client.update_endpoint(EndpointName="mine", EndpointConfigName="second")
    assert client.describe_endpoint(EndpointName="mine")["EndpointConfigName"] == "second"
    assert invoked() == "red"
    with pytest.raises(ClientError, match="Variant blue of endpoint mine not found"):
        runtime.invoke_endpoint_with_response_stream(
            EndpointName="mine", Body=b"1", TargetVariant="blue"
        )


def test_other_operations_are_refused(emulator: Emulated) -> None:
    with pytest.raises(ClientError, match="no operation 'ListTrainingJobs'; it has: AddTags, "):
        emulator.client("sagemaker").list_training_jobs()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{{", "SerializationException"),
        (b"\xff", "SerializationException"),
        (b"[]", "SerializationException"),
        (b"{}", "ValidationException"),
    ],
)
def test_a_body_that_is_no_request_is_refused(emulator: Emulated, body: bytes, code: str) -> None:
    headers = {"X-Amz-Target": "SageMaker.CreateModel"}
    reply = httpx.post(emulator.url, content=body, headers=headers, timeout=30, trust_env=False)
    assert (reply.status_code, reply.json()["__type"]) == (400, code)
