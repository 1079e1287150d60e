"""What bodies of up to 25 MB cost that do not fit the annotation of the predictor."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pydantic
import pytest
from scipy.sparse import csr_matrix
from support.cost import MIB, REFUSED_GROWTH, SECONDS, cost_of
from support.large import SIZE, large_json, repeated

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


JSON, CSV = "application/json", "text/csv"


def large_bytes():
    buffer = io.BytesIO()
    np.save(buffer, np.full((SIZE - 128, 1), 7, np.int8))
    return buffer.getvalue()


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


# CSV of 12 bytes a cell, as tables of measurements have.
NUMBERS = b"0.1234567,-12.345678,1e-5\n"
QUOTED = b'"0.1234567","-12.345678",1.5\n'
MORE_FITS_NOT = {
    "text among numbers of CSV": (np.ndarray, CSV, lambda: repeated(NUMBERS, end=b"1,2,x")),
    "text among quoted numbers": (np.ndarray, CSV, lambda: repeated(QUOTED, end=b"1,2,x")),
    "a long cell of digits and text": (
        np.ndarray,
        CSV,
        lambda: repeated(NUMBERS, end=b"1,2," + b"1" * MIB + b"x"),
    ),
    "text among gaps": (np.ndarray, CSV, lambda: repeated(b"0.12345,,1.2345\n", end=b"1,2,x")),
    "text in sparse numbers": (csr_matrix, CSV, lambda: repeated(NUMBERS, end=b"1,2,x")),
    "text in lists of numbers": (list[list[float]], CSV, lambda: repeated(NUMBERS, end=b"1,2,x")),
    "texts in lists of text": (list[list[str]], CSV, lambda: repeated(b"abcdefgh,12345678\n")),
    "a table for an object": (Row, CSV, lambda: repeated(b"abcdefgh,12345678\n")),
    "a table for texts": (list[str], CSV, lambda: repeated(b"abcdefgh\n")),
    "a table for models": (list[Record], CSV, lambda: repeated(b"abcdefgh,12345678\n")),
    "text among sparse JSON": (csr_matrix, JSON, lambda: repeated(b'"ab",', start=b"[", end=b"1]")),
    "rows of text for an array": (
        np.ndarray,
        "application/jsonlines",
        lambda: repeated(b"[1.5,2,3]\n", end=b'["x"]'),
    ),
    "a number after objects": (
        pd.DataFrame,
        JSON,
        lambda: repeated(b'{"a":1.5,"b":2},', start=b"[", end=b"1]"),
    ),
    "uneven columns": (
        pd.DataFrame,
        JSON,
        lambda: b'{"a":[%b1],"b":[%b1,2]}' % (b"1.5," * 3_000_000, b"1.5," * 3_000_000),
    ),
    "an object after numbers": (
        list[float],
        JSON,
        lambda: repeated(b"1.5,", start=b"[", end=b"{}]"),
    ),
    "lists for models": (list[Record], JSON, lambda: repeated(b"[1.5,2],", start=b"[", end=b"1]")),
    "bytes for text": (list[list[str]], "application/x-npy", large_bytes),
}


def small_records(size):
    record = b'{"id":1,"name":"%b","score":2.5,"is_new":true},' % (b"x" * (size - 49))
    return repeated(record, start=b"[", end=b'{"id":"x"}]')


Wide: Any = pydantic.create_model("Wide", **dict.fromkeys("abcdefgh", (float, 1.0)))  # type: ignore[call-overload]
WIDE = b'{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8%b},'

MORE_FITS_NOT |= {
    "a wrong record of many fields": (
        list[Wide],
        JSON,
        lambda: repeated(WIDE % b"", start=b"[", end=b'{"a":"x"}]'),
    ),
    "a wrong record of many fields after long ones": (
        list[Wide],
        JSON,
        lambda: repeated(WIDE % (b" " * 150), start=b"[", end=b'{"a":"x"}]'),
    ),
    "a wrong record of many fields after empty ones": (
        list[Wide],
        JSON,
        lambda: repeated(WIDE % (b" " * 150) + b"{}," * 4, start=b"[", end=b'{"a":"x"}]'),
    ),
    "a wrong line of many fields": (
        list[Wide],
        "application/jsonlines",
        lambda: repeated(WIDE[:-1] % (b" " * 150) + b"\n", end=b'{"a":"x"}'),
    ),
    "a wrong record after others": (list[Record], JSON, lambda: small_records(85)),
    "a wrong record after short ones": (list[Record], JSON, lambda: small_records(50)),
    "a wrong line after others": (
        list[Record],
        "application/jsonlines",
        lambda: small_records(85)[1:-1].replace(b"},", b"}\n"),
    ),
}

# As many cells as may be read: of 12 bytes, and of 25 where reading one takes twice the time.
MORE_FITS_NOT |= {
    "text behind a boolean": (
        np.ndarray,
        CSV,
        lambda: repeated(NUMBERS, start=b"True,2,3\n", end=b"1,2,x"),
    ),
    "text behind a quoted boolean": (
        np.ndarray,
        CSV,
        lambda: repeated(
            b'"1.234567890123456789",12345678901234567890123456\n', start=b'True,"2"\n'
        ),
    ),
    "more quoted cells than are read": (
        list[tuple[str, float]],
        CSV,
        lambda: repeated(b'"1.2345678",1.12345678\n', end=b"1,x"),
    ),
    "other digits than ASCII": (
        np.ndarray,
        CSV,
        lambda: repeated(b"1.234567890123456789,123456789012345678901234567\n", end="٣,x".encode()),
    ),
}


@pytest.mark.parametrize("name", MORE_FITS_NOT)
def test_a_table_that_does_not_fit_its_annotation_costs_little(name):
    hint, content_type, body = MORE_FITS_NOT[name]
    check(hint, body(), content_type)


@pytest.mark.parametrize("name", FITS_NOT)
def test_a_body_that_does_not_fit_its_annotation_costs_little(name):
    hint, body = FITS_NOT[name]
    check(hint, body(), JSON)


def check(hint, body, content_type):
    registry = Registry()
    registry.model_loader(lambda: None)

    def predict(data):
        return 1

    predict.__annotations__["data"] = hint
    registry.predictor(predict)
    handler, request = assemble(registry), Request.from_body(body, content_type)

    def status():
        [response] = run_without_loop(handler.answer([request]))
        return response.status

    cost = cost_of(status)
    assert cost.result in (413, 422), cost
    assert cost.growth <= REFUSED_GROWTH
    assert cost.seconds < SECONDS
