import dataclasses
import json

import pytest

from sagemaker_inference import _parsers, _variables
from sagemaker_inference._config import Config
from sagemaker_inference._variable import EnvironmentVariableError


def test_without_variables_everything_has_its_default():
    assert Config.from_environment() == Config(
        port=8080,
        workers=None,
        preload=False,
        timeout=60,
        stream_idle_timeout=60,
        stream_timeout=480,
        stream_heartbeat=0,
        websocket_idle_timeout=0,
        websocket_ping_interval=0,
        startup_timeout=600,
        payload_limit=25 * 1024 * 1024,
        response_limit=100 * 1024 * 1024,
        max_batch_size=None,
        max_batch_delay=None,
        max_concurrency=None,
        sessions=False,
        session_expiration=1200,
        max_sessions=1000,
        default_accept=None,
        log_level=20,
        log_format="text",
        client_header_timeout=10,
        client_idle_timeout=75,
        client_body_timeout=60,
        client_write_timeout=60,
        max_connections=None,
        max_queue_size=1024,
        cors_origin="",
        cors_methods="",
        cors_headers="",
        vmargs="",
        allow_pickle=False,
        multi_model=False,
        metrics="prometheus",
        ping_while_loading=True,
        max_payload_in_mb=None,
        max_concurrent_transforms=None,
        batch_strategy=None,
        is_batch=False,
        on_bad_record=None,
        capture="",
        capture_percentage=100,
        capture_limit=1024 * 1024 * 1024,
    )


def test_variables_are_read_and_survive_json(monkeypatch):
    for name, value in {
        "SAGEMAKER_BIND_TO_PORT": "8081",
        "SAGEMAKER_MODEL_SERVER_WORKERS": "3",
        "SAGEMAKER_PRELOAD": "TRUE",
        "SAGEMAKER_MODEL_SERVER_TIMEOUT": "7",
        "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS": " 8 ",
        "SAGEMAKER_STREAM_IDLE_TIMEOUT": "15",
        "SAGEMAKER_STREAM_TIMEOUT": "16",
        "SAGEMAKER_STREAM_HEARTBEAT": "19",
        "SAGEMAKER_WEBSOCKET_IDLE_TIMEOUT": "17",
        "SAGEMAKER_WEBSOCKET_PING_INTERVAL": "18",
        "SAGEMAKER_STARTUP_TIMEOUT": "9",
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": "2",
        "SAGEMAKER_MAX_RESPONSE_IN_MB": "3",
        "SAGEMAKER_MAX_BATCH_SIZE": "4",
        "SAGEMAKER_MAX_BATCH_DELAY": "0.5",
        "SAGEMAKER_MAX_CONCURRENCY": "64",
        "SAGEMAKER_ENABLE_STATEFUL_SESSIONS": "true",
        "SAGEMAKER_SESSIONS_EXPIRATION": "17",
        "SAGEMAKER_MAX_SESSIONS": "18",
        "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "text/csv",
        "SAGEMAKER_CONTAINER_LOG_LEVEL": "warning",
        "SAGEMAKER_LOG_FORMAT": "JSON",
        "SAGEMAKER_CLIENT_HEADER_TIMEOUT": "11",
        "SAGEMAKER_CLIENT_IDLE_TIMEOUT": "12",
        "SAGEMAKER_CLIENT_BODY_TIMEOUT": "13",
        "SAGEMAKER_CLIENT_WRITE_TIMEOUT": "14",
        "SAGEMAKER_MAX_CONNECTIONS": "15",
        "SAGEMAKER_MAX_QUEUE_SIZE": "16",
        "SAGEMAKER_CORS_ORIGIN": "https://example.com:8443",
        "SAGEMAKER_MODEL_SERVER_VMARGS": "-Xmx1g",
        "SAGEMAKER_ALLOW_PICKLE": "1",
        "SAGEMAKER_MULTI_MODEL": "yes",
        "SAGEMAKER_METRICS": "Both",
        "SAGEMAKER_PING_WHILE_LOADING": "off",
        "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": "7",
        "SAGEMAKER_BATCH_STRATEGY": "SingleRecord",
        "SAGEMAKER_BATCH": "True",
        "SAGEMAKER_ON_BAD_RECORD": "Placeholder",
        "SAGEMAKER_CAPTURE": "/a/../captured",
        "SAGEMAKER_CAPTURE_PERCENTAGE": "2.5",
        "SAGEMAKER_MAX_CAPTURE_IN_MB": "19",
    }.items():
        monkeypatch.setenv(name, value)
    config = Config.from_environment()
    assert config == Config(
        port=8081,
        workers=3,
        preload=True,
        timeout=8,
        stream_idle_timeout=15,
        stream_timeout=16,
        stream_heartbeat=19,
        websocket_idle_timeout=17,
        websocket_ping_interval=18,
        startup_timeout=9,
        payload_limit=2 * 1024 * 1024,
        response_limit=3 * 1024 * 1024,
        max_batch_size=4,
        max_batch_delay=0.5,
        max_concurrency=64,
        sessions=True,
        session_expiration=17,
        max_sessions=18,
        default_accept="text/csv",
        log_level=30,
        log_format="json",
        client_header_timeout=11,
        client_idle_timeout=12,
        client_body_timeout=13,
        client_write_timeout=14,
        max_connections=15,
        max_queue_size=16,
        cors_origin="https://example.com:8443",
        cors_methods="GET, HEAD, POST, PUT, DELETE, OPTIONS",
        cors_headers="*",
        vmargs="-Xmx1g",
        allow_pickle=True,
        multi_model=True,
        metrics="both",
        ping_while_loading=False,
        max_payload_in_mb=2,
        max_concurrent_transforms=7,
        batch_strategy="SINGLE_RECORD",
        is_batch=True,
        on_bad_record="placeholder",
        capture="/captured",
        capture_percentage=2.5,
        capture_limit=19 * 1024 * 1024,
    )
    assert Config(**json.loads(json.dumps(dataclasses.asdict(config)))) == config


@pytest.mark.parametrize("value", ["nan", "inf", "-0.1", "x"])
def test_a_malformed_fraction_is_refused(monkeypatch, value):
    monkeypatch.setenv("SAGEMAKER_MAX_BATCH_DELAY", value)
    with pytest.raises(EnvironmentVariableError, match="is not a number of seconds, 0 or more"):
        Config.from_environment()


def test_a_number_without_a_unit_is_asked_for_as_one(monkeypatch):
    monkeypatch.setenv("SAGEMAKER_BIND_TO_PORT", "x")
    with pytest.raises(EnvironmentVariableError, match="='x' is not a whole number, 1 or more"):
        Config.from_environment()


def test_a_number_without_a_default_may_be_left_out(monkeypatch):
    monkeypatch.setenv("SAGEMAKER_MAX_BATCH_SIZE", "x")
    with pytest.raises(EnvironmentVariableError, match=r"Set it, e\.g\. to 1, or leave it out"):
        Config.from_environment()
    monkeypatch.setenv("SAGEMAKER_MAX_BATCH_SIZE", " ")
    assert Config.from_environment().max_batch_size is None


def test_more_than_the_front_end_takes_is_refused(monkeypatch):
    monkeypatch.setenv("SAGEMAKER_MAX_PAYLOAD_IN_MB", "1025")
    with pytest.raises(EnvironmentVariableError, match="='1025' is over 1024"):
        Config.from_environment()


@pytest.mark.parametrize(
    "name",
    [
        "SAGEMAKER_MODEL_SERVER_WORKERS",
        "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS",
        "SAGEMAKER_MODEL_SERVER_TIMEOUT",
        "SAGEMAKER_STARTUP_TIMEOUT",
        "SAGEMAKER_MAX_BATCH_SIZE",
        "SAGEMAKER_MAX_BATCH_DELAY",
    ],
)
def test_a_number_that_is_beyond_all_reason_is_refused(monkeypatch, name):
    monkeypatch.setenv(name, "99999999999")
    with pytest.raises(EnvironmentVariableError, match=r"'99999999999' is over \d+, the most that"):
        Config.from_environment()


def test_a_switch_is_on_by_true_or_one(monkeypatch):
    states = {"true": True, "TRUE": True, "1": True, "0": False, "": False, "maybe": False}
    for value, state in states.items():
        monkeypatch.setenv("SAGEMAKER_PRELOAD", value)
        assert _variables.is_on(_variables.PRELOAD) is state
    assert not _variables.is_on(_variables.MULTI_MODEL)


@pytest.mark.parametrize(
    ("text", "level"), [("10", 10), ("error", 40), ("WARN", 30), ("loud", None), ("1.5", None)]
)
def test_a_log_level_is_a_number_or_a_name(monkeypatch, text, level):
    assert _parsers.level_of(text) == level
    monkeypatch.setenv("SAGEMAKER_CONTAINER_LOG_LEVEL", text)
    assert Config.from_environment().log_level == (20 if level is None else level)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SAGEMAKER_MULTI_MODEL", "maybe"),
        ("SAGEMAKER_PRELOAD", "2"),
        ("SAGEMAKER_ALLOW_PICKLE", "y"),
        ("SAGEMAKER_SAFE_PORT_RANGE", "a-b"),
        ("SAGEMAKER_SAFE_PORT_RANGE", "25999-25000"),
        ("SAGEMAKER_LOG_FORMAT", "xml"),
        ("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "json"),
    ],
)
def test_a_malformed_value_is_refused_when_a_server_starts(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(EnvironmentVariableError, match=f"{name}='{value}'"):
        Config.from_environment()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SAGEMAKER_MULTI_MODEL", "False"),
        ("SAGEMAKER_PRELOAD", ""),
        ("SAGEMAKER_ALLOW_PICKLE", "ON"),
        ("SAGEMAKER_SAFE_PORT_RANGE", "25000-25999"),
        ("SAGEMAKER_SAFE_PORT_RANGE", ""),
        ("SAGEMAKER_LOG_FORMAT", "Text"),
        ("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "text/csv;header=present"),
    ],
)
def test_other_values_are_not(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    Config.from_environment()


def test_a_batch_transform_job_may_send_larger_bodies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGEMAKER_BATCH", "true")
    config = Config.from_environment()
    assert (config.payload_limit, config.response_limit) == (100 << 20, 100 << 20)
    monkeypatch.setenv("SAGEMAKER_MAX_PAYLOAD_IN_MB", "7")
    config = Config.from_environment()
    assert (config.payload_limit, config.response_limit) == (7 << 20, 100 << 20)


def test_a_batch_transform_job_waits_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGEMAKER_BATCH", "true")
    assert Config.from_environment().timeout == 600
    monkeypatch.setenv("SAGEMAKER_MODEL_SERVER_TIMEOUT", "30")
    assert Config.from_environment().timeout == 30


@pytest.mark.parametrize(("text", "limit"), [("1", 1), ("200", 200), ("1024", 1024), ("0", 1024)])
def test_the_limit_of_requests_is_not_that_of_responses(
    monkeypatch: pytest.MonkeyPatch, text: str, limit: int
) -> None:
    monkeypatch.setenv("SAGEMAKER_MAX_PAYLOAD_IN_MB", text)
    config = Config.from_environment()
    assert (config.payload_limit, config.response_limit) == (limit << 20, 100 << 20)
    monkeypatch.setenv("SAGEMAKER_MAX_RESPONSE_IN_MB", "2047")
    config = Config.from_environment()
    assert (config.payload_limit, config.response_limit) == (limit << 20, 2047 << 20)


@pytest.mark.parametrize("text", ["0", "101", "many", "-1"])
def test_a_job_sends_1_to_100_requests_at_once(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("SAGEMAKER_MAX_CONCURRENT_TRANSFORMS", text)
    with pytest.raises(EnvironmentVariableError, match="is not a number from 1 to 100"):
        Config.from_environment()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("SAGEMAKER_BATCH_STRATEGY", "ALL", "is not MULTI_RECORD or SINGLE_RECORD"),
        ("SAGEMAKER_METRICS", "statsd", "Set it to e.g. true, false, emf or both"),
    ],
)
def test_other_words_are_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, message: str
) -> None:
    monkeypatch.setenv(name, text)
    with pytest.raises(EnvironmentVariableError, match=message):
        Config.from_environment()
