"""The emulator in front of the real server, as ``sagemaker-inference emulate`` starts both."""

from __future__ import annotations

import json
import shutil
import signal
import tarfile
import time
from typing import TYPE_CHECKING

import httpx
import pytest
from botocore.exceptions import ClientError
from support.command import started
from support.developed import PROGRAM
from support.documents import ROOT
from support.proc import is_running

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.java

IRIS = ROOT / "examples" / "iris"
ROWS = b"[[5.1, 3.5, 1.4, 0.2]]"


@pytest.mark.rule("real-server")
def test_a_program_is_served_by_the_real_server_and_stopped_in_time() -> None:
    with started("inference.py", "--endpoint", "demo", cwd=IRIS) as running:
        running.wait_for("in service")
        body = running.invoke(Body=ROWS, ContentType="application/json")
        assert body.startswith(b"[[0.99")
        with pytest.raises(ClientError) as caught:
            running.invoke(Body=b"[[1]]", ContentType="application/json")
        assert caught.value.response["OriginalStatusCode"] == 422
        assert '"code": "unprocessable_input"' in caught.value.response["OriginalMessage"]
        # A worker that is killed on demand is replaced.
        killed = httpx.post(f"http://127.0.0.1:{running.port}/_emulator/kill-worker", timeout=30)
        assert killed.json()["pid"] > 0
        assert running.invoke(Body=ROWS, ContentType="application/json") == body
        log = running.stop(signal.SIGTERM)
    assert "the container has ended with exit code 0" in log


@pytest.mark.rule("real-models")
def test_many_models_are_loaded_from_archives(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    for name in ("a", "b"):
        code = tmp_path / name / "code"
        code.mkdir(parents=True)
        (code / "inference.py").write_text(
            "def model_fn(path):\n    return open(f'{path}/weights').read()\n\n\n"
            "def predict_fn(data, model):\n    return [model, len(data)]\n"
        )
        (code.parent / "weights").write_text(name)
        with tarfile.open(folder / f"{name}.tar.gz", "w:gz") as archive:
            archive.add(code.parent, ".")
        shutil.rmtree(code.parent)
    with started("--multi-model", str(folder), "--endpoint", "demo", cwd=tmp_path) as running:
        running.wait_for("in service")
        for name in ("a", "b", "a"):
            answer = running.invoke(
                Body=b"[1, 2]", ContentType="application/json", TargetModel=f"{name}.tar.gz"
            )
            assert answer == b'["%s",2]' % name.encode()
        running.wait_for("b.tar.gz is loaded as")
        running.stop(signal.SIGTERM)


def test_a_program_that_does_not_start_ends_the_command(tmp_path: Path) -> None:
    (tmp_path / "inference.py").write_text("raise KeyError('key')\n")
    with started("inference.py", cwd=tmp_path) as running:
        assert "with exit code 1: see its log above" in running.wait_for("exit code")
        assert running.wait() == 1
    assert "KeyError: 'key'" in running.rest


def test_a_command_that_is_killed_leaves_no_container(tmp_path: Path) -> None:
    program = PROGRAM.replace("return data", "import os; return [os.getppid(), os.getpid()]")
    (tmp_path / "inference.py").write_text(program)
    # Where a server that is killed leaves its files.
    temporary = {"TMPDIR": str(tmp_path)}
    with started("inference.py", "--endpoint", "demo", cwd=tmp_path, **temporary) as running:
        running.wait_for("in service")
        pids = json.loads(running.invoke(Body=b"1", ContentType="application/json"))
        assert len(pids) == 2
        running.kill()
        deadline = time.monotonic() + 30
        while any(is_running(pid) for pid in pids):
            assert time.monotonic() < deadline
            time.sleep(0.02)
