"""Every public name says how it is used, in an example that runs."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

from support.documents import ROOT

import sagemaker_inference

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import ModuleType

# What another package's file would lie over: they refuse to be imported.
REFUSED: Final = ("model_loader", "predictor", "serve")


def public_modules() -> Iterator[ModuleType]:
    """All modules of the package that users may import."""
    yield sagemaker_inference
    for found in pkgutil.walk_packages(sagemaker_inference.__path__, "sagemaker_inference."):
        names = found.name.split(".")
        if not any(name.startswith("_") for name in names) and names[-1] not in REFUSED:
            yield importlib.import_module(found.name)


def public_names(module: ModuleType) -> dict[str, Any]:
    """The functions, classes and modules that a module offers; constants have no docstring."""
    names = getattr(module, "__all__", None)
    if names is None:
        names = [
            name
            for name, value in vars(module).items()
            if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
        ]
    values = {name: getattr(module, name) for name in names}
    return {name: value for name, value in values.items() if callable(value)}


def test_every_public_name_has_an_example() -> None:
    names = {
        f"{module.__name__}.{name}": value
        for module in public_modules()
        for name, value in public_names(module).items()
    }
    assert len(names) > 80
    without = [name for name, value in names.items() if ">>> " not in (inspect.getdoc(value) or "")]
    assert without == []


def test_every_public_module_says_what_it_is() -> None:
    assert [module.__name__ for module in public_modules() if not module.__doc__] == []


def test_examples_run(tmp_path: Path) -> None:
    ignored = [f"--ignore-glob=/*/sagemaker_inference/{name}.py" for name in REFUSED]
    command = [sys.executable, "-m", "pytest", "-q", "-c", str(ROOT / "pyproject.toml")]
    # anyio's plugin, which no example uses, is too old for this pytest in the environment lowest.
    command += ["-p", "no:cacheprovider", "-p", "no:anyio", "--doctest-modules", *ignored]
    done = subprocess.run(
        [*command, "--pyargs", "sagemaker_inference"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"^\d{3} passed in ", done.stdout, re.MULTILINE), done.stdout
