"""`transform` of folders, which are prefixes of S3."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sagemaker_inference.__main__ import main

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROGRAM = """
from sagemaker_inference import model_loader, predictor

@model_loader
def load(model_dir):
    return None

@predictor
def predict(data, model):
    return data
"""
CSV = ("--content-type", "text/csv", "--accept", "text/csv")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Files in folders; what the command sets is unset."""
    before = dict(os.environ)
    (tmp_path / "inference.py").write_text(PROGRAM)
    made = tmp_path / "in"
    for name in ("a.csv", "deep/b.csv", "deep/er/b.csv"):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text("1,2\n")
    (made / "empty").mkdir()
    yield made
    for name in os.environ.keys() - before.keys():
        del os.environ[name]


def _files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_files_of_sub_folders_are_transformed(folder: Path, tmp_path: Path) -> None:
    words = ["transform", str(tmp_path / "inference.py"), str(folder)]
    expected = ["a.csv.out", "deep/b.csv.out", "deep/er/b.csv.out"]
    assert main([*words, str(tmp_path / "out"), *CSV]) == 0
    assert _files(tmp_path / "out") == expected
    assert (tmp_path / "out" / "deep" / "er" / "b.csv.out").read_bytes() == b"1,2\n"
    # An output within the input is not an input, not even the second time.
    for _ in range(2):
        assert main([*words, str(folder / "out"), *CSV]) == 0
    assert _files(folder / "out") == expected


def test_hidden_files_are_left_out(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (".DS_Store", ".git/config", "deep/.ipynb_checkpoints/b-checkpoint.csv", "._a.csv"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("no numbers")
    words = ["transform", str(tmp_path / "inference.py"), str(folder), str(tmp_path / "out"), *CSV]
    assert main(words) == 0
    assert _files(tmp_path / "out") == ["a.csv.out", "deep/b.csv.out", "deep/er/b.csv.out"]
    assert f"{folder}: left out hidden files: 4" in capsys.readouterr().err
    # A hidden folder that is named counts.
    hidden = folder.rename(tmp_path / ".in")
    words[2:4] = [str(hidden), str(tmp_path / "other")]
    assert main(words) == 0
    assert len(_files(tmp_path / "other")) == 3


def test_links_are_followed_without_circles(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "c.csv").write_text("1,2\n")
    (elsewhere / "back").symlink_to(folder)
    (folder / "link").symlink_to(elsewhere)
    (folder / "deep" / "up").symlink_to("..")
    (folder / "file.csv").symlink_to(elsewhere / "c.csv")
    os.mkfifo(folder / "pipe")
    words = ["transform", str(tmp_path / "inference.py"), str(folder), str(tmp_path / "out"), *CSV]
    assert main(words) == 0
    names = ["a.csv", "deep/b.csv", "deep/er/b.csv", "file.csv", "link/c.csv"]
    assert _files(tmp_path / "out") == [f"{name}.out" for name in names]
    printed = capsys.readouterr().err
    assert f"{folder}: left out links to folders above them: 2" in printed
    assert f"{folder}: left out files of other kinds, such as pipes: 1" in printed
    broken = folder / "deep" / "broken.csv"
    broken.symlink_to("nowhere.csv")
    assert main(words) == 1
    assert f"{broken} is a broken link: there is no nowhere.csv." in capsys.readouterr().err
    broken.rename(folder / ".broken")
    assert main(words) == 0


def test_an_output_that_is_a_link_stays_one(folder: Path, tmp_path: Path) -> None:
    """As root, a job with its output redirected to a file must not replace /dev/stdout."""
    real = tmp_path / "real.csv"
    real.write_text("before")
    link = tmp_path / "out.csv"
    link.symlink_to(real)
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    (outputs / "a.csv.out").symlink_to(tmp_path / "new.csv")
    program = str(tmp_path / "inference.py")
    assert main(["transform", program, str(folder / "a.csv"), str(link), *CSV]) == 0
    assert link.readlink() == real
    assert real.read_bytes() == b"1,2\n"
    assert main(["transform", program, str(folder), str(outputs), *CSV]) == 0
    assert (outputs / "a.csv.out").is_symlink()
    assert (tmp_path / "new.csv").read_bytes() == b"1,2\n"


def test_a_folder_that_cannot_be_read_is_named(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(path: Path) -> Iterator[Path]:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(type(folder), "iterdir", refuse)
    words = ["transform", str(tmp_path / "inference.py"), str(folder), str(tmp_path / "out")]
    assert main([*words, *CSV]) == 1
    assert f"{folder} cannot be read: Permission denied" in capsys.readouterr().err


def test_outputs_beside_their_inputs_are_no_inputs(folder: Path, tmp_path: Path) -> None:
    (folder / "alone.out").write_text("1,2\n")
    before = _files(folder)
    words = ["transform", str(tmp_path / "inference.py"), str(folder), str(folder), *CSV]
    for _ in range(2):
        assert main(words) == 0
        assert _files(folder) == sorted([*before, *(f"{name}.out" for name in before)])


def test_an_output_that_is_written_as_a_folder_is_one(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["transform", str(tmp_path / "inference.py"), str(folder / "a.csv")]
    assert main([*words, f"{tmp_path}/new/er/", *CSV]) == 0
    assert _files(tmp_path / "new") == ["er/a.csv.out"]
    (tmp_path / "file").touch()
    assert main([*words, f"{tmp_path}/file/", *CSV]) == 2
    assert "file/ names a folder, and " in capsys.readouterr().err
    words[0] = "invoke"
    assert main([*words, "--output", f"{tmp_path}/folder/"]) == 2
    assert "folder/' names a folder: name a file." in capsys.readouterr().err
    assert not (tmp_path / "folder").exists()
