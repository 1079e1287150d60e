"""The benchmark harness's own arithmetic; it measures nothing here."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.harness import find_benchmarks

if TYPE_CHECKING:
    import numpy as np

find_benchmarks()

from benchmarks import batching, load, measure, processes, summary, tables, versus, works  # noqa: E402
from benchmarks.contender import ALL, CONTENDERS  # noqa: E402
from benchmarks.summary import Goal, Spread  # noqa: E402

BY_NAME = {work.name: work for work in works.WORKS}


def turn(contender: str, rate: float, **more: Any) -> dict[str, Any]:
    found = {"rate": rate, "p50_ms": 0.5, "p99_ms": 1.0, "errors": 1}
    found["cpu_us"] = {"java": 100.0, "python": 50.0}
    return {
        "contender": contender,
        "mode": "plain",
        "start_seconds": 2.0,
        "rest_mb": {"pss": 100.0, "rss": 120.0},
        "peak_mb": 150.0,
        "loads": {"json-small": found},
        **more,
    }


def test_a_spread_is_the_median_between_the_extremes():
    assert summary.spread([5, 1, 3]) == Spread(3, 1, 5)
    assert summary.spread([4, 2]) == Spread(3, 2, 4)


def test_rounds_are_summarised_and_errors_added_up():
    found = summary.summarise([turn("ours", 10), turn("ours", 30), turn("aws", 5)])
    assert found["rate json-small"] == {"ours": Spread(20, 10, 30), "aws": Spread(5, 5, 5)}
    assert found["cpu json-small"]["ours"].median == 150
    assert found["python json-small"]["ours"].median == 50
    assert found["p50 json-small"]["ours"].median == 0.5
    assert found["other json-small"]["ours"].median == 0
    assert found["errors"]["ours"].median == 2


def test_goals_compare_with_a_contender_another_measure_or_a_limit():
    found = {
        "rate": {"ours": Spread(40, 40, 40), "aws": Spread(10, 10, 10)},
        "alone": {"ours": Spread(5, 5, 5)},
        "start": {"ours": Spread(2, 2, 2), "aws": Spread(3, 3, 3)},
    }
    goals = [
        Goal("", "rate", "aws", 4),
        Goal("", "rate", "alone", 9),
        Goal("", "start", "aws", 1.4, less_is_better=True),
        Goal("", "start", 1.0, 1, less_is_better=True),
        Goal("nobody measured it", "rate", "mosec"),
        Goal("", "start", "aws", less_is_better=True, ours="there"),
        Goal("nobody measured ours there", "start", "mosec", ours="there"),
    ]
    found["there"] = {"aws": Spread(1, 1, 1)}
    verdicts = summary.verdicts(found, goals)
    assert [verdict.factor for verdict in verdicts] == [4, 8, 1.5, 0.5, 3]
    assert [verdict.is_reached for verdict in verdicts] == [True, False, True, False, True]


def test_ours_is_measured_at_half_of_the_load_of_each_other():
    paced = {"rate": 5, "p50_ms": 1, "p99_ms": 8, "errors": 0}
    ours = turn("ours", 40) | {
        "half_load": paced | {"rate": 20},
        "others_half_load": {"aws": paced | {"p99_ms": 2, "errors": 1}},
    }
    found = summary.summarise([turn("aws", 10) | {"half_load": paced}, ours])
    assert found["half rate"]["aws"].median == 5
    assert found["half p99 of ours"] == {"aws": Spread(2, 2, 2)}
    assert found["errors"]["ours"].median == turn("ours", 40)["loads"]["json-small"]["errors"] + 1
    (verdict,) = (one for one in summary.verdicts(found, summary.GOALS) if one.goal.ours)
    assert (verdict.ours, verdict.theirs, verdict.is_reached) == (2, 8, True)
    assert "| AWS toolkit on MMS | 5 | 1 | 8 | 2 |" in tables.markdown(RESULTS, found, [])


def test_ours_is_last_where_it_is_measured_as_the_others_were():
    entries = [CONTENDERS[name] for name in ("ours", "aws", "fastapi")]
    names = [each.name for each in measure.Plan(("half-load",), 1, 1, 1).in_turn(entries, "plain")]
    assert names == ["aws", "fastapi", "ours"]
    names = [each.name for each in measure.Plan(("slow-1",), 1, 1, 1).in_turn(entries, "slow")]
    assert names == ["ours", "aws", "fastapi"]


def test_every_goal_names_what_there_is():
    measures = {f"{kind} {name}" for kind in ("rate", "p99", "python") for name in BY_NAME}
    measures |= {"start", "pss", "rss", "large", "half p99", "idle"}
    measures |= {f"p99 {name}" for name in works.RATES}
    measures |= {f"{what} stream-32" for what in ("items", "first", "last first")}
    for goal in (*summary.GOALS, *summary.ENGINE_GOALS, *summary.STREAM_GOALS):
        assert goal.measure in measures
        assert isinstance(goal.other, float) or goal.other in measures | set(CONTENDERS)


def test_cells_show_median_and_spread():
    assert tables.cell(Spread(1234.5, 1000, 2000)) == "1,234 (1,000\u20132,000)"
    assert tables.cell(Spread(2.5, 2.5, 2.5)) == "2.50"
    assert tables.cell(Spread(25.04, 25.04, 25.04)) == "25.0"
    assert tables.cell(None) == "\u2013"


def test_a_table_aligns_numbers_to_the_right():
    assert tables.table(["", "a"], [["x", "1"]]) == "|  | a |\n| --- | ---: |\n| x | 1 |"


RESULTS = {
    "about": {
        **dict.fromkeys(["cores", "kernel", "python", "java"], ""),
        "date": "2026-11-22",
        "cpu": "a processor",
        "command": "python -m benchmarks",
    },
    "plan": {"rounds": 1, "seconds": 1},
    "contenders": {"ours": {"sagemaker-inference": "2.0.0"}, "aws": {}},
    "failures": {"ray": "cannot be installed: no wheel"},
}


def test_the_report_has_tables_goals_and_what_failed():
    found = summary.summarise([turn("ours", 40), turn("aws", 20)])
    text = tables.markdown(RESULTS, found, summary.GOALS)
    assert "| this project 2.0.0 | 40 |" in text
    assert "## The same, p50 in ms" in text
    assert "| this project 2.0.0 | 0.50 |" in text
    assert "AWS toolkit on MMS | 40 | 20 | 2.00 \u00d7 | 4.00 \u00d7 | **missed** |" in text
    assert "**ray**" in text
    assert "NPY" not in text


def test_the_readme_has_a_plot_tables_and_where_they_come_from():
    found = summary.summarise([turn("ours", 40), turn("aws", 20)])
    text = tables.readme(RESULTS, found, summary.GOALS, "results/full-requests.svg")
    assert "](results/full-requests.svg)" in text
    assert "2026-11-22, a processor" in text
    assert "`python -m benchmarks`" in text
    assert "| this project 2.0.0 | 40 | 2 | 100 |" in text
    assert "streams" not in text
    assert "| 2.00 \u00d7 | 4.00 \u00d7 | **missed** |" in text


@pytest.mark.parametrize(
    "text",
    [
        "# A\n\n## What is compared\n\n- b\n",
        "# A\n\n## Results\n\nold\n\n## What is compared\n\n- b\n",
    ],
)
def test_a_section_of_the_readme_is_put_in_or_replaced(text):
    wanted = "# A\n\n## Results\n\nnew\n\n## What is compared\n\n- b\n"
    assert tables.with_section(text, "## Results\n\nnew\n") == wanted


def test_a_section_at_the_end_of_the_readme_is_replaced():
    assert tables.with_section("# A\n\n## Results\n\nold\n", "## Results\n\nnew\n") == (
        "# A\n\n## Results\n\nnew\n"
    )


def test_what_wrk_says_is_read():
    errors = {"connect": 1, "read": 2, "write": 3, "status": 10, "timeout": 4}
    times = {"microseconds": 2_000_000, "p50": 500.0, "p99": 2000.0, "max": 9000.0}
    line = json.dumps({"requests": 1010, "errors": errors} | times)
    assert load.parse_wrk(f"Running 2s test\n  10 requests\nbenchmark {line}\n") == {
        "requests": 1010,
        "rate": 500.0,
        "errors": 20,
        "p50_ms": 0.5,
        "p99_ms": 2.0,
        "max_ms": 9.0,
    }


def test_wrk_without_a_result_is_an_error():
    with pytest.raises(load.LoadError, match="unable to connect"):
        load.parse_wrk("unable to connect to 127.0.0.1:1")


@pytest.mark.parametrize("name", ["json-small", "csv-large", "npy-large", "bytes"])
def test_right_replies_pass_and_wrong_ones_do_not(name):
    work = BY_NAME[name]
    right = {
        works.JSON: lambda: json.dumps((work.data * 2).tolist()).encode(),
        works.CSV: lambda: "\n".join(",".join(map(str, row)) for row in work.data * 2).encode(),
        works.NPY: lambda: _npy(work.data * 2),
        works.BYTES: lambda: work.body[:1024],
    }[work.content_type]()
    work.check(200, right)
    for status, reply in [(500, right), (200, right[:-1] + b"~"), (200, b""), (200, work.body)]:
        with pytest.raises(works.WrongAnswerError, match=name):
            work.check(status, reply)


def _npy(array: np.ndarray) -> bytes:
    with_other_rows = works.Work("", "", works.NPY, rows=len(array))
    with_other_rows.__dict__["data"] = array
    return with_other_rows.body


def test_the_v2_protocol_is_written_and_read():
    work = works.JSON_SMALL
    tensor = json.loads(works.in_v2(work))["inputs"][0]
    doubled = {**tensor, "data": [2 * number for number in tensor["data"]]}
    work.check(200, json.dumps({"outputs": [doubled]}).encode())


def test_processor_time_is_read_past_a_name_with_blanks():
    fields = ["S", *map(str, range(4, 20))]
    fields[11], fields[12] = "150", "50"
    stat = f"7 (a (b) c) {' '.join(fields)}"
    assert processes.cpu_seconds(stat) == pytest.approx(200 / processes.TICKS)


def test_processes_are_told_apart_by_executable():
    names = ["java", "python3.11", "raylet"]
    assert [processes.kind_of(name) for name in names] == ["java", "python", "other"]


def test_a_plan_starts_only_the_servers_that_it_needs():
    plan = measure.Plan(("batched-32", "half-load", measure.LARGE), 1, 1, 1)
    assert plan.modes == ["plain", "batched", "large"]
    assert plan.has_turn(CONTENDERS["aws"], "plain")
    assert not plan.has_turn(CONTENDERS["aws"], "batched")
    assert not plan.has_turn(CONTENDERS["aws"], measure.LARGE)
    assert plan.has_turn(CONTENDERS["ours"], measure.LARGE)


def test_a_kind_of_work_is_warmed_up_once_over_its_most_connections():
    plan = measure.Plan(works.NAMES, 1, 3, 10)
    plain = plan.warmups(CONTENDERS["fastapi"], "plain")
    assert [(work.name, seconds) for work, seconds in plain.values()] == [
        ("json-small", 10),
        *((name, 1.25) for name in ("json-large", "csv-large", "npy-large", "npy-4mb", "bytes")),
    ]
    slow = plan.warmups(CONTENDERS["fastapi"], "slow")
    assert [(work.name, seconds) for work, seconds in slow.values()] == [("slow-32", 5)]
    half_load_alone = measure.Plan((works.HALF_LOAD,), 1, 3, 10)
    (warmup,) = half_load_alone.warmups(CONTENDERS["fastapi"], "plain").values()
    assert warmup == (works.JSON_SMALL, 10)


def test_the_time_of_a_run_is_the_sum_of_its_turns():
    plan = measure.Plan(("json-small", "half-load", "slow-1", "batched-1"), 5, 3, 10)
    entries = [(CONTENDERS[name], Path()) for name in ("ours", "fastapi")]
    seconds = measure.Run(plan, entries, print, lambda *_: None).seconds
    plain, other = 5 + 2 + 10 + 3 + 3, 5 + 5 + 3
    at_half_of_the_others = 3
    assert seconds == 5 * (2 * plain + at_half_of_the_others + 2 * other + other)


def test_an_official_run_fits_into_35_minutes():
    plan = measure.Plan(works.NAMES, 3, 1, 5)
    entries = [(CONTENDERS[name], Path()) for name in ALL]
    assert measure.Run(plan, entries, print, lambda *_: None).seconds < 35 * 60


def test_ping_is_asked_of_the_two_front_ends_alone():
    (ping,) = (work for work in works.WORKS if work.is_ping)
    assert [each.name for each in CONTENDERS.values() if each.takes(ping)] == ["ours", "mms"]
    assert CONTENDERS["ours"].target(ping) == ("/ping", b"")
    assert (ping.method, works.JSON_SMALL.method) == ("GET", "POST")
    ping.check(200, b"")
    with pytest.raises(works.WrongAnswerError, match="ping"):
        ping.check(500, b"")
    assert not [goal for goal in summary.GOALS if "ping" in goal.measure]


def test_a_stream_is_read_whatever_is_around_its_items():
    work = BY_NAME["stream-32"]
    assert (work.accept, work.is_stream) == ("text/event-stream", True)
    assert [name for name, each in CONTENDERS.items() if each.takes(work)] == [
        *("ours", "litserve", "bentoml", "mlserver", "mosec", "fastapi", "ray")
    ]
    items = [b"data: %b\n\n" % item for item in works.ITEMS]
    assert {len(item) for item in works.ITEMS} == {20}
    work.check(200, b"".join(items))
    for wrong in (items[:-1], [items[1], items[0], *items[2:]]):
        with pytest.raises(works.WrongAnswerError, match="stream-32"):
            work.check(200, b"".join(wrong))


def test_open_streams_are_measured_of_ours_alone():
    plan = measure.Plan(("stream-32", measure.IDLE), 1, 1, 1)
    assert plan.modes == ["stream", "idle"]
    assert plan.has_turn(CONTENDERS["fastapi"], "stream")
    assert not plan.has_turn(CONTENDERS["aws"], "stream")
    turns = [plan.has_turn(CONTENDERS[name], measure.IDLE) for name in ("ours", "fastapi")]
    assert turns == [True, False]


def test_streams_are_summarised_by_their_items():
    found = {"rate": 100, "errors": 0, "cpu_us": {"java": 1000.0, "python": 1000.0}}
    times = {"p50_ms": 0.5, "p99_ms": 1.0, "first_ms": 3.0, "last_first_ms": 5.0}
    streaming = {"mode": "stream", "loads": {"stream-32": {**found, **times}}}
    turns = [
        {"contender": "ours", **streaming},
        {"contender": "ours", "mode": "idle", "idle_mb": 30.0},
    ]
    made = summary.summarise(turns)
    names = [f"{what} stream-32" for what in ("items", "cpu per item", "first", "last first")]
    assert [made[name]["ours"].median for name in names] == [20_000, 10, 3, 5]
    [idle] = summary.verdicts(made, summary.STREAM_GOALS)
    assert (idle.ours, idle.is_reached) == (30, True)


def test_the_command_of_a_run_says_nothing_of_its_machine():
    words = ["engine", "--cache", "/x/y", "--rounds", "6", "--results=/x", "--name", "a b"]
    assert measure.command(words) == "python -m benchmarks engine --rounds 6 --name 'a b'"


def batched(rate: float, **more: float) -> list[dict[str, float]]:
    return [{"rate": rate, "batch": 60.0, "p50_ms": 6.0, "p99_ms": 9.0, "errors": 0} | more]


def test_batches_are_shown_by_load_and_side():
    found = {"fixed-64": {"ours": batched(8000, cpu=80), "mosec": [*batched(9000), *batched(7000)]}}
    lines = batching.table(found).splitlines()[2:]
    assert lines == [
        "| 5 ms a batch, 64 | ours | 8,000 | 60.0 | 6.00 | 9.00 | 80 | 0 |",
        "| 5 ms a batch, 64 | mosec | 8,000 | 60.0 | 6.00 | 9.00 |  | 0 |",
    ]


def test_goals_of_batches_compare_with_others_numbers_and_other_loads():
    found = {
        "fixed-64": {"ours": batched(8000), "mosec": batched(8000)},
        "fixed-1": {"ours": batched(150, p50_ms=5.9)},
        "single-1": {"ours": batched(150, p50_ms=5.8)},
        "by-row-16": {"ours": batched(5000), "HEAD": batched(4000)},
        "by-row-64": {"mosec": batched(5000)},
    }
    lines = batching.verdicts(found, batching.goals("HEAD")).splitlines()[2:]
    assert lines == [
        "| 5 ms a batch, 64: batch | 60.00 | \u2265 54.40 | yes |",
        "| 5 ms a batch, 64: rate \u00d7 1.2 of mosec | 8,000.00 | \u2265 9,600.00 | NO |",
        "| 5 ms a batch, 64: errors | 0.00 | \u2264 0.00 | yes |",
        "| 5 ms a batch, 1: p50 \u00d7 1.02 of 5 ms, no batches, 1 | 5.90 | \u2264 5.92 | yes |",
        "| 0.1 ms a request, 16: rate \u00d7 1 of HEAD | 5,000.00 | \u2265 4,000.00 | yes |",
    ]


def test_every_goal_of_batches_names_a_load():
    for goal in batching.goals("HEAD"):
        assert goal.load in batching.NAMES
        is_known = goal.other in {*batching.NAMES, *CONTENDERS, "HEAD"}
        assert isinstance(goal.other, float) or is_known


def test_calls_are_counted_in_a_file(tmp_path: Path):
    assert batching.counts(tmp_path) == (0, 0)
    (tmp_path / "counts").write_bytes(
        (3).to_bytes(8, sys.byteorder) + (70).to_bytes(8, sys.byteorder)
    )
    assert batching.counts(tmp_path) == (3, 70)


def test_two_commits_as_a_table():
    measures = {
        "start, s": {"HEAD": [1.0], versus.CHECKOUT: [0.5]},
        # The first turn was the checkout's.
        "JSON, 1/s": {
            versus.CHECKOUT: [1000.0, 3000.0, 2200.0],
            "HEAD": [2000.0, 3000.0, 2000.0],
        },
    }
    assert versus.table(measures).replace("\u2013", "-").splitlines() == [
        "| | HEAD | this checkout | ratio | pairs |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| start, s | 1 (1-1) | 0.5 (0.5-0.5) | 0.500 (0.500-0.500) | 1 |",
        "| JSON, 1/s | 2,000 (2,000-2,500) | 2,200 (1,600-2,600) | 1.000 (0.750-1.050) | 3 |",
    ]
