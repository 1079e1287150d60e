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
    mms_command._private_dir.cache_clear()
    yield
    mms_command._private_dir.cache_clear()


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


def test_the_exit_code_of_somebody_elses_process_is_none(caplog):
    command = ["/bin/sh", "-c", "sleep 0.3 & echo $!; wait; sleep 5"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert ServerProcess(int(parent.stdout.readline())).wait() is None
        parent.kill()
    assert "its exit code is unknown" in caplog.text


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


def test_configurations_share_one_private_directory(tmp_path):
    for _ in range(3):
        properties(Environment(), "service", multi_model=False)
    (folder,) = tmp_path.iterdir()
    assert folder.stat().st_mode & 0o77 == 0
    (folder / "management.sock").touch()
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        assert ServerProcess(child.pid).wait() == 0
    assert list(tmp_path.iterdir()) == []


def test_the_socket_goes_and_the_configuration_beside_it_stays(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    config = config_file()
    with open(config, "w") as file:  # noqa: PTH123
        file.write(properties(Environment(), "service", multi_model=False))
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        ServerProcess(child.pid).wait()
    assert os.path.exists(config)  # noqa: PTH110


@pytest.mark.parametrize(("gpus", "workers"), [([], 3), (["0", "1"], 2)])
def test_the_number_of_workers_is_always_written(monkeypatch, gpus, workers):
    monkeypatch.setattr(mms_command.resources, "gpus", lambda: gpus)
    monkeypatch.setattr(mms_command.resources, "usable_cpus", lambda: 3)
    env = Environment()
    lines = properties(env, None, multi_model=False).splitlines()
    assert f"default_workers_per_model={workers}" in lines
    assert "default_workers_per_model=1" in properties(env, None, multi_model=True).splitlines()
    env._model_server_workers = "7"
    for multi_model in (False, True):
        lines = properties(env, None, multi_model=multi_model).splitlines()
        numbers = [line for line in lines if line.startswith("default_workers_per_model")]
        assert numbers[-1] == "default_workers_per_model=7"


def test_orphans_are_reaped_while_the_server_runs(monkeypatch):
    reaped = threading.Event()
    monkeypatch.setattr(mms_command, "_REAP_MILLISECONDS", 1)
    monkeypatch.setattr(mms_command, "reap_orphans", reaped.set)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        waiting = threading.Thread(target=ServerProcess(child.pid).wait)
        waiting.start()
        assert reaped.wait(20)
        child.stdin.close()
        waiting.join(20)
        assert not waiting.is_alive()


def test_the_wait_needs_no_pidfd(monkeypatch):
    def missing(_pid):
        raise OSError

    monkeypatch.setattr(os, "pidfd_open", missing)
    with subprocess.Popen([sys.executable, "-c", "raise SystemExit(5)"]) as child:
        assert ServerProcess(child.pid).wait() == 5


def test_the_dead_of_others_are_reaped_and_ones_own_are_left(monkeypatch):
    monkeypatch.setattr(mms_command._orphans, "_seconds", 0.1)
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
