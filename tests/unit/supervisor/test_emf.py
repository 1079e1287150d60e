"""Metrics in CloudWatch's embedded metric format."""

from __future__ import annotations

import json

from sagemaker_inference._supervisor.emf import EmbeddedMetrics
from sagemaker_inference.metrics._exposition import Family


def family(kind: str, name: str, values: list[float], **labels: str) -> Family:
    made = Family(name, kind, "Help.", (1.0,) if kind == "histogram" else ())
    made.add(labels, values, made.buckets)
    return made


def test_counters_are_written_by_what_has_come_since() -> None:
    now: list[Family] = []
    log: list[str] = []
    lines = EmbeddedMetrics(lambda: now, log.append)

    def written() -> list[dict[str, object]]:
        lines.write()
        documents = [json.loads(line) for line in log]
        log.clear()
        for document in documents:
            (directive,) = document.pop("_aws")["CloudWatchMetrics"]
            names = {metric["Name"] for metric in directive["Metrics"]}
            assert names | set(directive["Dimensions"][0]) == document.keys()
        return documents

    now[:] = [
        family("counter", "a", [5], path="/x"),
        family("gauge", "b_bytes", [7, 0], path="/x"),
        family("histogram", "c_seconds", [1, 2, 3.5]),
    ]
    assert written() == [
        {"path": "/x", "a": 5, "b_bytes": 7},
        {"c_seconds_count": 3, "c_seconds_sum": 3.5},
    ]
    now[:] = [
        family("counter", "a", [6], path="/x"),
        family("histogram", "c_seconds", [1, 2, 3.5]),
    ]
    assert written() == [{"path": "/x", "a": 1}, {"c_seconds_count": 0, "c_seconds_sum": 0}]
    now[:] = [family("counter", "a", [2], path="/x")]  # a counter that began anew
    assert written() == [{"path": "/x", "a": 2}]


def test_what_things_are_at_the_moment_may_be_left_out() -> None:
    now = [family("counter", "a", [5]), family("gauge", "b", [7, 0])]
    [document] = EmbeddedMetrics(lambda: now, print).documents(0, has_gauges=False)
    assert "a" in document
    assert "b" not in document


def test_documents_have_at_most_100_metrics_and_units() -> None:
    many = [family("gauge", f"g{number}_seconds", [1, 0]) for number in range(150)]
    documents = list(EmbeddedMetrics(lambda: many, print).documents(1234))
    directives = [document["_aws"]["CloudWatchMetrics"][0] for document in documents]
    assert [len(directive["Metrics"]) for directive in directives] == [100, 50]
    assert documents[0]["_aws"]["Timestamp"] == 1234
    assert directives[0]["Metrics"][0] == {"Name": "g0_seconds", "Unit": "Seconds"}


def test_what_is_no_number_of_json_is_left_out() -> None:
    now = [
        family("gauge", "a", [float("inf"), 0]),
        family("histogram", "b", [1, 0, float("nan")]),
        family("gauge", "c", [float("-inf"), 0], path="x"),
    ]
    lines: list[str] = []
    EmbeddedMetrics(lambda: now, lines.append).write()
    [document] = [json.loads(line) for line in lines]
    assert {name: value for name, value in document.items() if name != "_aws"} == {"b_count": 1}
