import os
import signal
from types import SimpleNamespace

import pytest

from sagemaker_inference import model_server
from sagemaker_inference._program.location import Program
from sagemaker_inference._supervisor.settings import Settings, settings_from_environment
from sagemaker_inference.errors import StartError


@pytest.mark.parametrize("served", ["my_service", Program("inference", "/code", "/code/a.py")])
def test_settings_survive_the_command_line(served):
    settings = settings_from_environment(served, "/models", port=8080)
    assert Settings.read(settings.dump()) == settings


def test_a_port_that_is_no_number_is_refused():
    with pytest.raises(StartError, match="a port is a whole number"):
        settings_from_environment("service", "/models", port="eighty")


def test_a_payload_over_the_front_ends_limit_is_refused(monkeypatch):
    monkeypatch.setenv("SAGEMAKER_MAX_PAYLOAD_IN_MB", "1025")
    with pytest.raises(StartError, match="SAGEMAKER_MAX_PAYLOAD_IN_MB='1025' is over 1024"):
        settings_from_environment("service", "/models")


def test_preloading_with_gpus_is_refused(monkeypatch):
    monkeypatch.setenv("SAGEMAKER_PRELOAD", "true")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b")
    with pytest.raises(StartError, match="on a machine with GPUs"):
        settings_from_environment("service", "/models")


def test_a_server_that_has_ended_before_sigterm_is_no_error(caplog):
    caplog.set_level("DEBUG", logger="sagemaker-inference")
    before = signal.getsignal(signal.SIGTERM)
    try:
        model_server._add_sigterm_handler(SimpleNamespace(pid=2**22 + 1))
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert "exited before SIGTERM" in caplog.text


def test_a_timeout_that_nobody_set_is_not_told(monkeypatch, caplog):
    monkeypatch.setenv("SAGEMAKER_MODEL_SERVER_TIMEOUT", " ")
    assert settings_from_environment("service", "/models").config.timeout == 60
    assert caplog.text == ""


def test_the_timeout_whose_unit_differs_is_told(monkeypatch, caplog):
    monkeypatch.setenv("SAGEMAKER_MODEL_SERVER_TIMEOUT", "20")
    assert settings_from_environment("service", "/models").config.timeout == 20
    assert "SAGEMAKER_MODEL_SERVER_TIMEOUT=20 counts seconds" in caplog.text
    caplog.clear()
    monkeypatch.setenv("SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS", "30")
    assert settings_from_environment("service", "/models").config.timeout == 30
    assert caplog.text == ""


def test_each_of_many_models_can_be_preloaded(monkeypatch):
    monkeypatch.setenv("SAGEMAKER_PRELOAD", "true")
    monkeypatch.setenv("SAGEMAKER_MULTI_MODEL", "true")
    settings = settings_from_environment("", "/models")
    assert (settings.config.preload, settings.config.multi_model) == (True, True)


def test_a_model_among_many_has_one_process_unless_somebody_asks_for_more(monkeypatch):
    monkeypatch.setenv("SAGEMAKER_MULTI_MODEL", "true")
    settings = settings_from_environment("", "/models")
    assert (settings.config.multi_model, settings.workers) == (True, 1)
    monkeypatch.setenv("SAGEMAKER_MODEL_SERVER_WORKERS", "3")
    assert settings_from_environment("", "/models").workers == 3


def test_a_program_may_say_what_a_job_is_to_do(monkeypatch):
    for name, value in (
        ("MAX_CONCURRENT_TRANSFORMS", "2"),
        ("BATCH_STRATEGY", "MultiRecord"),
        ("MAX_PAYLOAD_IN_MB", "3"),
    ):
        monkeypatch.setenv(f"SAGEMAKER_{name}", value)
    nothing = dict.fromkeys(
        ("max_concurrent_transforms", "batch_strategy", "max_payload_in_mb"), None
    )
    config = settings_from_environment("service", "/models", **nothing).config
    assert (config.max_concurrent_transforms, config.batch_strategy) == (2, "MULTI_RECORD")
    assert (config.max_payload_in_mb, config.payload_limit) == (3, 3 << 20)
    config = settings_from_environment(
        "service",
        "/models",
        max_concurrent_transforms=4,
        batch_strategy="SingleRecord",
        max_payload_in_mb=0,
    ).config
    assert (config.max_concurrent_transforms, config.batch_strategy) == (4, "SINGLE_RECORD")
    assert (config.max_payload_in_mb, config.payload_limit) == (0, 1 << 30)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("max_concurrent_transforms", 101, "=101\\) is not a number from 1 to 100"),
        ("batch_strategy", "ALL", "='ALL'\\) is not MULTI_RECORD or SINGLE_RECORD"),
        ("max_payload_in_mb", 1025, "=1025\\) is over 1024"),
    ],
)
def test_a_program_that_says_what_no_job_does_is_refused(name, value, words):
    with pytest.raises(StartError, match=rf"serve\(__name__, {name}{words}"):
        settings_from_environment("service", "/models", **{name: value})
