import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sagemaker_inference
from sagemaker_inference.__main__ import main


def test_serve_without_a_program_says_what_is_missing(tmp_path):
    env = {**os.environ, "SAGEMAKER_BASE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "sagemaker_inference", "serve"],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert f"was not found in {tmp_path}/model/code" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_serve_starts_the_model_server_and_returns_when_it_has_stopped(monkeypatch):
    from sagemaker_inference import model_server

    calls = []
    monkeypatch.setattr(model_server, "start_model_server", lambda: calls.append("served"))
    assert main(["serve"]) == 0
    assert calls == ["served"]


def test_files_that_another_package_has_overwritten_are_said_in_one_line(monkeypatch, capsys):
    monkeypatch.delattr(sagemaker_inference, "default_registry")
    assert main(["serve"]) == 1
    said = capsys.readouterr().err
    assert "pip install --force-reinstall --no-deps sagemaker-inference\n" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("argv", [[], ["train"]])
def test_another_command_is_refused_with_the_usage(argv, capsys):
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    assert "usage: sagemaker-inference" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["model_loader", "predictor", "serve"])
def test_a_program_under_overwritten_files_is_told_in_one_line(tmp_path, name):
    package = Path(sagemaker_inference.__file__).parent
    shutil.copytree(package, tmp_path / "sagemaker_inference")
    # As the PyTorch toolkit's wheel has it.
    (tmp_path / "sagemaker_inference" / "__init__.py").write_text("")
    code = f"from sagemaker_inference import {name}"
    # -S: what measures coverage would ask for these files when they are gone.
    command = [sys.executable, "-S", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert last.startswith("ImportError: another package (sagemaker-pytorch-inference?)")
    assert last.endswith("pip install --force-reinstall --no-deps sagemaker-inference")


@pytest.mark.parametrize("name", ["model_loader", "predictor", "serve"])
def test_the_modules_that_say_so_are_of_no_other_use(name):
    with pytest.raises(ImportError, match="Install this one last"):
        importlib.import_module(f"sagemaker_inference.{name}")
