"""The process that installs packages: what comes of it, and what is left of it."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest
from support.builders import LoopBench

from sagemaker_inference._supervisor import installer
from sagemaker_inference._supervisor.installer import Installer

if TYPE_CHECKING:
    from pathlib import Path

CODE = """
import os, sys, time
print(os.environ["TMPDIR"], sys.argv[1], file=sys.stderr)
{}
"""


@pytest.fixture
def bench(tmp_path: Path) -> tuple[LoopBench, Installer, list[int]]:
    loop, codes = LoopBench(), []
    return loop, Installer(loop.loop, str(tmp_path), loop.outputs, codes.append), codes


def doing(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    command = [sys.executable, "-c", CODE.format(line)]
    monkeypatch.setattr(installer, "python_command", lambda _module, path: [*command, path])


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("os.kill(os.getpid(), 9)", -9, "the installer of packages was killed by SIGKILL"),
    ],
)
def test_its_exit_code_is_passed_on(
    bench: tuple[LoopBench, Installer, list[int]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    line: str,
    code: int,
    message: str,
) -> None:
    loop, one, codes = bench
    doing(monkeypatch, line)
    one.start("requirements.txt")
    loop.loop.every(0.01, one.reap)
    loop.wait(lambda: bool(codes))
    assert codes == [code]
    assert message in caplog.text
    assert f"{tmp_path} requirements.txt\n" in capfd.readouterr().err
    one.close()
    one.reap()
    assert codes == [code]


def test_it_ends_when_it_is_closed(
    bench: tuple[LoopBench, Installer, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, one, codes = bench
    doing(monkeypatch, "time.sleep(60)")
    one.start("requirements.txt")
    assert one._child is not None
    pid = one._child.pid
    one.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    assert codes == []


def test_a_process_that_cannot_be_started_is_a_failure(
    bench: tuple[LoopBench, Installer, list[int]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    _, one, codes = bench
    monkeypatch.setattr(installer, "python_command", lambda *_arguments: ["/no/such/program"])
    one.start("requirements.txt")
    assert codes == [1]
    assert "the packages of requirements.txt cannot be installed: " in caplog.text
