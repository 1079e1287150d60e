"""Files of a program that have the name of a module."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.measurement import UNMEASURED

import sagemaker_inference
import sagemaker_inference.errors
from sagemaker_inference._inference import program
from sagemaker_inference._os import shadows
from sagemaker_inference._program.location import Program

PROGRAM = "from sagemaker_inference import model_loader, serve"


@pytest.mark.parametrize("name", ["json", "uuid", "zoneinfo", "datetime", "random", "logging"])
def test_a_file_that_keeps_the_package_from_being_imported_is_named(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / f"{name}.py").write_text("")
    (tmp_path / "inference.py").write_text(PROGRAM)
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "inference.py"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        # What measures it would have imported the module before.
        env={**os.environ, **UNMEASURED, "PYTHONPATH": paths},
        timeout=60,
    )
    last = done.stderr.splitlines()[-1]
    file = (tmp_path / f"{name}.py").resolve()
    assert last == (
        f"ImportError: {file} is imported instead of the package {name!r}: rename the file."
    )


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (AttributeError("no such name"), ImportError),
        (ModuleNotFoundError("no such module"), ModuleNotFoundError),
    ],
)
def test_an_import_that_fails_is_not_taken_for_a_name_that_is_missing(
    monkeypatch: pytest.MonkeyPatch, error: Exception, kind: type[Exception]
) -> None:
    """Python would look for a module of this name, which blames another package."""

    def fail(_name: str) -> Any:
        raise error

    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(kind, match="no such"):
        sagemaker_inference.__getattr__("serve")


@pytest.mark.parametrize("is_imported", [True, False])
def test_a_file_that_python_does_not_import_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_imported: bool
) -> None:
    (tmp_path / "uuid.py").write_text("")
    main = sys.modules["__main__"]
    monkeypatch.setattr(main, "__file__", str(tmp_path / "inference.py"), raising=False)
    if not is_imported:
        monkeypatch.delitem(sys.modules, "uuid")
    shadows.refuse_crash()
    monkeypatch.delitem(sys.modules, "uuid", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ImportError, match=r"uuid\.py is imported instead of the package 'uuid'"):
        shadows.refuse_crash()


def test_a_prompt_has_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    main = sys.modules["__main__"]
    # Where tests run in several processes, there is none.
    monkeypatch.setattr(main, "__file__", __file__, raising=False)
    assert shadows.folder_of_main() == str(Path(__file__).resolve().parent)
    monkeypatch.delattr(main, "__file__")
    assert shadows.folder_of_main() == ""
    assert shadows.advice("") == ""


def test_the_program_itself_and_modules_of_its_own_are_no_shadows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = os.path.realpath(tmp_path)
    for name in ("sched", "module_of_my_own"):
        (tmp_path / f"{name}.py").write_text("")
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(folder)
    importlib.import_module("module_of_my_own")
    importlib.import_module("sched")
    assert shadows.advice(folder, "sched") == ""
    assert "sched.py is imported instead of the package 'sched'" in shadows.advice(folder)
    monkeypatch.delitem(sys.modules, "module_of_my_own")
    monkeypatch.delitem(sys.modules, "sched")


@pytest.mark.parametrize("is_known", [True, False])
def test_a_load_that_such_a_file_fails_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_known: bool
) -> None:
    folder = os.path.realpath(tmp_path)
    (tmp_path / "sched.py").write_text("")
    monkeypatch.delitem(sys.modules, "sched", raising=False)
    monkeypatch.syspath_prepend(folder)

    class Service:
        def load(self, *_: Any) -> None:
            import sched

            sched.scheduler()

    service: Any = Service()
    known = Program("inference", folder, "") if is_known else None
    with pytest.raises(sagemaker_inference.errors.StartError) as caught:
        program.load_model(service, "/m", program=known)
    advice = f" ({folder}/sched.py is imported instead of the package 'sched': rename the file)"
    expected = f"loading the model from /m failed{advice if is_known else ''}: AttributeError"
    assert str(caught.value) == expected
    monkeypatch.delitem(sys.modules, "sched")
