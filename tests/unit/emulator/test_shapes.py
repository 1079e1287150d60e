"""What operations of the control plane take."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import httpx
import pytest
from support import service_model
from support.emulated import emulated

from sagemaker_inference._emulator import shapes
from sagemaker_inference._emulator.errors import PlatformError

JUNK: list[Any] = [
    None, True, False, 0, -1, 2**40, 10**400, 1.5, "", "a" * 2000, "ä\ud800\x00", [], [None],
    [[]], ["a"], [{}], {}, {"a": None}, {"a": {"a": []}},
]  # fmt: skip


def problem(operation: str, **fields: object) -> str:
    with pytest.raises(PlatformError) as caught:
        shapes.read(operation, json.dumps(fields).encode())
    return f"{caught.value.code}: {caught.value.message}"


def test_the_excerpt_is_what_botocores_model_says() -> None:
    current = service_model.excerpt()
    shipped = json.loads(service_model.FILE.read_text())
    assert shipped["operations"] == current["operations"]
    for name, shape in shipped["shapes"].items():
        now = current["shapes"][name]
        # What a later botocore has besides is not a mistake here: it is not read.
        for part in ("members", "enum"):
            known, all_known = shape.pop(part, ()), now.pop(part, ())
            assert set(known) <= set(all_known) or not all_known, name
            if part == "members" and known:
                assert {**all_known, **known} == all_known, name
        assert shape == now, name


def test_members_that_are_null_or_not_the_operations_are_left_out() -> None:
    sent = {"ModelName": "m", "ExecutionRoleArn": None, "Other": [1]}
    sent["PrimaryContainer"] = {"Image": "i", "Environment": {"a": "b"}, "Mode": None, "x": 1}
    assert shapes.read("CreateModel", json.dumps(sent).encode()) == {
        "ModelName": "m",
        "PrimaryContainer": {"Image": "i", "Environment": {"a": "b"}},
    }
    assert shapes.read("ListModels", b"") == {}


@pytest.mark.rule("control-input")
def test_a_member_that_breaks_a_constraint_is_refused_in_the_platforms_words() -> None:
    variant = {"VariantName": "a", "ModelName": "ENTER MODEL NAME"}
    assert problem(
        "CreateEndpointConfig", EndpointConfigName="c", ProductionVariants=[variant]
    ) == (
        "ValidationException: 1 validation error detected: Value 'ENTER MODEL NAME' at "
        "'productionVariants.1.member.modelName' failed to satisfy constraint: Member must satisfy "
        "regular expression pattern: [a-zA-Z0-9]([\\-a-zA-Z0-9]*[a-zA-Z0-9])?"
    )
    assert problem("CreateEndpoint", EndpointName="a" * 64) == (
        "ValidationException: 2 validation errors detected: Value null at 'endpointConfigName' "
        "failed to satisfy constraint: Member must not be null; "
        f"Value '{'a' * 64}' at 'endpointName' failed to satisfy constraint: Member must have "
        "length less than or equal to 63"
    )
    at_sort = "Value 'Any' at 'sortBy' failed to satisfy constraint: Member must satisfy enum value"
    assert f"{at_sort} set: [Name, CreationTime]" in problem("ListModels", SortBy="Any")
    at_size = "at 'maxResults' failed to satisfy constraint: Member must have value"
    said = problem("ListModels", MaxResults=0)
    assert f"Value '0' {at_size} greater than or equal to 1" in said
    said = problem("ListModels", MaxResults=101)
    assert f"Value '101' {at_size} less than or equal to 100" in said
    container = {"Image": "i", "Environment": {"1": "b"}}
    assert "at 'primaryContainer.environment.1.key'" in problem(
        "CreateModel", ModelName="m", PrimaryContainer=container
    )
    assert "Value null at 'tags.1.member' failed" in problem(
        "AddTags", ResourceArn="arn:aws:sagemaker:us-east-1:123456789012:model/a", Tags=[None]
    )


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"ModelName": 1}, "NUMBER_VALUE can not be converted to a String"),
        ({"ModelName": True}, "TRUE_VALUE can not be converted to a String"),
        ({"ModelName": ["a"]}, "Start of list found where not expected"),
        ({"ModelName": {}}, "Start of structure or map found where not expected."),
        ({"PrimaryContainer": "a"}, "Unexpected field type"),
        ({"Containers": {}}, "Start of structure or map found where not expected."),
        ({"EnableNetworkIsolation": "true"}, "STRING_VALUE can not be converted to a Boolean"),
    ],
)
def test_a_member_of_another_type_cannot_be_read(
    fields: dict[str, object], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert problem("CreateModel", **fields) == f"SerializationException: {said}"
    # Which the platform does not say.
    assert f"CreateModel.{next(iter(fields))}: it has to be " in caplog.text


@pytest.mark.parametrize(
    "number", ["1.5", "99999999999", "true", '"1"', "1e999", "NaN", "9" * 5000]
)
def test_a_number_that_is_not_an_integer_cannot_be_read(number: str) -> None:
    with pytest.raises(PlatformError) as caught:
        shapes.read("ListModels", f'{{"MaxResults": {number}}}'.encode())
    assert caught.value.code == "SerializationException"
    with pytest.raises(PlatformError, match="SerializationException"):
        shapes.read("ListModels", b'{"CreationTimeAfter": 1e999}')


def members(name: str, depth: int = 0) -> list[tuple[str, ...]]:
    """The paths of all members of a shape, down to those of lists and maps."""
    shape = shapes._shape(name)
    if depth > 6:
        return []
    if shape["type"] == "structure":
        return [
            (member, *rest)
            for member, inner in shape["members"].items()
            for rest in [(), *members(inner, depth + 1)]
        ]
    inner = {"list": "member", "map": "value"}.get(shape["type"])
    if inner is None:
        return []
    return [(inner, *rest) for rest in [(), *members(shape[inner], depth + 1)]]


def wrapped(path: tuple[str, ...], value: Any) -> Any:
    for name in reversed(path):
        value = [value] if name == "member" else {"a": value} if name == "value" else {name: value}
    return value


@pytest.mark.parametrize("operation", service_model.OPERATIONS)
def test_no_value_of_any_member_is_more_than_the_emulator_can_read(operation: str) -> None:
    for path in members(shapes._model()["operations"][operation]):
        for value in JUNK:
            with contextlib.suppress(PlatformError):
                shapes.read(operation, json.dumps(wrapped(path, value)).encode())


def test_garbage_is_never_a_fault_of_the_emulator(caplog: pytest.LogCaptureFixture) -> None:
    with emulated() as emulator, httpx.Client(timeout=30, trust_env=False) as client:

        def send(target: str, body: object) -> httpx.Response:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            return client.post(emulator.url, content=content, headers={"X-Amz-Target": target})

        for body in (b"[" * 100_000, b'{"a":' * 100_000, b"\xff", b"{", b'{"a":NaN}', b"[]"):
            answer = send("SageMaker.CreateModel", body)
            assert answer.json()["__type"] == "SerializationException"
        for operation in service_model.OPERATIONS:
            shape = shapes._shape(shapes._model()["operations"][operation])
            for value in JUNK:
                fields = dict.fromkeys(shape["members"], value)
                answer = send(f"SageMaker.{operation}", fields)
                assert answer.status_code in {200, 400}, (operation, value, answer.text)
        answer = send("SageMaker.ListModels", b" " * (2 << 20))
        assert answer.json()["__type"] == "ValidationError"
        for target in ("ListModels", "SageMaker.", "", "SageMaker.Nothing", "Other.ListModels"):
            assert send(target, b"").json()["__type"] == "UnknownOperationException"
    assert not [one for one in caplog.records if one.levelname == "ERROR"]
    assert all(one.getMessage().isprintable() for one in caplog.records)
