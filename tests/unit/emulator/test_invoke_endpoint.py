"""InvokeEndpoint, as boto3 calls it."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import closing
from dataclasses import replace

import httpx
import pytest
from botocore.exceptions import ClientError
from starlette.responses import Response, StreamingResponse
from support.emulated import LIMITS, Emulated, emulated, until
from support.ports import free_port

from sagemaker_inference._emulator.limits import SERVERLESS

PREFIX = "X-Amzn-SageMaker-"


def error_of(emulator: Emulated, body: bytes = b"[1]", **more: object) -> dict[str, object]:
    with pytest.raises(ClientError) as caught:
        emulator.invoke(body, **more)
    return caught.value.response


@pytest.mark.rule("invoke-passes")
def test_the_body_and_the_headers_of_the_api_reach_the_container(emulator: Emulated) -> None:
    emulator.invoke(
        b"1,2\n",
        ContentType="text/csv",
        Accept="application/json",
        CustomAttributes="trace=1",
        InferenceId="inference-1",
        SessionId="session-1",
        TargetVariant="AllTraffic",
    )
    (asked,) = emulator.container.asked
    assert (asked.method, asked.path, asked.body) == ("POST", "/invocations", b"1,2\n")
    assert {name: asked.headers[name] for name in asked.names} == {
        "content-type": "text/csv",
        "accept": "application/json",
        "x-amzn-sagemaker-custom-attributes": "trace=1",
        "x-amzn-sagemaker-inference-id": "inference-1",
        "x-amzn-sagemaker-session-id": "session-1",
        "x-amzn-sagemaker-target-variant": "AllTraffic",
        "x-amzn-sagemaker-forwarded-api": "InvokeEndpoint",
    }


@pytest.mark.rule("invoke-strips")
def test_other_headers_of_the_caller_do_not(emulator: Emulated) -> None:
    url = f"{emulator.url}/endpoints/demo/invocations"
    sent = {"Authorization": "x", "traceparent": "00-1-1-01", "User-Agent": "me", "Cookie": "a=b"}
    components = {f"{PREFIX}Inference-Component": "one", f"{PREFIX}Target-Container-Hostname": "a"}
    httpx.post(url, content=b"1", headers={**sent, **components}, timeout=30).raise_for_status()
    (asked,) = emulator.container.asked
    # Those of httpx are among the API's.
    assert asked.names == {"accept", "x-amzn-sagemaker-forwarded-api"}


@pytest.mark.rule("invoke-absent")
def test_what_the_caller_leaves_out_the_container_does_not_see(emulator: Emulated) -> None:
    emulator.invoke(b"1")
    (asked,) = emulator.container.asked
    assert asked.names == {"x-amzn-sagemaker-forwarded-api"}


@pytest.mark.rule("answer-passes")
def test_the_answer_reaches_the_caller(emulator: Emulated) -> None:
    async def answer(_: object) -> Response:
        headers = {
            f"{PREFIX}Custom-Attributes": "model=7",
            f"{PREFIX}New-Session-Id": "abc; Expires=2026-12-31T23:59:59Z",
            f"{PREFIX}Closed-Session-Id": "old",
        }
        return Response(b"\x00\xff", 200, headers, "application/x-npy")

    emulator.container.answer = answer
    reply = emulator.invoke()
    assert reply["Body"].read() == b"\x00\xff"
    assert reply["ContentType"] == "application/x-npy"
    assert reply["InvokedProductionVariant"] == "AllTraffic"
    assert reply["CustomAttributes"] == "model=7"
    assert reply["NewSessionId"] == "abc; Expires=2026-12-31T23:59:59Z"
    assert reply["ClosedSessionId"] == "old"
    assert len(reply["ResponseMetadata"]["RequestId"]) == 36


@pytest.mark.rule("answer-strips")
def test_other_headers_of_the_container_do_not(emulator: Emulated) -> None:
    async def answer(_: object) -> Response:
        return Response(b"1", 200, {"X-Mine": "1", "Set-Cookie": "a=b", "ETag": "1"})

    emulator.container.answer = answer
    found = emulator.invoke()["ResponseMetadata"]["HTTPHeaders"]
    assert set(found) == {
        "content-length",
        "date",
        "server",
        "x-amzn-invoked-production-variant",
        "x-amzn-requestid",
    }


@pytest.mark.rule("session-names")
def test_either_name_announces_a_session(emulator: Emulated) -> None:
    async def answer(_: object) -> Response:
        return Response(b"", 200, {f"{PREFIX}Session-Id": "abc; Expires=2026-12-31T23:59:59Z"})

    emulator.container.answer = answer
    reply = emulator.invoke(SessionId="NEW_SESSION")
    assert reply["NewSessionId"] == "abc; Expires=2026-12-31T23:59:59Z"
    assert emulator.container.asked[0].headers[f"{PREFIX}Session-Id"] == "NEW_SESSION"


@pytest.mark.rule("answer-limits")
@pytest.mark.parametrize(
    ("header", "value", "key", "said"),
    [
        ("Custom-Attributes", "x" * 1025, "CustomAttributes", "has 1025 characters"),
        ("Custom-Attributes", "caf\xe9", "CustomAttributes", "visible ASCII"),
        ("New-Session-Id", "abc", "NewSessionId", "'abc'"),
        ("Session-Id", "abc; Expires=2026-12-31", "NewSessionId", "'abc; Expires=2026-12-31'"),
    ],
)
def test_a_header_of_the_container_that_the_api_does_not_allow_is_reported(
    emulator: Emulated,
    caplog: pytest.LogCaptureFixture,
    header: str,
    value: str,
    key: str,
    said: str,
) -> None:
    async def answer(_: object) -> Response:
        return Response(b"", 200, {f"{PREFIX}{header}": value})

    emulator.container.answer = answer
    assert key not in emulator.invoke()
    assert said in caplog.text


@pytest.mark.rule("request-limits")
@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        (
            {"CustomAttributes": "x" * 1025},
            (
                "Value at 'customAttributes' failed to satisfy constraint: Member must have length "
                "less than or equal to 1024"
            ),
        ),
        (
            {"InferenceId": "x" * 65},
            (
                f"Value '{'x' * 65}' at 'inferenceId' failed to satisfy constraint: Member must "
                "have length less than or equal to 64"
            ),
        ),
        (
            {"SessionId": "-"},
            (
                "Value '-' at 'sessionId' failed to satisfy constraint: Member must satisfy "
                "regular expression pattern: (NEW_SESSION)|[a-zA-Z0-9](-*[a-zA-Z0-9])*"
            ),
        ),
    ],
)
def test_a_header_of_the_caller_that_the_api_does_not_allow_is_refused(
    emulator: Emulated, parameters: dict[str, str], said: str
) -> None:
    error = error_of(emulator, **parameters)
    assert error["Error"] == {
        "Code": "ValidationError",
        "Message": f"1 validation error detected: {said}",
    }
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert emulator.container.asked == []


def test_all_that_is_not_allowed_is_named(emulator: Emulated) -> None:
    error = error_of(emulator, InferenceId="x" * 65, SessionId="-")
    assert error["Error"]["Message"].startswith("2 validation errors detected: Value '")


@pytest.mark.rule("request-size")
def test_a_large_body_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    with emulated(limits=replace(LIMITS, request_size=SERVERLESS.request_size)) as emulator:
        assert emulator.invoke(bytes(4 << 20))["Body"].read() == bytes(4 << 20)
        error = error_of(emulator, bytes((4 << 20) + 1))
    request = error["ResponseMetadata"]["RequestId"]
    assert error["Error"] == {
        "Code": "ValidationError",
        "Message": f"Request {request} has oversize body.",
    }
    assert "the body has 4194305 bytes: SageMaker takes at most 4194304" in caplog.text


@pytest.mark.rule("endpoint-name")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("other", "Endpoint other of account 123456789012 not found."),
        (
            "-",
            (
                "1 validation error detected: Value '-' at 'endpointName' failed to satisfy "
                "constraint: Member must satisfy regular expression pattern: "
                "[a-zA-Z0-9](-*[a-zA-Z0-9])*"
            ),
        ),
    ],
)
def test_other_endpoints_are_not_found(emulator: Emulated, name: str, said: str) -> None:
    with pytest.raises(ClientError) as caught:
        emulator.client().invoke_endpoint(EndpointName=name, Body=b"1")
    assert caught.value.response["Error"] == {"Code": "ValidationError", "Message": said}


def test_any_name_is_found_where_none_was_chosen() -> None:
    with emulated(any_name=True) as emulator:
        reply = emulator.client().invoke_endpoint(EndpointName="whatever", Body=b"1")
        assert reply["Body"].read() == b"1"


@pytest.mark.rule("variant")
def test_other_variants_are_not_found(emulator: Emulated) -> None:
    error = error_of(emulator, TargetVariant="Other")
    assert error["Error"] == {
        "Code": "ValidationError",
        "Message": "Variant Other of endpoint demo not found.",
    }


@pytest.mark.rule("target-model")
def test_one_model_has_no_target_model(emulator: Emulated) -> None:
    error = error_of(emulator, TargetModel="a.tar.gz")
    assert error["Error"] == {
        "Code": "ValidationError",
        "Message": "Endpoint demo is not a multi-model endpoint and does not support target model "
        "header.",
    }


SEE = (
    " See https://us-east-1.console.aws.amazon.com/cloudwatch/home?region=us-east-1"
    "#logEventViewer:group=/aws/sagemaker/Endpoints/demo in account 123456789012 for more "
    "information."
)


@pytest.mark.rule("model-error")
@pytest.mark.parametrize(
    ("status", "whose"), [(400, "client"), (422, "client"), (500, "server"), (304, "server")]
)
def test_a_status_of_failure_is_a_model_error(emulator: Emulated, status: int, whose: str) -> None:
    body = "" if status == 304 else '{"code": 1}'

    async def answer(_: object) -> Response:
        return Response(body, status)

    emulator.container.answer = answer
    error = error_of(emulator)
    assert error["Error"] == {
        "Code": "ModelError",
        "Message": f'Received {whose} error ({status}) from primary with message "{body}".{SEE}',
    }
    assert error["OriginalStatusCode"] == status
    assert error["OriginalMessage"] == body
    assert error["LogStreamArn"] == (
        "arn:aws:logs:us-east-1:123456789012:log-group:/aws/sagemaker/Endpoints/demo"
    )
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 424


@pytest.mark.rule("statuses-of-success")
def test_other_statuses_of_success_reach_the_caller(emulator: Emulated) -> None:
    async def answer(_: object) -> Response:
        return Response(b"1", 201)

    emulator.container.answer = answer
    assert emulator.invoke()["ResponseMetadata"]["HTTPStatusCode"] == 201


@pytest.mark.rule("answer-cut")
@pytest.mark.parametrize(("status", "whose"), [(200, "server"), (400, "client")])
def test_an_answer_that_breaks_off_is_a_model_error(
    emulator: Emulated, status: int, whose: str
) -> None:
    async def half():
        yield b"1"
        raise ConnectionResetError

    async def answer(_: object) -> Response:
        return StreamingResponse(half(), status)

    emulator.container.answer = answer
    error = error_of(emulator)
    assert error["Error"]["Message"] == (
        f"Received {whose} error ({status}) from primary and could not load the entire response "
        f"body.{SEE}"
    )
    assert error["OriginalStatusCode"] == status


@pytest.mark.rule("invoke-time")
def test_a_slow_answer_is_a_model_error() -> None:
    left = threading.Event()

    async def answer(_: object) -> Response:
        try:
            await asyncio.sleep(60)
        finally:
            left.set()
        raise AssertionError

    with emulated(limits=replace(LIMITS, answer=0.2)) as emulator:
        emulator.container.answer = answer
        error = error_of(emulator)
    assert error["OriginalStatusCode"] == 0
    said = (
        "Your invocation timed out while waiting for a response from container primary. Review the "
        "latency metrics for each container in Amazon CloudWatch, resolve the issue, and try again."
    )
    assert error["OriginalMessage"] == said
    assert error["Error"]["Message"] == (
        f'Received server error (0) from primary with message "{said}".{SEE}'
    )


@pytest.mark.rule("no-response")
def test_a_container_that_hangs_up_without_an_answer_is_a_model_error(emulator: Emulated) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as listener:

        def serve() -> None:
            # Pings first.
            while True:
                connection, _ = listener.accept()
                with closing(connection):
                    head = connection.recv(65536)
                    if not head.startswith(b"GET"):
                        return
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        limits = replace(LIMITS, ping_pause=60)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with emulated(limits=limits, url=url) as other:
            error = error_of(other)
        thread.join()
    assert error["OriginalStatusCode"] == 0
    assert str(error["OriginalMessage"]).startswith(
        "Amazon SageMaker could not get a response from the demo endpoint. This can occur when CPU"
    )


def test_a_caller_that_hangs_up_is_reported(
    emulator: Emulated, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    port = int(emulator.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"POST /endpoints/demo/invocations HTTP/1.1\r\nHost: a\r\n")
        client.sendall(b"Content-Length: 10\r\n\r\n1")
    until(lambda: "the caller has gone" in caplog.text)
    assert emulator.invoke(b"1")["Body"].read() == b"1"
    assert "Traceback" not in caplog.text


@pytest.mark.rule("signatures")
def test_signatures_are_not_checked(emulator: Emulated) -> None:
    url = f"{emulator.url}/endpoints/demo/invocations"
    assert httpx.post(url, content=b"1", timeout=30).status_code == 200


def test_what_is_no_operation_is_refused(emulator: Emulated) -> None:
    answer = httpx.get(f"{emulator.url}/endpoints", timeout=30)
    assert answer.status_code == 404
    assert answer.headers["x-amzn-errortype"] == "UnknownOperationException"
    assert answer.json() == {"Message": "GET /endpoints is not an operation of SageMaker"}


def test_a_fault_of_the_emulator_is_an_internal_failure(
    emulator: Emulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise KeyError

    monkeypatch.setattr(emulator.platform.container, "invoke", fail)
    error = error_of(emulator)
    assert error["Error"]["Code"] == "InternalFailure"
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 500
