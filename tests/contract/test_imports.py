"""What a module imports at once comes with the package; pyproject.toml says who may know whom."""

import ast
import sys
from pathlib import Path

import pytest

import sagemaker_inference

PACKAGE = "sagemaker_inference"
# Others are imported where they are used: extras, and what comes with a dependency or not.
DEPENDENCIES = (PACKAGE, "numpy", "orjson")
# Rooms that only a command enters, which first says what is not installed.
OWN = {
    "_cli": ("click",),
    "_cli/_dev": ("anyio", "httpx", "starlette", "uvicorn", "watchfiles", "websockets"),
    "_emulator": ("anyio", "httpx", "starlette", "uvicorn", "websockets"),
}
ROOT = Path(sagemaker_inference.__file__).parent
FILES = [path.relative_to(ROOT) for path in sorted(ROOT.rglob("*.py"))]


@pytest.mark.parametrize("path", FILES, ids=str)
def test_what_a_module_imports_at_once_is_installed_with_it(path):
    own = [name for room in path.parents for name in OWN.get(room.as_posix(), ())]
    known = {*sys.stdlib_module_names, *DEPENDENCIES, *own}
    for node in ast.parse((ROOT / path).read_text()).body:
        if isinstance(node, ast.Import):
            assert {alias.name.partition(".")[0] for alias in node.names} <= known
        elif isinstance(node, ast.ImportFrom):
            assert str(node.module).partition(".")[0] in known
