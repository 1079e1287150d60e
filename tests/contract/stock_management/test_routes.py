"""What the stock front end answers on its other routes."""

from __future__ import annotations

import http.client
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support.stock_server import (
    DIED,
    FAILED,
    HEALTHY,
    NO_METHOD,
    NO_NAME,
    NO_ROUTE,
    SCALED,
    Stock,
    absent,
    error,
    running,
    unloaded,
)

pytestmark = pytest.mark.java


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "ANYTHING"])
@pytest.mark.parametrize(
    "target",
    [
        "/models/start/invoke",
        "/models/start/invoke/",
        "/predictions/start",
        "/predictions/start/anything",
        "/start/predict",
        "/%73tart/predict",
        "/invocations",
        "/invocations/",
    ],
)
def test_any_method_is_a_prediction(stock: Stock, method: str, target: str) -> None:
    assert stock.call(f"{method} {target}", "x") == (200, {"body": "x"})
    assert stock.names == ["start"]


def test_what_a_query_says_reaches_the_handler_by_some_routes(stock: Stock) -> None:
    both = {"body": "x", "q": "1"}
    assert stock.call("POST /models/start/invoke?q=1", "x") == (200, both)
    assert stock.call("POST /invocations?q=1", "x") == (200, both)
    assert stock.call("POST /start/predict?q=1", "x") == (200, both)
    assert stock.call("POST /predictions/start?q=1", "x") == (200, {"body": "x"})
    named = {"body": "x", "model_name": "start"}
    assert stock.call("POST /invocations?model_name=start", "x") == (200, named)
    # The path says which model it is.
    named = {"body": "x", "model_name": "none"}
    assert stock.call("POST /models/start/invoke?model_name=none", "x") == (200, named)
    assert stock.call("POST /invocations?model_name=", "x")[0] == 200


def test_a_form_that_names_a_model_does_not_choose_it(stock: Stock) -> None:
    form = "application/x-www-form-urlencoded"
    found = stock.call("POST /invocations", "model_name=none&a=b", form)
    assert found == (200, {"model_name": "none", "a": "b"})


def test_a_prediction_has_no_content_type_and_no_reason(stock: Stock) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", stock.server.port, timeout=20)
    try:
        connection.request("POST", "/models/start/invoke", b"x")
        response = connection.getresponse()
        assert (response.status, response.reason) == (200, "")
        assert response.getheader("content-type") is None
        assert response.getheader("x-request-id")
    finally:
        connection.close()


def test_a_handler_decides_on_status_headers_and_type(stock: Stock) -> None:
    stock.load("m", "answer")
    reply = stock.server.request("x", path="/models/m/invoke")
    assert (reply.status, reply.body) == (418, b"ok")
    assert (reply.headers["content-type"], reply.headers["x-own"]) == ("text/plain", "1")


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ("raise", 503, "Prediction failed"),
        ("short", 503, "number of batch response mismatched"),
        ("memory", 507, "Out of resources"),
    ],
)
def test_a_prediction_that_fails_says_no_cause(
    stock: Stock, body: str, code: int, message: str
) -> None:
    expected = error(code, "InternalServerException", message)
    for target in ("/models/start/invoke", "/predictions/start", "/invocations"):
        assert stock.call(f"POST {target}", body) == expected
    assert stock.call("POST /invocations", "x") == (200, {"body": "x"})


def test_a_worker_that_dies_loses_its_request_and_comes_back(stock: Stock) -> None:
    stock.load("m", "dying")
    for _ in range(2):
        assert stock.call("POST /models/m/invoke", "x") == DIED


def test_an_answer_that_takes_longer_than_the_seconds_given_is_lost(stock: Stock) -> None:
    stock.load("m", "slow", response_timeout=1)
    began = time.monotonic()
    assert stock.call("POST /models/m/invoke", "x") == DIED
    assert time.monotonic() - began > 0.9


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "ANYTHING"])
@pytest.mark.parametrize("target", ["/ping", "/ping/", "/ping/anything", "/ping?a=b"])
def test_a_ping_is_answered_whatever_its_method(stock: Stock, method: str, target: str) -> None:
    assert stock.call(f"{method} {target}") == HEALTHY


def test_a_ping_has_status_200_whatever_it_says() -> None:
    with running() as stock:
        assert stock.call("GET /ping") == HEALTHY
        stock.load("m", "dying")
        # Each loss doubles the pause before its process starts anew.
        for _ in range(3):
            stock.call("POST /models/m/invoke", "x", timeout=20)
        said = set()
        deadline = time.monotonic() + 10
        while "Unhealthy" not in said:
            status, found = stock.call("GET /ping")
            assert status == 200
            said.add(found["status"])
            assert time.monotonic() < deadline, said


@pytest.mark.parametrize(
    "target",
    [
        "/nothing",
        "/MODELS",
        "/metrics",
        "/execution-parameters",
        "/nothing/at/all",
        "/start/predict/x",
        "/models/start/x",
        "/models/start/invoke/x",
        "/models//start",
        "/models/a%2Fb",
        "/predictions",
        "/predictions/",
        "/invocations/x",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_an_unknown_route_is_not_found(platform: Stock, method: str, target: str) -> None:
    platform.load("start", str(platform.store / "start"), initial_workers=0)
    assert platform.ask(f"{method} {target}") == NO_ROUTE


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "ANYTHING"])
def test_the_list_has_two_methods(stock: Stock, method: str) -> None:
    assert stock.ask(f"{method} /models") == NO_METHOD
    assert stock.ask(f"{method} /models/") == NO_METHOD


@pytest.mark.parametrize("method", ["POST", "PATCH", "OPTIONS", "TRACE", "ANYTHING"])
def test_a_model_has_three_methods(stock: Stock, method: str) -> None:
    assert stock.ask(f"{method} /models/start") == NO_METHOD
    assert stock.ask(f"{method} /models/none") == NO_METHOD


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH"])
def test_the_root_has_one_method(stock: Stock, method: str) -> None:
    assert stock.ask(f"{method} /") == NO_METHOD
    assert stock.call(f"{method} /") == NO_METHOD


def test_a_head_has_the_status_of_a_get_where_any_method_will_do(stock: Stock) -> None:
    assert stock.call("HEAD /ping") == (200, b"")
    assert stock.call("HEAD /invocations") == (200, b"")
    assert stock.ask("HEAD /models") == (405, b"")
    assert stock.ask("HEAD /nothing") == (404, b"")


@pytest.mark.parametrize(
    "line",
    [
        "GET /ping",
        "POST /invocations",
        "POST /predictions/start",
        "POST /start/predict",
        "POST /models/start/invoke",
        "OPTIONS /predictions/start",
    ],
)
def test_the_management_port_predicts_nothing(stock: Stock, line: str) -> None:
    assert stock.ask(line, "x") == NO_ROUTE


@pytest.mark.parametrize(
    "line",
    [
        "GET /models",
        "POST /models?url=echo",
        "GET /models/start",
        "PUT /models/start",
        "DELETE /models/start",
        "POST /models/start",
        "OPTIONS /models",
    ],
)
def test_the_inference_port_manages_nothing(stock: Stock, line: str) -> None:
    assert stock.call(line) == NO_ROUTE
    assert stock.names == ["start"]


INFERENCE_API = {
    "/": ["options"],
    "/{model_name}/predict": ["post"],
    "/ping": ["get"],
    "/predictions/{model_name}": ["post", "options"],
    "/api-description": ["get"],
    "/invocations": ["post"],
    "/models/{model_name}/invoke": ["post"],
}


MANAGEMENT_API = {
    "/": ["options"],
    "/models": ["get", "post"],
    "/models/{model_name}": ["get", "put", "delete"],
}


def routes(found: tuple[int, Any]) -> dict[str, list[str]]:
    status, document = found
    assert (status, document["openapi"]) == (200, "3.0.1")
    assert document["info"]["version"] == "1.0.0"
    return {path: list(methods) for path, methods in document["paths"].items()}


def test_each_port_describes_its_api(stock: Stock) -> None:
    assert routes(stock.call("OPTIONS /")) == INFERENCE_API
    assert stock.call("GET /api-description") == stock.call("OPTIONS /")
    assert routes(stock.ask("OPTIONS /")) == MANAGEMENT_API
    assert stock.ask("GET /api-description") == stock.ask("OPTIONS /")
    post = stock.ask("OPTIONS /")[1]["paths"]["/models"]["post"]
    # It has another name for what is called url.
    assert [parameter["name"] for parameter in post["parameters"]] == [
        "model_url",
        "model_name",
        "handler",
        "runtime",
        "batch_size",
        "max_batch_delay",
        "response_timeout",
        "initial_workers",
        "synchronous",
        "preload_model",
    ]


def test_one_port_describes_both_apis(platform: Stock) -> None:
    assert routes(platform.ask("OPTIONS /")) == {**INFERENCE_API, **MANAGEMENT_API}


def test_a_model_describes_its_api(stock: Stock) -> None:
    for target in ("/predictions/start", "/invocations", "/models/start/invoke"):
        found = stock.call(f"OPTIONS {target}")
        assert routes(found) == {"/prediction/start": ["post"]}
        assert found[1]["info"]["title"] == "RESTful API for: start"
    assert stock.call("OPTIONS /predictions/none") == absent("none")


def test_a_target_that_is_no_path_is_the_servers_fault(stock: Stock) -> None:
    message = "Index 1 out of bounds for length 1"
    expected = error(500, "ArrayIndexOutOfBoundsException", message)
    assert stock.ask("OPTIONS *") == expected
    assert stock.call("GET *") == expected


def test_a_platform_loads_calls_and_unloads(platform: Stock) -> None:
    name, url = "5f" * 32, str(platform.store / "bare")
    assert platform.ask("GET /ping") == HEALTHY
    assert platform.ask("GET /models") == (200, {"models": []})
    assert platform.ask("POST /invocations", "x") == NO_NAME
    assert platform.ask(f"POST /models/{name}/invoke", "x") == absent(name)
    assert platform.load(name, url) == SCALED
    assert platform.load(name, url)[0] == 409
    listed = {"models": [{"modelName": name, "modelUrl": url}]}
    assert platform.ask("GET /models") == (200, listed)
    assert platform.ask(f"GET /models/{name}")[1]["modelUrl"] == url
    assert platform.ask(f"POST /models/{name}/invoke", "x") == (200, {"body": "x"})
    # One model is loaded, and still it must be named.
    assert platform.ask("POST /invocations", "x") == NO_NAME
    assert platform.ask(f"DELETE /models/{name}/invoke") == (200, {"body": ""})
    assert platform.ask(f"DELETE /models/{name}") == unloaded(name)
    assert platform.ask(f"GET /models/{name}") == absent(name)
    assert platform.ask(f"DELETE /models/{name}") == absent(name)


def test_a_file_is_taken_for_an_archive(platform: Stock) -> None:
    assert platform.load("m", str(platform.store / "bare" / "model.py")) == FAILED
    message = "Model not found in model store: /no\0where"
    assert platform.load("m", "/no\0where") == error(404, "ModelNotFoundException", message)


@pytest.mark.parametrize(
    ("name", "quoted"),
    [("a b", "a%20b"), ("é", "%C3%A9"), ("a?b#c", "a%3Fb%23c"), ("..", "..")],
)
def test_a_name_may_be_any_text_without_a_slash(platform: Stock, name: str, quoted: str) -> None:
    assert platform.load(name, str(platform.store / "bare")) == SCALED
    assert platform.ask(f"GET /models/{quoted}")[1]["modelName"] == name
    assert platform.ask(f"POST /models/{quoted}/invoke", "x") == (200, {"body": "x"})
    assert platform.ask(f"DELETE /models/{quoted}") == unloaded(name)


def test_a_name_with_a_slash_is_loaded_and_never_reached() -> None:
    with running() as stock:
        assert stock.load("a/b") == SCALED
        assert stock.names == ["a/b"]
        assert stock.ask("GET /models/a%2Fb") == NO_ROUTE
        assert stock.ask("DELETE /models/a%2Fb") == NO_ROUTE
        assert stock.call("POST /models/a%2Fb/invoke", "x") == NO_ROUTE


def test_a_process_that_does_not_start_holds_up_all_connections_of_its_thread() -> None:
    with running(config="number_of_netty_threads=1\n") as stock, ThreadPoolExecutor(1) as pool:
        # It ends at once, and is waited for.
        loading = pool.submit(stock.load, "n", preload_model="x")
        time.sleep(0.5)
        with pytest.raises(TimeoutError):
            stock.call("GET /ping", timeout=2)
        stock.server.process.kill()
        assert isinstance(loading.exception(), OSError)


@pytest.mark.slow
def test_a_process_that_does_not_start_is_waited_for_a_minute_and_keeps_the_name() -> None:
    with running() as stock:
        began = time.monotonic()
        found = stock.load("m", preload_model="x")
        assert found == error(500, "InternalServerException", "Failed to save model: echo")
        assert 59 < time.monotonic() - began < 65
        assert stock.ask("GET /models/m")[1]["workers"] == []
        assert stock.load("m")[0] == 409
        assert stock.ask("DELETE /models/m") == unloaded("m")
