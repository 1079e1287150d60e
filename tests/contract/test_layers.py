"""Imports point down: what each module may know is what stands below it."""

import ast
import sys
from pathlib import Path

import pytest

import sagemaker_inference

# Lowest first. A module may import from the rows below its own, and from nowhere else.
ROWS = [
    ("errors", "content_types", "parameters", "machine", "child_process"),
    ("private_folder", "overwritten"),
    ("environment", "limits"),
    ("handlers", "requests", "codecs", "logging", "event_loop", "class_archive"),
    (
        "registry",
        "compression",
        "conversions",
        "decoder",
        "encoder",
        "forms",
        "requirements_file",
        "frontend",
        "service",
    ),
    ("batching", "default_inference_handler", "mms_service", "scripts"),
    ("assembly", "utils"),
    ("program", "pipeline", "stock_server"),
    ("backend", "settings", "transformer"),
    ("model_process", "model_processes", "default_handler_service"),
    ("served_model", "multi_model_process"),
    ("loaded_model",),
    ("multi_model",),
    ("supervisor",),
    ("model_server",),
    ("__init__", "__main__", "model_loader", "predictor", "serve"),
]
HEIGHT = {name: height for height, row in enumerate(ROWS) for name in row}
PACKAGE = "sagemaker_inference"
# Others are imported where they are used: extras, and what comes with a dependency or not.
DEPENDENCIES = (PACKAGE, "numpy", "orjson")
ROOT = Path(sagemaker_inference.__file__).parent
FILES = [
    path.relative_to(ROOT) for path in sorted(ROOT.rglob("*.py")) if "mms_home" not in path.parts
]


def room(path):
    return path.parts[0].removesuffix(".py")


def imported(tree):
    """The rooms that a module imports, those for type checkers too."""
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            package, _, rest = name.partition(".")
            if package == PACKAGE:
                first = rest.partition(".")[0]
                yield (
                    first
                    if (ROOT / first).is_dir() or (ROOT / f"{first}.py").is_file()
                    else ("__init__")
                )


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_module_imports_only_from_below(path):
    own = room(path)
    assert own in HEIGHT, f"give {own} a place in ROWS"
    for other in imported(ast.parse((ROOT / path).read_text())):
        assert other == own or HEIGHT[other] < HEIGHT[own], f"{path} imports {other}"


def test_every_room_is_there():
    assert {room(path) for path in FILES} == set(HEIGHT)


@pytest.mark.parametrize("path", FILES, ids=str)
def test_what_a_module_imports_at_once_is_installed_with_it(path):
    known = {*sys.stdlib_module_names, *DEPENDENCIES}
    for node in ast.parse((ROOT / path).read_text()).body:
        if isinstance(node, ast.Import):
            assert {alias.name.partition(".")[0] for alias in node.names} <= known
        elif isinstance(node, ast.ImportFrom):
            assert str(node.module).partition(".")[0] in known
