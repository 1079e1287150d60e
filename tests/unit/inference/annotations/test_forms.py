"""Annotations of programs that get forms."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pydantic
import pytest
import scipy.sparse
from support.annotated import (
    CSV,
    FIELDS,
    JSON,
    Flower,
    Model,
    Row,
    Struct,
    converted,
    sent,
    served,
)

from sagemaker_inference._http.messages import Headers, Part, Request
from sagemaker_inference._inference.inference_handler import run_without_loop


def test_fields_of_forms_are_text_where_they_name_no_type():
    handler = served(None)
    parts = [Part("a", "", b"1"), Part("b", JSON, b"[1]")]
    headers = Headers([("Content-Type", "multipart/form-data"), ("Accept", "text/plain")])
    body = run_without_loop(handler.answer([Request("id", headers, fields=parts)]))[0].body
    assert bytes(body) == b"dict {'a': '1', 'b': array([1])}"
    assert run_without_loop(handler.answer([Request("id", headers, fields=[])]))[0].status == 400


@pytest.mark.parametrize(
    "hint",
    [
        np.ndarray, pd.DataFrame, scipy.sparse.csr_matrix, bytes, str, list, list[float], Flower,
        Row, Struct, Model, np.ndarray | None,
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data"])
def test_forms_that_do_not_fit_the_annotation_are_refused(hint, kind):
    assert sent(hint, FIELDS, kind).status == 422


def test_forms_are_converted_to_what_is_annotated():
    parts = [Part("x", "", b"1"), Part("y", "", b"2")]
    assert sent(dict, FIELDS).body == b"dict {'a': '1', 'b': '2'}"
    assert sent(Row, parts).body == b"dict {'x': 1.0, 'y': 2}"
    assert sent(Struct, parts).body == b"Struct Struct(x=1.0)"
    assert sent(Model, parts).body == b"Model x=1.0 names=[]"
    assert converted(Row, b"x=1&y=2", "application/x-www-form-urlencoded") == {"x": 1.0, "y": 2}


class Tagged(pydantic.BaseModel):
    tags: list[str]
    note: str = ""


@dataclasses.dataclass
class Marked:
    tags: set[str]
    weights: list[float] | None = None


@pytest.mark.parametrize(
    ("hint", "body", "expected"),
    [
        (Tagged, b"tags=a&note=b", Tagged(tags=["a"], note="b")),
        (Tagged, b"tags=a&tags=b", Tagged(tags=["a", "b"])),
        (Marked, b"tags=a", Marked({"a"})),
        (Marked, b"tags=a&weights=1", Marked({"a"}, [1.0])),
    ],
)
def test_a_list_of_one_value_is_a_list_in_forms_too(hint, body, expected):
    assert converted(hint, body, "application/x-www-form-urlencoded") == expected


def test_parts_of_forms_are_as_their_formats_say_until_the_whole_is_converted():
    parts = [Part("name", "", b"iris"), Part("petals", JSON, b"[1, 2]")]
    kind = "multipart/form-data"
    assert sent(Flower, parts, kind).body == b"Flower Flower(name='iris', petals=[1.0, 2.0])"
    parts = [Part("a", CSV, b"1,2\n"), Part("b", JSON, b'{"c": 1}')]
    assert sent(dict, parts, kind).body == b"dict {'a': array([[1, 2]]), 'b': {'c': 1}}"
    own = sent(dict, [Part("a", "application/x-own", b"1")], kind)
    assert own.body == b"dict {'a': b'1'}"
