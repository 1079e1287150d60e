"""The fixtures of pytest, in runs of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

import pytest

import pytest_sagemaker_inference

if TYPE_CHECKING:
    from pathlib import Path

# They take long, and no Python differs in what they are about.
pytestmark = pytest.mark.once

PROGRAM = """
from sagemaker_inference import model_loader, predictor, serve
loads = []

@model_loader
def load(model_dir):
    loads.append(model_dir)
    return len(loads)

@predictor
def predict(data, model):
    return [model, loads[-1], data]

serve(__name__)
"""


def run(folder: Path, *arguments: str, **files: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in a folder with these files."""
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_it_is_installed() -> None:
    (found,) = entry_points(group="pytest11", name="sagemaker-inference")
    assert found.load() is pytest_sagemaker_inference


def test_a_run_that_uses_no_fixture_imports_nothing_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Coverage, where it measures child processes, looks for the package.
    for name in list(os.environ):
        if name.startswith("COVERAGE"):
            monkeypatch.delenv(name)
    test = """
import sys
def test(request):
    assert "pytest_sagemaker_inference" in sys.modules
    assert [name for name in sys.modules if name.startswith("sagemaker_inference")] == []
"""
    done = run(tmp_path, test_it_DOT_py=test)
    assert done.returncode == 0, done.stdout


def test_the_program_is_beside_the_tests_by_default(tmp_path: Path) -> None:
    test = """
import os
def test_one(sagemaker_endpoint):
    reply = sagemaker_endpoint.invoke({"a": 1}).raise_for_status()
    assert reply.json() == [1, os.path.dirname(__file__), {"a": 1}]
def test_other(sagemaker_endpoint):  # the model is loaded once
    assert sagemaker_endpoint.invoke(1).json()[0] == 1
"""
    done = run(tmp_path, inference_DOT_py=PROGRAM, test_it_DOT_py=test, pytest_DOT_ini="[pytest]")
    assert done.returncode == 0, done.stdout


def test_the_configuration_names_another_one(tmp_path: Path) -> None:
    test = """
import os
def test(sagemaker_endpoint):
    assert sagemaker_endpoint.invoke(1).json()[1] == os.path.abspath("models")
"""
    (tmp_path / "models").mkdir()
    ini = "[pytest]\nsagemaker_program = src/other.py\nsagemaker_model_dir = models\n"
    files = {"src__other_DOT_py": PROGRAM, "test_it_DOT_py": test, "pytest_DOT_ini": ini}
    done = run(tmp_path, **files)
    assert done.returncode == 0, done.stdout


def test_a_file_of_tests_overrides_the_program(tmp_path: Path) -> None:
    other = PROGRAM.replace("[model, ", '["other", ')
    test = """
import pathlib, pytest

@pytest.fixture(scope="module")
def sagemaker_program():
    return pathlib.Path("other.py")

def test(sagemaker_endpoint):
    assert sagemaker_endpoint.invoke(1).json()[0] == "other"
"""
    usual = """
def test(sagemaker_endpoint):
    assert sagemaker_endpoint.invoke(1).json()[0] == 1
"""
    files = {"inference_DOT_py": PROGRAM, "other_DOT_py": other, "pytest_DOT_ini": "[pytest]"}
    done = run(tmp_path, test_a_DOT_py=usual, test_b_DOT_py=test, **files)
    assert "2 passed" in done.stdout, done.stdout


def test_the_program_may_be_above_the_tests(tmp_path: Path) -> None:
    test = """
def test(sagemaker_endpoint):
    assert sagemaker_endpoint.invoke(1).json()[2] == 1
"""
    files = {"inference_DOT_py": PROGRAM, "tests__unit__test_it_DOT_py": test}
    done = run(tmp_path, pytest_DOT_ini="[pytest]", **files)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("is_outside", [False, True])
def test_a_program_that_is_missing_is_named(tmp_path: Path, *, is_outside: bool) -> None:
    test = "def test(sagemaker_endpoint): ..."
    root = tmp_path / "root"
    files = {"root__test_it_DOT_py": test, "other__pytest_DOT_ini": "[pytest]"}
    arguments = [str(root)]
    if is_outside:  # of pytest's root
        arguments += ["--rootdir", str(tmp_path / "other")]
    done = run(tmp_path, *arguments, **files)
    message = f"there is no inference.py in {root}, nor above it: set sagemaker_program in pytest's"
    assert message in done.stdout


@pytest.mark.java
@pytest.mark.smoke
def test_the_server_is_a_process(tmp_path: Path) -> None:
    test = """
def test(sagemaker_server):
    assert sagemaker_server.ping().status_code == 200
    assert sagemaker_server.invoke([1]).raise_for_status().json()[2] == [1]
    assert "serving inference.py" in sagemaker_server.log, sagemaker_server.log
"""
    done = run(tmp_path, inference_DOT_py=PROGRAM, test_it_DOT_py=test, pytest_DOT_ini="[pytest]")
    assert done.returncode == 0, done.stdout


def test_whoever_interrupts_the_tests_waits_less_for_a_program_that_hangs(tmp_path: Path) -> None:
    program = PROGRAM.replace("    return [", "    is_at_work.set(); time.sleep(100)\n    return [")
    test = """
import threading
import inference

def test_a(sagemaker_endpoint):
    inference.is_at_work = threading.Event()
    threading.Thread(target=sagemaker_endpoint.invoke, args=[1], daemon=True).start()
    assert inference.is_at_work.wait(30)
    raise KeyboardInterrupt
"""
    found = run(tmp_path, inference_DOT_py=f"import time\n{program}", test_it_DOT_py=test)
    assert found.returncode == pytest.ExitCode.INTERRUPTED
    assert "has not ended within 5 s (1 request(s) in progress)" in found.stderr
