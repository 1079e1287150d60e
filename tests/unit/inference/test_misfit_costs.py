"""What bodies of up to 25 MB cost that do not fit the annotation of the predictor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pydantic
import pytest
from support.cost import MIB, REFUSED_GROWTH, SECONDS, cost_of
from support.large import large_json, repeated

from sagemaker_inference import Registry, Request, assemble
from sagemaker_inference._inference.inference_handler import run_without_loop

# They take minutes, and no Python differs in what they are about.
pytestmark = pytest.mark.once


class Record(pydantic.BaseModel):
    id: int
    name: str
    score: float
    is_new: bool


@dataclass
class Row:
    id: int
    name: str


FITS_NOT = {
    "records for a number": (list[float], large_json),
    "records for an array": (np.ndarray, large_json),
    "records for an object": (dict, large_json),
    "records for a model": (Record, large_json),
    "records for models by name": (dict[str, Record], large_json),
    "records for a dataclass": (Row, large_json),
    "empty objects for models": (list[Record], lambda: repeated(b"{},", 3 * MIB, b"[", b"{}]")),
    "texts for an array": (np.ndarray, lambda: repeated(b'"ab",', start=b"[", end=b"1]")),
    "texts for a model": (Record, lambda: repeated(b'"ab",', start=b"[", end=b"1]")),
    "texts for an object": (dict, lambda: repeated(b'"ab",', start=b"[", end=b"1]")),
    "ragged rows for an array": (np.ndarray, lambda: repeated(b"[1,2],", start=b"[", end=b"[1]]")),
    "empty lists for lists": (list[list[int]], lambda: repeated(b"[],", start=b"[", end=b"1]")),
}


@pytest.mark.parametrize("name", FITS_NOT)
def test_a_body_that_does_not_fit_its_annotation_costs_little(name):
    hint, body = FITS_NOT[name]
    registry = Registry()
    registry.model_loader(lambda: None)

    def predict(data):
        return 1

    predict.__annotations__["data"] = hint
    registry.predictor(predict)
    handler, request = assemble(registry), Request.from_body(body(), "application/json")

    def status():
        [response] = run_without_loop(handler.answer([request]))
        return response.status

    cost = cost_of(status)
    assert cost.result in (413, 422), cost
    assert cost.growth <= REFUSED_GROWTH
    assert cost.seconds < SECONDS
