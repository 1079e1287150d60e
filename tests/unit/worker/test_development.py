"""Workers of `sagemaker-inference dev`."""

from __future__ import annotations

import json
import os
import threading
from typing import TYPE_CHECKING

import pytest
from support.builders import loaded, request

from sagemaker_inference._config import Config
from sagemaker_inference._http.messages import Request
from sagemaker_inference._inference.failures import failure_record
from sagemaker_inference._inference.inference_handler import run_without_loop
from sagemaker_inference._worker import development
from sagemaker_inference.errors import UnprocessableInputError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def tracebacks(monkeypatch):
    """As in a worker of `dev`, until the end of the test."""
    monkeypatch.setattr(Request, "note_failure", Request.note_failure)
    development.show_tracebacks()


def test_a_worker_waits_until_the_gate_is_opened(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    thread = threading.Thread(target=development.wait, args=(str(gate),))
    thread.start()
    thread.join(0.05)
    assert thread.is_alive()
    opened = os.open(gate, os.O_RDWR)
    thread.join(30)
    assert not thread.is_alive()
    # Whoever comes later does not wait.
    development.wait(str(gate))
    os.close(opened)


def test_no_variable_makes_a_gate(monkeypatch):
    for name in ("SAGEMAKER_GATE", "SAGEMAKER_DEV", "SAGEMAKER_DEV_GATE"):
        monkeypatch.setenv(name, "true")
    assert Config.from_environment().gate == ""


def failing(registry, error):
    registry.model_loader(lambda: None)

    @registry.predictor
    def predict(data):
        raise error

    return loaded(registry)


def answer(handler, accept=""):
    (response,) = run_without_loop(handler.answer([request(b"1", accept=accept)]))
    return response.status, response.body


def test_an_error_has_no_traceback_elsewhere(registry):
    _, body = answer(failing(registry, KeyError("key")))
    assert sorted(json.loads(body)["error"]) == ["code", "message", "request_id"]


@pytest.mark.usefixtures("tracebacks")
def test_an_error_of_the_program_has_its_traceback(registry):
    status, body = answer(failing(registry, KeyError("key")))
    assert status == 500
    trace = json.loads(body)["error"]["traceback"]
    assert "raise error" in trace
    assert trace.endswith("KeyError: 'key'\n")


@pytest.mark.usefixtures("tracebacks")
def test_an_error_as_text_has_it_below_the_message(registry):
    _, body = answer(failing(registry, KeyError("key")), accept="text/plain")
    message, _, trace = body.decode().partition("\n\n")
    assert message.startswith("The predictor failed")
    assert trace.startswith("Traceback (most recent call last):\n")


@pytest.mark.usefixtures("tracebacks")
def test_an_error_of_the_client_has_none(registry):
    status, body = answer(failing(registry, UnprocessableInputError("four numbers")))
    assert status == 422
    assert "traceback" not in json.loads(body)["error"]


@pytest.mark.usefixtures("tracebacks")
def test_the_end_of_a_stream_that_fails_has_one():
    status, body = failure_record(request(b"1"), KeyError("key"), None)
    assert status == 500
    assert json.loads(body)["error"]["traceback"] == "KeyError: 'key'\n"
