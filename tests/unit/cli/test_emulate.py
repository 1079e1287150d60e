"""``sagemaker-inference emulate``, in front of containers that need no Java."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support.command import RUN, started
from support.documents import ROOT
from support.emulated import SmallContainer, served
from support.laptops import HIDE
from support.ports import free_port

from sagemaker_inference.__main__ import main
from sagemaker_inference._cli import emulate
from sagemaker_inference._cli._emulated_container import one_model
from sagemaker_inference._emulator.limits import REAL_TIME, SERVERLESS
from sagemaker_inference.testing import ServerProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sagemaker_inference._program.location import Program

IRIS = ROOT / "examples" / "iris"


@pytest.fixture(autouse=True)
def untouched_log() -> Iterator[None]:
    """What a command does to the log of this process does not outlive its test."""
    logger = logging.getLogger("sagemaker_inference._emulator")
    before = logger.handlers[:], logger.level, logger.propagate
    yield
    logger.handlers[:], logger.level, logger.propagate = before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_container_that_runs_is_put_behind_the_platform(
    number: signal.Signals, tmp_path: Path
) -> None:
    container = SmallContainer()
    with served(container.app) as url:
        options = ("--url", url, "--endpoint", "demo", "--s3", str(tmp_path))
        with started(*options, cwd=IRIS) as running:
            assert f"AWS_ENDPOINT_URL_SAGEMAKER=http://127.0.0.1:{running.port}\n" in running.setup
            assert running.setup.endswith(f"s3:// is {tmp_path}\n")
            assert " - emulate - INFO - GET /ping: 200" in running.wait_for("in service")
            assert running.invoke(Body=b"1") == b"1"
            log = running.stop(number)
    assert "POST /endpoints/demo/invocations: 200" in log


def test_the_log_of_a_terminal_is_made_for_it() -> None:
    with served(SmallContainer().app) as url:
        options = ("--url", url, "--verbose", "--serverless", "--strict")
        with started(*options, cwd=IRIS, FORCE_COLOR="1", COLUMNS="200") as running:
            assert "\x1b[" in running.wait_for("GET /ping: 200 in")
            running.wait_for("in service")
            # No name was chosen: any is taken.
            assert running.invoke("whatever", Body=b"1") == b"1"
            running.stop(signal.SIGTERM)
    folder = running.setup.rpartition("s3:// is ")[2].strip()
    assert "sagemaker-emulate-" in folder
    assert not os.path.exists(folder)  # noqa: PTH110 - text


def test_what_a_killed_emulator_has_left_is_removed_by_the_next(tmp_path: Path) -> None:
    with served(SmallContainer().app) as url:
        for _ in range(2):
            with started("--url", url, cwd=IRIS, TMPDIR=str(tmp_path)) as running:
                (folder,) = tmp_path.glob("sagemaker-emulate-*")
                assert running.setup.endswith(f"s3:// is {folder}/s3\n")
                running.kill()
            assert folder.is_dir()


def test_the_limits_are_those_of_the_kind_of_endpoint() -> None:
    assert emulate._limits(serverless=False, strict=False) is REAL_TIME
    assert emulate._limits(serverless=True, strict=True) == SERVERLESS
    assert emulate._limits(serverless=False, strict=True).request_size == 6_291_456


def test_a_program_is_emulated_without_what_only_linux_has() -> None:
    # On macOS, urllib has a module of macOS.
    code = f"import httpx\n{HIDE}\n{RUN}"
    with started("inference.py", "--endpoint", "demo", cwd=IRIS, code=code) as running:
        running.wait_for("in service")
        rows = running.invoke(Body=b"[[5.1, 3.5, 1.4, 0.2]]", ContentType="application/json")
        assert rows.startswith(b"[[0.99")
        running.stop(signal.SIGTERM)


def test_a_program_that_does_not_start_in_this_process_is_named(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    program: Callable[..., Program],
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    path = program("raise KeyError('key')").path
    assert main(["emulate", path, "--port", str(free_port())]) == 1
    assert f"{path} has not started; the lines above say why" in capsys.readouterr().err
    assert "KeyError: 'key'" in caplog.text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "pass a PROGRAM, e.g. inference.py, or the --url of a container"),
        (["PROGRAM", "--url", "http://a"], "PROGRAM and --url are both given: pass one of them"),
        (["PROGRAM", "--multi-model", "."], "each archive has its program in code/: leave PROGRAM"),
        (["--multi-model", "none"], "Directory 'none' does not exist"),
        (["PROGRAM", "--endpoint", "my_endpoint"], "Value 'my_endpoint' at 'endpointName' failed"),
        (["PROGRAM", "--region", ""], "'' is not a Region: write it as in us-east-1"),
        (["PROGRAM", "--region", "us east"], "'us east' is not a Region: write it as in us-east-1"),
        (
            ["--url", "http://a", "--model-dir", "."],
            "the folder of a PROGRAM's model, and there is",
        ),
        (["--multi-model", ".", "--model-dir", "."], "the folder of a PROGRAM's model, and there"),
        (["--model-dir", "."], "pass a PROGRAM, e.g. inference.py, or the --url of a container"),
        (["PROGRAM", "--slow-client", "nan"], "'nan' is not a finite number"),
        (["PROGRAM", "--port", "0"], "0 is not in the range 1<=x<=65535"),
        (["PROGRAM", "--port", "65536"], "65536 is not in the range 1<=x<=65535"),
        (["PROGRAM", "--slow-client", "-1"], "-1.0 is not in the range x>=0"),
        (["PROGRAM", "--hang-up-after", "-1"], "-1 is not in the range x>=0"),
        (["PROGRAM", "--endpoint", ""], "Value '' at 'endpointName' failed"),
    ],
)
def test_a_line_that_does_not_make_sense_is_refused(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    program = str(IRIS / "inference.py")
    words = [program if word == "PROGRAM" else word for word in options]
    assert main(["emulate", *words]) == 2
    assert said in capsys.readouterr().err


def test_the_exit_code_is_0_unless_the_endpoint_has_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Coverage loses the line after an event loop.
    monkeypatch.setattr(emulate, "_run", lambda _: None)
    assert main(["emulate", "--url", "http://127.0.0.1:1", "--port", str(free_port())]) == 0


def test_a_port_that_is_taken_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        port = taken.getsockname()[1]
        assert main(["emulate", "--url", "http://127.0.0.1:1", "--port", str(port)]) == 1
    said = capsys.readouterr().err
    assert f"port {port} cannot be used" in said
    assert "choose another with --port" in said


def test_a_library_that_is_missing_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "starlette", None)
    assert main(["emulate", "--url", "http://127.0.0.1:1"]) == 1
    said = capsys.readouterr().err
    assert "needs starlette" in said
    assert "sagemaker-inference[dev]" in said


def test_many_models_need_linux(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    port = str(free_port())
    assert main(["emulate", "--multi-model", str(tmp_path), "--port", port]) == 1
    assert "--multi-model needs Linux" in capsys.readouterr().err


def test_a_server_that_the_platform_has_not_stopped_is_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code = [sys.executable, "-c", "import time; time.sleep(60)"]
    monkeypatch.setattr(ServerProcess, "launch", lambda _: subprocess.Popen(code))
    with one_model(str(IRIS / "inference.py"), None) as running:
        process = running.process
        assert process is not None
        assert process.poll() is None
    assert process.poll() == -signal.SIGTERM
