"""What the message about an import that failed says to do."""

import dataclasses
import re
import sys
import types

import pytest

from sagemaker_inference._inference import program as programs
from sagemaker_inference.errors import StartError

CASES = {
    "missing": ("import no_such_package", "Install the missing package."),
    "relative": ("from .helpers import x", "write 'from helpers import x' instead of"),
    "submodule": ("import json.no_such_module", "The package 'json' is installed, but not in"),
    "name": ("from json import no_such_name", "The package 'json' is installed, but not in"),
    "circle": ("import circle_a", "Two modules import each other"),
    "shadow": ("import numpy.linalg", "rename the file"),
}
# Modules that are found, and are used for what they do not have.
FOUND = {
    "import circle_c": "Two modules import each other",
    "import string\nstring.digits": "string.py is imported instead of the package 'string'",
    "import string as s\ns.no_such_name": "rename the file",
    "import json\njson.no_such_name": "",
    "''.no_such_name": "",
    "import string\nraise SystemError": "string.py is imported instead of the package 'string'",
}
HELPERS = {
    "circle_c": "import circle_d\na = 1",
    "circle_d": "import circle_c\ncircle_c.a",
    "string": "",
    "circle_a": "from circle_b import b\na = 1",
    "circle_b": "from circle_a import a\nb = 1",
}


@pytest.mark.parametrize("case", CASES)
def test_the_advice_fits_the_cause(program, tmp_path, monkeypatch, case):
    source, advice = CASES[case]
    for name, text in HELPERS.items():
        (tmp_path / f"{name}.py").write_text(text)
    if case == "shadow":
        (tmp_path / "numpy.py").write_text("")
        for name in [name for name in sys.modules if name.partition(".")[0] == "numpy"]:
            monkeypatch.delitem(sys.modules, name)
    with pytest.raises(StartError) as caught:
        programs.load(program(source))
    message = str(caught.value)
    assert advice in message
    assert ", line 1: " in message
    # The log shows the traceback, with what the import was caused by.
    assert isinstance(caught.value.__cause__, ImportError)


@pytest.mark.parametrize(
    ("source", "installed", "otherwise"),
    [
        (
            "import no_such_package",
            "or list it in requirements.txt beside the program.",
            "Install the missing package, perhaps with: pip install -r ",
        ),
        (
            "import json.no_such_module",
            "Pin versions that go together in requirements.txt.",
            "Pin versions that go together.",
        ),
    ],
)
def test_a_requirements_txt_is_named_where_it_is_installed(
    program, tmp_path, monkeypatch, source, installed, otherwise
):
    (tmp_path / "requirements.txt").touch()
    served = program(source)
    with pytest.raises(StartError) as caught:
        programs.load(served)
    assert otherwise in str(caught.value)
    # What containers serve is in the folder `code` of a model.
    monkeypatch.setattr(sys, "path", [*sys.path])
    in_model = dataclasses.replace(served, code_dir=str(tmp_path))
    with pytest.raises(StartError) as caught:
        programs.load(in_model)
    assert installed in str(caught.value)
    monkeypatch.setenv("SAGEMAKER_MULTI_MODEL", "true")
    with pytest.raises(StartError) as caught:
        programs.load(in_model)
    assert "requirements.txt" not in str(caught.value)


@pytest.mark.parametrize("source", FOUND)
def test_the_advice_fits_where_a_module_lacks_a_name(program, tmp_path, monkeypatch, source):
    for name in ("circle_c", "circle_d", "string"):
        if name in source or "circle" in source:
            (tmp_path / f"{name}.py").write_text(HELPERS[name])
            monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(StartError, match=r"AttributeError|SystemError") as caught:
        programs.load(program(source))
    message = str(caught.value)
    assert FOUND[source] in message
    assert bool(FOUND[source]) == (". " in re.split("attribute|SystemError", message)[-1])


def test_a_program_that_exits_while_it_is_imported_is_named(program):
    with pytest.raises(StartError, match=r"inference\.py, line 2: the program exited") as caught:
        programs.load(program("import argparse\nargparse.ArgumentParser().exit(2)"))
    assert isinstance(caught.value.__cause__, SystemExit)


PICKLED = """
import pickle
class Scaler:
    pass
loaded = pickle.loads(b"c__main__\\nScaler\\n.")
"""


def test_a_worker_finds_the_programs_names_in_main(program, monkeypatch):
    """Already while the program runs: it may load a model that `python train.py` pickled."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    monkeypatch.setitem(sys.modules, "__mp_main__", sys.modules["__main__"])
    module, _ = programs.load(program(PICKLED), as_main=True)
    assert module.loaded is module.Scaler
    assert sys.modules["__main__"] is sys.modules["__mp_main__"] is module


def test_main_is_what_it_was_after_a_program_that_fails(program, monkeypatch):
    main = sys.modules["__main__"]
    monkeypatch.setitem(sys.modules, "__main__", main)
    with pytest.raises(StartError):
        programs.assembled(program("1 / 0"), as_main=True)
    assert sys.modules["__main__"] is main


def test_main_stays_where_no_worker_asks(program):
    main = sys.modules["__main__"]
    with pytest.raises(StartError, match="AttributeError"):
        programs.load(program(PICKLED))
    assert sys.modules["__main__"] is main


def test_a_package_whose_search_fails_counts_where_it_is_imported(program, monkeypatch):
    """A module that a program has put together itself has no specification."""
    made = types.ModuleType("made_by_hand")
    monkeypatch.setitem(sys.modules, "made_by_hand", made)
    with pytest.raises(StartError, match="The package 'made_by_hand' is installed, but not in"):
        programs.load(program("from made_by_hand import no_such_name"))


def test_a_file_that_imports_the_module_whose_name_it_has_is_named(program, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "sched", raising=False)
    path = tmp_path / "sched.py"
    path.write_text("from sched import scheduler")
    with pytest.raises(StartError) as caught:
        programs.load(program("import sched"))
    assert f"{path} has the name of the module that it imports: rename the" in str(caught.value)
