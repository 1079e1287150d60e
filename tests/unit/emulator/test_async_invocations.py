"""InvokeEndpointAsync, with a folder for S3."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from botocore.exceptions import ClientError
from starlette.responses import Response
from support.emulated import LIMITS, Emulated, emulated, until

from sagemaker_inference._emulator import async_invocations
from sagemaker_inference._emulator.storage import Storage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.emulated import Asked

INPUT = "s3://inputs/one/data.csv"


def begin(emulator: Emulated, **more: Any) -> Any:
    return emulator.client().invoke_endpoint_async(EndpointName="demo", **more)


def read(emulator: Emulated, location: str) -> bytes:
    path = Storage(emulator.folder).path(location)
    until(path.exists)
    return path.read_bytes()


def refusal(emulator: Emulated, **more: Any) -> str:
    with pytest.raises(ClientError) as caught:
        begin(emulator, **more)
    assert caught.value.response["Error"]["Code"] == "ValidationError"
    return str(caught.value.response["Error"]["Message"])


@pytest.mark.rule("async-output")
def test_the_answer_is_written_to_the_output_location(emulator: Emulated) -> None:
    Storage(emulator.folder).write(INPUT, b"1,2\n")
    reply = begin(
        emulator,
        InputLocation=INPUT,
        ContentType="text/csv",
        Accept="application/json",
        CustomAttributes="trace=1",
        InferenceId="mine",
    )
    assert reply["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert reply["InferenceId"] == "mine"
    assert reply["OutputLocation"].startswith("s3://sagemaker-us-east-1-123456789012/")
    assert reply["OutputLocation"].endswith(".out")
    assert read(emulator, reply["OutputLocation"]) == b"1,2\n"
    (asked,) = emulator.container.asked
    assert {name: asked.headers[name] for name in asked.names} == {
        "content-type": "text/csv",
        "accept": "application/json",
        "x-amzn-sagemaker-custom-attributes": "trace=1",
        "x-amzn-sagemaker-inference-id": "mine",
        "x-amzn-sagemaker-forwarded-api": "InvokeEndpointAsync",
    }


@pytest.mark.rule("async-failure")
def test_the_containers_failure_is_written_to_the_failure_location(
    emulator: Emulated, tmp_path: Path
) -> None:
    async def answer(_: Asked) -> Response:
        return Response("no such column", 422)

    emulator.container.answer = answer
    file = tmp_path / "data 1.csv"
    file.write_bytes(b"1")
    reply = begin(emulator, InputLocation=file.as_uri())
    assert read(emulator, reply["FailureLocation"]) == b"no such column"
    assert not Storage(emulator.folder).path(reply["OutputLocation"]).exists()
    assert len(reply["InferenceId"]) == 36


@pytest.fixture
def own_emulator() -> Iterator[Emulated]:
    """One whose endpoint a test changes."""
    with emulated() as running:
        yield running


def configure(emulator: Emulated, name: str, *, most: int = 1, **outputs: str) -> None:
    client = emulator.client("sagemaker")
    client.create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[{"VariantName": "a"}],
        AsyncInferenceConfig={
            "OutputConfig": outputs,
            "ClientConfig": {"MaxConcurrentInvocationsPerInstance": most},
        },
    )
    client.update_endpoint(EndpointName="demo", EndpointConfigName=name)


@pytest.mark.rule("async-config")
def test_the_configuration_says_where_answers_go(own_emulator: Emulated) -> None:
    emulator = own_emulator
    configure(emulator, "both", S3OutputPath="s3://mine/out/", S3FailurePath="s3://mine/failed")
    reply = begin(emulator, Body=b"1", S3OutputPathExtension="deep", Filename="a.out")
    assert reply["OutputLocation"] == "s3://mine/out/deep/a.out"
    assert read(emulator, reply["OutputLocation"]) == b"1"
    reply = begin(emulator, InputLocation="s3://inputs/none")
    assert reply["FailureLocation"].startswith("s3://mine/failed/")
    assert read(emulator, reply["FailureLocation"]).startswith(b"Failed to download")
    configure(emulator, "output", S3OutputPath="s3://other")
    reply = begin(emulator, Body=b"1")
    assert reply["OutputLocation"].startswith("s3://other/")
    assert reply["FailureLocation"].startswith("s3://sagemaker-us-east-1-123456789012/")
    configure(emulator, "https", S3OutputPath="https://b/c")
    assert refusal(emulator, Body=b"1").startswith("Invalid S3OutputPath: ")
    configure(emulator, "failure", S3FailurePath="https://b/c")
    assert refusal(emulator, Body=b"1").startswith("Invalid S3FailurePath: ")
    emulator.client("sagemaker").delete_endpoint(EndpointName="demo")
    with pytest.raises(ClientError, match="not found"):
        begin(emulator, Body=b"1")


def test_the_configuration_says_how_many_are_worked_on(own_emulator: Emulated) -> None:
    emulator = own_emulator
    running, most = 0, []

    async def answer(_: Asked) -> Response:
        nonlocal running
        running += 1
        most.append(running)
        await asyncio.sleep(0.05)
        running -= 1
        return Response()

    emulator.container.answer = answer
    for name, limit in (("one", 1), ("three", 3)):
        configure(emulator, name, most=limit)
        for reply in [begin(emulator, Body=b"1") for _ in range(4)]:
            read(emulator, reply["OutputLocation"])
        assert max(most) <= limit
    assert max(most) > 1


def test_an_input_that_is_not_there_is_a_failure(emulator: Emulated) -> None:
    reply = begin(emulator, InputLocation="s3://inputs/none")
    assert read(emulator, reply["FailureLocation"]).startswith(b"Failed to download s3://inputs/")


@pytest.mark.rule("async-size")
def test_an_input_may_be_large_but_not_larger() -> None:
    with emulated(limits=replace(LIMITS, async_size=3)) as emulator:
        Storage(emulator.folder).write(INPUT, b"1234")
        reply = begin(emulator, InputLocation=INPUT)
        said = b"The input has 4 bytes: at most 3 are allowed"
        assert read(emulator, reply["FailureLocation"]) == said


@pytest.mark.rule("async-inline")
def test_a_small_input_may_be_in_the_request(emulator: Emulated) -> None:
    reply = begin(emulator, Body=bytes(128_000))
    assert read(emulator, reply["OutputLocation"]) == bytes(128_000)
    assert "has oversize body" in refusal(emulator, Body=bytes(128_001))


@pytest.mark.rule("async-limits")
def test_what_is_not_valid_is_refused(emulator: Emulated) -> None:
    assert refusal(emulator) == "Either InputLocation or Body is required."
    assert "is not s3://BUCKET/KEY" in refusal(emulator, InputLocation="https://a/b")
    for key in ("../../../b", "../b/c", "b/../c"):
        assert "leads out of" in refusal(emulator, InputLocation=f"s3://a/{key}")
    # boto3 would not send it.
    url = f"{emulator.url}/endpoints/demo/async-invocations"
    short = {"X-Amzn-SageMaker-RequestTTLSeconds": "59"}
    answer = httpx.post(url, content=b"1", headers=short, timeout=30)
    assert answer.json()["Message"].endswith(
        "Value '59' at 'requestTTLSeconds' failed to satisfy constraint: Member must have value "
        "greater than or equal to 60"
    )
    assert refusal(emulator, InputLocation=INPUT, InvocationTimeoutSeconds=3601).endswith(
        "Value '3601' at 'invocationTimeoutSeconds' failed to satisfy constraint: Member must have "
        "value less than or equal to 3600"
    )


@pytest.mark.rule("async-time")
def test_the_caller_chooses_the_time_limit(emulator: Emulated) -> None:
    async def answer(_: Asked) -> Response:
        await asyncio.sleep(60)
        raise AssertionError

    emulator.container.answer = answer
    reply = begin(emulator, Body=b"1", InvocationTimeoutSeconds=1)
    assert read(emulator, reply["FailureLocation"]).startswith(b"Your invocation timed out")


@pytest.mark.rule("async-ttl")
def test_a_request_that_waits_for_too_long_expires(
    emulator: Emulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()

    async def answer(asked: Asked) -> Response:
        while not go.is_set():  # noqa: ASYNC110 - an event of threads
            await asyncio.sleep(0.01)
        return await asked.echo()

    emulator.container.answer = answer
    first = [begin(emulator, Body=b"1") for _ in range(4)]
    until(lambda: len(emulator.container.asked) == 4)
    monkeypatch.setattr(async_invocations, "_TTLS", (0, 0, 0))
    last = begin(emulator, Body=b"1")
    go.set()
    for reply in first:
        assert read(emulator, reply["OutputLocation"]) == b"1"
    assert read(emulator, last["FailureLocation"]).startswith(b"The request has expired")


@pytest.mark.rule("async-names")
def test_the_caller_names_the_output(emulator: Emulated) -> None:
    reply = begin(emulator, Body=b"1", Filename="answer.json")
    assert reply["OutputLocation"].endswith("/demo/answer.json")
    reply = begin(emulator, Body=b"2", S3OutputPathExtension="a/b/", Filename="answer.json")
    assert reply["OutputLocation"].endswith("/demo/a/b/answer.json")
    assert read(emulator, reply["OutputLocation"]) == b"2"
    for more in ({"Filename": "a/b"}, {"Filename": "a.b.c"}, {"S3OutputPathExtension": "s3://a"}):
        assert "failed to satisfy constraint" in refusal(emulator, Body=b"1", **more)
    # It stays in the folder that stands for S3.
    assert "leads out of" in refusal(emulator, Body=b"1", S3OutputPathExtension="../" * 9 + "a")


@pytest.mark.parametrize("name", ["a#b.csv", "a?b=1", "two words", "é", "%23", "é世界"])
def test_a_key_may_have_any_characters(emulator: Emulated, name: str) -> None:
    location = f"s3://inputs/{name}"
    Storage(emulator.folder).write(location, b"1")
    assert (emulator.folder / "inputs" / name).is_file()
    reply = begin(emulator, InputLocation=location)
    assert read(emulator, reply["OutputLocation"]) == b"1"
    # Clients of http.client send Latin-1, others UTF-8.
    sent = [location.encode()]
    if name.isascii() or name == "é":
        sent.append(location.encode("latin-1"))
    url = f"{emulator.url}/endpoints/demo/async-invocations"
    for raw in sent:
        headers = {b"X-Amzn-SageMaker-InputLocation": raw}
        answer = httpx.post(url, headers=headers, timeout=30, trust_env=False)
        output = answer.headers["X-Amzn-SageMaker-OutputLocation"]
        assert read(emulator, output) == b"1"


@pytest.mark.parametrize("location", ["file:///%00", "s3://a/../../b", "s3:///a", "s3://a", "a"])
def test_a_location_that_is_none_is_refused(emulator: Emulated, location: str) -> None:
    assert refusal(emulator, InputLocation=location).startswith("Invalid InputLocation: ")


def test_an_input_without_an_end_is_not_read(emulator: Emulated) -> None:
    for location in ("file:///dev/zero", emulator.folder.as_uri()):
        reply = begin(emulator, InputLocation=location)
        assert b"it is not a file" in read(emulator, reply["FailureLocation"])


def test_an_output_that_cannot_be_written_ends_that_request_alone(
    emulator: Emulated, caplog: pytest.LogCaptureFixture
) -> None:
    begin(emulator, Body=b"1", S3OutputPathExtension="a" * 300)
    until(lambda: "File name too long" in caplog.text)
    reply = begin(emulator, Body=b"1")
    assert read(emulator, reply["OutputLocation"]) == b"1"
    assert f"/{'a' * 300}/" in caplog.text
    assert ".out cannot be written: " in caplog.text
    assert "Traceback" not in caplog.text
