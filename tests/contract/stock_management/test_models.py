"""What the stock management interface answers about models that are loaded."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.stock_server import (
    ACCEPTED,
    DIED,
    HEALTHY,
    NO_NAME,
    SCALED,
    Stock,
    absent,
    error,
    no_worker,
    running,
    unloaded,
)

pytestmark = pytest.mark.java


def test_the_list_is_sorted_and_says_the_urls_as_they_were_given(stock: Stock) -> None:
    stock.load("b", "/echo/", initial_workers=0)
    stock.load("a", initial_workers=0)
    stock.load("B", initial_workers=0)
    listed = [("B", "echo"), ("a", "echo"), ("b", "/echo/"), ("start", "start")]
    models = [{"modelName": name, "modelUrl": url} for name, url in listed]
    assert stock.ask("GET /models") == (200, {"models": models})
    assert stock.ask("GET /models/") == (200, {"models": models})


@pytest.mark.parametrize(
    ("query", "token", "names"),
    [
        ("limit=1", "1", "a"),
        ("limit=2", "2", "a b"),
        ("limit=1&next_page_token=1", "2", "b"),
        ("limit=2&next_page_token=1", "3", "b start"),
        ("limit=1&next_page_token=2", "3", "start"),
        ("limit=1&next_page_token=3", None, ""),
        # A full page has a next one, even if there is nothing on it.
        ("limit=3", "3", "a b start"),
        ("limit=4", None, "a b start"),
        ("limit=0", "0", ""),
        ("limit=1&limit=2", "1", "a"),
        ("next_page_token=1", None, "b start"),
        ("next_page_token=9", None, ""),
        ("next_page_token=-1", None, "a b start"),
        ("next_page_token=x", None, "a b start"),
        ("limit=-1", None, "a b start"),
        ("limit=101", None, "a b start"),
        ("limit=x", None, "a b start"),
        ("limit=", None, "a b start"),
        ("limit=99999999999", None, "a b start"),
        ("model_name_pattern=a", None, "a b start"),
    ],
)
def test_a_list_comes_in_pages(stock: Stock, query: str, token: str | None, names: str) -> None:
    for name in "ab":
        stock.load(name, initial_workers=0)
    status, found = stock.ask(f"GET /models?{query}")
    assert status == 200
    assert found.get("nextPageToken") == token
    assert [model["modelName"] for model in found["models"]] == names.split()


def test_a_model_is_described(stock: Stock) -> None:
    stock.load("m", "/echo")
    status, found = stock.ask("GET /models/m")
    assert status == 200
    [worker] = found.pop("workers")
    assert list(found.items()) == [
        ("modelName", "m"),
        ("modelVersion", "1.0"),
        ("modelUrl", "/echo"),
        ("engine", "none"),
        ("runtime", "python"),
        ("minWorkers", 1),
        ("maxWorkers", 1),
        ("batchSize", 1),
        ("maxBatchDelay", 100),
        ("loadedAtStartup", False),
    ]
    assert list(worker) == ["id", "startTime", "status", "gpu", "memoryUsage"]
    assert re.fullmatch(r"90\d\d-[0-9a-f]{8}", worker["id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", worker["startTime"])
    assert (worker["status"], worker["gpu"]) == ("READY", False)
    assert isinstance(worker["memoryUsage"], int)
    assert stock.ask("GET /models/m/")[1]["modelName"] == "m"
    assert stock.ask("GET /models/start")[1]["loadedAtStartup"] is True


def test_without_a_manifest_no_version_and_no_engine_is_described(stock: Stock) -> None:
    stock.load("m", "bare", handler="model:handle", initial_workers=0)
    status, found = stock.ask("GET /models/m")
    assert (status, found) == (
        200,
        {
            "modelName": "m",
            "modelUrl": "bare",
            "runtime": "python",
            "minWorkers": 0,
            "maxWorkers": 0,
            "batchSize": 1,
            "maxBatchDelay": 100,
            "loadedAtStartup": False,
            "workers": [],
        },
    )


@pytest.mark.parametrize("name", ["none", "all", "Start"])
def test_an_unknown_model_is_not_found(stock: Stock, name: str) -> None:
    assert stock.ask(f"GET /models/{name}") == absent(name)
    assert stock.ask(f"DELETE /models/{name}") == absent(name)
    assert stock.ask(f"PUT /models/{name}") == absent(name)
    assert stock.call(f"POST /models/{name}/invoke", "x") == absent(name)
    assert stock.call(f"POST /predictions/{name}", "x") == absent(name)
    assert stock.call(f"POST /invocations?model_name={name}", "x") == absent(name)
    assert stock.call(f"POST /{name}/predict", "x") == absent(name)


def scale_of(stock: Stock, name: str) -> tuple[int, int, int]:
    found = stock.ask(f"GET /models/{name}")[1]
    return found["minWorkers"], found["maxWorkers"], len(found["workers"])


@pytest.mark.parametrize(
    ("query", "scale"),
    [
        ("min_worker=2", (2, 2, 2)),
        ("min_worker=1&max_worker=2", (1, 2, 1)),
        ("max_worker=2", (1, 2, 1)),
        ("", (1, 1, 1)),
        ("min_worker=x", (1, 1, 1)),
        ("max_worker=x", (1, 1, 1)),
        ("number_gpu=1&timeout=1", (1, 1, 1)),
        ("number_gpu=x&timeout=x", (1, 1, 1)),
        ("min_worker=0", (0, 0, 0)),
    ],
)
def test_a_model_is_scaled(stock: Stock, query: str, scale: tuple[int, int, int]) -> None:
    stock.load("m")
    assert stock.ask(f"PUT /models/m?{query}&synchronous=TRUE") == SCALED
    assert scale_of(stock, "m") == scale


@pytest.mark.parametrize("query", ["", "?synchronous=1", "?synchronous=", "?synchronous=false"])
def test_a_scaling_is_not_waited_for_unless_asked(stock: Stock, query: str) -> None:
    stock.load("m")
    assert stock.ask(f"PUT /models/m{query}") == ACCEPTED
    assert stock.ask(f"PUT /models/m{query}", {"min_worker": 2, "synchronous": True}) == ACCEPTED
    assert scale_of(stock, "m")[:2] == (1, 1)


def test_a_model_is_scaled_up_and_down_in_use(stock: Stock) -> None:
    stock.load("m")
    for count in (3, 1, 2):
        query = f"min_worker={count}&max_worker={count}&synchronous=true"
        assert stock.ask(f"PUT /models/m?{query}") == SCALED
        assert scale_of(stock, "m") == (count, count, count)
        assert stock.call("POST /models/m/invoke", "x") == (200, {"body": "x"})


def test_the_most_workers_are_no_fewer_than_the_fewest(stock: Stock) -> None:
    message = "max_worker cannot be less than min_worker."
    expected = error(400, "BadRequestException", message)
    stock.load("m")
    for name in ("m", "none"):
        assert stock.ask(f"PUT /models/{name}?min_worker=3&max_worker=1") == expected
        assert stock.ask(f"PUT /models/{name}?max_worker=0") == expected
    assert scale_of(stock, "m") == (1, 1, 1)


def test_fewer_workers_than_none_are_the_servers_fault(stock: Stock) -> None:
    stock.load("m")
    status, found = stock.ask("PUT /models/m?min_worker=-1&synchronous=true")
    assert (status, found["type"]) == (500, "IndexOutOfBoundsException")
    assert scale_of(stock, "m") == (-1, -1, 0)


def test_what_was_scaled_to_nothing_never_comes_back(stock: Stock) -> None:
    stock.load("m")
    assert stock.ask("PUT /models/m?min_worker=0&synchronous=true") == SCALED
    assert stock.call("POST /models/m/invoke", "x") == no_worker("m")
    with pytest.raises(TimeoutError):
        stock.ask("PUT /models/m?min_worker=1&synchronous=true", timeout=2)
    # It says that it is ready.
    assert scale_of(stock, "m") == (1, 1, 1)
    with pytest.raises(TimeoutError):
        stock.call("POST /models/m/invoke", "x", timeout=2)
    assert stock.call("GET /ping") == HEALTHY
    assert stock.ask("DELETE /models/m") == unloaded("m")
    assert stock.load("m") == SCALED


def test_one_registered_without_workers_can_be_scaled_up(stock: Stock) -> None:
    stock.load("m", initial_workers=0)
    assert stock.ask("PUT /models/m?min_worker=1&synchronous=true") == SCALED
    assert stock.call("POST /models/m/invoke", "x") == (200, {"body": "x"})


@pytest.mark.parametrize("query", ["", "?synchronous=true", "?synchronous=false", "?timeout=x"])
def test_a_model_is_unloaded_once(stock: Stock, query: str) -> None:
    stock.load("m")
    assert stock.ask(f"DELETE /models/m{query}") == unloaded("m")
    assert stock.ask(f"DELETE /models/m{query}") == absent("m")
    assert stock.call("POST /models/m/invoke", "x") == absent("m")


def test_a_request_in_work_is_lost_when_its_model_is_unloaded(stock: Stock) -> None:
    stock.load("m", "slow")
    before = stock.server.log.count("in progress")
    with ThreadPoolExecutor(1) as pool:
        lost = pool.submit(stock.call, "POST /models/m/invoke", "x")
        # One that still waits for its worker is never answered.
        while stock.server.log.count("in progress") == before:
            assert not lost.done(), stock.server.log
            time.sleep(0.01)
        assert stock.ask("DELETE /models/m") == unloaded("m")
        assert lost.result() == DIED


def test_a_start_up_model_that_is_loaded_again_is_none() -> None:
    with running("start") as stock:
        assert stock.call("POST /invocations", "x") == (200, {"body": "x"})
        assert stock.ask("DELETE /models/start") == unloaded("start")
        assert stock.call("POST /invocations", "x") == NO_NAME
        assert stock.load("start", "start") == SCALED
        assert stock.ask("GET /models/start")[1]["loadedAtStartup"] is False
        assert stock.call("POST /invocations", "x") == NO_NAME
        assert stock.call("GET /ping") == HEALTHY
