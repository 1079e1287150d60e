"""The SageMaker Python SDK 3: ``sagemaker.core``, and the openai package."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from starlette.responses import JSONResponse, Response, StreamingResponse
from support.emulated import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.emulated import Asked, Emulated, SmallContainer

pytestmark = [pytest.mark.sdk3, pytest.mark.filterwarnings("ignore")]

ROWS = b"[[5.1, 3.5, 1.4, 0.2]]"


def endpoint() -> Any:
    from sagemaker.core.resources import Endpoint

    return Endpoint.get("demo")


@pytest.mark.rule("sdk3-invoke")
def test_an_endpoint_is_found_and_invoked(iris: Emulated) -> None:
    found = endpoint()
    assert found.endpoint_status == "InService"
    reply = found.invoke(body=ROWS, content_type="application/json", accept="text/csv")
    assert reply.body.read().startswith(b"0.99")
    with pytest.raises(ClientError, match=r"Received client error \(422\) from primary"):
        found.invoke(body=b"[[1]]", content_type="application/json")


@pytest.mark.rule("sdk3-async")
def test_an_endpoint_is_invoked_asynchronously(iris: Emulated) -> None:
    file = iris.folder / "input.json"
    file.write_bytes(ROWS)
    reply = endpoint().invoke_async(input_location=file.as_uri(), content_type="application/json")
    output = iris.folder / reply.output_location.removeprefix("s3://")
    until(output.exists)
    assert json.loads(output.read_bytes())[0][0] > 0.99


@pytest.mark.rule("sdk3-life")
@pytest.mark.usefixtures("iris")
def test_an_endpoint_is_created_changed_and_deleted() -> None:
    from sagemaker.core import shapes
    from sagemaker.core.resources import Endpoint, EndpointConfig, Model, Tag

    variants = [
        shapes.ProductionVariant(
            variant_name=name,
            model_name="mine",
            initial_instance_count=1,
            instance_type="ml.m5.large",
            initial_variant_weight=weight,
        )
        for name, weight in (("blue", 1), ("green", 2))
    ]
    model = Model.create(
        model_name="mine",
        primary_container=shapes.ContainerDefinition(image="image:latest"),
        execution_role_arn="arn:aws:iam::123456789012:role/any",
        tags=[shapes.Tag(key="a", value="b")],
    )
    config = EndpointConfig.create(endpoint_config_name="mine", production_variants=variants)
    made = Endpoint.create(endpoint_name="mine", endpoint_config_name="mine")
    made.wait_for_status("InService", timeout=30)
    reply = made.invoke(body=ROWS, content_type="application/json", target_variant="green")
    assert reply.invoked_production_variant == "green"
    desired = shapes.DesiredWeightAndCapacity(
        variant_name="blue", desired_weight=5, desired_instance_count=3
    )
    made.update_weights_and_capacities([desired])
    blue, green = made.refresh().production_variants
    assert (blue.current_weight, blue.current_instance_count) == (5, 3)
    assert (green.current_weight, green.current_instance_count) == (2, 1)
    names = [one.endpoint_name for one in Endpoint.get_all(name_contains="m", sort_by="Name")]
    assert names == ["mine", "demo"]
    (tag,) = Tag.get_all(resource_arn=model.model_arn)
    assert (tag.key, tag.value) == ("a", "b")
    Tag.delete_tags(resource_arn=model.model_arn, tag_keys=["a"])
    assert list(Tag.get_all(resource_arn=model.model_arn)) == []
    made.delete()
    made.wait_for_delete(timeout=30)
    config.delete()
    model.delete()
    with pytest.raises(ClientError, match="Could not find endpoint"):
        made.refresh()


@pytest.fixture
def chat(echo: SmallContainer) -> SmallContainer:
    """A container with OpenAI's route."""

    def choice(**more: Any) -> dict[str, Any]:
        kind = "chat.completion.chunk" if "delta" in more else "chat.completion"
        choices = [{"index": 0, "finish_reason": "stop", **more}]
        return {"id": "1", "object": kind, "created": 1, "model": "m", "choices": choices}

    async def events() -> AsyncIterator[bytes]:
        for word in ("Hello", " world"):
            chunk = choice(delta={"role": "assistant", "content": word})
            yield f"data: {json.dumps(chunk)}\n\n".encode()
        yield b"data: [DONE]\n\n"

    async def answer(asked: Asked) -> Response:
        sent = json.loads(asked.body)
        if not sent["messages"]:
            return Response("no messages", 400)
        if sent.get("stream"):
            return StreamingResponse(events(), media_type="text/event-stream")
        message = {"role": "assistant", "content": "Hello world"}
        return JSONResponse(choice(message=message))

    echo.answer = answer
    return echo


@pytest.mark.rule("openai-client")
@pytest.mark.usefixtures("chat")
def test_openais_client_chats_with_the_container() -> None:
    import os

    import openai

    base = f"{os.environ['AWS_ENDPOINT_URL_SAGEMAKER']}/endpoints/demo/openai/v1"
    with openai.OpenAI(api_key="none", base_url=base, max_retries=0) as client:
        messages: Any = [{"role": "user", "content": "Hi"}]
        whole = client.chat.completions.create(model="", messages=messages)
        assert whole.choices[0].message.content == "Hello world"
        stream = client.chat.completions.create(model="", messages=messages, stream=True)
        words = [chunk.choices[0].delta.content for chunk in stream]
        assert words == ["Hello", " world"]
        with pytest.raises(openai.APIStatusError) as caught:
            client.chat.completions.create(model="", messages=[])
    assert caught.value.status_code == 424
    assert caught.value.code == "model_error"


@pytest.mark.rule("sdk3-missing")
@pytest.mark.usefixtures("iris")
def test_an_endpoint_that_is_not_there_is_not_found() -> None:
    from sagemaker.core.resources import Endpoint

    with pytest.raises(ClientError, match="Could not find endpoint"):
        Endpoint.get("other")
