"""Predictions for data sets, by Ray Data."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sagemaker_inference.ray import map_batches

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Cluster

# Warnings of Ray are about Ray.
pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]

PROGRAM = """
from sagemaker_inference import model_loader, predictor, serve
from sagemaker_inference.errors import UnprocessableInputError

@model_loader
def load():
    return 2

@predictor(max_batch_size=16)
def predict(batch, model):
    return [answer(data, model) for data in batch]

def answer(data, model):
    if isinstance(data, dict):
        if data["a"] == 13:
            raise UnprocessableInputError("13 is not served.")
        return {"double": data["a"] * model}
    return data * model

serve(__name__)
"""


@pytest.fixture
def program(tmp_path: Path) -> str:
    path = tmp_path / "inference.py"
    path.write_text(PROGRAM)
    return str(path)


def small(**options: Any) -> dict[str, Any]:
    return {"num_cpus": 0.5, "batch_size": 32, **options}


def test_predictions_are_written_as_parquet(cluster: Cluster, program: str, tmp_path: Path) -> None:
    import ray

    rows = ray.data.from_items([{"a": number, "b": str(number)} for number in range(200)])
    found = map_batches(rows, program, on_error="column", concurrency=2, **small())
    found.write_parquet(str(tmp_path / "parquet"))
    read = {row["a"]: row for row in ray.data.read_parquet(str(tmp_path / "parquet")).take_all()}
    assert len(read) == 200
    assert read[13]["error"] == "422 13 is not served."
    assert read[13]["prediction"] is None
    for number in set(range(200)) - {13}:
        assert read[number]["prediction"] == {"double": 2 * number}
        assert read[number]["error"] is None
        assert read[number]["b"] == str(number)


def test_predictions_are_written_as_json_lines(
    cluster: Cluster, program: str, tmp_path: Path
) -> None:
    import ray

    rows = ray.data.from_items([{"a": number, "b": 0.5} for number in range(20)])
    found = map_batches(rows, program, content_type="text/csv", **small())
    found.write_json(str(tmp_path / "json"))
    lines = [line for path in (tmp_path / "json").glob("*") for line in path.open()]
    read = sorted((json.loads(line) for line in lines), key=lambda row: row["a"])
    assert [row["prediction"] for row in read] == [[[2 * number, 1]] for number in range(20)]


def test_a_failure_ends_the_job_with_its_cause(cluster: Cluster, program: str) -> None:
    import ray

    rows = ray.data.from_items([{"a": 13}])
    with pytest.raises(Exception, match="13 is not served") as caught:
        map_batches(rows, program, **small()).take_all()
    assert "RequestError" in str(caught.value)
