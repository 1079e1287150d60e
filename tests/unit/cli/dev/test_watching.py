"""Which files have the program loaded again."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from watchfiles import Change

from sagemaker_inference._cli._dev import watching

if TYPE_CHECKING:
    from pathlib import Path


def _counts(path: Path, folders: watching.Folders) -> bool:
    return watching.Filter(folders)(Change.modified, str(path.resolve()))


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("inference.py", True),
        ("package/module.py", True),
        ("request.json", False),
        ("weights.bin", False),
        ("model/weights.bin", True),
        ("model/weights.of-mine", True),
        ("model/request.json", True),
        ("model/.weights.swp", False),
        ("model/.cache/weights.bin", False),
        ("model/training.log", False),
        ("model/TRAINING.LOG", False),
        ("__pycache__/inference.cpython-312.py", False),
        (".git/hook.py", False),
        (".hidden.py", False),
        ("../library/data.txt", True),
        ("../library/out.csv", True),
        ("../library/captured/data.txt", False),
        ("../other/data.txt", False),
    ],
)
def test_sources_and_the_model_count(name: str, counts: bool, tmp_path: Path) -> None:  # noqa: FBT001
    # As the folder of everything may be named.
    folder = tmp_path / ".tox" / "program"
    library = folder.parent / "library"
    folders = watching.Folders(folder, folder / "model", [library], [library / "captured"])
    assert _counts(folder / name, folders) is counts


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("inference.py", True),
        ("model.joblib", True),
        ("tokenizer/vocab.txt", True),
        ("config.json", True),
        ("MODEL.PT", True),
        ("model.pkl.gz", True),
        ("model.mlmodel", True),
        ("MLmodel", True),
        ("log", False),
        ("variables/variables.data-00000-of-00001", True),
        ("weights.of-mine", True),
        ("request.json", False),
        ("Request.JSON", False),
        ("out.json", False),
        ("predictions.npy", False),
        ("requirements.txt", False),
        ("requirements-dev.txt", True),
        ("Dockerfile", False),
        ("README", False),
        ("out.csv", False),
        ("table.CSV.gz", False),
        ("predictions.db", False),
        ("program.log", False),
        ("captured/2026/11/22/15/1.jsonl", False),
    ],
)
@pytest.mark.parametrize("model", [".", ".."])
def test_what_is_beside_the_program_counts_unless_it_is_named_like_something_else(
    name: str,
    counts: bool,  # noqa: FBT001
    model: str,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "code"
    folders = watching.Folders(folder, (folder / model).resolve())
    assert _counts(folder / name, folders) is counts
    # Where it is asked for, everything but hidden files and logs does.
    all_of_it = folders._replace(others=[folder])
    assert _counts(folder / name, all_of_it) is (name != "program.log")


def test_the_file_that_the_command_logs_to_does_not_count(tmp_path: Path) -> None:
    folders = watching.Folders(tmp_path, tmp_path)
    log = tmp_path / "weights"
    log.touch()
    assert _counts(log, folders)
    kept = os.dup(2)
    try:
        with log.open("a") as stream:
            os.dup2(stream.fileno(), 2)
        assert not _counts(log, folders)
    finally:
        os.dup2(kept, 2)
        os.close(kept)
    assert _counts(tmp_path / "weights-that-are-gone", folders)


def test_what_is_in_the_models_folder_and_not_beside_the_program_counts(tmp_path: Path) -> None:
    folders = watching.Folders(tmp_path / "code", tmp_path)
    assert _counts(tmp_path / "weights.of-mine", folders)
    assert not _counts(tmp_path.parent / "weights.bin", folders)


def test_changes_are_seen(tmp_path: Path) -> None:
    folder, library = tmp_path / "program", tmp_path / "library"
    (folder / "model").mkdir(parents=True)
    library.mkdir()
    (folder / "inference.py").touch()

    async def watch() -> list[Any]:
        stop = anyio.Event()
        found: list[Any] = []
        folders = watching.Folders(folder, folder / "model", [library])

        async def note() -> None:
            async for paths in watching.changes(folders.resolved, stop):
                found.append({path.name for path in paths})
                if len(found) == 2:
                    stop.set()

        task = asyncio.create_task(note())
        # Until the watch has begun, nothing is seen.
        while not found:
            (folder / "inference.py").write_text("1")
            await asyncio.sleep(0.02)
        (library / "data.txt").write_text("1")
        await asyncio.wait_for(task, 20)
        return found

    first, second = asyncio.run(watch())
    assert first == {"inference.py"}
    assert second & {"data.txt", "inference.py"}


def test_a_folder_within_another_is_watched_once(tmp_path: Path) -> None:
    other = tmp_path.parent / "a"
    folders = watching.Folders(tmp_path, tmp_path / "model", [other])
    assert folders.roots == [tmp_path, other]
    assert watching.Folders(tmp_path, tmp_path).roots == [tmp_path]
