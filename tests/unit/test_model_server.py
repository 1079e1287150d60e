"""What serve() and start_model_server() do before anything is served."""

import sys
import types

import pytest

from sagemaker_inference import Registry, environment, model_server
from sagemaker_inference._supervisor import main
from sagemaker_inference.errors import StartError


def test_serve_in_a_notebook_raises_its_error(monkeypatch):
    """SystemExit would hide the message there, or end the session."""
    monkeypatch.setitem(sys.modules, "__main__", types.ModuleType("__main__"))
    with pytest.raises(StartError, match="Save it as inference"):
        model_server.serve("__main__", registry=Registry())


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
