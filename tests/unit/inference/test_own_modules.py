"""What a program imports from its folder, in a process that has imported other modules."""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.builders import request

from sagemaker_inference._inference.inference_handler import run_without_loop
from sagemaker_inference._inference.program import assembled_apart
from sagemaker_inference._program import own_modules
from sagemaker_inference.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from sagemaker_inference._program.location import Program

    Write = Callable[..., Program]

ANSWERS = """
from {} import VALUE

def model_fn(model_dir):
    return VALUE

def predict_fn(data, model):
    return model
"""


def answer(program: Program) -> object:
    handler = assembled_apart(program)
    handler.load(".")
    body = request(b"1", "application/json")
    return json.loads(run_without_loop(handler.answer([body]))[0].body)


def imported(name: str, folder: str) -> ModuleType:
    """A module of the test's own."""
    sys.path.insert(0, folder)
    return importlib.import_module(name)


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """No test has what another one has imported, nor its folders, which have no file."""
    before = dict(sys.modules)
    yield
    for name in set(sys.modules) - set(before):
        if name.partition(".")[0] in ("helper", "data", "fromthere"):
            del sys.modules[name]


@pytest.fixture(params=["helper.py", "helper/__init__.py", "helper/inner.py"])
def helper(request: pytest.FixtureRequest) -> str:
    """The file of a module beside a program: a module, a package, and a folder."""
    return str(request.param)


def dotted(helper: str) -> str:
    return helper.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def test_each_program_gets_the_modules_beside_it(program: Write, helper: str) -> None:
    found = {}
    for folder in "ab":
        program(f"VALUE = {folder!r}", f"{folder}/{helper}")
        found[folder] = program(ANSWERS.format(dotted(helper)), f"{folder}/inference.py")
    assert [answer(found[folder]) for folder in "abab"] == list("abab")
    # What the handlers of the last one import is beside it.
    assert imported(dotted(helper), found["b"].root).VALUE == "b"


def test_modules_of_the_test_are_neither_taken_nor_lost(program: Write, helper: str) -> None:
    theirs = program("VALUE = 'test'", f"tests/{helper}")
    mine = imported(dotted(helper), str(Path(theirs.path).parents[helper.count("/")]))
    path = list(sys.path)
    program("VALUE = 'program'", f"src/{helper}")
    found = program(ANSWERS.format(dotted(helper)), "src/inference.py")
    for _ in range(2):
        assert answer(found) == "program"
        assert importlib.import_module(dotted(helper)) is mine
    assert sys.path == [found.root, *path]


def test_a_module_of_the_test_below_the_program_is_not_taken(program: Write) -> None:
    program("VALUE = 'test'", "tests/helper.py")
    program("VALUE = 'program'", "helper.py")
    found = program(ANSWERS.format("helper"))
    mine = imported("helper", str(Path(found.root, "tests")))
    assert answer(found) == "program"
    assert sys.modules["helper"] is mine


def test_a_module_of_a_package_elsewhere_is_put_back_whole(program: Write) -> None:
    program("VALUE = 'program'", "src/helper.py")
    found = program(ANSWERS.format("helper"), "src/inference.py")
    package = program("", "tests/helper/__init__.py")
    program("", "tests/helper/inner.py")
    inner = imported("helper.inner", str(Path(package.root).parent))
    assert answer(found) == "program"
    assert sys.modules["helper.inner"] is inner


def test_a_module_that_the_test_shares_with_the_program_is_the_same(program: Write) -> None:
    program("VALUE = 'file'", "helper.py")
    found = program(ANSWERS.format("helper"))
    imported("helper", found.root).VALUE = "patched"
    path = list(sys.path)
    assert answer(found) == "patched"
    assert sys.path == path


def test_a_program_may_change_the_path(program: Write) -> None:
    source = "import sys; sys.path.remove({!r})\n" + ANSWERS.format("os")
    for has_place in (False, True):
        found = program("", f"{has_place}/inference.py")
        program(source.format(found.root).replace("VALUE", "sep as VALUE", 1), found.path)
        text = Path(found.path).read_text().replace("return VALUE", "return 'sep'")
        Path(found.path).write_text(text)
        if has_place:
            sys.path.append(found.root)
        assert answer(found) == "sep"
        os.utime(found.path, ns=(0, 0))
        assert answer(found) == "sep"


@pytest.mark.parametrize("change", ["edit", "remove"])
def test_a_module_that_has_changed_is_imported_again(program: Write, change: str) -> None:
    helper = program("VALUE = 1", "helper.py")
    found = program(ANSWERS.format("helper"))
    assert answer(found) == 1
    assert answer(found) == 1
    if change == "edit":
        program("VALUE = 22", "helper.py")
        os.utime(helper.path, ns=(0, 0))
        assert answer(found) == 22
    else:
        Path(helper.path).unlink()
        with pytest.raises(StartError, match="No module named 'helper'"):
            answer(found)


def test_programs_of_a_folder_share_what_has_changed(program: Write) -> None:
    helper = program("VALUE = 1", "helper.py")
    names = ("one.py", "other.py")
    found = [program(ANSWERS.format("helper"), name) for name in names]
    assert [answer(each) for each in found] == [1, 1]
    program("VALUE = 22", "helper.py")
    os.utime(helper.path, ns=(0, 0))
    assert [answer(each) for each in found] == [22, 22]


def test_a_module_that_somebody_has_replaced_stays(program: Write) -> None:
    helper = program("VALUE = 1", "helper.py")
    found = program(ANSWERS.format("helper"))
    assert answer(found) == 1
    replaced = sys.modules["helper"] = type(sys)("helper")
    replaced.__file__ = helper.path
    program("VALUE = 22", "helper.py")
    own_modules.forget_changed(found.root)
    assert sys.modules["helper"] is replaced


def test_python_and_what_is_installed_are_left_alone(
    program: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package of several distributions, such as google, has no file of its own."""
    inner = program("VALUE = 'installed'", "site-packages/helper/inner.py")
    installed = imported("helper.inner", str(Path(inner.root).parent))
    regular = program("VALUE = 'elsewhere'", "elsewhere/data.py")
    imported("data", regular.root)
    program("", "src/helper/other.py")
    program("", "src/data/table.py")
    program("raise AssertionError", "src/json.py")
    program("", "src/notes.txt")
    monkeypatch.setitem(sys.modules, "notes", regular_module := type(sys)("notes"))
    source = "import data, helper.other, json, notes\n" + ANSWERS.format("helper.inner")
    assert answer(program(source, "src/inference.py")) == "installed"
    assert sys.modules["helper.inner"] is installed
    assert sys.modules["notes"] is regular_module


def test_what_is_installed_below_a_program_is_not_its_own(program: Write) -> None:
    installed = program("VALUE = 1", "venv/site-packages/fromthere.py")
    sys.path.insert(0, installed.root)
    found = program(ANSWERS.format("fromthere"))
    assert answer(found) == 1
    module = sys.modules["fromthere"]
    os.utime(installed.path, ns=(0, 0))
    assert answer(found) == 1
    assert sys.modules["fromthere"] is module
