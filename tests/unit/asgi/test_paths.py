"""Further paths of a program in the ASGI application; the parity test compares the answers."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from sagemaker_inference.testing import TestClient

if TYPE_CHECKING:
    from sagemaker_inference import Registry

CHAT = "/v1/chat/completions"


def double(data: Any, model: Any) -> Any:
    return data * model


def test_a_client_invokes_a_path(registry: Registry) -> None:
    registry.model_loader(lambda: 2)
    registry.predictor(double)
    registry.predictor(CHAT)(lambda data: iter([data]))
    began = int(time.time())
    with TestClient(registry) as client:
        assert client.invoke([1]).json() == [2]
        streamed = client.invoke({"stream": True}, path=CHAT)
        assert streamed.text == 'data: {"stream":true}\n\ndata: [DONE]\n\n'
        refused = client.invoke({}, path=CHAT)
        assert refused.json()["error"]["type"] == "invalid_request_error"
        assert refused.error is not None
        [model] = client.request("GET", "/v1/models").json()["data"]
        assert model["id"] == "model"
        assert began <= model["created"] <= time.time()
        page = client.request("GET", "/metrics").text
    assert f'requests_total{{path="{CHAT}",status="200"}} 1' in page
    assert 'requests_total{path="/v1/models",status="200"} 1' in page


def test_a_program_may_have_further_paths_alone(registry: Registry) -> None:
    registry.model_loader(lambda: 2)
    registry.predictor("/embed")(double)
    with TestClient(registry) as client:
        assert client.invoke([1], path="/embed").json() == [2]
        assert "no @predictor without a path" in client.invoke([1]).text
        named = client.request("POST", "/models/model/invoke", b"[1]")
        assert named.json()["error"]["code"] == "model_not_found"
        assert client.request("GET", "/v1/models").status_code == 404
        assert client.request("GET", "/invocations").status_code == 405


def test_each_path_has_batches_of_its_own(registry: Registry) -> None:
    sizes: dict[str, list[int]] = {"main": [], "embed": []}
    is_running, goes_on = threading.Event(), threading.Event()

    def main(batch: list[Any]) -> list[Any]:
        sizes["main"].append(len(batch))
        is_running.set()
        goes_on.wait(10)
        return batch

    def embed(batch: list[Any]) -> list[Any]:
        sizes["embed"].append(len(batch))
        return batch

    registry.model_loader(lambda: 2)
    registry.predictor(max_batch_size=4)(main)
    registry.predictor("/embed", max_batch_size=4)(embed)
    with TestClient(registry) as client:
        threads = [
            threading.Thread(target=client.invoke, args=([1],), kwargs={"path": path})
            for path in ("/invocations", "/embed", "/invocations", "/embed", "/embed")
        ]
        threads[0].start()
        assert is_running.wait(10)
        for thread in threads[1:]:
            thread.start()
        model = client._application._model
        assert model is not None
        deadline = time.monotonic() + 10
        while model.waiting < len(threads) - 1:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        goes_on.set()
        for thread in threads:
            thread.join()
    assert sizes == {"main": [1, 1], "embed": [3]}


def test_a_path_without_batches_does_not_wait_for_others(registry: Registry) -> None:
    registry.model_loader(lambda: 2)
    registry.predictor(max_batch_size=4, max_batch_delay=60)(lambda batch: batch)
    registry.predictor("/one")(double)
    with TestClient(registry) as client:
        began = time.monotonic()
        assert client.invoke([1], path="/one").json() == [2]
        assert time.monotonic() - began < 30
