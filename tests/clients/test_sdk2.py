"""The SageMaker Python SDK 2: its predictors and its local mode."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from botocore.exceptions import ClientError
from support.emulated import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.emulated import Emulated, SmallContainer

pytestmark = [pytest.mark.sdk2, pytest.mark.filterwarnings("ignore")]

ROWS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]


def predictor(serializer: Any, deserializer: Any) -> Any:
    from sagemaker.predictor import Predictor
    from sagemaker.session import Session

    return Predictor("demo", Session(), serializer=serializer, deserializer=deserializer)


def pair(name: str) -> tuple[Any, Any]:
    from sagemaker import deserializers, serializers

    return getattr(serializers, f"{name}Serializer")(), getattr(
        deserializers, f"{name}Deserializer"
    )()


@pytest.mark.rule("sdk2-formats")
@pytest.mark.parametrize("name", ["JSON", "CSV", "Numpy"])
def test_a_predictor_predicts_in_each_format(iris: Emulated, name: str) -> None:
    serializer, deserializer = pair(name)
    answer = np.asarray(predictor(serializer, deserializer).predict(ROWS), float)
    assert answer.shape == (2, 3)
    assert answer[0][0] > 0.99


def same(value: Any) -> Any:
    return value


@pytest.mark.rule("sdk2-serializers")
@pytest.mark.parametrize(
    ("serializer", "data", "content_type", "body"),
    [
        ("CSVSerializer", [[1, 2], [3, 4]], "text/csv", b"1,2\n3,4"),
        ("JSONSerializer", {"a": 1}, "application/json", b'{"a": 1}'),
        ("JSONLinesSerializer", [{"a": 1}, {"a": 2}], "application/jsonlines", b'{"a": 1}\n{"a"'),
        ("LibSVMSerializer", "1 1:2\n", "text/libsvm", b"1 1:2\n"),
        ("IdentitySerializer", b"\x00\x01", "application/octet-stream", b"\x00\x01"),
        ("DataSerializer", b"\x00\x01", "file-path/raw-bytes", b"\x00\x01"),
        ("StringSerializer", "text", "text/plain", b"text"),
        ("NumpySerializer", [1, 2], "application/x-npy", b"\x93NUMPY"),
        ("SparseMatrixSerializer", None, "application/x-npz", b"PK"),
        # RecordIO's magic number.
        ("RecordSerializer", np.eye(2), "application/x-recordio-protobuf", b"\x0a\x23\xd7\xce"),
    ],
)
def test_the_container_gets_what_a_serializer_writes(
    echo: SmallContainer, serializer: str, data: Any, content_type: str, body: bytes
) -> None:
    from sagemaker import serializers
    from sagemaker.deserializers import BytesDeserializer

    if data is None:
        import scipy.sparse

        data = scipy.sparse.csr_matrix(np.eye(2))
    echo.asked.clear()
    made = getattr(serializers, serializer)()
    answer = predictor(made, BytesDeserializer()).predict(data)
    (asked,) = echo.asked
    assert asked.headers["content-type"] == content_type
    assert asked.headers["accept"] == "*/*"
    assert asked.body.startswith(body)
    assert answer == asked.body


@pytest.mark.rule("sdk2-deserializers")
@pytest.mark.parametrize(
    ("deserializer", "content_type", "body", "read", "expected"),
    [
        ("StringDeserializer", "application/json", b"a", same, "a"),
        ("BytesDeserializer", "text/plain", b"a", same, b"a"),
        ("CSVDeserializer", "text/csv", b"1,2\n", same, [["1", "2"]]),
        ("JSONDeserializer", "application/json", b'{"a": 1}', same, {"a": 1}),
        ("JSONLinesDeserializer", "application/jsonlines", b"1\n2\n", same, [1, 2]),
        ("StreamDeserializer", "text/plain", b"abc", lambda found: found[0].read(), b"abc"),
        ("PandasDeserializer", "text/csv", b"a\n1\n", lambda found: found.to_dict(), {"a": {0: 1}}),
        ("NumpyDeserializer", "application/x-npy", None, lambda found: found.tolist(), [1, 2]),
        ("RecordDeserializer", "application/x-recordio-protobuf", b"", len, 0),
    ],
)
def test_a_deserializer_reads_what_the_container_answers(
    echo: SmallContainer,
    deserializer: str,
    content_type: str,
    body: bytes | None,
    read: Callable[[Any], Any],
    expected: Any,
) -> None:
    from sagemaker import deserializers
    from sagemaker.serializers import IdentitySerializer

    if body is None:
        file = io.BytesIO()
        np.save(file, np.array([1, 2]))
        body = file.getvalue()
    made = getattr(deserializers, deserializer)()
    asking = predictor(IdentitySerializer(content_type), made)
    assert read(asking.predict(body)) == expected


def test_a_failure_of_the_container_is_the_exception_of_boto3(iris: Emulated) -> None:
    with pytest.raises(ClientError, match=r"Received client error \(422\) from primary"):
        predictor(*pair("JSON")).predict([[1]])


@pytest.mark.rule("sdk2-deploy")
def test_a_model_is_deployed_updated_and_deleted(iris: Emulated) -> None:
    from sagemaker.model import Model
    from sagemaker.predictor import Predictor
    from sagemaker.session import Session

    session = Session(default_bucket="bucket")
    role = "arn:aws:iam::123456789012:role/any"
    model = Model(
        "image:latest", role=role, name="mine", predictor_cls=Predictor, sagemaker_session=session
    )
    serializer, deserializer = pair("JSON")
    # To wait is to sleep for half a minute.
    made = model.deploy(
        1,
        "ml.m5.large",
        serializer,
        deserializer,
        endpoint_name="mine",
        tags=[{"Key": "a", "Value": "b"}],
        wait=False,
    )
    assert session.endpoint_in_service_or_not("mine")
    assert made.predict(ROWS)[0][0] > 0.99
    client = iris.client("sagemaker")
    described = client.describe_endpoint(EndpointName="mine")
    assert session.list_tags(described["EndpointArn"]) == [{"Key": "a", "Value": "b"}]
    made.update_endpoint(3, "ml.m5.large", wait=False)
    described = client.describe_endpoint(EndpointName="mine")
    assert described["ProductionVariants"][0]["CurrentInstanceCount"] == 3
    # Another one of this name is the same model for the SDK, and not the same endpoint.
    with pytest.raises(ClientError, match="Cannot create already existing endpoint"):
        model.deploy(1, "ml.m5.large", endpoint_name="mine", wait=False)
    made.delete_model()
    made.delete_endpoint()
    with pytest.raises(ClientError, match="Endpoint mine of account 123456789012 not found"):
        made.predict(ROWS)


@pytest.mark.rule("sdk2-transform")
def test_a_transformer_transforms_objects(iris: Emulated) -> None:
    from sagemaker.session import Session
    from sagemaker.transformer import Transformer

    folder = iris.folder / "bucket" / "in"
    folder.mkdir(parents=True)
    (folder / "a.csv").write_text("5.1,3.5,1.4,0.2\n6.7,3.0,5.2,2.3\n")
    made = Transformer(
        "demo",
        1,
        "ml.m5.large",
        "MultiRecord",
        output_path="s3://bucket/out",
        accept="text/csv",
        sagemaker_session=Session(default_bucket="bucket"),
    )
    made.transform(
        "s3://bucket/in",
        content_type="text/csv",
        split_type="Line",
        input_filter="$[0:]",
        wait=False,
        logs=False,
    )
    output = iris.folder / "bucket" / "out" / "a.csv.out"
    until(output.exists)
    assert len(output.read_text().splitlines()) == 2


def local_session(running: Emulated) -> Any:
    """A session of local mode, which needs Docker only to start containers."""
    from sagemaker.local import LocalSession

    session = LocalSession()
    session.config = {"local": {"serving_port": urlsplit(running.platform.container.url).port}}
    return session


@pytest.mark.rule("sdk2-local")
def test_local_modes_client_asks_the_container(iris: Emulated) -> None:
    # It goes past the platform: to the container's port, whatever the endpoint's name.
    reply = local_session(iris).sagemaker_runtime_client.invoke_endpoint(
        b"[[5.1, 3.5, 1.4, 0.2]]", "any", "application/json", "text/csv"
    )
    assert reply["Body"].read().startswith(b"0.99")


def test_predictors_predict_in_local_mode(iris: Emulated) -> None:
    from sagemaker.predictor import Predictor

    session = local_session(iris)
    for name in ("JSON", "CSV", "Numpy"):
        serializer, deserializer = pair(name)
        made = Predictor("any", session, serializer=serializer, deserializer=deserializer)
        assert np.asarray(made.predict(ROWS), float).shape == (2, 3)


def test_local_mode_passes_on_what_it_is_asked_for(
    echo: SmallContainer, echo_behind: Emulated
) -> None:
    echo.asked.clear()
    local_session(echo_behind).sagemaker_runtime_client.invoke_endpoint(
        b"a",
        "any",
        ContentType="text/plain",
        Accept="text/csv",
        CustomAttributes="a=b",
        TargetModel="one.tar.gz",
        TargetVariant="AllTraffic",
        InferenceId="mine",
    )
    (asked,) = echo.asked
    sent = {name.removeprefix("x-amzn-sagemaker-"): asked.headers[name] for name in asked.names}
    expected = {
        "content-type": "text/plain",
        "accept": "text/csv",
        "custom-attributes": "a=b",
        "target-model": "one.tar.gz",
        "target-variant": "AllTraffic",
        "inference-id": "mine",
    }
    assert {name: sent.get(name) for name in expected} == expected


def test_local_mode_takes_a_failure_for_a_prediction(iris: Emulated) -> None:
    # Unlike the platform, it looks at no status.
    reply = local_session(iris).sagemaker_runtime_client.invoke_endpoint(
        b"[[1]]", "any", "application/json", "application/json"
    )
    assert b"Send rows of 4 numbers" in reply["Body"].read()
