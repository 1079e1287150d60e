"""Where programs and their requirements.txt are, in the layouts of SageMaker's SDK."""

import pytest

from sagemaker_inference._config import Config
from sagemaker_inference._program.location import (
    Program,
    find,
    is_named,
    not_found_message,
    requirements,
)
from sagemaker_inference._variable import EnvironmentVariableError


@pytest.fixture
def model(tmp_path, monkeypatch):
    """The folder of the model, in a base folder of its own; with no program on the path."""
    monkeypatch.setattr("sys.path", [])
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    folder = tmp_path / "model"
    (folder / "code").mkdir(parents=True)
    (tmp_path / "code").mkdir()
    return folder


def test_the_submitted_folder_overrides_the_models(model, tmp_path, monkeypatch):
    submitted = tmp_path / "submitted"
    submitted.mkdir()
    for folder in (submitted, model / "code", model, tmp_path / "code"):
        (folder / "inference.py").touch()
    monkeypatch.setenv("SAGEMAKER_SUBMIT_DIRECTORY", str(submitted))
    # The folder that local mode mounts is the last one.
    for folder in (submitted, model / "code", model, tmp_path / "code"):
        found = find(str(model))
        assert (found.root, found.code_dir) == (str(folder), str(model / "code"))
        (folder / "inference.py").unlink()


def test_each_of_many_models_overrides_the_submitted_folder(model, tmp_path, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_MULTI_MODEL", "true")
    monkeypatch.setenv("SAGEMAKER_SUBMIT_DIRECTORY", str(tmp_path))
    (tmp_path / "inference.py").touch()
    assert find(str(model)).root == str(tmp_path)
    (model / "inference.py").touch()
    assert find(str(model)).root == str(model)


@pytest.mark.parametrize("value", ["s3://bucket/sourcedir.tar.gz", "/opt/ml/nowhere"])
def test_what_is_no_folder_has_no_effect_and_is_named(model, monkeypatch, value):
    monkeypatch.setenv("SAGEMAKER_SUBMIT_DIRECTORY", value)
    said = not_found_message(str(model))
    assert said.endswith(f" SAGEMAKER_SUBMIT_DIRECTORY={value!r} is not a folder here.")
    (model / "inference.py").touch()
    assert find(str(model)).root == str(model)


def test_a_submitted_folder_that_lacks_the_program_is_not_blamed(model, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_SUBMIT_DIRECTORY", str(model))
    assert "SAGEMAKER_SUBMIT_DIRECTORY" not in not_found_message(str(model))


def test_requirements_beside_the_program_override_others(model, tmp_path, monkeypatch):
    (tmp_path / "submitted").mkdir()
    monkeypatch.setenv("SAGEMAKER_SUBMIT_DIRECTORY", str(tmp_path / "submitted"))
    folders = (model, tmp_path / "submitted", model / "code", tmp_path / "code")
    assert requirements(model) is None
    for folder in folders:
        (folder / "requirements.txt").touch()
    # A package may contain the program.
    assert requirements(model) == tmp_path / "submitted" / "requirements.txt"
    (model / "inference.py").touch()
    assert requirements(model) == model / "requirements.txt"
    (model / "requirements.txt").unlink()
    assert requirements(model) == tmp_path / "submitted" / "requirements.txt"


def test_requirements_beside_a_program_in_a_folder_below_count(model, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_PROGRAM", "iris/inference.py")
    (model / "code" / "iris").mkdir()
    (model / "code" / "iris" / "inference.py").touch()
    (model / "code" / "requirements.txt").touch()
    assert requirements(model) == model / "code" / "requirements.txt"
    (model / "code" / "iris" / "requirements.txt").touch()
    assert requirements(model) == model / "code" / "iris" / "requirements.txt"


@pytest.mark.parametrize("directory", ["", "code", "absolute"])
def test_a_handler_of_sagemaker_distribution_is_found(model, monkeypatch, directory):
    folder = model / directory
    if directory:
        monkeypatch.setenv(
            "SAGEMAKER_INFERENCE_CODE_DIRECTORY",
            str(folder) if directory == "absolute" else directory,
        )
    folder.mkdir(exist_ok=True)
    (folder / "answers.py").touch()
    assert not is_named()
    monkeypatch.setenv("SAGEMAKER_INFERENCE_CODE", "answers.handler")
    assert is_named()
    path = str(folder / "answers.py")
    assert find(str(model)) == Program(
        "answers", str(folder), path, str(model / "code"), function="handler"
    )


def test_a_handler_overrides_the_name_of_a_program(model, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_PROGRAM", "other.py")
    (model / "code" / "other.py").touch()
    assert find(str(model)).function == ""
    monkeypatch.setenv("SAGEMAKER_INFERENCE_CODE", "inference.handler")
    said = not_found_message(str(model))
    assert said.startswith("SAGEMAKER_INFERENCE_CODE='inference.handler' was not found in ")


def test_a_handler_needs_a_module(monkeypatch):
    monkeypatch.setenv("SAGEMAKER_INFERENCE_CODE", "handler")
    said = r"='handler' cannot be used\. Set it to e\.g\. inference\.handler, or leave it out\."
    with pytest.raises(EnvironmentVariableError, match=said):
        Config.from_environment()
