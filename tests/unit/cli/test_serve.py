"""`serve` with a file and options: what the supervisor is told to serve."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sagemaker_inference.__main__ import main
from sagemaker_inference._cli import _containers
from sagemaker_inference._supervisor import main as supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sagemaker_inference._supervisor.settings import Settings

PROGRAM = """
from sagemaker_inference import model_loader, predictor
print("importing")

@model_loader
def load(): return 1

@predictor
def predict(data: list[float], model) -> float:
    return 1.0
"""


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Settings]]:
    """What a supervisor is started with, in place of starting one; variables are put back."""
    settings: list[Settings] = []

    def run(asked: Settings, *, reap_strangers: bool) -> int:
        assert not reap_strangers
        settings.append(asked)
        return 7

    monkeypatch.setattr(supervisor, "run", run)
    before = dict(os.environ)
    yield settings
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "inference.py"
    path.touch()
    return path


def test_a_file_is_served_with_its_model(served, program):
    assert main(["serve", str(program)]) == 7
    (settings,) = served
    assert settings.program.path == str(program)
    assert settings.model_dir == str(program.parent)
    assert (settings.host, settings.config.port) == ("0.0.0.0", 8080)  # noqa: S104
    (program.parent / "model").mkdir()
    main(["serve", str(program)])
    assert served[1].model_dir == f"{program.parent}/model"


def test_options_set_what_variables_set_and_override_them(served, program, tmp_path, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_MODEL_SERVER_WORKERS", "5")
    (tmp_path / "other").mkdir()
    options = {
        "--host": "127.0.0.1",
        "--port": "8123",
        "--workers": "3",
        "--model-dir": str(tmp_path / "other"),
        "--log-level": "debug",
        "--cors": "http://localhost:3000",
    }
    words = [word for pair in options.items() for word in pair]
    assert main(["serve", str(program), *words]) == 7
    (settings,) = served
    config = settings.config
    assert (settings.host, settings.workers) == ("127.0.0.1", 3)
    assert settings.model_dir == str(tmp_path / "other")
    assert (config.port, config.workers, config.log_level) == (8123, 3, 10)
    assert config.cors_origin == "http://localhost:3000"
    # Processes of the server read these.
    assert os.environ["SAGEMAKER_CONTAINER_LOG_LEVEL"] == "debug"


def test_options_without_a_file_are_for_the_program_of_the_container(served, monkeypatch):
    calls = []
    monkeypatch.setattr(_containers, "serve", lambda: calls.append(os.environ.copy()) or 0)
    assert main(["serve", "--port", "8124"]) == 0
    assert [call["SAGEMAKER_BIND_TO_PORT"] for call in calls] == ["8124"]
    assert served == []


def test_what_sagemaker_adds_to_an_entrypoint_has_no_effect(
    served, program, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    calls = []
    monkeypatch.setattr(_containers, "serve", lambda: calls.append(os.environ.copy()) or 0)
    assert main(["serve", "serve"]) == 0
    assert main(["serve", "--port", "8125", "serve"]) == 0
    assert calls[1]["SAGEMAKER_BIND_TO_PORT"] == "8125"
    assert main(["serve", str(program), "--workers", "2", "serve"]) == 7
    (settings,) = served
    assert (settings.program.path, settings.workers) == (str(program), 2)
    # A file of this name is a program.
    (tmp_path / "serve").touch()
    assert main(["serve", "serve"]) == 7
    assert served[1].program.path == str(tmp_path / "serve")
    assert len(calls) == 2
    for word in ("train", "b.py"):
        assert main(["serve", str(program), word]) == 2
        assert f"Got unexpected extra argument ({word})" in capsys.readouterr().err


def test_a_folder_of_a_model_is_served_as_in_a_container(served, tmp_path, capsys):
    assert main(["serve", "--model-dir", str(tmp_path)]) == 1
    assert f"was not found in {tmp_path}/code" in capsys.readouterr().err
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "inference.py").touch()
    main(["serve", "--model-dir", str(tmp_path)])
    (tmp_path / "requirements.txt").touch()
    main(["serve", "--model-dir", str(tmp_path)])
    (tmp_path / "code" / "requirements.txt").touch()
    main(["serve", "--model-dir", str(tmp_path)])
    plain, beside, installed_first = served
    assert beside.requirements == f"{tmp_path}/requirements.txt"
    assert (plain.program.path, plain.requirements) == (f"{tmp_path}/code/inference.py", "")
    assert installed_first.program is None
    assert installed_first.requirements == f"{tmp_path}/code/requirements.txt"
    assert {plain.model_dir, installed_first.model_dir} == {str(tmp_path)}


@pytest.mark.parametrize(
    ("option", "value", "problem"),
    [
        ("--port", "http", "'http' is not a whole number, 1 or more. Set it, e.g. to 8080."),
        ("--port", "99999", "'99999' is over 32766, the highest that the front end takes"),
        ("--workers", "0", "'0' is not a whole number of workers, 1 or more."),
        ("--log-level", "loud", "'loud' is not a log level. Use a number, or one of: NOTSET, "),
        ("--cors", "localhost", "'localhost' cannot be used. Set it to e.g. https://example.com"),
        ("--host", "a b", "'a b' cannot be used. Set it to e.g. 127.0.0.1, or leave it out."),
    ],
)
def test_a_value_that_cannot_be_used_is_named_with_its_option(
    served, option, value, problem, capsys
):
    assert main(["serve", option, value]) == 2
    said = capsys.readouterr().err
    assert f"error: Invalid value for '{option}': {problem}" in said
    assert said.endswith(". See: sagemaker-inference serve --help\n")
    assert served == []


def test_a_file_that_is_not_there_is_named(served, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for words in (["nothing.py"], ["."]):
        assert main(["serve", *words]) == 2
        assert f"there is no file {words[0]}. Name a program's file; " in capsys.readouterr().err
    assert main(["serve", "--model-dir", "nothing"]) == 1
    assert "the folder nothing does not exist" in capsys.readouterr().err
    assert served == []


def test_a_program_is_described_where_the_server_is_to(served, program, capsys):
    program.write_text(PROGRAM)
    assert main(["serve", str(program), "--docs"]) == 7
    assert main(["schema", str(program)]) == 0
    assert served[0].openapi == capsys.readouterr().out
    main(["serve", str(program)])
    assert served[1].openapi == ""
    assert main(["serve", "--docs"]) == 2
    assert "error: --docs describes FILE: name it. See: " in capsys.readouterr().err
    program.write_text("import nothing_such")
    assert main(["serve", str(program), "--docs"]) == 1
    said = capsys.readouterr().err
    assert f"error: {program} cannot be described (--docs): ModuleNotFoundError: No module " in said
    program.write_text("(")
    assert main(["serve", str(program), "--docs"]) == 1
    assert f"(--docs): {program}, line 1: SyntaxError" in capsys.readouterr().err


def test_many_models_have_no_file(served, program, monkeypatch, capsys):
    monkeypatch.setenv("SAGEMAKER_MULTI_MODEL", "true")
    assert main(["serve", str(program)]) == 1
    assert "SAGEMAKER_MULTI_MODEL is set, and serves many models" in capsys.readouterr().err
    assert served == []
