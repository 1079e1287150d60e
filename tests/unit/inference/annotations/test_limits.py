"""Limits that ``Annotated`` adds are checked, or refused at the start; none is ignored."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import annotated_types
import attrs
import msgspec
import numpy as np
import pandas as pd
import pydantic
import pytest
from PIL import Image
from scipy import sparse
from support.annotated import converted, served

from sagemaker_inference import Registry, Upload
from sagemaker_inference._inference import assembly
from sagemaker_inference.errors import StartError, UnprocessableInputError

TEXT, OCTETS = "text/plain", "application/octet-stream"
META, FIELD = msgspec.Meta(max_length=2), pydantic.Field(max_length=2)
T = TypeVar("T")


def upper(text: str) -> str:
    if text == "?":
        raise ValueError("send words")
    return text.upper()


@dataclasses.dataclass
class Mixed:
    count: Annotated[int, pydantic.Field(ge=1)]
    pixels: np.ndarray


@attrs.define
class OfAttrs:
    count: Annotated[int, pydantic.Field(ge=1)]


class Struct(msgspec.Struct):
    count: Annotated[int, annotated_types.Ge(1)]


class Box(msgspec.Struct, Generic[T]):
    value: T
    count: Annotated[int, annotated_types.Ge(1)] = 1


class Model(pydantic.BaseModel):
    count: Annotated[int, msgspec.Meta(ge=1)]
    others: list[Model] = []


class Checked(pydantic.BaseModel):
    count: Annotated[int, pydantic.Field(ge=1), msgspec.Meta(description="How many")]


@pytest.mark.parametrize("limit", [META, FIELD, annotated_types.MaxLen(2)])
@pytest.mark.parametrize(
    ("kind", "good", "bad", "content_type"),
    [
        (str, b"ab", b"abc", TEXT),
        (bytes, b"ab", b"abc", OCTETS),
        (list, b"[1, 2]", b"[1, 2, 3]", "application/json"),
        (dict, b'{"a": 1}', b'{"a": 1, "b": 2, "c": 3}', "application/json"),
    ],
)
def test_raw_and_plain_types_have_limits(kind, good, bad, content_type, limit):
    for hint in (Annotated[kind, limit], Annotated[kind, limit] | None):
        assert converted(hint, good, content_type)
        with pytest.raises(UnprocessableInputError, match=r"the body: must have a length <= 2"):
            converted(hint, bad, content_type)


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_other_raw_types_have_the_limits_of_msgspec(kind):
    assert converted(Annotated[kind, META], b"ab", OCTETS) == b"ab"
    with pytest.raises(UnprocessableInputError, match="must have a length <= 2"):
        converted(Annotated[kind, META], b"abc", OCTETS)


def test_null_has_no_length():
    assert converted(Annotated[str, META] | None, b"null") is None


def test_a_validator_of_a_text_may_change_it():
    hint = Annotated[str, pydantic.AfterValidator(upper)]
    assert converted(hint, b"a", TEXT) == "A"
    with pytest.raises(UnprocessableInputError, match="the body: send words"):
        converted(hint, b"?", TEXT)


def test_limits_of_both_libraries_are_checked():
    hint = Annotated[str, msgspec.Meta(min_length=2), FIELD]
    for body in (b"a", b"abc"):
        with pytest.raises(UnprocessableInputError):
            converted(hint, body, TEXT)


@pytest.mark.parametrize(
    ("hint", "fix"),
    [
        *(
            (Annotated[kind, limit], "Check it in the function")
            for kind in (
                np.ndarray, pd.DataFrame, sparse.csr_matrix, Image.Image, Upload, list[Upload], Any,
                object,
            )
            for limit in (META, FIELD)
            if not (kind in (Image.Image, Upload, list[Upload]) and limit is FIELD)
        ),
        (Annotated[Path, META], "Check it in the function"),
        (Annotated[np.ndarray, META] | None, "Check it in the function"),
        (Annotated[memoryview, FIELD], "Check it in the function"),
        (Annotated[bytearray, FIELD], "Check it in the function"),
        (Mixed, "use msgspec.Meta"),
        (list[Mixed], "use msgspec.Meta"),
        (OfAttrs, "use msgspec.Meta"),
        (Struct, "use msgspec.Meta"),
        (Box[int], "use msgspec.Meta"),
        (Model, "use pydantic.Field"),
        (list[Model], "use pydantic.Field"),
        (Annotated[list[Checked], META], "use pydantic.Field"),
    ],
)  # fmt: skip
def test_a_limit_that_nothing_would_check_is_refused_at_the_start(hint, fix):
    with pytest.raises(StartError, match=rf"has a limit that would not be checked.*{fix}\."):
        served(hint)


def test_a_decoder_of_another_type_does_not_hide_it():
    registry = Registry()
    registry.model_loader(lambda: None)
    registry.decoder("text/x-points")(lambda body: np.zeros(2))

    def predict(data, model): ...

    predict.__annotations__ = {"data": Annotated[np.ndarray, META]}
    registry.predictor(predict)
    with pytest.raises(StartError, match="would not be checked"):
        assembly.assemble(registry)


@pytest.mark.parametrize("kind", [str, list])
def test_limits_of_annotated_types_need_a_library_that_reads_them(kind, monkeypatch):
    monkeypatch.delitem(sys.modules, "pydantic")
    with pytest.raises(StartError, match="would not be checked"):
        served(Annotated[kind, annotated_types.MaxLen(2)])


@pytest.mark.parametrize(
    "addition",
    [
        "rows of four numbers",
        msgspec.Meta(description="Rows", examples=[[1]]),
        pydantic.Field(description="Rows"),
        pydantic.WithJsonSchema({}),
        annotated_types.doc("Rows"),
    ],
)
def test_descriptions_are_no_limits(addition):
    assert converted(Annotated[np.ndarray, addition], b"[1]").tolist() == [1]
    assert converted(Annotated[str, addition], b"abc", TEXT) == "abc"


def test_a_description_of_msgspec_is_fine_where_pydantic_validates():
    assert converted(Checked, b'{"count": 1}').count == 1
