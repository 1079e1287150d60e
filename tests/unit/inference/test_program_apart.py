"""Programs in a process that goes on with other things: a test imports them, too."""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest
from support.builders import request

from sagemaker_inference import default_registry
from sagemaker_inference._inference.inference_handler import InferenceHandler, run_without_loop
from sagemaker_inference._inference.program import assembled_apart
from sagemaker_inference.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference._program.location import Program

DOUBLES = """
import formats
from sagemaker_inference import model_loader, predictor, serve

@model_loader
def load():
    return 2

@predictor
def predict(data: int, model):
    return data * model

serve(__name__)
"""
FORMATS = """
from sagemaker_inference import decoder

@decoder("text/x-number")
def read(body: str):
    return int(body)
"""
SCRIPT = """
def model_fn(model_dir):
    return "-"

def predict_fn(data, model):
    return model
"""


def answer(handler: InferenceHandler, body: bytes, content_type: str) -> bytes:
    handler.load(".")
    (response,) = run_without_loop(handler.answer([request(body, content_type)]))
    return bytes(response.body)  # type: ignore[arg-type]


@pytest.mark.parametrize("is_imported", [False, True])
def test_a_program_keeps_all_its_handlers(
    program: Callable[..., Program], *, is_imported: bool
) -> None:
    program(FORMATS, "formats.py")
    found = program(DOUBLES)
    if is_imported:
        sys.path.insert(0, found.root)
        importlib.import_module("inference")
    before = default_registry.is_empty
    for _ in range(3):
        assert answer(assembled_apart(found), b"21", "text/x-number") == b"42"
    assert default_registry.is_empty == before
    assert not default_registry.is_closed


@pytest.mark.parametrize("before", [DOUBLES, DOUBLES.replace("serve(", "1 / 0  # (")])
def test_a_program_that_is_edited_keeps_handlers_of_another_file(
    program: Callable[..., Program], before: str
) -> None:
    program(FORMATS, "formats.py")
    found = program(before)
    if before == DOUBLES:
        assert answer(assembled_apart(found), b"21", "text/x-number") == b"42"
    else:
        with pytest.raises(StartError, match="ZeroDivisionError"):
            assembled_apart(found)
    program(DOUBLES.replace("return 2", "return 3"))
    os.utime(found.path, ns=(0, 0))
    assert answer(assembled_apart(found), b"21", "text/x-number") == b"63"


def test_programs_of_the_same_name_stay_apart(program: Callable[..., Program]) -> None:
    program(FORMATS, "one/formats.py")
    one, other = program(DOUBLES, "one/inference.py"), program(SCRIPT, "other/inference.py")
    for _ in range(2):
        assert answer(assembled_apart(one), b"21", "application/json") == b"42"
        sys.modules.pop("formats")
        assert answer(assembled_apart(other), b"21", "application/json") == b'"-"'


def test_functions_of_a_script_that_is_imported_are_its_handlers(
    program: Callable[..., Program],
) -> None:
    found = program(SCRIPT)
    sys.path.insert(0, found.root)
    importlib.import_module("inference")
    assert answer(assembled_apart(found), b"1", "application/json") == b'"-"'


@pytest.mark.parametrize("is_imported", [False, True])
def test_a_script_that_cannot_be_served_is_named(
    program: Callable[..., Program], *, is_imported: bool
) -> None:
    found = program("def model_fn(a, b, c, d): ...\n")
    if is_imported:
        sys.path.insert(0, found.root)
        importlib.import_module("inference")
    with pytest.raises(StartError, match="model_fn"):
        assembled_apart(found)


def test_a_failure_can_be_tried_again(program: Callable[..., Program]) -> None:
    found = program("1 / 0\n")
    with pytest.raises(StartError, match="ZeroDivisionError"):
        assembled_apart(found)
    program(SCRIPT)
    assert answer(assembled_apart(found), b"1", "application/json") == b'"-"'


def test_a_failure_is_noted_where_somebody_asks(registry: Any) -> None:
    noted: list[BaseException] = []

    class Watched(type(request())):  # type: ignore[misc]
        def note_failure(self, error: BaseException) -> None:
            noted.append(error)

    from sagemaker_inference import Request, assemble

    assert issubclass(Watched, Request)
    registry.model_loader(lambda: None)
    registry.predictor(lambda data: 1 / data)
    handler = assemble(registry)
    handler.load(".")
    run_without_loop(handler.answer([Watched("id", request().headers, b"0")]))
    assert [type(error) for error in noted] == [ZeroDivisionError]
