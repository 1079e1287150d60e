"""What programs count with prometheus_client, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sagemaker_inference._supervisor import program_metrics
from sagemaker_inference._supervisor.program_metrics import ProgramMetrics, text
from sagemaker_inference._supervisor.steady_counts import SteadyCounts
from sagemaker_inference._supervisor.worker_records import Records

if TYPE_CHECKING:
    from collections.abc import Mapping

PROGRAM = """
from prometheus_client import Counter, Gauge, Histogram
Counter("hits", "Hits.", ["kind"]).labels("a").inc(2)
Gauge("depth", "Depth.", multiprocess_mode="sum").set(3)
Histogram("seconds", "Seconds.", buckets=(1, 2)).observe(1.5)
"""


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    program_metrics._warn.cache_clear()


def run(metrics: ProgramMetrics, program: str = PROGRAM) -> int:
    """Run a program that counts; returns its process id."""
    env = {**os.environ, **metrics.environment}
    command = [sys.executable, "-c", f"import os\n{program}\nprint(os.getpid())"]
    return int(subprocess.run(command, env=env, capture_output=True, check=True).stdout)


def lines(models: Mapping[str, ProgramMetrics], *others: str, has_many: bool = False) -> list[str]:
    made = text(models, {*others}, SteadyCounts(), has_many=has_many).decode().splitlines()
    return [line for line in made if not line.startswith("#")]


def test_what_workers_count_is_added_up_and_stays_when_they_are_gone(tmp_path: Path) -> None:
    metrics = ProgramMetrics(str(tmp_path))
    first, second = run(metrics), run(metrics)
    living = lines({"m": metrics})
    assert 'hits_total{kind="a"} 4.0' in living
    assert "depth 6.0" in living
    assert 'seconds_bucket{le="1.0"} 0.0' in living
    assert 'seconds_bucket{le="2.0"} 2.0' in living
    assert "seconds_sum 3.0" in living
    metrics.bury(first)
    assert 'hits_total{kind="a"} 4.0' in lines({"m": metrics})
    assert "depth 3.0" in lines({"m": metrics})
    metrics.bury(second)
    gone = lines({"m": metrics})
    assert set(gone) == {line for line in living if not line.startswith("depth")}
    assert len(metrics.files) == 2


def test_models_are_told_apart_where_there_are_many(tmp_path: Path) -> None:
    models = {name: ProgramMetrics(str(tmp_path / name)) for name in "ab"}
    for metrics in models.values():
        run(metrics)
    made = lines(models, has_many=True)
    assert 'hits_total{kind="a",model="a"} 2.0' in made
    assert 'hits_total{kind="a",model="b"} 2.0' in made
    models["a"].add(models["b"])
    assert 'hits_total{kind="a"} 4.0' in lines(models)
    assert len({line.split(" ")[0] for line in lines(models)}) == len(lines(models))


def test_a_name_that_the_page_has_already_is_left_out(tmp_path: Path) -> None:
    metrics = ProgramMetrics(str(tmp_path))
    run(metrics)
    assert not any(line.startswith("hits") for line in lines({"m": metrics}, "hits"))


def test_files_of_models_that_are_forgotten_stay_counted(tmp_path: Path) -> None:
    records = Records(lambda _name: False, str(tmp_path))
    run(records.find("m").program)
    for number in range(100):
        records.find(str(number))
    assert "m" not in records.models
    programs = {name: record.program for name, record in records.models.items()}
    assert 'hits_total{kind="a"} 2.0' in lines(programs)


def test_who_sets_the_folder_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    metrics = ProgramMetrics(str(tmp_path / "ours"))
    run(metrics)
    assert metrics.environment == {}
    assert metrics.files == []
    metrics.bury(1)
    assert list(tmp_path.glob("*.db"))


def test_without_a_folder_nothing_is_written() -> None:
    metrics = ProgramMetrics()
    assert metrics.environment == {}
    assert lines({"m": metrics}) == []


def test_files_that_cannot_be_read_do_no_harm(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = ProgramMetrics(str(tmp_path))
    run(metrics)
    Path(tmp_path, "counter_7.db").write_bytes(b"nonsense")
    for _ in range(3):
        assert text({"m": metrics}, frozenset(), SteadyCounts(), has_many=False) == b""
    assert caplog.text.count("the metrics of prometheus_client cannot be read") == 1
    metrics.bury(7)
    assert f"the metrics in {tmp_path}/counter_7.db are lost" in caplog.text
    assert 'hits_total{kind="a"} 2.0' in lines({"m": metrics})


def test_a_file_that_a_worker_is_about_to_fill_is_left_out(tmp_path: Path) -> None:
    metrics = ProgramMetrics(str(tmp_path))
    run(metrics)
    Path(tmp_path, "counter_1.db").touch()
    Path(tmp_path, "counter_2.db").symlink_to(tmp_path / "gone")
    assert 'hits_total{kind="a"} 2.0' in lines({"m": metrics})


ODD = """
from prometheus_client import Counter
hits = Counter("odd", "Odd.", ["model"])
for value in ("\\ud800", "\\udfff", "a" * 300):
    hits.labels(value).inc()
"""


def test_labels_are_what_can_be_sent_and_stay_short(tmp_path: Path) -> None:
    metrics = ProgramMetrics(str(tmp_path))
    run(metrics, ODD)
    made = lines({"m": metrics})
    assert sorted(made) == ['odd_total{model="?"} 2.0', f'odd_total{{model="{"a" * 200}"}} 1.0']
    made = lines({"m": metrics}, has_many=True)
    assert 'odd_total{exported_model="?",model="m"} 2.0' in made


def test_one_of_two_kinds_of_a_name_is_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    models = {name: ProgramMetrics(str(tmp_path / name)) for name in "ab"}
    run(models["a"])
    run(models["b"], "from prometheus_client import Gauge; Gauge('hits', 'Hits.').set(1)")
    for _ in range(2):
        made = lines(models, has_many=True)
        assert [line for line in made if line.startswith("hits")] == [
            'hits_total{kind="a",model="a"} 2.0'
        ]
    assert caplog.text.count("two metrics that are exposed as hits") == 1
