"""The console's application: what it shows, and whom it answers."""

from __future__ import annotations

import base64
import socket
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from starlette.responses import Response
from support.developed import PROGRAM
from support.emulated import Asked, SmallContainer, served_at
from support.ports import free_port

from sagemaker_inference._cli._command import CommandError
from sagemaker_inference._cli._dev import numbers, serving
from sagemaker_inference._cli._dev.console import Console
from sagemaker_inference._cli._dev.proxy import Proxy
from sagemaker_inference._cli._dev.records import GONE, Records
from sagemaker_inference._cli._dev.reloading import Loaded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

METRICS = """\
# TYPE sagemaker_inference_batch_size histogram
sagemaker_inference_batch_size_bucket{le="1"} 3
sagemaker_inference_batch_size_bucket{le="2"} 7
sagemaker_inference_batch_size_bucket{le="+Inf"} 8
# HELP sagemaker_inference_requests_waiting Requests that wait for a worker.
sagemaker_inference_requests_waiting 4
sagemaker_inference_requests_running 1
"""


class Target:
    kind = "the real server"

    def __init__(self, url: str) -> None:
        self.url = url


class FakeReloader:
    """A program that has been loaded."""

    def __init__(self, url: str) -> None:
        self.target: Target | None = Target(url)
        self.number = 2
        self.loads = 3
        self.last = Loaded("", ["log"], 0.5)
        self.is_loading = False
        self.why_not = "nothing is there"

    def begin(self, _: Target) -> None:
        """Nobody counts."""

    end = begin


class Bench:
    def __init__(
        self, port: int, container: SmallContainer, reloader: FakeReloader, records: Records
    ) -> None:
        self._records = records
        self._target = reloader.target
        self.url = f"http://127.0.0.1:{port}"
        self.container = container
        self.reloader = reloader
        self.client = httpx.Client(base_url=self.url, timeout=60, trust_env=False)

    def reset(self) -> None:
        """Be as at first."""
        self.container.asked.clear()
        self.container.answer = Asked.echo
        self.reloader.target = self._target
        self.reloader.last = Loaded("", ["log"], 0.5)
        self.reloader.loads += 1
        self._records._kept.clear()
        self._records._times.clear()

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.client.get(path, headers=headers)

    def send(self, target: str = "/invocations", body: bytes = b"1", **headers: str) -> Any:
        """Send a request as the page does."""
        own = {"Origin": self.url, "Sec-Fetch-Site": "same-origin", **headers}
        return self.client.post(f"/api/send?{target}", content=body, headers=own)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("program") / "inference.py"
    (path.parent / "request.json").write_text("[1, 2]")
    return path


@pytest.fixture(scope="module")
def running(program: Path) -> Iterator[Bench]:
    container, records, port = SmallContainer(), Records(), free_port()
    with served_at(free_port(), container.app) as behind:
        reloader: Any = FakeReloader(behind)
        proxy = Proxy(reloader, records)
        address = "http://127.0.0.1:8080"
        console = Console(str(program), address, proxy, reloader, records, port)
        with served_at(port, console):
            bench = Bench(port, container, reloader, records)
            yield bench
            bench.client.close()


@pytest.fixture
def bench(running: Bench, program: Path) -> Bench:
    """A console that runs, of a program that has just been loaded."""
    program.write_text(PROGRAM)
    running.reset()
    return running


def test_the_page_and_its_files_are_served(bench: Bench) -> None:
    for path, kind in [
        ("/", "text/html"),
        ("/console.css", "text/css"),
        ("/console.js", "text/javascript"),
        ("/responses.js", "text/javascript"),
    ]:
        reply = bench.get(path)
        assert reply.status_code == 200
        assert reply.headers["content-type"] == f"{kind}; charset=utf-8"
        assert "default-src 'none'" in reply.headers["content-security-policy"]
        # Nothing comes from elsewhere.
        assert "//" not in reply.text.replace("http://www.w3.org/2000/svg", "").replace("// ", "")
    assert bench.get("/other").status_code == 404


def test_the_state_has_what_the_page_shows(bench: Bench) -> None:
    bench.container.metrics = lambda: Response(METRICS)
    assert bench.send(body=b"[1]").content == b"[1]"
    state = bench.get("/api/state").json()
    assert (state["program"].rpartition("/")[2], state["kind"]) == (
        "inference.py",
        "the real server",
    )
    assert state["ping"] == {"status": 200, "body": ""}
    assert (state["number"], state["problem"], state["log"]) == (2, "", [])
    assert state["queue"] == {"waiting": 4.0, "running": 1.0}
    assert state["batches"] == {"1": 3, "2": 4, "+Inf": 1}
    assert sum(state["counts"]) == 1
    (one,) = state["requests"]
    assert (one["target"], one["status"], one["sizes"]) == ("/invocations", 200, [3, 3])
    details = bench.get(f"/api/requests/{one['number']}").json()
    assert base64.b64decode(details["request"]["data"]) == b"[1]"
    assert base64.b64decode(details["response"]["data"]) == b"[1]"
    assert bench.get("/api/requests/999").status_code == 404


def test_without_a_server_the_state_says_why(bench: Bench) -> None:
    bench.reloader.target = None
    bench.reloader.last = Loaded("no", ["one", "two"])
    state = bench.get("/api/state").json()
    assert (state["ping"], state["problem"], state["log"]) == (None, "no", ["one", "two"])
    bench.reloader.target = Target(f"http://127.0.0.1:{free_port()}")
    assert bench.get("/api/state").json()["ping"] is None


def test_a_request_of_the_page_reaches_the_program(bench: Bench) -> None:
    reply = bench.send(
        "/a%2Fb?q=1",
        b"1,2",
        **{
            "Content-Type": "text/csv",
            "Accept": "text/x",
            "X-Amzn-SageMaker-Custom-Attributes": "a=1",
            "Cookie": "secret=1",
        },
    )
    assert reply.content == b"1,2"
    asked: Asked = bench.container.asked[0]
    assert (asked.query, asked.headers["content-type"]) == ("q=1", "text/csv")
    assert asked.headers["x-amzn-sagemaker-custom-attributes"] == "a=1"
    assert asked.headers["host"] == "127.0.0.1:8080"
    assert not {"cookie", "origin", "sec-fetch-site", "user-agent"} & asked.names


def test_an_answer_of_the_program_is_no_page_of_the_console(bench: Bench) -> None:
    async def answer(_: Asked) -> Response:
        headers = {"Content-Type": "text/html", "Content-Security-Policy": "script-src *"}
        return Response(b"<script>", 200, headers)

    bench.container.answer = answer
    reply = bench.send()
    assert reply.headers["content-security-policy"].startswith("default-src 'none'")
    assert reply.headers["x-content-type-options"] == "nosniff"


def test_the_number_of_a_request_is_not_the_program_s(bench: Bench) -> None:
    async def answer(_: Asked) -> Response:
        return Response(b"1", 200, {"X-Request-Number": "999"})

    bench.container.answer = answer
    number = bench.send().headers["x-request-number"]
    assert bench.get(f"/api/requests/{number}").json()["status"] == 200


@pytest.mark.parametrize("target", ["", "invocations", "http://elsewhere/"])
def test_a_target_is_a_path(bench: Bench, target: str) -> None:
    assert bench.send(target).status_code == 400
    assert bench.container.asked == []


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        # Another name that leads here: DNS rebinding.
        ("/", {"Host": "attacker.example"}),
        ("/api/state", {"Host": "attacker.example:8081"}),
        ("/api/state", {"Origin": "http://attacker.example"}),
        ("/api/state", {"Sec-Fetch-Site": "cross-site"}),
        ("/api/check", {"Sec-Fetch-Site": "same-site"}),
    ],
)
def test_other_pages_read_nothing(bench: Bench, path: str, headers: dict[str, str]) -> None:
    reply = bench.get(path, **headers)
    assert reply.status_code == 403
    assert "onsole" in reply.text


@pytest.mark.parametrize("origin", [None, "null", "http://attacker.example", "http://127.0.0.1"])
def test_other_pages_send_nothing(bench: Bench, origin: str | None) -> None:
    headers = {} if origin is None else {"Origin": origin}
    reply = bench.client.post("/api/send?/invocations", content=b"1", headers=headers)
    assert reply.status_code == 403
    assert bench.container.asked == []


def test_the_name_of_this_machine_is_its_own(bench: Bench) -> None:
    host = bench.url.removeprefix("http://").replace("127.0.0.1", "localhost")
    assert bench.get("/api/state", Host=host).status_code == 200
    assert bench.get("/api/send?/invocations", Host=host).status_code == 400


def test_samples_and_findings_are_looked_for_once_for_each_load(
    bench: Bench, program: Path
) -> None:
    samples = bench.get("/api/samples").json()
    bodies = {one["content_type"]: one["body"] for one in samples}
    assert base64.b64decode(bodies["application/json"]) == b"[1, 2]"
    assert {one["path"] for one in samples} == {"/invocations"}
    findings = bench.get("/api/check").json()
    assert [one["rule"] for one in findings["findings"]] == ["program-hints"]
    program.write_text("import nothing_such")
    assert bench.get("/api/samples").json() == samples
    bench.reloader.loads += 1
    reply = bench.get("/api/samples")
    assert reply.status_code == 500
    assert "nothing_such" in reply.json()["problem"]


def test_percentiles_are_of_seconds_and_of_the_minute() -> None:
    found = numbers.of_requests([(0.5, 0.001, 200), (0.6, 0.003, 200), (59.9, 1.0, 500)])
    assert (found["counts"][0], found["counts"][-1]) == (1, 2)
    assert (found["failures"][0], found["failures"][-1]) == (1, 0)
    assert found["latencies"][0] == [1000.0, 1000.0, 1000.0]
    assert found["latency"] == [3.0, 1000.0, 1000.0]
    assert numbers.of_requests([])["latency"] is None


def test_the_next_port_that_is_free_is_the_console_s() -> None:
    while True:
        port = free_port()
        try:
            taken = socket.create_server(("127.0.0.1", port + 1))
        except OSError:
            continue
        break
    with taken, serving._listen_for_console(serving.NEXT, port) as page:
        assert page.getsockname()[1] > port + 1
    with taken, pytest.raises(CommandError, match="no port above 65535 is free"):
        serving._listen_for_console(serving.NEXT, 65535)


def test_old_requests_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    from sagemaker_inference._cli._dev import records as module

    records = Records()
    record = records.begin("POST", "/invocations", Any)  # type: ignore[arg-type]
    records.end(record)
    assert len(records.times()) == 1
    now = module.monotonic()
    monkeypatch.setattr(module, "monotonic", lambda: now + 61)
    assert records.times() == []
    assert records.find(record.number) is record


@pytest.mark.parametrize(
    ("problem", "failures"),
    [("", 0), ("the server has not completed the response", 1), (GONE, 0)],
)
def test_a_response_that_breaks_off_is_a_failure(problem: str, failures: int) -> None:
    records = Records()
    record = records.begin("POST", "/invocations", Any)  # type: ignore[arg-type]
    record.note_head(200, "application/jsonlines")
    record.problem = problem
    records.end(record)
    assert sum(numbers.of_requests(records.times())["failures"]) == failures
