import os
import subprocess
import sys

import pytest

from sagemaker_inference import environment
from sagemaker_inference.environment import Environment, EnvironmentVariableError
from sagemaker_inference.errors import StartError


def at_import(**variables):
    """What the module's attributes are in a process with these variables."""
    code = (
        "from sagemaker_inference import environment as e;"
        "print(e.base_dir, e.model_dir, e.code_dir, sep='|')"
    )
    env = {**os.environ, **variables}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    return done.stdout.strip().split("|")


def test_folders_follow_the_base_folder_and_the_multi_model_switch():
    assert at_import(SAGEMAKER_BASE_DIR="") == [
        "/opt/ml",
        "/opt/ml/model",
        "/opt/ml/model/code",
    ]
    assert at_import(SAGEMAKER_BASE_DIR="/b", SAGEMAKER_MULTI_MODEL="True") == [
        "/b",
        "/b/models",
        "/b/models/code",
    ]


def test_without_variables_everything_has_its_default():
    env = Environment()
    assert env.module_name == "inference"
    assert env.model_server_timeout == 60
    assert env.model_server_timeout_seconds is None
    assert env.model_server_workers is None
    assert env.startup_timeout == 600
    assert env.default_accept == "application/json"
    assert env.inference_http_port == env.management_http_port == env.http_port == "8080"
    assert env.safe_port_range is None
    assert env.vmargs == ""
    assert env.max_request_size is None


def test_variables_are_read(monkeypatch):
    for name, value in {
        "PROGRAM": "serve_me.py",
        "MODEL_SERVER_TIMEOUT": "7",
        "MODEL_SERVER_TIMEOUT_SECONDS": "8",
        "MODEL_SERVER_WORKERS": "2",
        "STARTUP_TIMEOUT": "9",
        "DEFAULT_INVOCATIONS_ACCEPT": "text/csv",
        "BIND_TO_PORT": "8081",
        "SAFE_PORT_RANGE": "25000-25999",
        "MODEL_SERVER_VMARGS": "-Xmx1g",
        "MAX_PAYLOAD_IN_MB": "2",
    }.items():
        monkeypatch.setenv(f"SAGEMAKER_{name}", value)
    env = Environment()
    assert env.module_name == "serve_me"
    assert env.model_server_timeout == 7
    assert env.model_server_timeout_seconds == 8
    assert env.model_server_workers == "2"
    assert env.startup_timeout == 9
    assert env.default_accept == "text/csv"
    assert env.inference_http_port == env.management_http_port == env.http_port == "8081"
    assert env.safe_port_range == "25000-25999"
    assert env.vmargs == "-Xmx1g"
    assert env.max_request_size == 2 * 1024 * 1024


def test_empty_variables_count_as_absent(monkeypatch):
    for name in ("PROGRAM", "MODEL_SERVER_TIMEOUT", "BIND_TO_PORT", "DEFAULT_INVOCATIONS_ACCEPT"):
        monkeypatch.setenv(f"SAGEMAKER_{name}", "")
    env = Environment()
    assert (env.module_name, env.model_server_timeout) == ("inference", 60)
    assert (env.inference_http_port, env.default_accept) == ("8080", "application/json")


@pytest.mark.parametrize(
    "name", ["MODEL_SERVER_TIMEOUT", "MODEL_SERVER_TIMEOUT_SECONDS", "STARTUP_TIMEOUT"]
)
def test_one_second_is_the_shortest_time_limit(monkeypatch, name):
    monkeypatch.setenv(f"SAGEMAKER_{name}", "1")
    assert getattr(Environment(), name.lower()) == 1


def test_one_megabyte_is_the_smallest_limit(monkeypatch):
    monkeypatch.setenv("SAGEMAKER_MAX_PAYLOAD_IN_MB", "1")
    assert Environment().max_request_size == 1024 * 1024
    monkeypatch.setenv("SAGEMAKER_MAX_PAYLOAD_IN_MB", "0")
    assert Environment().max_request_size == 1024 * 1024 * 1024
    monkeypatch.setenv("SAGEMAKER_MAX_PAYLOAD_IN_MB", "-1")
    with pytest.raises(EnvironmentVariableError):
        Environment()


@pytest.mark.parametrize("value", ["soon", "0", "1.5", "-3"])
def test_a_malformed_number_names_variable_and_value(monkeypatch, value):
    monkeypatch.setenv("SAGEMAKER_MODEL_SERVER_TIMEOUT", value)
    with pytest.raises(EnvironmentVariableError) as caught:
        Environment()
    assert str(caught.value) == (
        f"SAGEMAKER_MODEL_SERVER_TIMEOUT={value!r} is not a whole number of seconds, 1 or more. "
        "Set it, e.g. to 60."
    )
    assert isinstance(caught.value, StartError)
    assert isinstance(caught.value, ValueError)


def test_folders_are_attributes_of_the_module():
    assert environment.model_dir.startswith(environment.base_dir)
