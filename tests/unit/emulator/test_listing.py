"""Lists of the control plane."""

from __future__ import annotations

import base64
import json
import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from support.emulated import emulated

from sagemaker_inference._emulator.listing import page

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = [f"{'odd' if number % 2 else 'even'}-{number:02}" for number in range(25)]


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """A client of an emulator with 25 models, of which the last is the newest."""
    with emulated(any_name=True) as running:
        client = running.client("sagemaker")
        for name in NAMES:
            client.create_model(ModelName=name)
        yield client


def names(client: Any, **asked: Any) -> list[str]:
    return [model["ModelName"] for model in client.list_models(**asked)["Models"]]


@pytest.mark.rule("control-lists")
def test_a_page_has_ten_resources_and_the_token_of_the_next(client: Any) -> None:
    assert names(client) == NAMES[:14:-1]
    pages = client.get_paginator("list_models").paginate(PaginationConfig={"PageSize": 7})
    found = [[model["ModelName"] for model in one["Models"]] for one in pages]
    assert [len(one) for one in found] == [7, 7, 7, 4]
    assert [name for one in found for name in one] == NAMES[::-1]
    assert "NextToken" not in client.list_models(MaxResults=25)
    summary = client.list_models(MaxResults=1)["Models"][0]
    assert set(summary) == {"ModelName", "ModelArn", "CreationTime"}


def test_lists_have_an_order_and_filters(client: Any) -> None:
    ascending = {"SortBy": "Name", "SortOrder": "Ascending"}
    assert names(client, **ascending, MaxResults=2) == ["even-00", "even-02"]
    assert names(client, SortBy="Name", MaxResults=1) == ["odd-23"]
    assert names(client, SortOrder="Ascending", MaxResults=2) == NAMES[:2]
    assert names(client, NameContains="dd-0", **ascending) == NAMES[1:10:2]
    now = datetime.now(timezone.utc)
    assert names(client, CreationTimeAfter=now + timedelta(hours=1)) == []
    assert names(client, CreationTimeBefore=now - timedelta(hours=1)) == []
    assert len(names(client, CreationTimeAfter=now - timedelta(hours=1))) == 10


def test_a_page_goes_on_behind_the_last_though_it_has_been_deleted(client: Any) -> None:
    ascending = {"SortBy": "Name", "SortOrder": "Ascending", "NameContains": "odd"}
    token = client.list_models(**ascending, MaxResults=1)["NextToken"]
    client.delete_model(ModelName="odd-01")
    try:
        assert names(client, **ascending, MaxResults=1, NextToken=token) == ["odd-03"]
    finally:
        client.create_model(ModelName="odd-01")


@pytest.mark.parametrize(
    "token",
    ["", "a", "ä", "e30=", *(base64.b64encode(json.dumps(value).encode()).decode()
     for value in ("ab", 1, [1, "a"], ["a", "a"], [1.5, 2], [[], {}], {"a": 1, "b": 2}))],
)  # fmt: skip
def test_a_token_of_no_page_is_refused(client: Any, token: str) -> None:
    with pytest.raises(ClientError, match="The value of NextToken is not one") as caught:
        client.list_models(NextToken=token)
    assert caught.value.response["Error"]["Code"] == "ValidationException"


def test_resources_of_the_same_moment_are_told_apart_by_their_names() -> None:
    now = time.time()
    records = [{"ModelName": name, "ModelArn": name, "CreationTime": now} for name in NAMES]
    found: list[str] = []
    asked: dict[str, Any] = {"MaxResults": 4}
    while True:
        one = page(records, asked, "Model", "Models")
        found += [model["ModelName"] for model in one["Models"]]
        if "NextToken" not in one:
            break
        asked["NextToken"] = one["NextToken"]
    assert found == sorted(NAMES, reverse=True)


def test_endpoints_are_listed_by_status() -> None:
    with emulated() as running:
        client = running.client("sagemaker")
        (summary,) = client.list_endpoints(StatusEquals="InService", SortBy="Status")["Endpoints"]
        assert set(summary) == {
            "EndpointName",
            "EndpointArn",
            "CreationTime",
            "LastModifiedTime",
            "EndpointStatus",
        }
        assert client.list_endpoints(StatusEquals="Failed")["Endpoints"] == []
        later = datetime.now(timezone.utc) + timedelta(hours=1)
        assert client.list_endpoints(LastModifiedTimeAfter=later)["Endpoints"] == []
        (config,) = client.list_endpoint_configs()["EndpointConfigs"]
        assert config["EndpointConfigName"] == "demo"
