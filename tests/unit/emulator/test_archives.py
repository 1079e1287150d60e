"""Archives of models are unpacked into their folder, by any release of Python."""

from __future__ import annotations

import gzip
import io
import tarfile
from typing import TYPE_CHECKING

import pytest

from sagemaker_inference._emulator.archives import unpack

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=["today", "without filters"], autouse=True)
def python(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Today's Python, and one whose tarfile has no filters: 3.10.11 and 3.11.3 are such."""
    if request.param == "today":
        return str(request.param)
    extract = tarfile.TarFile.extractall

    def extractall(archive: tarfile.TarFile, path: Path) -> None:
        extract(archive, path, filter="fully_trusted")

    monkeypatch.delattr(tarfile, "data_filter")
    monkeypatch.setattr(tarfile.TarFile, "extractall", extractall)
    return str(request.param)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "unpacked"
    made.mkdir()
    return made


def _member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.mode = kind, target, 0o4755
    return member


def _packed(tmp_path: Path, *members: tarfile.TarInfo) -> Path:
    path = tmp_path / "model.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for member in members:
            member.size = 7 if member.isreg() else 0
            archive.addfile(member, io.BytesIO(b"weights"))
    return path


def test_files_and_folders_are_unpacked(tmp_path: Path, folder: Path) -> None:
    members = _member("."), _member("code", tarfile.DIRTYPE), _member("code/../a/b")
    members[0].type = tarfile.DIRTYPE
    unpack(_packed(tmp_path, *members), folder)
    assert (folder / "a" / "b").read_bytes() == b"weights"
    assert (folder / "code").is_dir()
    # Nobody becomes another user by running it.
    assert (folder / "a" / "b").stat().st_mode & 0o7777 == 0o755


@pytest.mark.parametrize(
    "members",
    [
        [_member("../b")],
        [_member("a/../../b")],
        [_member("link", tarfile.SYMTYPE, ".."), _member("link/b")],
        [_member("b", tarfile.LNKTYPE, "../secret")],
        [_member("b", tarfile.FIFOTYPE)],
    ],
    ids=["parent", "deep", "symlink", "hard link", "pipe"],
)
def test_what_leads_elsewhere_is_refused(
    tmp_path: Path, folder: Path, members: list[tarfile.TarInfo]
) -> None:
    with pytest.raises(ValueError, match=r"outside|link|special"):
        unpack(_packed(tmp_path, *members), folder)
    assert not (tmp_path / "b").exists()


def test_a_link_within_the_folder_takes_a_python_that_can_judge_it(
    tmp_path: Path, folder: Path, python: str
) -> None:
    archive = _packed(tmp_path, _member("a"), _member("b", tarfile.SYMTYPE, "a"))
    if python == "today":
        unpack(archive, folder)
        assert (folder / "b").read_bytes() == b"weights"
        return
    with pytest.raises(ValueError, match=r"'b' is a link .* use 3\.10\.12, 3\.11\.4 or later"):
        unpack(archive, folder)


def test_what_is_not_a_whole_archive_is_refused(tmp_path: Path, folder: Path) -> None:
    path = _packed(tmp_path, _member("a"))
    compressed = path.read_bytes()
    for content in (b"text", compressed[:60], compressed[:40] + b"?" * 99, gzip.compress(b"text")):
        path.write_bytes(content)
        with pytest.raises((ValueError, OSError)):
            unpack(path, folder)
