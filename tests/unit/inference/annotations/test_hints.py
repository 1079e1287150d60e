"""Type hints choose the input."""

from __future__ import annotations

import dataclasses
import io
import json
from typing import Annotated, Any, Optional

import numpy as np
import pandas as pd
import pytest
from support.annotated import (
    CSV,
    FIELDS,
    JSON,
    Flower,
    Model,
    asked,
    converted,
    sent_to,
    served,
)

from sagemaker_inference._inference import annotations, assembly
from sagemaker_inference._program.registry import Registry
from sagemaker_inference.errors import (
    DecodeError,
    StartError,
    UnsupportedMediaTypeError,
)


@pytest.mark.parametrize("hint", [None, Any, object, Annotated[Any, "of any kind"]])
def test_without_a_hint_any_data_will_do(hint):
    assert annotations.converter_for(hint) is None


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        ("torch.Tensor", r"torch.Tensor\]?' cannot be evaluated.*outside of TYPE_CHECKING"),
        (pd.Series, "needs pandas.*Series, which no body can be"),
        (list[pd.DataFrame], "needs pandas.*DataFrame, which no body can be"),
        (dict[str, io.BytesIO], "needs _io.BytesIO, which no body can be"),
        (np.ndarray | dict, "is not supported: Type unions"),
        (dataclasses.make_dataclass("Odd", [("x", "Missing")]), "is not supported: .*Missing"),
    ],
)
def test_a_type_that_no_body_can_be_converted_to_aborts_startup(hint, words):
    for options in ({}, {"max_batch_size": 2}):
        wanted = hint
        if options:
            wanted = f"list[{hint}]" if isinstance(hint, str) else list[hint]
        with pytest.raises(StartError, match=rf"^data of .*predict.* \(.*, line \d+\): .*{words}"):
            served(wanted, **options)


def test_a_hint_that_cannot_be_evaluated_leaves_the_others_be():
    registry = Registry()
    registry.model_loader(lambda: None)

    def predict(data, model):
        return data

    predict.__annotations__ = {"data": "list[float]", "model": "torch.nn.Module"}
    registry.predictor(predict)
    handler = assembly.assemble(registry, "inference.py")
    assert asked(handler, b'["x"]').status == 422
    assert asked(handler, b"[1]").status == 200


def test_the_programs_own_decoder_may_make_what_nothing_here_can():
    registry = Registry()
    registry.model_loader(lambda: None)
    registry.decoder("image/*")(lambda body: pd.Series(list(body)))

    def predict(data):
        return int(data.sum())

    predict.__annotations__ = {"data": pd.Series}
    registry.predictor(predict)
    handler = assembly.assemble(registry, "inference.py")
    assert asked(handler, b"\1\2", "image/x").body == b"3"
    assert asked(handler, b"[1]").status == UnsupportedMediaTypeError.status
    form = sent_to(handler, FIELDS)
    assert form.status == UnsupportedMediaTypeError.status


@pytest.mark.parametrize("hint", [bytes | None, Annotated[bytes, "raw"], Optional[bytes]])  # noqa: UP045
def test_bodies_that_may_be_none_are_taken_in_any_type(hint):
    assert annotations.is_raw(hint)
    assert asked(served(hint), b"hello", "application/x-foo").body == b"bytes b'hello'"


@pytest.mark.parametrize(
    ("hint", "expected"),
    [(bytes, b"[1]"), (bytearray, bytearray(b"[1]")), (memoryview, memoryview(b"[1]"))],
)
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_raw_bodies_come_as_they_are(hint, expected, kind):
    found = converted(hint, kind(b"[1]"))
    assert type(found) is hint
    assert found == expected
    assert annotations.is_raw(hint)


def test_text_is_read_by_its_charset():
    assert converted(str, "é".encode("latin-1"), "text/csv; charset=latin-1") == "é"
    assert converted(str, "é".encode()) == "é"
    with pytest.raises(DecodeError, match="not valid ascii at byte 0"):
        converted(str, "é".encode(), "text/csv; charset=ascii")
    for charset in ("no-such-charset", "punycode"):
        with pytest.raises(UnsupportedMediaTypeError, match=f"Charset '{charset}'"):
            converted(str, "é".encode(), f"text/csv; charset={charset}")


def test_a_decoder_of_anything_gets_bytes():
    registry = Registry()
    registry.model_loader(lambda: None)
    registry.predictor(lambda data: data)

    @registry.decoder("text/csv")
    def read(body: Any):
        return repr(body)

    handler = assembly.assemble(registry, "inference.py")
    assert asked(handler, bytearray(b"1"), CSV).body == b"b'1'"


@pytest.mark.parametrize("hint", [np.ndarray | None, Optional[np.ndarray], None | Model])  # noqa: UP045
def test_what_may_be_none_is_none_for_null(hint):
    assert converted(hint, b" null\n") is None
    if hint != None | Model:
        assert converted(hint, b"[1, 2]").tolist() == [1, 2]
        assert converted(hint, b"1,2", CSV).tolist() == [[1, 2]]
    assert converted(list[float] | None, b"null") is None
    assert converted(float | str, b"1.5") == 1.5


def test_a_predictor_gets_what_it_is_annotated_with():
    assert asked(served(bytes), b"[1]").body == b"bytes b'[1]'"
    assert asked(served(list[float]), b"[1]").body == b"list [1.0]"
    assert asked(served(Flower), b"{}").status == 422
    assert asked(served(np.ndarray), b'"a"').status == 422
    assert asked(served(None), b'"a"').body == b"str a"


def test_a_predictor_of_raw_bodies_takes_any_content_type():
    assert asked(served(str), b"abc", "application/x-own").body == b"str abc"
    assert asked(served(np.ndarray), b"abc", "application/x-own").status == 415


def test_each_input_of_a_batch_is_what_the_list_is_annotated_with():
    handler = served(list[Flower], max_batch_size=4)
    body = json.dumps({"name": "iris", "petals": []}).encode()
    assert b"Flower" in asked(handler, body).body
    assert asked(handler, b"[]").status == 422
    assert asked(served(list, max_batch_size=4), b"[1]").body == b"ndarray [1]"


def test_a_decoder_gets_what_it_is_annotated_with():
    registry = Registry()
    registry.model_loader(lambda: None)
    registry.predictor(lambda data: data)

    @registry.decoder("text/csv", "image/*")
    def read(body: np.ndarray):
        return f"{type(body).__name__} {body.tolist()}"

    handler = assembly.assemble(registry, "inference.py")
    assert asked(handler, b"1,2\n", CSV).body == b"ndarray [[1, 2]]"
    assert asked(handler, b"x,2\n", CSV).status == 422
    assert asked(handler, b"1,2\n", "").body == b"ndarray [[1, 2]]"


def test_a_decoder_of_several_types_refuses_what_no_format_reads():
    registry = Registry()
    registry.model_loader(lambda: None)
    registry.predictor(lambda data: data)

    @registry.decoder("application/x-own", JSON)
    def read(body: dict):
        return f"{body}"

    handler = assembly.assemble(registry, "inference.py")
    assert asked(handler, b'{"a": 1}').body == b"{'a': 1}"
    assert asked(handler, b'{"a": 1}', "").body == b"{'a': 1}"
    assert asked(handler, b"{}", "application/x-own").status == UnsupportedMediaTypeError.status


def test_a_decoder_cannot_have_made_what_no_format_of_its_types_gives():
    registry = Registry()
    registry.model_loader(lambda: None)
    registry.predictor(lambda data: data)

    @registry.decoder("application/x-own")
    def read(body: np.ndarray): ...

    with pytest.raises(
        StartError, match=r"^body of .*read \(.*no built-in format reads application/x"
    ):
        assembly.assemble(registry, "inference.py")
