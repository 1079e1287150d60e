import io
import sys
import textwrap
import time

import pytest

from sagemaker_inference._frontends.mms import training
from sagemaker_inference._frontends.mms.java import Java

CONNECTS = """
    import json, pathlib, socket, sys, time
    lines = pathlib.Path(sys.argv[-1]).read_text().splitlines()
    path = dict(line.split("=", 1) for line in lines)["control_socket"]
    control = socket.socket(socket.AF_UNIX)
    control.connect(path)
    print("I am here", flush=True)
"""


@pytest.fixture
def java(tmp_path):
    """Make a Java that does what a Python program does."""

    def make(source):
        path = tmp_path / "java"
        path.write_text(f"#!{sys.executable}\n{textwrap.dedent(source)}")
        path.chmod(0o755)
        return Java(str(path), 17)

    return make


def fails(java, message, seconds=20):
    with pytest.raises(training.TrainingError, match=message) as caught:
        training.run(java, "x.jar", [], seconds)
    return str(caught.value)


def test_a_java_that_does_not_start_is_quoted_at_once(java):
    before = time.monotonic()
    message = fails(java("print('unknown flag'); raise SystemExit(1)"), "it did not connect")
    assert message.endswith("Its last lines:\n    unknown flag")
    assert time.monotonic() - before < 10


def test_a_java_that_does_not_connect_is_given_up(java):
    message = fails(java("import time; time.sleep(60)"), "it did not connect", 0.2)
    assert message.endswith("Its last lines: none")


def test_a_front_end_that_says_something_else_is_quoted(java):
    source = f'{CONNECTS}    control.sendall(b\'{{"type": "what"}}\\n\'); time.sleep(60)'
    assert "I am here" in fails(java(source), "hello was expected and {'type': 'what'} came")


def test_a_front_end_that_hangs_up_is_noticed(java):
    fails(java(CONNECTS), "hello was expected and {'type': 'the end'} came")


def test_a_front_end_that_says_nothing_is_given_up(java):
    fails(java(f"{CONNECTS}    time.sleep(60)"), "TimeoutError", 3)


def test_a_response_that_breaks_off_is_noticed():
    with pytest.raises(ValueError, match="broke off"):
        training._read_response(io.BytesIO(b"HTTP/1.1 200 OK\r\nServer: x\r\n"))


def test_a_java_that_cannot_be_run_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        training.run_java([str(tmp_path / "java")], tmp_path / "log", 1)
