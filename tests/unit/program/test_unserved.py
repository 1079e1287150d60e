"""Files that python runs to their end, and that nobody serves."""

import os
import subprocess
import sys
import textwrap

import pytest

SOURCE = """
from sagemaker_inference import assemble, default_registry, model_loader, predictor, serve

@model_loader
def load(): ...

{rest}
"""
HINT = "registers handlers and has ended without serving them. Call serve at the end"


def run(folder, rest="", *options, text=None, env=None):
    """Exit code and standard error of a program."""
    path = folder / "inference.py"
    path.write_text(SOURCE.format(rest=textwrap.dedent(rest)))
    result = subprocess.run(
        [sys.executable, *(options or (str(path),))],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        timeout=60,
        env={**os.environ, **(env or {})},
    )
    return result.returncode, result.stderr


def test_a_program_that_ends_without_serving_is_told_how_to(tmp_path):
    code, said = run(tmp_path, "@predictor\ndef predict(data): return data")
    assert code == 0
    assert said.count(HINT) == 1
    assert f"sagemaker-inference: {tmp_path}/inference.py registers" in said
    assert "    from sagemaker_inference import serve\n    serve(__name__)\n" in said
    assert said.endswith(f": sagemaker-inference serve {tmp_path}/inference.py\n")
    # Under another name, serve does nothing.
    assert HINT in run(tmp_path, "serve('inference')")[1]
    assert HINT in run(tmp_path, "", "-m", "inference")[1]
    assert run(tmp_path, "import sys; sys.exit(3)")[0] == 3


@pytest.mark.parametrize(
    "rest",
    [
        "assemble(default_registry)",
        "default_registry.reset()",
        "raise ValueError('why')",
    ],
)
def test_a_program_that_is_used_or_fails_is_not(tmp_path, rest):
    program = f"@predictor\ndef predict(data): return data\n\n{rest}"
    assert HINT not in run(tmp_path, program)[1]


def test_a_program_that_is_imported_or_typed_in_is_not(tmp_path):
    assert run(tmp_path, "", "-c", "import inference") == (0, "")
    typed = SOURCE.format(rest="")
    assert run(tmp_path, "", "-", text=typed) == (0, "")
    assert HINT not in run(tmp_path, "", "-i", "inference.py", text="")[1]


def test_a_program_that_cannot_be_served_has_one_message(tmp_path):
    code, said = run(tmp_path, "serve(__name__)", env={"SAGEMAKER_MULTI_MODEL": "true"})
    assert code == 1
    assert said.startswith("sagemaker-inference: error: SAGEMAKER_MULTI_MODEL is set")
    assert HINT not in said


def test_a_script_that_cannot_be_served_has_one_message(tmp_path):
    rest = """
        default_registry.reset()
        def model_fn(model_dir): ...
        def predict_fn(data, model, context, a, b): ...
        serve(__name__)
    """
    code, said = run(tmp_path, rest)
    assert code == 1
    assert said.startswith("sagemaker-inference: error: @predictor is on predict_fn")
    assert HINT not in said


def test_a_notebook_is_told_to_write_a_file(tmp_path):
    typed = SOURCE.format(rest="serve(__name__)")
    code, said = run(tmp_path, "", "-c", typed)
    assert code == 1
    assert "StartError: serve(__name__) starts workers that import this program" in said
    assert "%%writefile inference.py" in said
