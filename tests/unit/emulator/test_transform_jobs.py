"""Batch transform jobs, as scripts create them with boto3."""

from __future__ import annotations

import itertools
import json
import shutil
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from botocore.exceptions import ClientError
from starlette.responses import Response
from support.emulated import LIMITS, Asked, Emulated, SmallContainer, emulated, until
from support.ports import free_port

from sagemaker_inference._emulator import json_paths

if TYPE_CHECKING:
    from collections.abc import Iterator

ARN = "arn:aws:sagemaker:us-east-1:123456789012:"


@pytest.fixture
def emulator(emulator: Emulated) -> Iterator[Emulated]:
    """The file's emulator, with two objects and a model."""
    emulator.container.answer = echo
    put(emulator, "in/a.csv", "1\n2\n3\n")
    put(emulator, "in/deeper/b.csv", "4\n")
    model(emulator)
    yield emulator
    emulator.client("sagemaker").delete_model(ModelName="mine")
    shutil.rmtree(emulator.folder / "bucket")


async def echo(asked: Asked) -> Response:
    return Response(status_code=404) if asked.method == "GET" else await asked.echo()


def model(running: Emulated) -> None:
    running.client("sagemaker").create_model(
        ModelName="mine",
        ExecutionRoleArn="arn:aws:iam::123456789012:role/any",
        PrimaryContainer={"Image": "image:latest"},
    )


def put(running: Emulated, key: str, text: str) -> None:
    path = running.folder / "bucket" / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


NUMBERS = itertools.count()


def create(running: Emulated, name: str = "", uri: str = "s3://bucket/in/", **more: Any) -> str:
    """Create a job; returns its name."""
    name = name or f"job-{next(NUMBERS)}"
    source = {"S3DataType": more.pop("kind", "S3Prefix"), "S3Uri": uri}
    fields = {
        "TransformJobName": name,
        "ModelName": "mine",
        "TransformInput": {
            "DataSource": {"S3DataSource": source},
            "ContentType": "text/csv",
            "SplitType": "Line",
            **more.pop("given", {}),
        },
        "TransformOutput": {"S3OutputPath": "s3://bucket/out", **more.pop("output", {})},
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        "MaxPayloadInMB": 1,
        **more,
    }
    created = running.client("sagemaker").create_transform_job(**fields)
    assert created["TransformJobArn"] == f"{ARN}transform-job/{name}"
    return name


def ended(running: Emulated, name: str) -> dict[str, Any]:
    client = running.client("sagemaker")
    found: dict[str, Any] = {}

    def is_over() -> bool:
        found.update(client.describe_transform_job(TransformJobName=name))
        return found["TransformJobStatus"] not in {"InProgress", "Stopping"}

    until(is_over)
    return found


def results(running: Emulated) -> dict[str, str]:
    out = running.folder / "bucket" / "out"
    paths = [path for path in out.rglob("*") if path.is_file()] if out.is_dir() else []
    return {str(path.relative_to(out)): path.read_text() for path in paths}


@pytest.mark.rule("transform-job")
def test_a_script_that_transforms_objects_runs(
    emulator: Emulated, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    async def answer(asked: Asked) -> Response:
        if asked.method == "GET":
            return Response(b'{"MaxConcurrentTransforms": 2}')
        assert asked.headers["accept"] == "text/csv"
        lines = [f"{int(line) * 10}\n" for line in asked.body.decode().split()]
        return Response("".join(lines), 200, {"Content-Type": "text/csv"})

    emulator.container.answer = answer
    name = create(emulator, output={"Accept": "text/csv"})
    emulator.client("sagemaker").get_waiter("transform_job_completed_or_stopped").wait(
        TransformJobName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    found = ended(emulator, name)
    assert found["TransformJobStatus"] == "Completed"
    assert found["ModelName"] == "mine"
    assert found["TransformStartTime"] <= found["TransformEndTime"]
    assert results(emulator) == {"a.csv.out": "10\n20\n30\n", "deeper/b.csv.out": "40\n"}
    assert {": 3 records", ": 1 record"} <= {line[line.rfind(":") :] for line in caplog.messages}
    # One object.
    create(
        emulator,
        "single",
        "s3://bucket/in/a",
        DataProcessing={"JoinSource": "Input"},
        BatchStrategy="SingleRecord",
        output={"Accept": "text/csv", "AssembleWith": "Line"},
    )
    assert ended(emulator, "single")["TransformJobStatus"] == "Completed"
    assert results(emulator)["a.csv.out"] == "1,10\n2,20\n3,30\n"
    requests = [asked.body for asked in emulator.container.asked if asked.method == "POST"]
    assert sorted(requests) == [b"1\n", b"1\n2\n3\n", b"2\n", b"3\n", b"4\n"]


def test_a_manifest_names_objects(emulator: Emulated) -> None:
    names = [{"prefix": "s3://bucket/in/"}, "deeper/b.csv"]
    put(emulator, "manifest", json.dumps(names))
    name = create(emulator, uri="s3://bucket/manifest", kind="ManifestFile")
    assert ended(emulator, name)["TransformJobStatus"] == "Completed"
    assert results(emulator) == {"deeper/b.csv.out": "4\n"}


@pytest.mark.rule("transform-failed")
def test_an_object_that_fails_has_no_output_and_fails_the_job(emulator: Emulated) -> None:
    async def answer(asked: Asked) -> Response:
        return await asked.echo() if b"4" in asked.body else Response("no such row", 400)

    emulator.container.answer = answer
    found = ended(emulator, create(emulator))
    assert found["TransformJobStatus"] == "Failed"
    assert found["FailureReason"] == (
        "a.csv: Bad HTTP status received from algorithm: 400. no such row"
    )
    assert results(emulator) == {"deeper/b.csv.out": "4\n"}


@pytest.mark.rule("transform-stop")
def test_a_job_is_stopped_without_output(emulator: Emulated) -> None:
    began, free = threading.Event(), threading.Event()

    async def answer(asked: Asked) -> Response:
        if asked.method == "GET":
            return await echo(asked)
        began.set()
        while not free.is_set():  # noqa: ASYNC110 - of another thread
            await anyio.sleep(0.005)
        return await echo(asked)

    emulator.container.answer = answer
    client = emulator.client("sagemaker")
    name = create(emulator)
    assert began.wait(30)
    client.stop_transform_job(TransformJobName=name)
    status = client.describe_transform_job(TransformJobName=name)["TransformJobStatus"]
    assert status == "Stopping"
    free.set()
    assert ended(emulator, name)["TransformJobStatus"] == "Stopped"
    assert results(emulator) == {}
    with pytest.raises(ClientError, match="the transform job is in status Stopped"):
        client.stop_transform_job(TransformJobName=name)


@pytest.mark.parametrize("name", ["a#b.csv", "a?b=1.csv", "two words.csv", "Grüße 世界.csv", "%23"])
def test_a_key_may_have_any_characters(emulator: Emulated, name: str) -> None:
    put(emulator, f"keys/{name}", "1\n")
    for kind, uri in (
        ("S3Prefix", "s3://bucket/keys/"),
        ("S3Prefix", f"s3://bucket/keys/{name}"),
        ("ManifestFile", "s3://bucket/manifest"),
    ):
        put(emulator, "manifest", json.dumps([{"prefix": "s3://bucket/keys/"}, name]))
        job = create(emulator, uri=uri, kind=kind, output={"S3OutputPath": f"s3://bucket/{name}o"})
        assert ended(emulator, job)["TransformJobStatus"] == "Completed"
        output = emulator.folder / "bucket" / f"{name}o" / f"{name}.out"
        assert output.read_text() == "1\n"
        output.unlink()


def test_a_prefix_ends_anywhere_in_a_name(emulator: Emulated) -> None:
    put(emulator, "in/ab/c.csv", "1\n")
    for uri, found in (
        ("s3://bucket", {"in/a.csv.out", "in/ab/c.csv.out", "in/deeper/b.csv.out"}),
        ("s3://bucket/in/a", {"a.csv.out", "ab/c.csv.out"}),
        ("s3://bucket/in/dee", {"deeper/b.csv.out"}),
    ):
        job = create(emulator, uri=uri, output={"S3OutputPath": f"s3://other/{len(uri)}"})
        assert ended(emulator, job)["TransformJobStatus"] == "Completed"
        out = emulator.folder / "other" / str(len(uri))
        assert {str(path.relative_to(out)) for path in out.rglob("*.out")} == found
    names = [{"prefix": "s3://bucket/in/de"}, "eper/b.csv"]
    put(emulator, "manifest", json.dumps(names))
    name = create(emulator, uri="s3://bucket/manifest", kind="ManifestFile")
    assert ended(emulator, name)["TransformJobStatus"] == "Completed"
    assert results(emulator) == {"deeper/b.csv.out": "4\n"}


@pytest.mark.parametrize(
    "manifest",
    [
        "[]", "{}", "1", "[" * 100_000, "[[]]", '[{"prefix": 1}, "a"]', '["a", "b"]',
        '[{"prefix": "s3://bucket/in/"}, 1]', '[{"prefix": "s3://bucket/in/"}, "../../x"]',
        '[{"prefix": "s3://bucket/in/"}, "../x"]', '[{"prefix": "s3://bucket/in/"}, "\\u0000"]',
    ],
)  # fmt: skip
def test_a_manifest_of_garbage_is_refused(emulator: Emulated, manifest: str) -> None:
    put(emulator, "manifest", manifest)
    with pytest.raises(ClientError) as caught:
        create(emulator, uri="s3://bucket/manifest", kind="ManifestFile")
    assert caught.value.response["Error"]["Code"] == "ValidationException"


def test_jobs_may_have_the_same_output_and_objects_long_names(emulator: Emulated) -> None:
    name = "k" * 245
    for _ in range(2):
        put(emulator, f"long/{name}", "1\n" * 1000)
        jobs = [create(emulator, uri="s3://bucket/long/") for _ in range(3)]
        assert {ended(emulator, job)["TransformJobStatus"] for job in jobs} == {"Completed"}
    assert results(emulator) == {f"{name}.out": "1\n" * 1000}


def test_jobs_do_not_keep_other_requests_from_being_answered(emulator: Emulated) -> None:
    free = threading.Event()

    async def answer(asked: Asked) -> Response:
        while b"1\n2" in asked.body and not free.is_set():  # noqa: ASYNC110 - of another thread
            await anyio.sleep(0.01)
        return await echo(asked)

    emulator.container.answer = answer
    try:
        jobs = [create(emulator, uri="s3://bucket/in/a") for _ in range(45)]
        reply = emulator.client().invoke_endpoint_async(EndpointName="demo", Body=b"1")
        until((emulator.folder / reply["OutputLocation"].removeprefix("s3://")).exists)
    finally:
        free.set()
    assert {ended(emulator, job)["TransformJobStatus"] for job in jobs} == {"Completed"}


def test_no_transforms_at_a_time_are_as_many_as_the_container_says(emulator: Emulated) -> None:
    name = create(emulator, MaxConcurrentTransforms=0)
    assert ended(emulator, name)["TransformJobStatus"] == "Completed"


def test_jobs_are_listed(emulator: Emulated) -> None:
    for name in ("one", "two"):
        create(emulator, name)
        ended(emulator, name)
    client = emulator.client("sagemaker")

    def names(**filters: Any) -> list[str]:
        found = client.list_transform_jobs(**filters)["TransformJobSummaries"]
        return [job["TransformJobName"] for job in found]

    assert names()[:2] == ["two", "one"]
    assert names(NameContains="on") == ["one"]
    assert names(StatusEquals="Stopping") == []
    assert names(MaxResults=1) == ["two"]


@pytest.mark.rule("transform-invalid")
def test_a_job_that_cannot_be_one_is_refused(
    emulator: Emulated, caplog: pytest.LogCaptureFixture
) -> None:
    for problem, changes in (
        ("Could not find model", {"ModelName": "none"}),
        ("Member must satisfy enum value set: .None, Line", {"given": {"SplitType": "Row"}}),
        ("No S3 objects found under S3 URL 's3://bucket/no/'", {"uri": "s3://bucket/no/"}),
        ("'file' at 'transformInput.dataSource.s3DataSource.s3Uri' failed", {"uri": "file"}),
        ("'https://a/b' cannot be used: .* is not s3://BUCKET/KEY", {"uri": "https://a/b"}),
        ("S3Prefix and ManifestFile, not Converse", {"kind": "Converse"}),
        ("'s3://buck' given in input data source", {"uri": "s3://buck"}),
        ("cannot be used: ", {"uri": "s3://bucket/in/a.csv", "kind": "ManifestFile"}),
        ("output path 'https://a/b' cannot be", {"output": {"S3OutputPath": "https://a/b"}}),
        ("output path 's3://a/../../b'", {"output": {"S3OutputPath": "s3://a/../../b"}}),
        ("exceed 100 MB: 1 . 101", {"MaxPayloadInMB": 101}),
        ("exceed 100 MB: 100 . 2", {"MaxConcurrentTransforms": 100, "MaxPayloadInMB": 2}),
        ("InputFilter 'a' is not a JSONPath", {"DataProcessing": {"InputFilter": "a"}}),
        ("OutputFilter '...a' is not a JSONPath", {"DataProcessing": {"OutputFilter": "$.[a"}}),
    ):
        with pytest.raises(ClientError, match=problem) as caught:
            create(emulator, **changes)
        assert caught.value.response["Error"]["Code"] == "ValidationException"
    with pytest.raises(ClientError, match="Could not find requested job with name: none"):
        emulator.client("sagemaker").describe_transform_job(TransformJobName="none")
    name = create(emulator)
    with pytest.raises(ClientError, match="Job name must be unique") as caught:
        create(emulator, name)
    assert caught.value.response["Error"]["Code"] == "ResourceInUse"
    ended(emulator, name)
    # What only the job finds out.
    emulator.container.answer = Asked.echo
    reason = ended(emulator, create(emulator))["FailureReason"]
    assert reason == "GET /execution-parameters is answered with b'', no JSON object"
    assert reason in caplog.text


def test_a_payload_that_the_container_says_may_be_too_much(emulator: Emulated) -> None:
    async def answer(asked: Asked) -> Response:
        if asked.method == "GET":
            return Response(b'{"MaxConcurrentTransforms": 100}')
        return await echo(asked)

    emulator.container.answer = answer
    name = create(emulator, MaxPayloadInMB=2)
    assert "is over 100" in ended(emulator, name)["FailureReason"]


def test_a_reason_is_as_long_as_the_api_allows(emulator: Emulated) -> None:
    async def answer(asked: Asked) -> Response:
        return await echo(asked) if asked.method == "GET" else Response("x" * 2000, 400)

    emulator.container.answer = answer
    assert len(ended(emulator, create(emulator))["FailureReason"]) == 1024


def test_a_job_filters_by_each_operator_of_the_platform(emulator: Emulated) -> None:
    for record, path, expected in (
        ("1,2,3", "$", "1,2,3"),
        ("1,2,3", "$[1:]", "2,3"),
        ("1,2,3", "$[0,-1]", "1,3"),
        ("1,2,3", "$[0, 1:]", "1,2,3"),
        ("1,2,3", "$[*]", "1,2,3"),
        ("1,2,3", "$.*", "1,2,3"),
        ('{"a": {"b": 1, "c": 2}}', "$.a.b", "1"),
        ('{"a": {"b": 1, "c": 2}}', "$.a.['b','c']", '{"b": 1, "c": 2}'),
        ('{"1-a": 1, "it\'s": 2}', "$.1-a", "1"),
        ('{"1-a": 1, "it\'s": 2}', "$['it\\'s']", "2"),
        ('{"1-a": 1, "it\'s": 2}', '$["1-a"]', "1"),
    ):
        put(emulator, "one/record", f"{record}\n")
        kind = "application/jsonlines" if record.startswith("{") else "text/csv"
        name = create(
            emulator,
            uri="s3://bucket/one/",
            given={"ContentType": kind},
            DataProcessing={"InputFilter": path},
        )
        assert ended(emulator, name)["TransformJobStatus"] == "Completed", path
        assert results(emulator) == {"record.out": f"{expected}\n"}, path


@pytest.mark.parametrize(
    "path",
    [
        "a", "$a", "$[", "$.", "$.a[", "$..a", "$[?(@.a)]", "$.a b", "$[]", "$['']", "$[1:2:1]",
        "$['a]", "$['\\x']", "$['\n']", "$.\0", "$[1234567890]", "$ | $", "$[1 2]", "$.a\n",
    ],
)  # fmt: skip
def test_no_other_path_is_a_jobs(path: str) -> None:
    assert json_paths.readable(path) is None


def test_a_file_that_cannot_be_read_fails_the_job(emulator: Emulated) -> None:
    name = create(emulator, given={"CompressionType": "Gzip"})
    assert ended(emulator, name)["FailureReason"].startswith("a.csv: Not a gzipped file")


def test_an_output_that_cannot_be_written_fails_the_job(
    emulator: Emulated, caplog: pytest.LogCaptureFixture
) -> None:
    name = create(emulator, output={"S3OutputPath": "s3://bucket/in/a.csv"})
    reason = ended(emulator, name)["FailureReason"]
    assert reason.startswith("a.csv: [Errno ")
    assert reason in caplog.text


def test_a_job_waits_for_its_container() -> None:
    container = SmallContainer()
    is_ready = threading.Event()

    async def ping() -> Response:
        return Response(status_code=200 if is_ready.is_set() else 503)

    container.ping, container.answer = ping, echo
    with emulated(container, in_service=False) as running:
        put(running, "in/a.csv", "1\n")
        model(running)
        name = create(running)
        client = running.client("sagemaker")
        found = client.describe_transform_job(TransformJobName=name)
        assert found["TransformJobStatus"] == "InProgress"
        is_ready.set()
        assert ended(running, name)["TransformJobStatus"] == "Completed"


def test_a_container_that_never_answers_fails_the_job() -> None:
    limits = replace(LIMITS, start=0.2)
    url = f"http://127.0.0.1:{free_port()}"
    with emulated(limits=limits, url=url, in_service=False) as running:
        put(running, "in/a.csv", "1\n")
        model(running)
        reason = ended(running, create(running))["FailureReason"]
    assert "did not pass the ping health check" in reason


def test_a_fault_of_the_emulator_fails_the_job_alone(caplog: pytest.LogCaptureFixture) -> None:
    def fail(*_: object) -> str:
        message = "a mistake"
        raise RuntimeError(message)

    with emulated(transform=fail) as running:
        put(running, "in/a.csv", "1\n")
        model(running)
        assert ended(running, create(running))["FailureReason"] == "RuntimeError: a mistake"
        assert running.invoke(b"1")["Body"].read() == b"1"
    assert "a mistake" in caplog.text


def test_the_end_of_the_emulator_does_not_wait_for_a_job() -> None:
    began = threading.Event()

    async def answer(asked: Asked) -> Response:
        began.set()
        return Response("later", 503, {"Retry-After": "5"})

    with emulated() as running:
        put(running, "in/a.csv", "1\n")
        model(running)
        running.container.answer = answer
        create(running)
        assert began.wait(30)
