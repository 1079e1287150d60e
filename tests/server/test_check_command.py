"""`sagemaker-inference check --run`: the real server passes its own rules."""

from __future__ import annotations

import json
import shutil
import sys
from typing import TYPE_CHECKING

import pytest
from support.documents import ROOT, run

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.java


@pytest.mark.parametrize("name", ["iris", "streaming"])
def test_an_example_has_no_errors(tmp_path: Path, name: str) -> None:
    shutil.copytree(ROOT / "examples" / name, tmp_path / name)
    words = [sys.executable, "-m", "sagemaker_inference", "check", "--run", "--format", "json"]
    document = json.loads(run(words, cwd=tmp_path / name))
    assert document["errors"] == 0
    passed = {name for name in document["passed"] if name.startswith("run-")}
    skipped = {one["rule"] for one in document["skipped"]}
    assert len(passed) == 11
    assert "run-sigterm" in passed
    assert not any(name.startswith("run-") for name in skipped)
