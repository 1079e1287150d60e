"""What the stock management interface answers to a load."""

from __future__ import annotations

import re
import socket
import time
from typing import Any

import pytest
from support.stock_server import (
    ACCEPTED,
    CANNOT_LOAD,
    FAILED,
    NO_URL,
    SCALED,
    Stock,
    absent,
    error,
    no_worker,
    registered,
    running,
)

pytestmark = pytest.mark.java


def test_answers_are_indented_json_with_an_id_and_no_cache(stock: Stock) -> None:
    reply = stock.reply("GET /models")
    assert reply.body == (
        b'{\n  "models": [\n    {\n      "modelName": "start",\n'
        b'      "modelUrl": "start"\n    }\n  ]\n}\n'
    )
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", reply.headers["x-request-id"])
    del reply.headers["x-request-id"]
    assert reply.headers == {
        "content-type": "application/json",
        "pragma": "no-cache",
        "cache-control": "no-cache; no-store, must-revalidate, private",
        "expires": "Thu, 01 Jan 1970 00:00:00 UTC",
        "content-length": str(len(reply.body)),
        "connection": "keep-alive",
    }
    reply = stock.reply("GET /models/none")
    assert reply.body == (
        b'{\n  "code": 404,\n  "type": "ModelNotFoundException",\n'
        b'  "message": "Model not found: none"\n}\n'
    )
    # After an error the connection is closed.
    assert reply.headers["connection"] == "close"


def test_a_model_is_registered_by_query_or_by_json(stock: Stock) -> None:
    assert stock.ask("POST /models?url=echo") == SCALED
    assert stock.ask("POST /models?url=echo&model_name=query") == SCALED
    assert stock.load("json") == SCALED
    assert stock.names == ["echo", "json", "query", "start"]


def test_a_name_is_taken_only_once(stock: Stock) -> None:
    taken = error(409, "ConflictStatusException", "Model m is already registered.")
    assert stock.load("m") == SCALED
    assert stock.load("m") == taken
    assert stock.load("m", "answer") == taken
    assert stock.ask("POST /models?url=echo&model_name=m&initial_workers=0") == taken
    # The url is looked at first.
    assert stock.load("m", "nowhere")[0] == 404


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "APPLICATION/JSON"])
def test_a_json_type_may_have_parameters_and_any_case(stock: Stock, kind: str) -> None:
    assert stock.ask("POST /models", {"model_name": "m", "url": "echo"}, kind) == SCALED


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded"])
def test_a_body_of_another_type_is_not_read(stock: Stock, kind: str) -> None:
    body = '{"model_name": "m", "url": "echo"}'
    assert stock.ask("POST /models", body, kind) == NO_URL
    assert stock.ask("POST /models", "model_name=m&url=echo", kind) == NO_URL
    assert stock.ask("POST /models?model_name=q&url=echo", body, kind) == SCALED
    assert stock.names == ["q", "start"]


def test_with_a_json_body_the_query_is_not_read(stock: Stock) -> None:
    line = "POST /models?url=answer&model_name=q&initial_workers=0"
    assert stock.ask(line, {"model_name": "m", "url": "echo"}) == SCALED
    assert stock.names == ["m", "start"]


def test_all_parameters_are_taken_either_way(stock: Stock) -> None:
    given = {
        "url": "echo",
        "handler": "model:handle",
        "runtime": "python",
        "batch_size": 4,
        "max_batch_delay": 250,
        "initial_workers": 2,
        "synchronous": True,
        "response_timeout": 9,
        "preload_model": "false",
    }
    query = "&".join(f"{key}={value}" for key, value in given.items())
    assert stock.ask(f"POST /models?model_name=query&{query}") == SCALED
    assert stock.load("json", **given) == SCALED
    for name in ("query", "json"):
        described = stock.ask(f"GET /models/{name}")[1]
        assert [described[key] for key in ("batchSize", "maxBatchDelay")] == [4, 250]
        assert [described[key] for key in ("minWorkers", "maxWorkers")] == [2, 2]
        assert len(described["workers"]) == 2


def test_unless_told_otherwise_it_waits_for_one_worker(stock: Stock) -> None:
    assert stock.load("m") == SCALED
    assert len(stock.ask("GET /models/m")[1]["workers"]) == 1
    assert stock.call("POST /predictions/m", "x") == (200, {"body": "x"})


def test_how_many_workers_that_is_the_configuration_says() -> None:
    with running(config="default_workers_per_model=0\n") as stock:
        assert stock.load("m") == registered("m")
        assert stock.ask("GET /models/m")[1]["workers"] == []


@pytest.mark.parametrize("value", ["false", "0", "x", "", "yes"])
def test_any_word_but_true_means_not_to_wait(stock: Stock, value: str) -> None:
    assert stock.ask(f"POST /models?url=echo&synchronous={value}") == ACCEPTED
    assert stock.names == ["echo", "start"]


@pytest.mark.parametrize("count", [0, -1])
def test_without_workers_it_is_only_registered(stock: Stock, count: int) -> None:
    assert stock.load("json", initial_workers=count) == registered("json")
    line = f"POST /models?url=echo&model_name=query&initial_workers={count}"
    assert stock.ask(line) == registered("query")
    assert stock.call("POST /models/json/invoke", "x") == no_worker("json")
    assert stock.call("POST /predictions/query", "x") == no_worker("query")
    assert stock.call("POST /invocations?model_name=query", "x") == no_worker("query")


@pytest.mark.parametrize(
    "body", [{}, {"url": None}, {"model_name": "m"}, {"model_name": "m", "Url": "echo"}]
)
def test_a_url_must_be_given(stock: Stock, body: dict[str, Any]) -> None:
    assert stock.ask("POST /models", body) == NO_URL


def test_no_body_and_no_query_lacks_a_url(stock: Stock) -> None:
    for query in ("", "?", "?model_name=m", "?model_url=echo"):
        assert stock.ask(f"POST /models{query}") == NO_URL


@pytest.mark.parametrize("url", ["nowhere", "/no/where", "s3://bucket/m", "file:///dev/null", "1"])
def test_a_folder_that_is_not_there_is_not_found(stock: Stock, url: str) -> None:
    message = f"Model not found in model store: {url}"
    expected = error(404, "ModelNotFoundException", message)
    assert stock.ask(f"POST /models?url={url}") == expected
    assert stock.load("m", url) == expected
    assert stock.names == ["start"]


def test_every_path_is_taken_below_the_model_store(stock: Stock) -> None:
    inside = str(stock.store / "echo")
    message = f"Model not found in model store: {inside}"
    assert stock.load("m", inside) == error(404, "ModelNotFoundException", message)
    assert stock.load("m", "/echo") == SCALED
    assert stock.load("n", "/echo/") == SCALED


@pytest.mark.parametrize("url", ["../store/echo", "echo/..", "echo..", ".."])
def test_two_dots_are_refused_wherever_they_are(stock: Stock, url: str) -> None:
    message = f"Relative path is not allowed in url: {url}"
    assert stock.load("m", url) == error(404, "ModelNotFoundException", message)


def test_a_download_that_fails_is_the_clients_fault(stock: Stock) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/m.mar"
        message = f"Failed to download model from: {url}"
        assert stock.load("m", url) == error(400, "DownloadModelException", message)


def test_a_model_without_a_manifest_needs_a_name_and_a_handler(stock: Stock) -> None:
    kind = "InvalidModelException"
    unnamed = error(400, kind, "Model name is not defined.")
    assert stock.ask("POST /models?url=bare") == unnamed
    assert stock.ask("POST /models?url=") == unnamed
    assert stock.load("", "bare") == unnamed
    assert stock.load("m", "bare") == error(400, kind, "Model handler is not defined.")
    assert stock.load("m", "bare", handler="model:handle") == SCALED


def test_a_manifest_that_is_no_json_is_the_clients_fault(stock: Stock) -> None:
    (stock.store / "no_manifest" / "MAR-INF").mkdir(exist_ok=True)
    (stock.store / "no_manifest" / "MAR-INF" / "MANIFEST.json").write_text("{")
    expected = error(400, "InvalidModelException", "Failed to parse signature.json.")
    assert stock.load("m", "no_manifest") == expected


@pytest.mark.parametrize("runtime", ["java", "", "Python", "python3.11"])
def test_an_unknown_runtime_is_refused(stock: Stock, runtime: str) -> None:
    expected = error(400, "BadRequestException", f"Invalid RuntimeType value: {runtime}")
    assert stock.load("m", runtime=runtime) == expected
    # It is looked at before the url.
    assert stock.ask(f"POST /models?url=nowhere&runtime={runtime}") == expected


@pytest.mark.parametrize("model", CANNOT_LOAD)
def test_a_model_that_cannot_load_says_no_cause(stock: Stock, model: str) -> None:
    # Nearly always its name is free then. On a busy machine it sometimes stays registered.
    for name in "mn":
        assert stock.load(name, model) == FAILED


def test_a_model_that_is_out_of_memory_gets_507(stock: Stock) -> None:
    assert stock.load("m", "memory") == (507, {**FAILED[1], "code": 507})
    # More often than not it stays registered, with no worker.
    time.sleep(0.5)
    found = stock.call("POST /models/m/invoke", "x")
    assert found in (no_worker("m"), absent("m"))
    assert stock.load("m")[0] == (409 if found == no_worker("m") else 200)


def test_an_initialize_that_raises_is_a_success(stock: Stock) -> None:
    assert stock.load("m", "unready") == SCALED
    assert stock.call("POST /models/m/invoke", "x") == (200, b"not ready")


def test_a_load_that_takes_longer_than_the_seconds_given_fails(stock: Stock) -> None:
    began = time.monotonic()
    assert stock.load("m", "slow_start", response_timeout=1) == FAILED
    assert time.monotonic() - began > 0.9


@pytest.mark.parametrize(
    "query",
    [
        "batch_size=x",
        "batch_size=99999999999",
        "batch_size=",
        "max_batch_delay=x",
        "initial_workers=x",
        "response_timeout=x",
        "response_timeout=2.5",
        "unknown=1",
    ],
)
def test_what_is_no_number_in_a_query_is_not_given(stock: Stock, query: str) -> None:
    assert stock.ask(f"POST /models?url=echo&{query}") == SCALED
    described = stock.ask("GET /models/echo")[1]
    assert (described["batchSize"], described["maxBatchDelay"]) == (1, 100)
    assert described["minWorkers"] == 1


def test_numbers_below_zero_are_taken(stock: Stock) -> None:
    assert stock.load("m", batch_size=-1, max_batch_delay=-2) == SCALED
    described = stock.ask("GET /models/m")[1]
    assert (described["batchSize"], described["maxBatchDelay"]) == (-1, -2)


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        ("", "NullPointerException", "Cannot invoke "),
        ("null", "NullPointerException", "Cannot invoke "),
        ("[]", "JsonSyntaxException", "java.lang.IllegalStateException: Expected BEGIN_OBJECT "),
        ('"m"', "JsonSyntaxException", "java.lang.IllegalStateException: Expected BEGIN_OBJECT "),
        ("{", "JsonSyntaxException", "java.io.EOFException: End of input at line 1 column 2 "),
        ('{"model_name": {}}', "JsonSyntaxException", "java.lang.IllegalStateException: Expected "),
        ('{"batch_size": 2.5}', "JsonSyntaxException", "java.lang.NumberFormatException: "),
        ('{"initial_workers": "x"}', "JsonSyntaxException", "java.lang.NumberFormatException: "),
    ],
)
def test_json_that_cannot_be_read_is_the_servers_fault(
    stock: Stock, body: str, kind: str, message: str
) -> None:
    status, found = stock.ask("POST /models", body, "application/json")
    assert (status, found["code"], found["type"]) == (500, 500, kind)
    assert found["message"].startswith(message)


@pytest.mark.parametrize(
    "body",
    [
        "{url: echo, model_name: m}",
        '{"url": "echo", "model_name": "m", "initial_workers": null}',
        '{"url": "echo", "model_name": "m", "initial_workers": "1"}',
        '{"url": "echo", "model_name": "m", "unknown": {}}',
    ],
)
def test_json_is_read_leniently(stock: Stock, body: str) -> None:
    assert stock.ask("POST /models", body, "application/json") == SCALED
    assert stock.names == ["m", "start"]
