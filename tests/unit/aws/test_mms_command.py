import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

import pytest

from sagemaker_inference._aws import mms_command
from sagemaker_inference._aws.mms_command import (
    ServerProcess,
    await_server,
    config_file,
    properties,
)
from sagemaker_inference.environment import Environment
from sagemaker_inference.errors import StartError


@pytest.fixture(autouse=True)
def folders_that_stay(tmp_path, monkeypatch):
    """Where Multi Model Server's files go, which outlive whoever has made them."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_the_configuration_goes_where_it_can_be_written(monkeypatch):
    monkeypatch.setattr(os, "access", lambda _path, _mode: True)
    assert config_file() == "/etc/sagemaker-mms.properties"
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    private = config_file()
    assert private.endswith("/sagemaker-mms.properties")
    assert not private.startswith("/etc")
    assert os.stat(os.path.dirname(private)).st_mode & 0o77 == 0  # noqa: PTH116, PTH120


def test_management_is_on_the_network_in_multi_model_mode_alone():
    env = Environment()
    one, many = (properties(env, "service", multi_model=mode) for mode in (False, True))
    assert "management_address=unix:/" in one
    assert "load_models=ALL" in one
    assert "default_service_handler=service" in one
    assert "management_address=http://0.0.0.0:8080" in many
    assert "default_service_handler=$$SAGEMAKER_HANDLER$$" in many


def test_a_handler_that_is_left_out_is_left_out():
    assert "default_service_handler" not in properties(Environment(), None, multi_model=False)


def test_the_exit_code_of_a_child_is_known(caplog):
    with subprocess.Popen([sys.executable, "-c", "raise SystemExit(5)"]) as child:
        assert ServerProcess(child.pid).wait() == 5
    assert "ended with exit code 5" in caplog.text


def test_the_exit_code_of_somebody_elses_process_is_none():
    command = ["/bin/sh", "-c", "sleep 0.3 & echo $!; wait; sleep 5"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert ServerProcess(int(parent.stdout.readline())).wait() is None
        parent.kill()


def test_without_any_child_the_wait_ends_soon(monkeypatch):
    monkeypatch.setattr(mms_command, "_descendants", list)
    monkeypatch.setattr(mms_command, "_GRACE_SECONDS", 0.1)
    monkeypatch.setattr(mms_command.ctypes, "CDLL", lambda _: type("C", (), {"prctl": print}))
    began = time.monotonic()
    with pytest.raises(StartError, match="is not running: its command exited"):
        await_server(20)
    assert time.monotonic() - began < 5


def test_a_server_that_does_not_start_in_time_is_an_error(monkeypatch):
    monkeypatch.setattr(mms_command, "_descendants", lambda: [os.getpid()])
    monkeypatch.setattr(mms_command.ctypes, "CDLL", lambda _: type("C", (), {"prctl": print}))
    failures = []

    def wait():
        try:
            await_server(0.2)
        except StartError as error:
            failures.append(str(error))

    thread = threading.Thread(target=wait)
    thread.start()
    thread.join()
    assert "did not start it within 0.2 s" in failures[0]


def test_the_server_is_found_among_descendants(monkeypatch):
    monkeypatch.setattr(mms_command.ctypes, "CDLL", lambda _: type("C", (), {"prctl": print}))
    command = [sys.executable, "-c", "import time; time.sleep(30)", mms_command.MAIN_CLASS]
    with subprocess.Popen(command) as child:
        found = await_server(10)
        assert found.pid == child.pid
        child.kill()
        assert found.wait() == -signal.SIGKILL


def test_sigterm_ends_the_wait(monkeypatch):
    monkeypatch.setattr(mms_command.ctypes, "CDLL", lambda _: type("C", (), {"prctl": print}))
    with subprocess.Popen(["/bin/sleep", "30"]) as child:
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()
        before = signal.getsignal(signal.SIGTERM)
        with pytest.raises(SystemExit) as caught:
            await_server(20)
        assert caught.value.code == 143
        assert child.wait(10) == -signal.SIGTERM
        assert signal.getsignal(signal.SIGTERM) is before


def test_the_dead_of_others_are_reaped_and_ones_own_are_left():
    with subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"]) as own:
        stranger = os.posix_spawnp("true", ["true"], os.environ)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and os.path.exists(f"/proc/{stranger}"):  # noqa: PTH110
            mms_command.reap_orphans()
            time.sleep(0.02)
        with pytest.raises(ChildProcessError):
            os.waitpid(stranger, 0)
        assert own.wait() == 3


def test_a_process_that_is_gone_has_no_command_line():
    assert mms_command._command_line(2**22 + 1) == []


def test_nobody_is_reaped_where_nobody_has_died(monkeypatch):
    monkeypatch.setattr(mms_command, "_processes", list)
    mms_command.reap_orphans()
