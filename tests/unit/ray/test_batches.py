"""Rows of a data set as requests, without Ray around them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sagemaker_inference import ray as on_ray
from sagemaker_inference.ray import RequestError
from sagemaker_inference.ray._batches import Predictions

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import FakeRay

TEXT = """
from sagemaker_inference import model_loader, predictor, serve
from sagemaker_inference.errors import UnprocessableInputError

sizes = []

@model_loader
def load():
    return 2

@predictor(max_batch_size=4)
def predict(batch, model):
    sizes.append(len(batch))
    return [answer(data) for data in batch]

def answer(data):
    if isinstance(data, str):
        return sizes
    if isinstance(data, dict):
        if data["a"] < 0:
            raise UnprocessableInputError("a is below 0")
        return data["a"] * 2
    return data

serve(__name__)
"""


class FakeDataset:
    """What is asked of Ray Data."""

    def map_batches(self, kind: Any, **options: Any) -> Any:
        return kind, options


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "inference.py"
    file.write_text(TEXT)
    return file


def predictions(path: Path, **options: Any) -> Predictions:
    usual = {
        "model_dir": None,
        "columns": None,
        "content_type": "application/json",
        "accept": "application/json",
        "on_error": "raise",
    }
    return Predictions(program=str(path), elsewhere=(str(path), None), **{**usual, **options})


def test_what_is_asked_of_ray(fake_ray: FakeRay) -> None:
    dataset: Any = FakeDataset()
    kind, options = on_ray.map_batches(  # type: ignore[misc]
        dataset, "/programs/inference.py", model_dir="/model", num_gpus=1, concurrency=(1, 4)
    )
    assert kind is Predictions
    assert options.pop("fn_constructor_kwargs") == {
        "program": "/programs/inference.py",
        "model_dir": "/model",
        "elsewhere": ("/programs/inference.py", "/model"),
        "columns": None,
        "content_type": "application/json",
        "accept": "application/json",
        "on_error": "raise",
    }
    assert options == {
        "batch_size": 256,
        "batch_format": "numpy",
        "concurrency": (1, 4),
        "num_gpus": 1,
    }
    with pytest.raises(ValueError, match="on_error must be"):
        on_ray.map_batches(dataset, "inference.py", on_error="ignore")  # type: ignore[arg-type]


def test_a_row_is_an_object_of_its_columns(fake_ray: FakeRay, path: Path) -> None:
    mapped = predictions(path, model_dir=str(path.parent))
    batch = {"a": np.arange(50), "b": np.array(["x"] * 50)}
    found = mapped(batch)
    assert list(found) == ["a", "b", "prediction"]
    assert found["prediction"] == [2 * number for number in range(50)]
    # More than one at a time: the program's batches form.
    sizes = predictions(path, columns="ask")({"ask": np.array(["sizes"])})["prediction"][0]
    assert max(sizes) > 1


def test_a_row_of_csv_is_a_line_of_its_columns(fake_ray: FakeRay, path: Path) -> None:
    mapped = predictions(path, columns=["b", "a"], content_type="text/csv")
    found = mapped({"a": np.array([1, 2]), "b": np.array([0.5, 1.5]), "c": np.array([9, 9])})
    assert found["prediction"] == [[[0.5, 1.0]], [[1.5, 2.0]]]


def test_a_column_is_sent_as_it_is(fake_ray: FakeRay, path: Path) -> None:
    batch = {"bytes": np.array([b"[1]", b"[2, 3]"], dtype=object)}
    assert predictions(path, columns="bytes")(batch)["prediction"] == [[1], [2, 3]]


def test_a_failure_ends_the_job_or_is_a_column(fake_ray: FakeRay, path: Path) -> None:
    batch = {"a": np.array([1, -1, 2])}
    with pytest.raises(RequestError, match="a is below 0"):
        predictions(path)(batch)
    found = predictions(path, on_error="column")(batch)
    assert found["prediction"] == [2, None, 4]
    assert found["error"] == [None, "422 a is below 0", None]


def test_a_batch_may_be_empty(fake_ray: FakeRay, path: Path) -> None:
    assert predictions(path)({})["prediction"] == []
