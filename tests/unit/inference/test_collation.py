import sys
import types
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sagemaker_inference import Upload, assemble
from sagemaker_inference._inference import collation
from sagemaker_inference._inference.annotations import has_no_rows
from sagemaker_inference._inference.batching import Batcher
from sagemaker_inference._program.concurrency import Batching
from sagemaker_inference._program.roles import PREDICTOR
from sagemaker_inference._program.signatures import Handler
from sagemaker_inference.errors import PredictionError, StartError, UnprocessableInputError


def call(predict, inputs, collate="list"):
    handler = Handler.from_function(PREDICTOR, predict)
    batcher = Batcher(handler, Batching(max_batch_size=8, collate=collate))
    return batcher._call(inputs, "model", [None] * len(inputs))


def test_a_list_predictor_gets_the_inputs_as_they_are():
    assert call(lambda inputs: [value + 1 for value in inputs], [1, 2]) == [2, 3]
    assert call(lambda inputs: np.array(inputs) + 1, [1, 2]) == [2, 3]


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ([1], "The predictor returned 1 predictions, expected 2"),
        (None, "The predictor returned a single value, expected 2 predictions"),
    ],
)
def test_another_number_of_predictions_is_refused(result, words):
    with pytest.raises(PredictionError, match=words):
        call(lambda inputs: result, [1, 2])


def test_a_concatenating_predictor_gets_one_array_and_each_request_its_rows():
    parts = call(lambda data: data * 2, [np.ones((2, 3)), np.zeros((1, 3))], "concatenate")
    assert [part.shape for part in parts] == [(2, 3), (1, 3)]
    assert parts[0].tolist() == [[2.0] * 3] * 2


def test_another_number_of_rows_is_refused():
    with pytest.raises(PredictionError, match="predictor returned 1 rows, expected 3"):
        call(lambda data: [1], [[1, 2], [3]], "concatenate")


def test_a_single_input_is_given_as_it_is():
    only = [1, 2]
    assert collation.concatenate([only]) is only


@given(st.lists(st.lists(st.integers(-9, 9), min_size=1), min_size=1))
def test_what_is_concatenated_is_split_into_what_it_was(inputs):
    parts = call(lambda data: data, inputs, "concatenate")
    assert [np.asarray(part).tolist() for part in parts] == inputs


def test_a_single_value_has_no_rows_to_stack():
    with pytest.raises(UnprocessableInputError, match="Expected rows"):
        call(lambda data: data, [np.array([1]), 5], "concatenate")


class Picture(TypedDict):
    image: Image.Image


@dataclass
class Flat:
    area: float


@dataclass
class Flats:
    areas: list[float]

    def __len__(self):
        return len(self.areas)


@pytest.mark.parametrize(
    "hint",
    [Path, Upload, Image.Image, bytes, str, dict, dict[str, float], Picture, Flat, Flat | None],
)
def test_what_has_no_rows_is_refused_at_the_start(registry, hint):
    registry.model_loader(lambda: None)

    def predict(data, model):
        return data

    predict.__annotations__ = {"data": hint}
    registry.predictor(max_batch_size=4, collate="concatenate")(predict)
    words = r'data of .*predict .*collate="concatenate" stacks the rows of inputs, and .* has none'
    with pytest.raises(StartError, match=words):
        assemble(registry)


@pytest.mark.parametrize("hint", [np.ndarray, list[Path], list[Flat], list[float], Any, Flats])
def test_what_may_have_rows_is_stacked(registry, hint):
    assert not has_no_rows(hint)
    registry.model_loader(lambda: None)

    def predict(data, model):
        return data

    predict.__annotations__ = {"data": hint}
    registry.predictor(max_batch_size=4, collate="concatenate")(predict)
    assemble(registry)


def test_pandas_objects_are_concatenated_and_split():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1, 2, 3]}, index=[7, 8, 9])
    parts = call(lambda data: data, [frame, frame[:1]], "concatenate")
    assert [len(part) for part in parts] == [3, 1]
    assert isinstance(parts[1], pandas.DataFrame)
    series = call(lambda data: data["a"], [frame, frame[:1]], "concatenate")
    assert series[1].tolist() == [1]
    assert isinstance(collation.concatenate([series[0], series[1]]), pandas.Series)


def test_sparse_matrices_are_concatenated_and_split():
    sparse = pytest.importorskip("scipy.sparse")
    matrix = sparse.csr_matrix(np.eye(3))
    parts = call(lambda data: data, [matrix, matrix[:1]], "concatenate")
    assert [part.shape for part in parts] == [(3, 3), (1, 3)]
    assert parts[0].format == "csr"


def test_tensors_are_concatenated_by_their_own_library(monkeypatch):
    # A stand-in: the real library is a hundred times the size of everything else here.
    class Tensor(list):
        __slots__ = ()

    torch = types.ModuleType("torch")
    torch.Tensor = Tensor
    torch.cat = lambda tensors: Tensor(chain(*tensors))
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert collation.concatenate([Tensor([1]), Tensor([2, 3])]) == [1, 2, 3]


def test_libraries_that_are_not_imported_are_not_imported(monkeypatch):
    for name in ("pandas", "torch", "scipy.sparse"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert collation.concatenate([[1], [2]]).tolist() == [1, 2]
    assert not {"pandas", "torch", "scipy.sparse"} & set(sys.modules)
