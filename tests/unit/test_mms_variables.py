"""Variables that SageMaker code sets for Multi Model Server."""

import os
from pathlib import Path

import pytest

from sagemaker_inference import _mms_variables as mms
from sagemaker_inference import _variables
from sagemaker_inference._config import Config
from sagemaker_inference._supervisor import main
from sagemaker_inference._supervisor.settings import settings_from_environment
from sagemaker_inference._variable import EnvironmentVariableError
from sagemaker_inference.errors import StartError

MEGABYTE = 1024 * 1024
OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


@pytest.fixture(autouse=True)
def unset(monkeypatch):
    for name in os.environ:
        if name.startswith(("MMS_", "SAGEMAKER_")):
            monkeypatch.delenv(name)


# What notebooks and stacks of others set.
@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("MMS_DEFAULT_WORKERS_PER_MODEL", "3", "workers", 3),
        ("MMS_DEFAULT_WORKERS_PER_MODEL", "0", "workers", None),
        ("MMS_DEFAULT_RESPONSE_TIMEOUT", "900", "timeout", 900),
        ("MMS_DEFAULT_RESPONSE_TIMEOUT_SECONDS", "500", "timeout", 500),
        ("MMS_MAX_REQUEST_SIZE", "2000000000", "payload_limit", 2000000000),
        ("MMS_MAX_RESPONSE_SIZE", "52428800", "response_limit", 52428800),
        ("MMS_MAX_RESPONSE_SIZE", "20000000", "response_limit", 20000000),
        ("MMS_PRELOAD_MODEL", "true", "preload", True),
        ("MMS_INFERENCE_ADDRESS", "http://127.0.0.1:9000", "port", 9000),
        ("MMS_INFERENCE_ADDRESS", " ", "port", 8080),
    ],
)
def test_a_variable_sets_what_ours_does(monkeypatch, name, value, field, expected):
    monkeypatch.setenv(name, value)
    assert getattr(Config.from_environment(), field) == expected


def test_each_size_has_its_limit(monkeypatch):
    monkeypatch.setenv("MMS_MAX_REQUEST_SIZE", "1000")
    monkeypatch.setenv("MMS_MAX_RESPONSE_SIZE", "2000")
    config = Config.from_environment()
    assert (config.payload_limit, config.response_limit) == (1000, 2000)


def test_ours_override_them(monkeypatch):
    for name, value in {
        "MMS_DEFAULT_WORKERS_PER_MODEL": "3",
        "MMS_DEFAULT_RESPONSE_TIMEOUT": "900",
        "MMS_MAX_REQUEST_SIZE": "2000000000",
        "MMS_PRELOAD_MODEL": "true",
        "MMS_INFERENCE_ADDRESS": "http://127.0.0.1:9000",
        "SAGEMAKER_MODEL_SERVER_WORKERS": "2",
        "SAGEMAKER_MODEL_SERVER_TIMEOUT": "7",
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": "3",
        "SAGEMAKER_PRELOAD": "false",
        "SAGEMAKER_BIND_TO_PORT": "9001",
    }.items():
        monkeypatch.setenv(name, value)
    config = Config.from_environment()
    assert (config.workers, config.timeout, config.preload, config.port) == (2, 7, False, 9001)
    assert config.payload_limit == 3 * MEGABYTE


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MMS_JOB_QUEUE_SIZE", "x"),
        ("MMS_JOB_QUEUE_SIZE", "0"),
        ("MMS_NUMBER_OF_NETTY_THREADS", "99999999999"),
        ("MMS_DEFAULT_WORKERS_PER_MODEL", "-1"),
        ("MMS_MAX_REQUEST_SIZE", "2147483648"),
        ("MMS_DEFAULT_RESPONSE_TIMEOUT", "1.5"),
        ("MMS_PRELOAD_MODEL", "maybe"),
        ("MMS_INFERENCE_ADDRESS", "https://0.0.0.0:443"),
        ("MMS_INFERENCE_ADDRESS", "http://0.0.0.0:0"),
        ("MMS_INFERENCE_ADDRESS", "unix:/tmp/mms.sock"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(EnvironmentVariableError, match=f"{name}='{value}' is "):
        Config.from_environment()


@pytest.mark.parametrize("name", mms.REFUSED)
def test_what_this_server_does_not_do_is_refused_by_name(monkeypatch, name):
    monkeypatch.setenv(name, "value")
    with pytest.raises(StartError, match=rf"{name}='value' is not supported: .* Unset it\."):
        settings_from_environment("service", "/m")


def test_what_has_no_effect_is_named_once(monkeypatch, caplog):
    monkeypatch.setenv("MMS_NETTY_CLIENT_THREADS", "4")
    monkeypatch.setenv("MMS_ASYNC_LOGGING", "true")
    monkeypatch.setenv("MMS_KEYSTORE", "")
    monkeypatch.setenv("MMS_DECODE_INPUT_REQUEST", "false")
    settings_from_environment("service", "/m")
    expected = "MMS_ASYNC_LOGGING, MMS_NETTY_CLIENT_THREADS: no effect in this server"
    assert [record.getMessage() for record in caplog.records] == [expected]


def test_the_address_is_served_unless_the_program_says_another(monkeypatch):
    monkeypatch.setenv("MMS_INFERENCE_ADDRESS", "http://127.0.0.1:9000/")
    settings = settings_from_environment("service", "/m")
    assert (settings.host, settings.config.port) == ("127.0.0.1", 9000)
    settings = settings_from_environment("service", "/m", host="127.0.0.2", port=9001)
    assert (settings.host, settings.config.port) == ("127.0.0.2", 9001)
    monkeypatch.setenv("SAGEMAKER_BIND_TO_HOST", "127.0.0.3")
    assert settings_from_environment("service", "/m").host == "127.0.0.3"


def test_the_length_of_the_queue_may_have_either_name(monkeypatch):
    monkeypatch.setenv("MMS_JOB_QUEUE_SIZE", "200")
    assert Config.from_environment().max_queue_size == 200
    monkeypatch.setenv("SAGEMAKER_MAX_QUEUE_SIZE", "300")
    assert Config.from_environment().max_queue_size == 300


def test_the_front_end_gets_what_concerns_it_alone(monkeypatch):
    monkeypatch.setenv("MMS_NUMBER_OF_NETTY_THREADS", "4")
    monkeypatch.setenv("MMS_CORS_ALLOWED_ORIGIN", "*")
    front_end = main.front_end(settings_from_environment("service", "/m"))
    properties = front_end.properties("/c.sock")
    assert properties["number_of_netty_threads"] == "4"
    assert properties["cors_allowed_origin"] == "*"
    assert properties["cors_allowed_methods"] == ""
    # Each of its threads has a connection, or clients of that one would wait for ever.
    assert front_end.connections_for(1, 1) == 4


def test_a_limit_of_minutes_is_said_to_be_one_of_seconds(monkeypatch, caplog):
    monkeypatch.setenv("MMS_DEFAULT_RESPONSE_TIMEOUT", "900")
    settings_from_environment("service", "/m")
    assert "MMS_DEFAULT_RESPONSE_TIMEOUT=900 counts seconds (minutes in" in caplog.text
    caplog.clear()
    monkeypatch.setenv("MMS_DEFAULT_RESPONSE_TIMEOUT_SECONDS", "500")
    settings_from_environment("service", "/m")
    assert caplog.text == ""


def test_the_documentation_has_all_of_them():
    text = OPERATIONS.read_text()
    for variable in mms.VARIABLES:
        assert f"| `{variable.name}` | {variable.meaning} |" in text
    for name in (*mms.PASSED_ON, *mms.REFUSED):
        assert f"`{name}`" in text
    assert {variable.name for variable in _variables.VARIABLES}.isdisjoint(mms.REFUSED)
