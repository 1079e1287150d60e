"""Changes that a watch says little of, or nothing: folders that move, and targets of links."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest
from support.watched_files import QUIET_SECONDS, watch
from watchfiles import Change as Kind

from sagemaker_inference._cli._dev import known_files, watching
from sagemaker_inference._cli._dev.known_files import KnownFiles

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from support.watched_files import Change


def _watch(folder: Path, model: Path, steps: Callable[[Change], Awaitable[None]]) -> None:
    watch(lambda: watching.Folders(folder, model).resolved(), folder.parent, steps)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    folder = tmp_path.resolve() / "program"
    (folder / "package" / "inner").mkdir(parents=True)
    (folder / "inference.py").touch()
    (folder / "package" / "inner" / "module.py").write_text("1")
    (folder / "package" / "notes.txt").touch()
    (folder / "model").mkdir()
    return folder


def test_folders_that_are_renamed_moved_in_and_moved_out_are_seen(
    program: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"

    async def steps(change: Change) -> None:
        package, renamed = program / "package", program / "renamed"
        was, now = "program/package/inner/module.py", "program/renamed/inner/module.py"
        assert await change(lambda: package.rename(renamed)) == {was, now}
        assert await change(lambda: renamed.rename(outside)) == {now}
        # What is in it is watched from then on.
        assert await change(lambda: outside.rename(package)) == {was}
        assert await change(lambda: (package / "inner" / "module.py").write_text("2")) == {was}

    _watch(program, program / "model", steps)


def test_what_is_written_right_after_its_folder_is_made_is_seen(program: Path) -> None:
    async def steps(change: Change) -> None:
        def make(number: int) -> None:
            deep = program / f"new{number}" / "a" / "b"
            deep.mkdir(parents=True)
            (deep / "module.py").write_text("1")

        for number in range(5):
            found = await change(lambda number=number: make(number))  # type: ignore[misc]
            assert f"program/new{number}/a/b/module.py" in found

    _watch(program, program / "model", steps)


def test_targets_of_links_are_seen(program: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path.resolve() / "elsewhere"
    (elsewhere / "one").mkdir(parents=True)
    (elsewhere / "two").mkdir()
    (elsewhere / "weights").write_text("1")
    (elsewhere / "one" / "module.py").write_text("1")
    (elsewhere / "two" / "module.py").write_text("2")
    (program / "model" / "weights").symlink_to(elsewhere / "weights")
    (program / "linked").symlink_to(elsewhere / "one")
    # A loop of links has an end.
    (program / "package" / "around").symlink_to(program)

    def replace(path: Path, text: str) -> None:
        (elsewhere / "new").write_text(text)
        (elsewhere / "new").replace(path)

    def link_to_the_other() -> None:
        (program / "next").symlink_to(elsewhere / "two")
        (program / "next").replace(program / "linked")

    async def steps(change: Change) -> None:
        weights, module = "program/model/weights", "program/linked/module.py"
        assert weights in await change(lambda: (elsewhere / "weights").write_text("22"))
        assert weights in await change(lambda: replace(elsewhere / "weights", "3"))
        assert weights in await change((elsewhere / "weights").unlink)
        assert weights in await change(lambda: (elsewhere / "weights").write_text("4"))
        assert module in await change(lambda: (elsewhere / "one" / "module.py").write_text("22"))
        assert module in await change(link_to_the_other)
        assert module in await change(lambda: (elsewhere / "two" / "module.py").write_text("33"))
        # A target that is away for a while.
        away = elsewhere / "away"
        assert module in await change(lambda: (elsewhere / "two").rename(away))
        assert module in await change(lambda: away.rename(elsewhere / "two"))

    _watch(program, program / "model", steps)


def test_a_folder_of_the_model_that_is_replaced_is_watched_on(
    program: Path, tmp_path: Path
) -> None:
    model, new = tmp_path.resolve() / "model", tmp_path / "new"
    for folder in (model, new):
        folder.mkdir()
        (folder / "weights").write_text(folder.name)

    def replace() -> None:
        model.rename(tmp_path / "old")
        new.rename(model)

    def make() -> None:
        model.mkdir()
        (model / "weights").touch()

    async def steps(change: Change) -> None:
        assert "model/weights" in await change(replace)
        assert "model/weights" in await change(lambda: (model / "weights").write_text("more"))
        # It may take a while until the other one is there.
        model.rename(tmp_path / "older")
        await asyncio.sleep(QUIET_SECONDS)
        assert "model/weights" in await change(make)

    _watch(program, model, steps)


def test_what_nobody_edits_is_not_looked_at(program: Path) -> None:
    for name in (".venv", "venv", "node_modules", "ignored"):
        (program / name / "package").mkdir(parents=True)
        (program / name / "package" / "module.py").touch()
    (program / "venv" / "pyvenv.cfg").touch()
    folders = watching.Folders(program, program / "model", [], [program / "ignored"])
    known = KnownFiles(watching.Filter(folders), [program])
    names = {str(path.relative_to(program)) for path in known.look(program)}
    assert names == {"inference.py", "package/inner/module.py"}
    assert known.look(program / "ignored") == set()


def test_links_to_folders_around_them_are_no_other_files(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(known_files, "monotonic", lambda: clock[0])
    (program / "self").symlink_to(program)
    (program / "package" / "up").symlink_to("..")
    (program / "package" / "inner" / "around").symlink_to(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "module.py").touch()
    (elsewhere / "loop").symlink_to(elsewhere)
    (program / "linked").symlink_to(elsewhere)
    (program / ".hidden").symlink_to(elsewhere)
    choice = watching.Filter(watching.Folders(program, program / "model"))
    known = KnownFiles(choice, [program])
    names = {str(path.relative_to(program)) for path in known.look(program)}
    links = {"self", "package/up", "package/inner/around", "linked/loop"}
    files = {"inference.py", "package/inner/module.py", "linked/module.py"}
    assert names == links | files
    for _ in range(3):
        clock[0] += 10
        (program / "package" / "notes.txt").touch()
        (elsewhere / "notes.txt").touch()
        assert known.update(()) == set()
    (program / "self").unlink()
    (program / "self").symlink_to(elsewhere)
    clock[0] += 10
    assert program / "self" / "module.py" in known.update(())


def test_links_are_looked_at_now_and_then(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(known_files, "monotonic", lambda: clock[0])
    target, link = tmp_path / "target.py", program / "link.py"
    target.write_text("1")
    link.symlink_to(target)
    known = KnownFiles(watching.Filter(watching.Folders(program, program)), [program])
    known.look(program)
    assert known.update(()) == set()
    target.write_text("22")
    assert known.update(()) == set()
    clock[0] += 1
    assert known.update(()) == {link}
    # It goes, and is looked at no more.
    link.unlink()
    clock[0] += 1
    assert known.update(()) == {link}
    assert known.look(program) == set()


def test_a_file_that_has_been_seen_is_not_seen_again(program: Path) -> None:
    choice = watching.Filter(watching.Folders(program, program / "model"))
    known = KnownFiles(choice, [program])
    known.look(program)
    path = program / "inference.py"
    path.write_text("1")
    assert known.update([(Kind.modified, str(path))]) == {path}
    assert known.look(program) == set()
    path.unlink()
    assert known.update([(Kind.deleted, str(path))]) == {path}
    assert known.look(program) == set()
    # A pipe is not a file, and does not count by its name.
    os.mkfifo(program / "pipe")
    assert known.update([(Kind.added, str(program / "pipe"))]) == set()
