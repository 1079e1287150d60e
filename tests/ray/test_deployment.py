"""Programs on Ray Serve, in real processes of Ray."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
import time
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from support.http_load import Client, post, send_all
from support.streams import wait_until
from websockets.sync.client import connect

from sagemaker_inference._errors import StartError
from sagemaker_inference.ray import RequestError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import Cluster

# Warnings of Ray are about Ray.
pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]

REQUESTS = 10_000
CLIENTS = 32


def where(cluster: Cluster, name: str = "doubles") -> dict[str, Any]:
    answer = post(cluster.port, f"/{name}/invocations", "where")
    assert answer.status == 200, answer
    found: dict[str, Any] = answer.value
    return found


def pids(cluster: Cluster, count: int) -> set[int]:
    """The replicas that answer, once there are so many."""
    found: set[int] = set()

    def has_all() -> bool:
        found.add(where(cluster)["pid"])
        return len(found) >= count

    wait_until(has_all, 180)
    return found


def test_ten_thousand_requests_get_their_own_answers(cluster: Cluster) -> None:
    cluster.run("doubles", num_replicas=2)
    seen: set[int] = set()

    def send(client: Client, number: int) -> None:
        for index in range(number, REQUESTS, CLIENTS):
            answer = client.post("/doubles/invocations", [index, number])
            assert answer == (200, [2 * index, 2 * number])
            seen.add(index)

    send_all(cluster.port, CLIENTS, send)
    assert len(seen) == REQUESTS
    assert len(pids(cluster, 2)) == 2


def test_a_killed_replica_loses_only_what_it_had(cluster: Cluster, tmp_path: Path) -> None:
    cluster.run("doubles", num_replicas=2)
    before = pids(cluster, 2)
    answers: list[Any] = []
    go = tmp_path / "go"
    (tmp_path / "begun").mkdir()
    data = {"begun": str(tmp_path / "begun"), "go": str(go)}

    def send(client: Client, _number: int) -> None:
        answers.append(client.post("/doubles/invocations", data))

    sending = threading.Thread(target=send_all, args=(cluster.port, 8, send))
    sending.start()
    try:
        wait_until(lambda: {int(each.name) for each in (tmp_path / "begun").iterdir()} == before)
        victim = min(before)
        os.kill(victim, signal.SIGKILL)
    finally:
        go.touch()
        sending.join()
    lost = [answer for answer in answers if answer.status != 200]
    assert len(answers) == 8
    assert lost
    # Each has an answer: its own, or an error.
    assert all(answer.status >= 500 for answer in lost), lost
    assert all(answer.value["pid"] != victim for answer in answers if answer.status == 200)
    # Of its successor, nothing is lost.
    wait_until(lambda: len(pids(cluster, 2) - {victim}) == 2, 180)
    assert victim not in {where(cluster)["pid"] for _ in range(20)}


def test_a_scale_from_1_to_4_replicas_fails_no_request(cluster: Cluster) -> None:
    scaling = {
        "min_replicas": 1,
        "max_replicas": 4,
        "target_ongoing_requests": 1,
        "upscale_delay_s": 0.2,
        "look_back_period_s": 0.5,
        "metrics_interval_s": 0.1,
    }
    cluster.run("doubles", autoscaling_config=scaling)
    seen: set[int] = set()
    is_over = threading.Event()
    deadline = time.monotonic() + 120

    def send(client: Client, _number: int) -> None:
        while not is_over.is_set():
            answer = client.post("/doubles/invocations", {"sleep": 0.02})
            assert answer.status == 200, answer
            seen.add(answer.value["pid"])
            if len(seen) >= 4:
                is_over.set()
            assert time.monotonic() < deadline, seen

    send_all(cluster.port, 8, send)
    assert len(seen) == 4


@contextmanager
def streamed(cluster: Cluster, data: Any, **headers: str) -> Iterator[http.client.HTTPResponse]:
    """The response to a request, which is read as it comes."""
    connection = http.client.HTTPConnection("127.0.0.1", cluster.port, timeout=60)
    named = {"Content-Type": "application/json", **headers}
    connection.request("POST", "/streams/invocations", json.dumps(data), named)
    yield connection.getresponse()
    connection.close()


def test_streams_come_item_by_item(cluster: Cluster, tmp_path: Path) -> None:
    cluster.run("streams")
    with streamed(cluster, {"count": 5, "read": str(tmp_path)}) as response:
        for number in range(5):
            assert json.loads(response.readline()) == {"number": number}
            # No earlier, the program makes the next one.
            (tmp_path / str(number)).touch()
        assert not response.read()


def test_events_that_are_quiet_get_comments(cluster: Cluster, tmp_path: Path) -> None:
    variables = {"env_vars": {"SAGEMAKER_STREAM_HEARTBEAT": "1"}}
    cluster.run("streams", ray_actor_options={"runtime_env": variables})
    data = {"count": 1, "read": str(tmp_path)}
    with streamed(cluster, data, Accept="text/event-stream") as response:
        assert response.readline() == b'data: {"number":0}\n'
        assert response.readline() == b"\n"
        assert response.readline() == b": \n"
        (tmp_path / "0").touch()
        assert set(response.read().splitlines()) <= {b"", b": "}


def test_a_stream_that_fails_ends_with_a_record(cluster: Cluster) -> None:
    cluster.run("streams")
    with streamed(cluster, {"count": 1, "fails": True}) as response:
        assert json.loads(response.readline()) == {"number": 0}
        assert json.loads(response.readline())["error"]["code"] == "prediction_failed"


def test_websockets_pass(cluster: Cluster) -> None:
    cluster.run("streams")
    url = f"ws://127.0.0.1:{cluster.port}/streams/invocations-bidirectional-stream"
    with connect(url) as websocket:
        websocket.send("hello")
        assert websocket.recv(20) == "HELLO"


def test_failures_are_those_of_the_server(cluster: Cluster) -> None:
    cluster.run("doubles")
    connection = http.client.HTTPConnection("127.0.0.1", cluster.port, timeout=60)
    connection.request("POST", "/doubles/invocations", "[1", {"Content-Type": "application/json"})
    response = connection.getresponse()
    error = json.loads(response.read())["error"]
    assert response.status == 400
    assert error["code"] == "undecodable_body"
    # One id, of Ray and of the program.
    assert response.headers.get_all("x-request-id") == [error["request_id"]]
    connection.request("GET", "/doubles/ping")
    assert connection.getresponse().status == 200
    connection.close()


def test_a_program_that_cannot_load_ends_the_run_with_its_cause(cluster: Cluster) -> None:
    with pytest.raises(StartError) as caught:
        cluster.run("broken")
    message = str(caught.value)
    assert "loading the model from" in message
    assert 'broken.py", line' in message
    assert "ValueError: there are no weights" in message


def test_a_program_that_is_not_there_ends_the_run_with_its_cause(cluster: Cluster) -> None:
    with pytest.raises(StartError, match=r"nowhere\.py is not a file in"):
        cluster.run("nowhere")


def test_a_replica_whose_health_check_fails_is_replaced(cluster: Cluster) -> None:
    cluster.run("unwell", health_check_period_s=0.5, graceful_shutdown_timeout_s=1)
    path = "/unwell/invocations"
    first = post(cluster.port, path, "where")
    assert first.status == 200
    assert post(cluster.port, path, "fail") == first

    def is_replaced() -> bool:
        answer = post(cluster.port, path, "where")
        return answer.status == 200 and answer != first

    wait_until(is_replaced, 180)


def test_batch_options_change_without_a_new_replica(cluster: Cluster) -> None:
    from ray.serve.context import _get_global_client
    from ray.serve.schema import ServeDeploySchema

    def deploy(options: dict[str, Any]) -> None:
        """As `serve deploy` does: with `serve.run`, each time is a new version."""
        replica = {"name": "doubles", "user_config": options, "ray_actor_options": {"num_cpus": 1}}
        application = {
            "name": "doubles",
            "route_prefix": "/doubles",
            "import_path": "sagemaker_inference.ray:app",
            "args": {"program": str(cluster.folder / "doubles.py")},
            "deployments": [replica],
        }
        document = {"applications": [application]}
        _get_global_client().deploy_apps(ServeDeploySchema.model_validate(document))

    def state() -> tuple[str, str]:
        found = cluster.serve.status().applications["doubles"]
        return found.status, found.deployments["doubles"].message if found.deployments else ""

    deploy({"max_batch_size": 4})
    wait_until(lambda: state()[0] == "RUNNING", 180)
    before = where(cluster)
    deploy({"max_batch_size": 2, "max_batch_delay": 0.01})
    wait_until(lambda: state()[0] == "RUNNING", 180)
    assert where(cluster) == before
    deploy({"max_batch_size": 9})
    wait_until(lambda: "max_batch_size must be at most 8" in state()[1], 180)


def test_options_of_batches_that_cannot_be_used_end_the_run(cluster: Cluster) -> None:
    with pytest.raises(StartError, match="max_batch_size must be at most 8"):
        cluster.run("doubles", user_config={"max_batch_size": 9})


def test_programs_are_shipped_as_files_and_start_no_server(cluster: Cluster) -> None:
    """The working directory of this process is another one, and so is the replica's copy."""
    cluster.run("doubles")
    file = where(cluster)["file"]
    assert file.endswith("/doubles.py")
    assert not file.startswith(str(cluster.folder))


def test_the_gpu_is_rays(cluster: Cluster) -> None:
    cluster.run("doubles", ray_actor_options={"num_gpus": 1})
    found = where(cluster)
    assert (found["gpu"], found["visible"]) == (0, "0")
    cluster.serve.delete("doubles")
    cluster.run("doubles")
    assert where(cluster)["gpu"] is None


def test_a_handle_predicts_without_http(cluster: Cluster) -> None:
    handle = cluster.run("doubles", num_replicas=2)
    responses = [handle.predict.remote([number]) for number in range(50)]
    assert [response.result() for response in responses] == [[2 * n] for n in range(50)]
    array = handle.predict.remote(np.arange(3), accept="application/x-npy").result()
    assert array.tolist() == [0, 2, 4]
    assert handle.predict.remote(b"1,2\n", content_type="text/csv").result() == [[2, 4]]
    with pytest.raises(RequestError) as caught:
        handle.predict.remote(b"[1", content_type="application/json").result()
    assert caught.value.status_code == 400
    assert "Invalid JSON" in caught.value.message


def test_what_a_program_counts_is_in_rays_metrics(cluster: Cluster) -> None:
    cluster.run("doubles")
    for _ in range(3):
        where(cluster)

    def page() -> str:
        url = f"http://127.0.0.1:{cluster.metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=20) as response:
            return str(response.read().decode())

    def is_there() -> bool:
        lines = page().splitlines()
        return any(
            line.startswith("ray_test_hits_total{") and 'kind="all"' in line and line[-4:] == " 3.0"
            for line in lines
        ) and any(line.startswith("ray_test_sizes_bucket{") and 'le="10"' in line for line in lines)

    wait_until(is_there, 180)
