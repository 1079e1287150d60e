"""Links that lead elsewhere while a program is developed, and folders that come and go."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from support.developed import PROGRAM
from support.watched_files import QUIET_SECONDS, watch

from sagemaker_inference._cli._dev import watching
from sagemaker_inference._cli._dev.located import Locator
from sagemaker_inference.errors import StartError

if TYPE_CHECKING:
    from pathlib import Path

    from support.watched_files import Change


def link(path: Path, target: Path) -> None:
    """Have a link lead to a target, as ``ln -sfn`` does."""
    new = path.with_name(f"{path.name}.new")
    new.symlink_to(target)
    new.replace(path)


@pytest.fixture
def releases(tmp_path: Path) -> Path:
    """A folder with two releases of a program and its model, and links to the first."""
    folder = tmp_path.resolve()
    for number in "12":
        release = folder / "releases" / number
        (release / "model").mkdir(parents=True)
        (release / "inference.py").write_text(PROGRAM.replace("return 1", f"return {number}"))
        (release / "helper.py").touch()
        (release / "model" / "weights").write_text(number)
    (folder / "linked").mkdir()
    link(folder / "latest", folder / "releases" / "1")
    # A link to a link.
    link(folder / "current", folder / "latest")
    link(folder / "linked" / "inference.py", folder / "current" / "inference.py")
    return folder


@pytest.mark.parametrize("name", ["current/inference.py", "linked/inference.py"])
def test_a_program_is_where_its_link_leads(releases: Path, name: str) -> None:
    locator = Locator(str(releases / name), None)
    first = locator.locate()
    assert first.source.program is not None
    assert first.source.program.root == str(releases / "releases" / "1")

    async def steps(change: Change) -> None:
        one, two = (releases / "releases" / number for number in "12")
        # What it imports counts, where it is.
        assert await change(lambda: (one / "helper.py").write_text("1")) == {"releases/1/helper.py"}
        assert "releases/2" in await change(lambda: link(releases / "latest", two))
        second = locator.locate()
        assert second.source.program is not None
        assert second.source.program.root == str(two)
        assert second.model_dir == str(two / "model")
        found = await change(lambda: (two / "model" / "weights").write_text("more"))
        assert found == {"releases/2/model/weights"}
        (one / "helper.py").write_text("22")
        assert await change(lambda: (two / "helper.py").write_text("1")) == {"releases/2/helper.py"}

    watch(locator.folders, releases, steps)


def test_a_link_to_another_file_of_the_same_folder_is_a_change(releases: Path) -> None:
    one = releases / "releases" / "1"
    (one / "other.py").write_text(PROGRAM)
    locator = Locator(str(releases / "linked" / "inference.py"), None)

    async def steps(change: Change) -> None:
        found = await change(lambda: link(releases / "linked" / "inference.py", one / "other.py"))
        assert found == {"releases/1/other.py"}

    watch(locator.folders, releases, steps)


def test_the_folder_of_the_model_is_where_its_link_leads(releases: Path) -> None:
    one, two = (releases / "releases" / number for number in "12")
    link(releases / "model", one / "model")
    locator = Locator(str(one / "inference.py"), str(releases / "model"), [releases / "model"])
    # What servers get is the link, which workers follow when they load.
    assert locator.locate().model_dir == str(releases / "model")

    async def steps(change: Change) -> None:
        weights = two / "model" / "weights"
        found = await change(lambda: link(releases / "model", two / "model"))
        assert found == {"releases/2/model"}
        assert await change(lambda: weights.write_text("22")) == {"releases/2/model/weights"}
        # For a while, it leads nowhere, or around.
        for target in ("none", "model"):
            link(releases / "model", releases / target)
            await asyncio.sleep(QUIET_SECONDS)
            found = await change((one / "helper.py").touch)
            assert found == {"releases/1/helper.py"}
        found = await change(lambda: link(releases / "model", one / "model"))
        assert "releases/1/model" in found or "releases/1/model/weights" in found

    watch(locator.folders, releases, steps)


def test_folders_that_come_and_go_are_watched(releases: Path) -> None:
    one, two = (releases / "releases" / number for number in "12")
    locator = Locator(str(one / "inference.py"), str(two / "model"))
    weights = "releases/2/model/weights"

    def make() -> None:
        (two / "model").mkdir()
        (two / "model" / "weights").write_text("again")

    async def steps(change: Change) -> None:
        for _ in range(2):
            assert weights in await change(lambda: shutil.rmtree(two / "model"))
            # Meanwhile, the program is watched.
            found = await change(lambda: (one / "helper.py").write_text("1"))
            assert found == {"releases/1/helper.py"}
            assert weights in await change(make)
            assert weights in await change((two / "model" / "weights").unlink)
            assert weights in await change(lambda: (two / "model" / "weights").write_text("2"))
        # Both.
        assert await change(lambda: shutil.rmtree(releases / "releases"))
        one.mkdir(parents=True)
        found = await change(lambda: (one / "inference.py").write_text(PROGRAM))
        assert "releases/1/inference.py" in found

    watch(locator.folders, releases, steps)


def test_a_folder_that_goes_while_its_watch_begins_is_no_failure(
    releases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = releases / "releases" / "1"
    locator = Locator(str(one / "inference.py"), None)
    real, calls = watching.awatch, []

    async def awatch(*roots: Path, **options: Any) -> Any:
        calls.append(roots)
        if len(calls) == 1:
            raise FileNotFoundError
        async for report in real(*roots, **options):
            yield report

    monkeypatch.setattr(watching, "awatch", awatch)

    async def steps(change: Change) -> None:
        found = await change(lambda: (one / "helper.py").write_text("1"))
        assert found == {"releases/1/helper.py"}

    watch(locator.folders, releases, steps)
    assert len(calls) == 2


def test_an_edit_is_seen_however_long_the_first_look_takes(
    releases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = releases / "releases" / "1"
    locator = Locator(str(one / "inference.py"), None)
    real, looks = watching._look, []

    def look(*arguments: Any) -> set[Path]:
        found = real(*arguments)
        if not looks:
            # Whoever edits now has to wait for the load.
            (one / "helper.py").write_text("while it looked")
        looks.append(found)
        return found

    monkeypatch.setattr(watching, "_look", look)

    async def steps(change: Change) -> None:
        assert await change(lambda: None) == {"releases/1/helper.py"}

    watch(locator.folders, releases, steps)


def test_what_is_not_there_at_the_start_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"none\.py is not a file"):
        Locator(str(tmp_path / "none.py"), None)
