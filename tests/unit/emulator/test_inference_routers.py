"""Inference routers, as boto3 calls them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from botocore.exceptions import ClientError
from starlette.responses import Response
from support.emulated import Emulated, emulated, until

from sagemaker_inference._emulator.storage import Storage

if TYPE_CHECKING:
    from support.emulated import Asked

SERVICE = "sagemaker-inference-router-runtime"
NAMES = {"InferenceRouterName": "router", "RoutingTargetName": "target"}
PREFIX = "X-Amzn-SageMaker-"


def invoke(emulator: Emulated, body: bytes = b"[1]", **more: Any) -> Any:
    reply = emulator.client(SERVICE).invoke_inference_router(**(NAMES | more), Body=body)
    return emulator.closing(reply)


def error_of(emulator: Emulated, body: bytes = b"[1]", **more: Any) -> dict[str, Any]:
    with pytest.raises(ClientError) as caught:
        invoke(emulator, body, **more)
    response: dict[str, Any] = caught.value.response
    return response


@pytest.mark.rule("router-passes")
def test_a_request_to_a_router_is_answered_by_the_endpoint(emulator: Emulated) -> None:
    async def answer(asked: Asked) -> Response:
        headers = {f"{PREFIX}Custom-Attributes": "a=b", f"{PREFIX}Closed-Session-Id": "c"}
        return Response(asked.body, 200, headers, "text/csv")

    emulator.container.answer = answer
    reply = invoke(
        emulator,
        b"1,2\n",
        ContentType="text/csv",
        Accept="application/json",
        CustomAttributes="trace=1",
        InferenceId="mine",
        PrefixAwareId="prefix",
    )
    assert reply["Body"].read() == b"1,2\n"
    assert reply["ContentType"].startswith("text/csv")
    assert reply["CustomAttributes"] == "a=b"
    assert reply["InvokedProductionVariant"] == "AllTraffic"
    arn = "arn:aws:sagemaker:us-east-1:123456789012:endpoint/demo"
    assert reply["InvokedRoutedResourceArn"] == arn
    assert reply["RoutingReason"] == "local-preferred"
    (asked,) = emulator.container.asked
    assert (asked.method, asked.path) == ("POST", "/invocations")
    assert {name: asked.headers[name] for name in asked.names} == {
        "content-type": "text/csv",
        "accept": "application/json",
        "x-amzn-sagemaker-custom-attributes": "trace=1",
        "x-amzn-sagemaker-inference-id": "mine",
        "x-amzn-sagemaker-forwarded-api": "InvokeEndpoint",
    }


def test_a_container_need_not_say_what_it_sends(emulator: Emulated) -> None:
    async def answer(asked: Asked) -> Response:
        return Response(asked.body, 200)

    emulator.container.answer = answer
    reply = invoke(emulator, b"1")
    assert reply["Body"].read() == b"1"
    assert "ContentType" not in reply


@pytest.mark.rule("router-errors")
def test_a_routers_errors_have_names_of_their_own(emulator: Emulated) -> None:
    async def answer(_: Asked) -> Response:
        return Response("no such column", 422)

    emulator.container.answer = answer
    error = error_of(emulator)
    assert (error["Error"]["Code"], error["OriginalStatusCode"]) == ("ModelError", 422)
    assert error["OriginalMessage"] == "no such column"
    for more in ({"InferenceRouterName": "a_b"}, {"RoutingTargetName": "a_b"}):
        assert error_of(emulator, **more)["Error"]["Code"] == "ValidationException"
    assert error_of(emulator, b"")["Error"]["Code"] == "ValidationException"
    # boto3 sends none without a target.
    url = f"{emulator.url}/inference-routers/router/invocations"
    assert httpx.post(url, content=b"1", timeout=30, trust_env=False).status_code == 400


@pytest.mark.rule("router-size")
def test_a_body_of_more_than_6_mb_is_413(emulator: Emulated) -> None:
    assert invoke(emulator, b"1" * 6_291_456)["ResponseMetadata"]["HTTPStatusCode"] == 200
    error = error_of(emulator, b"1" * 6_291_457)
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 413


@pytest.mark.rule("router-no-destination")
def test_without_a_healthy_destination_the_service_is_unavailable() -> None:
    with emulated() as emulator:
        emulator.platform.health.status = "Failed"
        error = error_of(emulator)
    assert error["Error"]["Code"] == "ServiceUnavailableException"
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 503


@pytest.mark.rule("router-async")
def test_an_asynchronous_request_to_a_router_is_written_to_its_output(emulator: Emulated) -> None:
    client, storage = emulator.client(SERVICE), Storage(emulator.folder)
    storage.write("s3://inputs/data.csv", b"1,2\n")
    reply = client.invoke_inference_router_async(
        **NAMES,
        InputLocation="s3://inputs/data.csv",
        ContentType="text/csv",
        InferenceId="mine",
        S3OutputPathExtension="one/two",
        Filename="answer.csv",
    )
    assert reply["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert reply["InferenceId"] == "mine"
    assert reply["OutputLocation"].endswith("/one/two/answer.csv")
    path = storage.path(reply["OutputLocation"])
    until(path.exists)
    assert path.read_bytes() == b"1,2\n"
    with pytest.raises(ClientError) as caught:
        client.invoke_inference_router_async(**NAMES, InputLocation="nowhere")
    assert caught.value.response["Error"]["Code"] == "ValidationException"
