"""`check` of a server: for each rule, what it finds and what it lets pass."""

from __future__ import annotations

import socket

import pytest
from support.checked import SAMPLES, found

from sagemaker_inference.__main__ import main
from sagemaker_inference._cli._checks import server, target
from sagemaker_inference._cli._endpoint import Endpoint

# They take long, and no Python differs in what they are about.
pytestmark = pytest.mark.once


def test_a_server_that_answers_well_passes(check, started):
    document = check(SAMPLES, "inference.py", "--run")
    assert document["findings"] == []
    assert document["skipped"] == []


def test_the_folder_around_code_is_that_of_the_model(check, started):
    check({f"model/code/{name}": text for name, text in SAMPLES.items()}, "model", "--run")
    assert started.model_dir == "model"
    check(SAMPLES, ".", "--run")
    assert started.model_dir is None


def test_a_server_elsewhere_is_asked_and_neither_started_nor_stopped(check, answers, started):
    document = check({}, answers.url)
    assert document["findings"] == []
    reasons = {one["rule"]: one["reason"] for one in document["skipped"]}
    assert reasons["run-sigterm"] == reasons["run-start"]
    assert "neither started nor stopped" in reasons["run-start"]
    assert reasons["program-imports"] == "a server is checked, and not its files"
    assert "request.json" in reasons["run-samples"]
    assert "run-ping" in document["passed"]


@pytest.mark.parametrize(
    ("rule", "request_", "answer", "what"),
    [
        ("run-ping", "/ping", (503, "", b"loading\n"), "the status is 503: loading"),
        ("run-unknown-type", "unknown", (500, "", b""), "the status is 500"),
        ("run-bad-body", "half", (500, "", b""), "the status is 500"),
        ("run-error-shape", "unknown", (415, "", b"a\nb"), "3 bytes in 2 lines"),
        ("run-error-shape", "unknown", (415, "", b"a" * 1025), "1025 bytes in 1 line"),
        ("run-samples", "sample", (500, "", b'{"error": {"message": "no"}}'), "500: no"),
        ("run-samples", "sample", (500, "", b"Internal"), "500: Internal"),
        ("run-samples", "sample", (200, "", b"2"), "no Content-Type"),
        ("run-size", "large", (413, "", b""), "the status is 413"),
        ("run-size", "large", (0, "", b""), "no answer"),
        ("run-paths", "/metrics", (404, "", b""), "the status is 404"),
        ("run-paths", "/execution-parameters", (500, "", b""), "the status is 500"),
        ("run-paths", "/execution-parameters", (200, "", b"[1]"), "the answer is '[1]'"),
        ("run-paths", "/execution-parameters", (200, "", b"no"), "the answer is 'no'"),
    ],
)
def test_each_rule_finds_a_wrong_answer(check, started, rule, request_, answer, what):
    started.changes[request_] = answer
    document = check(SAMPLES, ".", "--run")
    findings = [one for one in document["findings"] if one["rule"] == rule]
    assert [what in one["what"] for one in findings] == [True]


@pytest.mark.parametrize(
    ("rule", "limit"),
    [
        ("run-start", "_START_SECONDS"),
        ("run-ping", "_PING_SECONDS"),
        ("run-sample-time", "_ANSWER_SECONDS"),
        ("run-sigterm", "_STOP_SECONDS"),
    ],
)
def test_each_limit_of_time_is_looked_at(check, started, monkeypatch, rule, limit):
    monkeypatch.setattr(server, limit, -1)
    assert found(check(SAMPLES, ".", "--run")) == {rule}


def test_an_exit_code_after_sigterm_is_found(check, started):
    started.code = 3
    document = check(SAMPLES, ".", "--run")
    assert found(document) == {"run-sigterm"}
    assert document["findings"][0]["what"].startswith("the server ended with 3 after ")


def test_a_stream_has_to_come_in_chunks(check, started, monkeypatch):
    inspection = target.Inspection(is_hinted=True, streams=True)
    monkeypatch.setattr(target.Target, "inspection", inspection)
    assert found(check(SAMPLES, ".", "--run")) == {"run-streaming"}
    started.changes["sample"] = (200, "chunked", b"")
    assert found(check(SAMPLES, ".", "--run")) == set()


def test_a_server_that_does_not_start_is_found(check, started):
    started.code = -1
    document = check(SAMPLES, ".", "--run")
    assert found(document) == {"run-start"}
    assert document["findings"][0]["what"] == "the server does not start: error: no model"
    assert {"rule": "run-ping", "reason": "the server has not started"} in document["skipped"]


def test_an_idle_connection_that_the_server_has_closed_is_opened_anew(answers):
    endpoint = Endpoint(answers.url)
    assert endpoint.ping().status_code == 200
    endpoint._local.connection.sock.shutdown(socket.SHUT_RDWR)
    assert endpoint.ping().status_code == 200
    endpoint.close()
    assert endpoint.ping().status_code == 200
    endpoint.close()


def test_an_answer_that_is_not_http_is_none(answers):
    answers.changes["/ping"] = (1, "", b"")
    with pytest.raises(OSError, match="garbage"):
        Endpoint(answers.url).ping()


def test_a_server_that_is_not_there_is_named(monkeypatch, capsys):
    assert main(["check", "http://127.0.0.1:1"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("sagemaker-inference: error: there is no answer from http://127.0.0.1:1")
    assert said.endswith("Is the server running?\n")


def test_a_response_that_is_cut_off_is_a_finding(check, answers):
    answers.changes["half"] = (203, "", b"a")
    document = check({}, answers.url)
    (finding,) = document["findings"]
    assert finding["rule"] == "run-bad-body"
    assert finding["where"] == "the server"
    assert finding["what"].startswith("it cannot be checked: the response is not complete")
