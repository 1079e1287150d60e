"""The page of metrics, its size, and what stays of workers that are gone."""

from __future__ import annotations

import os
import re
from importlib import metadata
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from sagemaker_inference import metrics
from sagemaker_inference._ipc.messages import Report
from sagemaker_inference._os.event_loop import EventLoop
from sagemaker_inference._supervisor.front_end import FrontEndProcess
from sagemaker_inference._supervisor.metrics import Metrics
from sagemaker_inference._supervisor.outcome import STOPPING
from sagemaker_inference._supervisor.worker_handle import WorkerHandle
from sagemaker_inference._supervisor.worker_records import Records, WorkerArea
from sagemaker_inference._worker.request_metrics import RequestMetrics
from sagemaker_inference.metrics import _instruments, _server
from sagemaker_inference.metrics._exposition import text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sagemaker_inference._errors import ErrorCode
    from sagemaker_inference._supervisor.worker_handle import State


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    metrics.reset()
    yield
    metrics.reset()


def worker(feed: Callable[[], Any]) -> WorkerArea:
    """What a worker has written."""
    area = WorkerArea()
    fd = area.take_fd()
    metrics.attach(fd)
    os.close(fd)
    feed()
    metrics.reset()
    return area


def counting(amount: int) -> WorkerArea:
    return worker(lambda: metrics.counter("hits", "Hits.").inc(amount))


def test_counters_of_workers_that_are_gone_stay() -> None:
    record = Records().find("m")
    living = counting(1)
    record.bury(counting(2), 1)
    record.bury(counting(3), 1)
    record.bury(None, 1)
    assert "hits_total 6\n" in text(record.families([living]))
    record.bury(living, 1)
    assert "hits_total 6\n" in text(record.families([]))


def test_gauges_of_workers_that_are_gone_do_not_stay() -> None:
    record = Records().find("m")
    record.bury(worker(lambda: metrics.gauge("depth", "Depth.").set(3)), 1)
    assert record.families([]) == []


def by_user(users: range) -> WorkerArea:
    def feed() -> None:
        hits = metrics.counter("hits", "Hits.", labels=("user", "kind"))
        sizes = metrics.histogram("sizes", "Sizes.", labels=("user",), buckets=(1,))
        cached = metrics.gauge("cached", "Cached.", labels=("user",))
        for user in users:
            hits.inc(user=user, kind="a")
            sizes.observe(1, user=user)
            cached.set(1, user=user)

    return worker(feed)


def test_label_values_are_bounded_over_all_workers_and_their_successors() -> None:
    record = Records().find("m")
    living = [by_user(range(60)), by_user(range(60, 90))]
    record.bury(by_user(range(1000, 1200)), 1)
    first = text(record.families(living))
    # What has a series of its own keeps it, and every number is in one.
    assert 'hits_total{user="1099",kind="a"} 1\n' in first
    assert 'hits_total{user="other",kind="other"} 190\n' in first
    assert first.count("\nhits_total{") == first.count("\nsizes_count{") == 101
    assert first.count("\ncached{") == 90
    for area in living:
        record.bury(area, 1)
    total = Records().find("n")
    total.add(record)
    for kept in (record, total):
        page = text(kept.families([by_user(range(2000, 2100))]))
        assert 'hits_total{user="1099",kind="a"} 1\n' in page
        assert 'hits_total{user="other",kind="other"} 290\n' in page
        assert 'sizes_count{user="other"} 290\n' in page
        # Gauges of workers that are gone leave their places.
        assert page.count("\ncached{") == 100
        assert 'cached{user="other"}' not in page


def test_a_metric_that_has_changed_with_the_program_does_no_harm() -> None:
    record = Records().find("m")
    record.bury(worker(lambda: metrics.histogram("a", "A.", buckets=(1, 2)).observe(1)), 1)
    record.bury(worker(lambda: metrics.counter("b", "B.").inc()), 1)
    areas = [
        worker(lambda: metrics.histogram("a", "A.", buckets=(1, 2, 3)).observe(1)),
        worker(lambda: metrics.gauge("b", "B.").set(7)),
    ]
    page = text(record.families(areas))
    assert 'a_bucket{le="3"} 1' in page
    assert "b 7" in page
    for area in areas:
        area.close()


def test_an_area_with_nonsense_is_left_out() -> None:
    area = WorkerArea()
    fd = area.take_fd()
    metrics.attach(fd)
    os.close(fd)
    metrics.counter("hits", "Hits.").inc()
    _instruments.STATE.area._memory[-(1 << 20) : -(1 << 20) + 4] = b"\xff}{,"
    assert area.read() == []
    area.close()


def test_records_of_models_that_are_gone_become_one() -> None:
    there = {"m7"}
    records = Records(lambda name: name in there)
    for number in range(250):
        record = records.find(f"m{number}")
        record.restarts["died"] += 1
        record.bury(counting(1), 1)
    assert len(records.models) <= 101
    assert records.find("m7").restarts["died"] == 1
    assert sum(record.restarts["died"] for record in records.models.values()) == 250
    pages = [text(record.families([])) for record in records.models.values()]
    assert sum(int(page.split()[-1]) for page in pages) == 250


class _FrontEnd:
    """Answers when it is told to."""

    def __init__(self, counts: list[dict[str, Any]]) -> None:
        self.counts = counts
        self.version = "Java 17"
        self.pid: int | None = os.getpid()
        self.replies: list[tuple[Any, ...]] = []
        self.asked: list[Callable[[], None]] = []

    def count(self, on_counted: Callable[[], None]) -> None:
        self.asked.append(on_counted)

    def reply(self, *reply: Any) -> None:
        self.replies.append(reply)

    def refuse(self, request: Any, code: ErrorCode, *rest: Any) -> None:
        self.replies.append((request.id, int(code.status), *rest))

    takes_read: Any = FrontEndProcess.takes_read


def counts(model: str) -> dict[str, Any]:
    return {
        "path": "/models/*/invoke",
        "model": model,
        "statuses": {"200": 123456, "400": 1234, "500": 1},
        "durations": [100000] * 14,
        "seconds": 1234.56789,
        "request_bytes": 10**12,
        "response_bytes": 10**12,
        "running": 3,
    }


def test_the_page_of_64_models_and_16_workers_stays_small() -> None:
    records = Records()
    names = [f"a-model-{number}" for number in range(64)]
    models = []

    def feed() -> None:
        numbers = RequestMetrics()
        numbers.batch(1)
        numbers.record(SimpleNamespace(decode_seconds=0.1, predict_seconds=0.1), 0.0)  # type: ignore[arg-type]

    for number, name in enumerate(names):
        records.find(name).load_seconds = 1.2345678
        records.find(name).restarts["died"] = 1
        handles = [
            SimpleNamespace(
                state="ready",
                name="worker-0",
                is_zygote=False,
                area=worker(feed),
                child=SimpleNamespace(pid=os.getpid()),
            )
        ] * (number < 16)
        deployment = SimpleNamespace(busy=1, workers=SimpleNamespace(processes=handles))
        models.append(SimpleNamespace(name=name, deployment=deployment, report=Report("")))
    front_end = _FrontEnd([counts(name) for name in names])
    page = Metrics(
        EventLoop(),
        SimpleNamespace(models=models),  # type: ignore[arg-type]
        front_end,  # type: ignore[arg-type]
        records,
        lambda: "healthy",
        has_many=True,
    )
    made = text(page.families())
    assert len(made) < 100_000
    assert made.count('model="a-model-63"') > 10
    assert 'requests_waiting{model="a-model-1"} 2\n' in made
    assert "predict_seconds_count 16\n" in made


def test_a_zygote_is_not_a_worker_and_no_two_series_have_the_same_labels() -> None:
    def handle(state: State, *, is_zygote: bool = False) -> WorkerHandle:
        child = SimpleNamespace(pid=os.getpid())
        pulse = SimpleNamespace(is_stopped=False)
        one = WorkerHandle(0, child, None, pulse, is_zygote=is_zygote)  # type: ignore[arg-type]
        one.stage, one.ends_for = "loaded", STOPPING if state == "ending" else ""
        return one

    handles = [handle("ending"), handle("ready"), handle("ready", is_zygote=True)]
    deployment = SimpleNamespace(busy=0, workers=SimpleNamespace(processes=handles))
    models = [SimpleNamespace(name="m", deployment=deployment, report=Report(""))]
    records = Records()
    records.find("m")
    made = text(page_of(models, _FrontEnd([]), records, has_many=False).families())
    assert 'workers{state="ready"} 1\n' in made
    assert 'workers{state="ending"} 1\n' in made
    sizes = dict(re.findall(r'resident_bytes\{process="(worker-0|zygote)"\} (\d+)', made))
    assert int(sizes["worker-0"]) > 1.5 * int(sizes["zygote"])
    assert made.count('process="worker-0"') == made.count('process="zygote"') == 1


def test_a_front_end_that_does_not_answer_is_not_waited_for() -> None:
    front_end = _FrontEnd([])
    loop = EventLoop()
    page = Metrics(
        loop,
        SimpleNamespace(models=[]),  # type: ignore[arg-type]
        front_end,  # type: ignore[arg-type]
        Records(),
        lambda: "critical",
        has_many=False,
    )
    page.handle(SimpleNamespace(id=3, method="GET"))  # type: ignore[arg-type]
    assert front_end.replies == []
    loop.turn()
    ((number, status, body, _),) = front_end.replies
    assert (number, status) == (3, 200)
    assert b'sagemaker_endpoint_health{state="critical"} 1\n' in body
    front_end.asked[0]()  # which comes too late
    assert len(front_end.replies) == 1
    loop.close()


def page_of(
    models: list[Any], front_end: _FrontEnd, records: Records, *, has_many: bool = True
) -> Metrics:
    return Metrics(
        EventLoop(),
        SimpleNamespace(models=models),  # type: ignore[arg-type]
        front_end,  # type: ignore[arg-type]
        records,
        lambda: "healthy",
        has_many=has_many,
    )


def test_metrics_are_read_only() -> None:
    front_end = _FrontEnd([])
    page_of([], front_end, Records()).handle(SimpleNamespace(id=3, method="POST"))  # type: ignore[arg-type]
    message = "The method is POST; /metrics takes GET and HEAD"
    assert front_end.replies == [(3, 405, message, [("allow", "GET, HEAD")])]


def test_what_programs_count_is_exposed_by_model() -> None:
    records = Records()
    records.find("a").bury(worker(lambda: metrics.counter("hits", "Hits.").inc(2)), 1)
    seconds = worker(lambda: metrics.histogram("seconds", "S.", buckets=[1]).observe(0.5))
    records.find("b").bury(seconds, 1)
    # It was changed meanwhile, and what one name means is decided by the first.
    other = worker(lambda: metrics.histogram("hits", "H.", buckets=[1]).observe(1))
    records.find("c").bury(other, 1)
    front_end = _FrontEnd([{**counts(""), "path": "/ping"}])
    front_end.pid = None
    models = [SimpleNamespace(name=name, deployment=None, report=Report("")) for name in "abc"]
    made = text(page_of(models, front_end, records).families())
    assert 'hits_total{model="a"} 2\n' in made
    assert 'seconds_bucket{model="b",le="1"} 1\n' in made
    assert 'model="c",le=' not in made
    assert 'requests_waiting{model="a"} 0\n' in made
    assert "model_load_seconds{" not in made
    assert 'process="front_end"' not in made


def test_no_name_is_on_the_page_twice(caplog: pytest.LogCaptureFixture) -> None:
    records = Records()
    records.find("a").bury(worker(lambda: metrics.counter("twice", "T.").inc(2)), 1)
    other = worker(lambda: metrics.histogram("twice_total", "T.", buckets=[1]).observe(1))
    records.find("b").bury(other, 1)
    page = page_of([], _FrontEnd([]), records)
    made = [text(page.families()) for _ in range(2)]
    assert made[0].count("# TYPE twice_total ") == 1
    assert caplog.text.count("two metrics that are exposed as twice_total") == 1


def test_a_label_that_is_called_as_that_of_models_stays() -> None:
    records = Records()
    hits = worker(lambda: metrics.counter("hits", "H.", labels=("model",)).inc(model="x"))
    records.find("a").bury(hits, 1)
    made = text(page_of([], _FrontEnd([]), records).families())
    assert 'hits_total{model="a",exported_model="x"} 1\n' in made


def test_what_alarms_look_at_is_there_before_it_happens() -> None:
    records = Records()
    records.find("m").restarts["died"] += 1
    made = text(page_of([], _FrontEnd([]), records, has_many=False).families())
    for status in (200, 500, 503, 504):
        assert f'requests_total{{path="/invocations",status="{status}"}} 0\n' in made
    assert 'worker_restarts_total{reason="died"} 1\n' in made
    assert 'worker_restarts_total{reason="timeout"} 0\n' in made
    made = text(page_of([], _FrontEnd([]), records).families())
    assert 'reason="timeout"' not in made
    assert "requests_total{" not in made


def test_open_websockets_are_in_progress_and_wait_for_nothing() -> None:
    front_end = _FrontEnd([{**counts(""), "path": path, "running": 2} for path in ("/a", "/b")])
    deployment = SimpleNamespace(busy=4, workers=SimpleNamespace(processes=[]))
    report = Report("loaded", sockets=[{"path": "/a"}, {"path": "/b"}, {"path": "/c"}])
    models = [SimpleNamespace(name="m", deployment=deployment, report=report)]
    made = text(page_of(models, front_end, Records(), has_many=False).families())
    assert "sagemaker_inference_sockets_open 4\n" in made
    assert "sagemaker_inference_requests_running 4\n" in made
    assert "sagemaker_inference_requests_waiting 0\n" in made


def test_a_version_that_nobody_has_installed_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_name: str) -> str:
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(metadata, "version", fail)
    assert _server.version.__wrapped__() == "unknown"


def test_a_restart_without_a_record_of_the_same_kind_does_no_harm() -> None:
    record = Records().find("m")
    record.bury(counting(2), 1)
    record.bury(worker(lambda: metrics.histogram("hits", "H.", buckets=[1]).observe(1)), 1)
    assert "hits_total 2\n" in text(record.families([]))


def test_an_area_that_no_worker_got_is_given_back() -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names are enough
    WorkerArea().close()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - as above


def test_requests_to_further_paths_wait_and_run_too() -> None:
    deployment = SimpleNamespace(busy=1, workers=SimpleNamespace(processes=[]))
    report = Report("loaded", paths=("/invocations", "/embed"))
    models = [SimpleNamespace(name="m", deployment=deployment, report=report)]
    front_end = _FrontEnd([{**counts(""), "path": path} for path in ("/embed", "other")])
    running = front_end.counts[0]["running"]
    page = page_of(models, front_end, Records(), has_many=False)
    assert f"requests_waiting {running - 1}\n" in text(page.families())
