"""What AWS's toolkit 1.10.1 gets wrong about its server and this package does not.

As in ``test_aws_mended.py``, only names of AWS's are used.
"""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import tempfile

import pytest

from sagemaker_inference import environment


def run(code, **variables):
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_multi_model_switch_is_read_without_case():
    code = "from sagemaker_inference import environment; print(environment.model_dir)"
    assert run(code, SAGEMAKER_MULTI_MODEL="True").endswith("/models")


def test_importing_the_server_imports_no_heavy_package():
    code = (
        "import sys; from sagemaker_inference import model_server, transformer, decoder, encoder\n"
        "heavy = ['pkg_resources', 'six', 'boto3', 'psutil', 'scipy', 'numpy', 'retrying']\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    assert run(code) == "[]"


def test_configuring_the_log_twice_adds_one_handler():
    code = (
        "import logging; from sagemaker_inference.logging import configure_logger, get_logger\n"
        "configure_logger(); configure_logger()\n"
        "print(len(get_logger().handlers), get_logger().level)"
    )
    assert run(code, SAGEMAKER_CONTAINER_LOG_LEVEL="10") == "1 10"


@pytest.mark.once
def test_sigchild_leaves_the_exit_codes_of_other_children_alone():
    code = (
        "import subprocess, sys, time\n"
        "from sagemaker_inference import model_server\n"
        "model_server._add_sigchild_handler()\n"
        "child = subprocess.Popen([sys.executable, '-c', 'raise SystemExit(3)'])\n"
        "time.sleep(1)\n"
        "print(child.wait())"
    )
    assert run(code) == "3"


@pytest.mark.once
def test_a_server_that_dies_at_once_is_noticed_at_once():
    code = (
        "import subprocess, sys, time\n"
        "from sagemaker_inference import model_server\n"
        "child = subprocess.Popen([sys.executable, '-c', ''])\n"
        "began = time.monotonic()\n"
        "try:\n    model_server._retry_retrieve_mms_server_process(15)\n"
        "except Exception:\n    pass\n"
        "else:\n    print('a stranger')\n"
        "print(time.monotonic() - began < 10)"
    )
    assert run(code) == "True"


@pytest.mark.once
def test_the_servers_exit_code_is_ours(tmp_path):
    # Stand-ins: a command that detaches from what looks like the front end.
    server, command = tmp_path / "server.py", tmp_path / "command.py"
    server.write_text("import time; time.sleep(1.5); raise SystemExit(5)")
    command.write_text(
        "import subprocess, sys\n"
        "from sagemaker_inference.model_server import MMS_NAMESPACE\n"
        f"subprocess.Popen([sys.executable, {str(server)!r}, MMS_NAMESPACE])\n"
    )
    code = (
        "import subprocess, sys\n"
        "from sagemaker_inference import model_server\n"
        f"subprocess.Popen([sys.executable, {str(command)!r}])\n"
        "print(model_server._retry_retrieve_mms_server_process(10).wait())"
    )
    assert run(code) == "5"


@pytest.mark.once
def test_sigterm_during_the_start_stops_it():
    code = (
        "import os, signal, subprocess, sys, threading, time\n"
        "from sagemaker_inference import model_server\n"
        "child = subprocess.Popen(['sleep', '20'])\n"
        "threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()\n"
        "try:\n    model_server._retry_retrieve_mms_server_process(15)\n"
        "except SystemExit as error:\n    print(error.code, child.wait())"
    )
    assert run(code) == f"{128 + signal.SIGTERM} {-signal.SIGTERM}"


def test_a_read_only_etc_is_no_obstacle(monkeypatch, tmp_path):
    # The configuration stays: Multi Model Server outlives the process that writes it.
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    code = (
        "import os\n"
        "access = os.access\n"
        "os.access = lambda path, mode, **kw: "
        "not str(path).startswith('/etc') and access(path, mode, **kw)\n"
        "from sagemaker_inference import environment, model_server\n"
        "model_server._create_model_server_config_file(environment.Environment(), 'service')\n"
        "print(model_server.MMS_CONFIG_FILE.startswith('/etc'))\n"
        "print('default_service_handler=service' in open(model_server.MMS_CONFIG_FILE).read())"
    )
    assert run(code).split() == ["False", "True"]


def test_the_time_limit_of_the_stock_server_is_in_seconds(tmp_path, monkeypatch):
    from sagemaker_inference import model_server

    path = pathlib.Path(tmp_path, "mms.properties")
    monkeypatch.setattr(model_server, "MMS_CONFIG_FILE", str(path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("SAGEMAKER_MODEL_SERVER_TIMEOUT", "90")
    env = environment.Environment()
    env._model_server_workers = "3"
    model_server._create_model_server_config_file(env, "service")
    lines = path.read_text().splitlines()
    assert "default_response_timeout_seconds=90" in lines
    assert "default_workers_per_model=3" in lines
