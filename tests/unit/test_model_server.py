"""What serve() and start_model_server() do before anything is served."""

import subprocess
import sys
import types

import pytest

from sagemaker_inference import Registry, environment, model_server
from sagemaker_inference._inference import program as programs
from sagemaker_inference._program.location import Program
from sagemaker_inference._supervisor import main
from sagemaker_inference.errors import StartError


def test_serve_in_a_notebook_raises_its_error(monkeypatch):
    """SystemExit would hide the message there, or end the session."""
    monkeypatch.setitem(sys.modules, "__main__", types.ModuleType("__main__"))
    with pytest.raises(StartError, match="Save it as inference"):
        model_server.serve("__main__", registry=Registry())


def test_serve_of_a_literal_main_is_that_of_the_program_in_a_worker(tmp_path):
    """It started a server within each worker."""
    path = tmp_path / "program_of_main.py"
    path.write_text("from sagemaker_inference import serve\nserve('__main__')\n")
    _, registry = programs.load(Program.from_file(str(path)))
    assert registry.is_closed
    registry.reset()
    del sys.modules["program_of_main"]


@pytest.mark.parametrize(
    ("words", "said"), [("", "serve()"), ("[]", "serve()"), ("8080", "serve(8080)")]
)
def test_serve_without_a_name_says_what_to_write(tmp_path, words, said):
    path = tmp_path / "nameless.py"
    path.write_text(f"from sagemaker_inference import serve\nserve({words})\n")
    expected = f"{said} has to be given the name of its module: serve(__name__)"
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, f"sagemaker-inference: error: {expected}\n")
    with pytest.raises(StartError, match=r"nameless\.py, line 2: ") as caught:
        programs.load(Program.from_file(str(path)))
    assert expected in str(caught.value)


def test_serve_of_another_text_is_logged(caplog):
    model_server.serve("iris", registry=Registry())
    assert "serve('iris') serves nothing: write serve(__name__)" in caplog.text
    caplog.clear()
    model_server.serve(__name__, registry=Registry())
    assert not caplog.text


@pytest.mark.parametrize("is_there", [True, False])
def test_requirements_beside_a_program_in_the_models_folder_are_installed(
    monkeypatch, tmp_path, is_there
):
    """The layout of the SDK's ModelBuilder."""
    started = []
    run = lambda settings, **_options: started.append(settings) or 0  # noqa: E731
    monkeypatch.setattr(main, "run", run)
    monkeypatch.setattr(environment, "model_dir", str(tmp_path))
    monkeypatch.setattr(model_server, "REQUIREMENTS_PATH", str(tmp_path / "code/requirements.txt"))
    (tmp_path / "inference.py").touch()
    beside = tmp_path / "requirements.txt"
    if is_there:
        beside.touch()
    model_server.start_model_server()
    assert started[0].requirements == (str(beside) if is_there else "")
