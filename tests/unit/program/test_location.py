"""Where a program is, and what messages call it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NoReturn

from sagemaker_inference._program.location import Program

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_program_is_called_by_its_path_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "code" / "inference.py"
    assert Program.from_file(str(path)).label == os.path.join("code", "inference.py")  # noqa: PTH118
    assert Program("package.module", str(tmp_path)).label == "package.module"


def test_a_program_on_another_drive_is_called_by_its_whole_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def relpath(_path: str) -> NoReturn:
        message = "path is on mount 'D:', start on mount 'C:'"
        raise ValueError(message)

    program = Program.from_file("inference.py")
    monkeypatch.setattr(os.path, "relpath", relpath)
    assert program.label == program.path
