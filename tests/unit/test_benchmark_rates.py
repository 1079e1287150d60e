"""The benchmark at absolute rates and of many models; it measures nothing here."""

from __future__ import annotations

import math
import re
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from support.harness import find_benchmarks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

find_benchmarks()

from benchmarks import load, measure, paced, summary, tables, works  # noqa: E402
from benchmarks.contender import CONTENDERS  # noqa: E402
from benchmarks.summary import Goal, Spread  # noqa: E402

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BAD = GOOD.replace(b"200", b"503")
(MANY,) = (work for work in works.WORKS if work.mode == works.MANY)
RESULTS = {
    "about": dict.fromkeys(["date", "cpu", "cores", "kernel", "python", "java", "command"], ""),
    "plan": {"rounds": 1, "seconds": 1},
    "contenders": {"ours": {}, "aws": {}, "bentoml": {}},
    "failures": {},
}


@pytest.fixture
def serve() -> Iterator[Callable[[bytes, float], tuple[str, int]]]:
    """Start servers that give an answer after so many seconds, one request at a time."""
    listeners = []

    def start(answer: bytes, seconds: float) -> tuple[str, int]:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        device = threading.Lock()

        def talk(sock: socket.socket) -> None:
            # Whoever has enough closes with answers unread.
            with sock, suppress(ConnectionError):
                while sock.recv(65536):
                    with device:
                        time.sleep(seconds)
                    sock.sendall(answer)

        def accept() -> None:
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=talk, args=(sock,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        address: tuple[str, int] = listener.getsockname()
        return address

    yield start
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def test_a_server_that_keeps_up_answers_all(serve: Any):
    found = paced.run(serve(GOOD, 0.0), b"GET / HTTP/1.1\r\n\r\n", 100, 0.5)
    assert found["errors"] == 0
    assert found["requests"] == found["asked"] >= found["in_time"] >= paced.KEPT_UP * found["asked"]
    assert 0 < found["p50_ms"] <= found["p99_ms"]


def test_a_server_that_falls_behind_is_given_up_at_the_end(serve: Any):
    begun = time.monotonic()
    found = paced.run(serve(GOOD, 0.05), b"GET / HTTP/1.1\r\n\r\n", 200, 0.5)
    assert time.monotonic() - begun < 0.5 + paced.GRACE_SECONDS / 2
    assert found["in_time"] <= found["requests"] < paced.KEPT_UP * found["asked"]
    assert found["errors"] == 0


def test_refusals_are_errors_and_no_answers(serve: Any):
    found = paced.run(serve(BAD, 0.0), b"GET / HTTP/1.1\r\n\r\n", 100, 0.3)
    assert found["errors"] > 0
    assert (found["requests"], found["in_time"], found["p99_ms"]) == (0, 0, 0)


def test_a_paced_reply_may_arrive_in_pieces():
    reply = paced.Reply()
    assert not reply.feed(b"HTTP/1.1 200 OK\r\ncontent-Le")
    assert not reply.feed(b"ngth: 3\r\n\r\nab")
    assert reply.feed(b"c")
    assert reply.is_good


def test_percentiles_are_of_the_values_themselves():
    assert paced.percentile([float(number) for number in range(100)], 99) == 99
    assert paced.percentile([7.0], 50) == 7
    assert paced.percentile([], 99) == 0


def at(rate: int, share: float, p99: float) -> dict[str, Any]:
    counts = {"asked": rate, "in_time": rate * share, "errors": 1}
    return {"rate": rate, **counts, "p50_ms": p99 / 2, "p99_ms": p99}


def turn(contender: str, **more: Any) -> dict[str, Any]:
    times = {"start_seconds": 2.0, "rest_mb": {"pss": 100.0, "rss": 120.0}, "peak_mb": 150.0}
    return {"contender": contender, "mode": "plain", "loads": {}, **times, **more}


def test_who_does_not_keep_up_has_no_latency():
    found = summary.summarise(
        [
            turn("ours", rates={"rate-1000": at(1000, 1, 2), "rate-3000": at(3000, 0.96, 4)}),
            turn("aws", rates={"rate-1000": at(1000, 0.95, 8), "rate-3000": at(3000, 0.94, 900)}),
            turn("bentoml", half_load=at(100, 0.5, 700)),
        ]
    )
    assert found["p99 rate-1000"] == {"ours": Spread(2, 2, 2), "aws": Spread(8, 8, 8)}
    assert found["p50 rate-3000"]["ours"].median == 2
    assert math.isinf(found["p99 rate-3000"]["aws"].median)
    assert math.isinf(found["half p99"]["bentoml"].median)
    assert [found["errors"][name].median for name in ("ours", "aws")] == [2, 2]
    text = tables.markdown(RESULTS, found, [])
    assert "| AWS toolkit on MMS | 4 | 8 | cannot | cannot |" in text
    assert text.count("cannot: fewer than 95% of the requests were answered in time.") == 2
    assert "| AWS toolkit on MMS | 4 | 8 | cannot | cannot |" in tables.readme(
        RESULTS, found, [], ""
    )


def test_one_round_in_which_a_contender_did_not_keep_up_shows():
    rates = [at(1000, share, 3) for share in (1, 0.9, 1)]
    found = summary.summarise([turn("aws", rates={"rate-1000": each}) for each in rates])
    assert tables.cell(found["p99 rate-1000"]["aws"]) == "3 (3\u2013cannot)"


def test_nothing_is_wanted_against_who_does_not_keep_up():
    goal = Goal("p99", "p99 rate-1000", "aws", less_is_better=True)
    fine, behind = Spread(2, 2, 2), Spread(math.inf, math.inf, math.inf)
    assert summary.verdicts({goal.measure: {"ours": fine, "aws": behind}}, [goal]) == []
    (missed,) = summary.verdicts({goal.measure: {"ours": behind, "aws": fine}}, [goal])
    assert (missed.factor, missed.is_reached) == (0, False)


def test_results_without_counts_are_still_read():
    old = {"rate": 5, "p50_ms": 1, "p99_ms": 8, "errors": 0}
    found = summary.summarise([turn("aws", half_load=old)])
    assert found["half p99"]["aws"].median == 8


def test_a_turn_ends_with_the_rates_that_are_named():
    plan = measure.Plan(("rate-3000", "rate-1000", "many-8"), 1, 2, 8)
    assert plan.modes == ["plain", "many"]
    assert plan.paced("plain") == ["rate-1000", "rate-3000"]
    assert plan.paced("many") == []
    aws = CONTENDERS["aws"]
    assert list(plan.warmups(aws, "plain").values()) == [(works.JSON_SMALL, 8)]
    assert plan.turn_seconds(aws, "plain") == 5 + 2 + 8 + 2 * 2
    entries = [CONTENDERS[name] for name in ("ours", "aws")]
    assert plan.in_turn(entries, "plain") == entries


def test_streams_and_rates_are_measured_for_as_long_as_they_need():
    plan = measure.Plan(("stream-32", "rate-1000"), 1, 1, 8)
    assert plan.turn_seconds(CONTENDERS["ours"], "stream") == 5 + 4 + 8 + 4
    assert plan.turn_seconds(CONTENDERS["ours"], "plain") == 5 + 2 + 8 + 2
    longer = measure.Plan(("stream-32", "rate-1000"), 1, 5, 8)
    assert longer.turn_seconds(CONTENDERS["ours"], "stream") == 5 + 4 + 8 + 5
    assert longer.turn_seconds(CONTENDERS["ours"], "plain") == 5 + 2 + 8 + 5


class _Paced:
    """What stands for `load` in a turn: it notes what it was asked for."""

    def __init__(self) -> None:
        self.rates: list[float] = []

    def full_speed(self, _server: Any, _work: Any, _seconds: float) -> dict[str, Any]:
        return {"rate": 400.0}

    def paced(self, _server: Any, _work: Any, rate: float, _seconds: float) -> dict[str, Any]:
        self.rates.append(rate)
        return {"rate": rate}


def test_ours_is_sent_what_the_others_were_and_the_same_rates(monkeypatch: pytest.MonkeyPatch):
    fake: Any = _Paced()
    monkeypatch.setattr(measure, "load", fake)
    plan = measure.Plan((works.HALF_LOAD, "rate-1000"), 1, 1, 1)
    run = measure.Run(plan, [], print, lambda *_: None)
    server: Any = None
    theirs = run._paced(server, CONTENDERS["aws"], {"rate": 100.0})
    ours = run._paced(server, CONTENDERS["ours"], None)
    assert fake.rates == [50, 1000, 200, 50, 1000]
    assert theirs == {"half_load": {"rate": 50}, "rates": {"rate-1000": {"rate": 1000}}}
    assert ours["others_half_load"] == {"aws": {"rate": 50}}
    alone = measure.Run(measure.Plan(("rate-5000",), 1, 1, 1), [], print, lambda *_: None)
    assert list(alone._paced(server, CONTENDERS["aws"], None)) == ["rates"]


def test_requests_go_to_each_of_many_models_in_turn():
    paths = [CONTENDERS["ours"].target(MANY, number)[0] for number in range(MANY.models)]
    assert paths == [f"/models/m{number}/invoke" for number in range(8)]
    script = load.script(CONTENDERS["ours"], MANY, "/body")
    assert re.findall(r'requests\[(\d)\] = wrk.format\(nil, "(.*)"\)', script) == [
        (str(number + 1), path) for number, path in enumerate(paths)
    ]
    script = load.script(CONTENDERS["ray"], MANY, "/body")
    assert re.findall(r'model_id"\] = "(m\d)" requests', script) == [f"m{n}" for n in range(8)]
    assert "function request" not in load.script(CONTENDERS["ray"], works.JSON_SMALL, "/body")


def test_servers_are_first_asked_for_what_they_answer():
    names = [works.first(mode).name for mode in ("plain", "batched", "many", "stream", "large")]
    assert names == ["json-small", "json-small", "many-8", "stream-32", "json-small"]


def test_some_have_no_means_of_their_own_for_many_models():
    assert [name for name, each in CONTENDERS.items() if not each.takes(MANY)] == [
        *("bentoml", "ours_ray")
    ]


def test_v2_is_spoken_where_nothing_else_is():
    mlserver = CONTENDERS["mlserver"]
    (stream,) = (work for work in works.WORKS if work.is_stream)
    assert mlserver.target(MANY, 3) == ("/v2/models/m3/infer", works.in_v2(MANY))
    assert mlserver.target(stream) == ("/v2/models/model/infer_stream", works.in_v2(stream))
    assert mlserver.target(works.JSON_SMALL) == ("/invocations", works.JSON_SMALL.body)


def test_many_models_are_shown_beside_one():
    times = {"p50_ms": 0.5, "p99_ms": 1.0}
    found = {"rate": 30.0, **times, "errors": 0, "cpu_us": {"java": 10.0, "python": 5.0}}
    many = turn("aws", mode="many", loads={"many-8": found}, pss_mb=70.0)
    one = turn("aws", loads={"json-small": found | {"rate": 40.0}})
    made = summary.summarise([many, one])
    assert made["start"]["aws"].median == made["many start"]["aws"].median == 2
    line = "| AWS toolkit on MMS | 40 | 30 | 15 | 15 | 2 | 70 |"
    assert line in tables.markdown(RESULTS, made, [])
    assert line in tables.readme(RESULTS, made, [], "")
    assert "8 models" not in tables.markdown(RESULTS, summary.summarise([one]), [])
