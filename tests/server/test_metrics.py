"""``GET /metrics``: what is counted, of whom, and when it answers."""

from __future__ import annotations

import collections
import os
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from support.documents import ROOT
from support.sockets import BIDIRECTIONAL
from support.sockets import PROGRAM as PROGRAM_WITH_SOCKETS
from support.streams import wait_until
from websockets.sync.client import connect

from tests.server.conftest import ECHO

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.server.conftest import Server

pytestmark = pytest.mark.java

PROGRAM = """
import os, signal, time
from sagemaker_inference import metrics, model_loader, predictor, serve

seen = metrics.counter("seen", "Requests that the predictor has seen.", labels=("kind",))

@model_loader
def load(model_dir):
    seen.inc(kind="load")
    return None

@predictor
def predict(data, model):
    seen.inc(kind="predict")
    if data == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    return data

serve(__name__)
"""
_SERIES = re.compile(r"(\S+?)(?:\{(.*)\})? (\S+)")


def scrape(server: Server) -> dict[tuple[str, str], float]:
    """All series by name and labels."""
    reply = server.request(method="GET", path="/metrics")
    assert reply.status == 200, reply
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    series = {}
    for line in reply.body.decode().splitlines():
        if not line.startswith("#"):
            name, labels, value = _SERIES.fullmatch(line).groups()
            assert (name, labels) not in series, line
            series[name, labels or ""] = float(value)
    return series


def test_a_zygote_is_counted_apart_from_its_workers(serve: Callable[..., Server]) -> None:
    server = serve(PROGRAM, workers=2, env={"SAGEMAKER_PRELOAD": "true"})
    series = scrape(server)
    assert series["sagemaker_inference_workers", 'state="ready"'] == 2
    name = "sagemaker_inference_resident_bytes"
    there = {labels for (found, labels) in series if found == name}
    assert there >= {'process="worker-0"', 'process="worker-1"', 'process="zygote"'}


COUNTS = """
    from sagemaker_inference import metrics, model_loader, predictor, serve

    seen = metrics.counter("seen", "Counted a hundred times a request.")

    @model_loader
    def load(model_dir):
        return None

    @predictor(threads=8)
    def predict(data, model):
        for _ in range(100):
            seen.inc()
        return data

    serve(__name__)
"""


def requests(series: dict[tuple[str, str], float]) -> dict[str, float]:
    name = "sagemaker_inference_requests_total"
    # Without those that are there for alarms.
    return {labels: value for (found, labels), value in series.items() if found == name and value}


REFUSED = """
    from sagemaker_inference import bidirectional, model_loader, predictor, serve

    @model_loader
    def load(model_dir):
        return None

    @predictor
    def predict(data, model):
        return data

    @predictor("/v1/rank")
    def rank(data, model):
        return data

    @bidirectional
    async def talk(messages, model):
        async for message in messages:
            yield message

    serve(__name__)
"""


def test_what_is_refused_unread_counts_under_its_path(serve: Callable[..., Server]) -> None:
    server = serve(REFUSED)
    too_large = {"Content-Length": str(1 << 30), "Expect": "100-continue"}
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    talk = "/invocations-bidirectional-stream"
    for path, headers, status in (
        ("/invocations", too_large, 413),
        ("http://somewhere/invocations", too_large, 413),
        ("/invocations?x=%zz", {}, 400),
        ("/v1/rank", too_large, 413),
        ("/%761/rank", too_large, 413),
        ("/v1/%zz", {}, 400),
        ("/ping", too_large, 413),
        ("/metrics", too_large, 413),
        ("/nowhere", too_large, 413),
    ):
        assert server.request(b"", headers, path=path).status == status, path
    assert server.request(b"", upgrade, method="GET", path=f"{talk}?x=%zz").status == 400
    found = requests(scrape(server))
    assert found.pop('path="/metrics",status="200"', 1) == 1
    assert found == {
        'path="/invocations",status="400"': 1,
        'path="/invocations",status="413"': 2,
        f'path="{talk}",status="400"': 1,
        'path="/metrics",status="413"': 1,
        'path="/ping",status="413"': 1,
        'path="/v1/rank",status="413"': 2,
        'path="other",status="400"': 1,
        'path="other",status="413"': 1,
    }


@pytest.mark.parametrize("env", [{}, {"SAGEMAKER_PRELOAD": "true"}])
def test_every_request_counts_once_whoever_answers_it(
    serve: Callable[..., Server], env: dict[str, str]
) -> None:
    server = serve(PROGRAM, workers=2, env=env)
    assert scrape(server)["sagemaker_endpoint_health", 'state="healthy"'] == 1
    server.all_at_once(["[1]"] * 40)
    assert server.request(b'"kill"').status == 500
    server.all_at_once(["[1]"] * 10)
    server.request(b"{")
    for method, path in (("GET", "/ping"), ("HEAD", "/ping"), ("GET", "/x"), ("GET", "/y?z=1")):
        server.request(method=method, path=path)
    series = scrape(server)
    # The first scrape also waited for.
    assert requests(series) == {
        'path="/invocations",status="200"': 50,
        'path="/invocations",status="400"': 1,
        'path="/invocations",status="500"': 1,
        'path="/metrics",status="200"': 1,
        'path="/ping",status="200"': 2,
        'path="other",status="404"': 2,
    }
    durations = "sagemaker_inference_request_duration_seconds"
    assert series[f"{durations}_count", 'path="/invocations"'] == 52
    assert series[f"{durations}_bucket", 'path="/invocations",le="+Inf"'] == 52
    assert series["sagemaker_inference_request_bytes_total", 'path="/invocations"'] == 157
    assert series["sagemaker_inference_worker_restarts_total", 'reason="died"'] == 1
    assert series["sagemaker_inference_predict_seconds_count", ""] == 51
    assert series["sagemaker_inference_requests_running", ""] == 0
    assert series["sagemaker_inference_requests_waiting", ""] == 0
    assert series["sagemaker_inference_model_load_seconds", ""] > 0
    assert series["sagemaker_inference_resident_bytes", 'process="front_end"'] > 1 << 20
    # Of the killed one, too.
    assert series["seen_total", 'kind="predict"'] == 51
    assert "/metrics" not in server.log


@pytest.mark.parametrize("is_working", [False, True])
def test_nothing_is_lost_when_workers_are_killed(
    serve: Callable[..., Server], *, is_working: bool
) -> None:
    server = serve(COUNTS, workers=2)
    statuses: collections.Counter[int] = collections.Counter()
    killed: list[int] = []
    with ThreadPoolExecutor(16) as pool:
        for _ in range(20):
            server.wait_workers(2, other_than=killed)
            workers = server.pids("sagemaker_inference._worker")
            worker = next(pid for pid in workers if pid not in killed)
            killed.append(worker)
            answers = [pool.submit(server.request, b"[1]") for _ in range(50)]
            if is_working:
                answers[10].result()
                os.kill(worker, signal.SIGKILL)
            statuses.update(answer.result().status for answer in answers)
            if not is_working:
                os.kill(worker, signal.SIGKILL)
    series = scrape(server)
    while not requests(series):
        # A page does not wait for a front end that is slow, as on a busy machine.
        series = scrape(server)
    assert {labels: count for labels, count in requests(series).items() if "inv" in labels} == {
        f'path="/invocations",status="{status}"': count for status, count in statuses.items()
    }
    assert series["sagemaker_inference_worker_restarts_total", 'reason="died"'] >= 19
    if is_working:
        # What a killed worker has counted of a request is counted, and again by the next.
        assert series["seen_total", ""] >= statuses[200] * 100
    else:
        assert statuses == {200: 1000}
        assert series["seen_total", ""] == 100_000


def test_it_answers_while_no_worker_does(serve: Callable[..., Server]) -> None:
    server = serve(PROGRAM, workers=1)
    (worker,) = server.pids("_worker.main")
    os.kill(worker, signal.SIGSTOP)
    try:
        series = scrape(server)
    finally:
        os.kill(worker, signal.SIGCONT)
    # It is noticed within a second.
    states = [series["sagemaker_inference_workers", f'state="{x}"'] for x in ("ready", "stuck")]
    assert sum(states) == 1
    assert server.request(method="HEAD", path="/metrics").body == b""
    for path in ("/metrics", "/execution-parameters"):
        refused = server.request(method="POST", path=path)
        assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")
        assert refused.headers["content-type"] == "application/json"
        assert refused.json["error"] == {
            "code": "method_not_allowed",
            "message": f"The method is POST; {path} takes GET and HEAD",
            "request_id": refused.headers["x-request-id"],
        }
        line = f"INFO POST {path} 405 total="
        server.wait_for_log(line)
        assert server.log.split(line)[1].splitlines()[0].endswith(refused.headers["x-request-id"])


@pytest.mark.parametrize(("value", "status"), [("false", 404), ("emf", 404), ("both", 200)])
def test_it_can_be_turned_off(serve: Callable[..., Server], value: str, status: int) -> None:
    server = serve(PROGRAM, env={"SAGEMAKER_METRICS": value})
    assert server.request(b"[1]").status == 200
    assert server.request(method="GET", path="/metrics").status == status
    server.process.send_signal(signal.SIGTERM)
    assert server.wait_end() == 0
    # The lines of a server that has lived for less than a minute.
    written = re.findall(r'"status": "200".*"sagemaker_inference_requests": (\d+)', server.log)
    # By what has come since the lines before: when it is told to stop, and when it has.
    assert sum(map(int, written)) == {"false": 0, "emf": 1, "both": 2}[value]


def test_a_bad_end_is_told_in_numbers_too(serve: Callable[..., Server]) -> None:
    server = serve(PROGRAM, env={"SAGEMAKER_METRICS": "emf"})
    assert server.request(b"[1]").status == 200
    os.kill(server.pids("FrontEnd")[0], signal.SIGKILL)
    assert server.wait_end() == 1
    assert '"sagemaker_inference_predict_seconds_count": 1.0' in server.log
    assert '"state": "critical", "sagemaker_endpoint_health": ' in server.log


ECHOED = """
    from sagemaker_inference import metrics, model_loader, predictor, serve

    seen = metrics.counter("seen", "Seen.", labels=("kind",))

    @model_loader
    def load(model_dir):
        return None

    @predictor
    def predict(data: dict):
        seen.inc(kind=data["kind"])
        return 1

    serve(__name__)
"""


def test_a_label_that_a_client_sends_ends_nothing(serve: Callable[..., Server]) -> None:
    server = serve(ECHOED)
    for kind in (r"\ud800", "a" * 1_000_000):
        assert server.request(f'{{"kind": "{kind}"}}').status == 200
    series = scrape(server)
    assert series["seen_total", 'kind="?"'] == 1
    assert series["seen_total", f'kind="{"a" * 200}"'] == 1
    assert server.request(b'{"kind": "a"}').status == 200


def test_many_models_have_a_label(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve(
        arguments=("-m", "sagemaker_inference", "serve"), env={"SAGEMAKER_MULTI_MODEL": "true"}
    )
    for name in ("one", "two"):
        code = tmp_path / name / "code"
        code.mkdir(parents=True)
        (code / "inference.py").write_text(PROGRAM)
        body = f'{{"model_name": "{name}", "url": "{code.parent}"}}'
        assert server.request(body, path="/models").status == 200
        assert server.request(b"[1]", path=f"/models/{name}/invoke").status == 200
    too_large = {"Content-Length": str(1 << 30), "Expect": "100-continue"}
    assert server.request(b"", too_large, path="/models/one/invoke").status == 413
    assert server.request(method="DELETE", path="/models/two").status == 200
    series = scrape(server)
    assert requests(series) == {
        'path="/models",status="200"': 2,
        'path="/models/*",status="200"': 1,
        'path="/models/*/invoke",model="one",status="200"': 1,
        'path="/models/*/invoke",model="one",status="413"': 1,
        'path="/models/*/invoke",model="two",status="200"': 1,
    }
    assert series["sagemaker_inference_workers", 'state="ready",model="one"'] == 1
    assert ("sagemaker_inference_workers", 'state="ready",model="two"') not in series
    assert series["seen_total", 'model="one",kind="predict"'] == 1
    assert series["seen_total", 'model="two",kind="predict"'] == 1
    assert series["sagemaker_inference_predict_seconds_count", ""] == 2


def test_the_documents_name_all_that_the_server_counts(serve: Callable[..., Server]) -> None:
    batches = PROGRAM.replace("@predictor", "@predictor(max_batch_size=2)")
    server = serve(batches.replace('if data == "kill"', 'if data[0] == "kill"'))
    streaming = serve(ECHO.replace("return data", "yield data"))
    talking = serve(PROGRAM_WITH_SOCKETS)
    with connect(f"ws://127.0.0.1:{talking.port}{BIDIRECTIONAL}") as socket:
        socket.send("hello")
        assert socket.recv() == "hello"
    wait_until(lambda: "socket=" in talking.log)
    page = ""
    for one in (server, streaming, talking):
        assert one.request("[1]").status == 200
        page += one.request(method="GET", path="/metrics").body.decode()
    served = dict(re.findall(r"^# TYPE (sagemaker_\w+) (\w+)$", page, re.MULTILINE))
    table = (ROOT / "docs" / "metrics.md").read_text()
    rows = re.findall(r"^\| `(sagemaker_\w+)` \| (\w+) \|", table, re.MULTILINE)
    assert dict(rows) == served
    units = re.findall(r"^\| `(sagemaker_\w+)` \| \w+ \| (\w*) ?\| ([^|]*)\|", table, re.MULTILINE)
    for name, unit, labels in units:
        assert ("_seconds" in name) == (unit == "seconds"), name
        assert ("bytes" in name) == (unit == "bytes"), name
        found = re.search(rf"^{name}(?:_sum)?(?:{{(.*)}})? ", page, re.MULTILINE)
        assert found or name.endswith("restarts_total"), name
        if found:
            named = re.findall(r"(\w+)=", found[1] or "")
            assert named == re.findall(r"`(\w+)`", labels), name


PROMETHEUS_CLIENT = """
import os, signal
from prometheus_client import Counter
from sagemaker_inference import model_loader, predictor, serve

hits = Counter("hits", "Hits.")

@model_loader
def load(model_dir):
    return None

@predictor
def predict(data, model):
    hits.inc()
    if data == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    return data

serve(__name__)
"""


@pytest.mark.parametrize("env", [{}, {"SAGEMAKER_PRELOAD": "true"}])
def test_metrics_of_prometheus_client_are_on_the_page(
    serve: Callable[..., Server], env: dict[str, str]
) -> None:
    server = serve(PROMETHEUS_CLIENT, workers=2, env=env)
    server.all_at_once(["[1]"] * 20)
    assert server.request(b'"kill"').status == 500
    server.wait_for_log("was killed by SIGKILL")
    assert server.request("[1]").status == 200
    assert scrape(server)["hits_total", ""] == 22
