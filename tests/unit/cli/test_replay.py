"""`replay`: captured requests, sent again."""

from __future__ import annotations

import base64
import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sagemaker_inference.__main__ import main
from sagemaker_inference._cli._comparing import Tolerance, difference
from sagemaker_inference.testing import TestClient

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import os
from sagemaker_inference import model_loader, predictor

@model_loader
def load(model_dir):
    return float(os.environ.get("FACTOR", "1"))

@predictor
def predict(data, model, context):
    if isinstance(data, str):
        if data == "fail":
            raise ValueError(data)
        if data == "break off":
            return (1 / number for number in (1, 0))
        return [context.custom_attributes, context.headers.get("X-Amzn-SageMaker-Inference-Id")]
    return data * model
"""
JSON = "application/json"


@pytest.fixture
def program(tmp_path: Path) -> str:
    path = tmp_path / "inference.py"
    path.write_text(PROGRAM)
    return str(path)


def line(sent: Any, answer: Any, **metadata: Any) -> str:
    halves = {
        name: {"observedContentType": JSON, "data": json.dumps(value), "encoding": "JSON"}
        for name, value in (("endpointInput", sent), ("endpointOutput", answer))
    }
    return json.dumps({"captureData": halves, "eventMetadata": metadata}) + "\n"


def test_what_was_captured_is_answered_as_before(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    folder = tmp_path / "captured"
    monkeypatch.setenv("SAGEMAKER_CAPTURE", str(folder))
    with TestClient(program) as client:
        buffer = io.BytesIO()
        np.save(buffer, np.array([[1.5, np.nan]]))
        for data, accept in (
            (b"[1,2.5]", "application/json"),
            (b"[1,2.5]", "text/csv"),
            (b"[1,2.5]", "application/x-npy"),
        ):
            assert client.invoke(data, accept=accept).status_code == 200
        assert client.invoke(buffer.getvalue(), "application/x-npy").status_code == 200
        client.invoke(
            "headers", custom_attributes="a=b", headers={"X-Amzn-SageMaker-Inference-Id": "mine"}
        ).raise_for_status()
    # Replays are not captured, where the variable is still set.
    assert main(["replay", str(folder), program]) == 0
    assert capsys.readouterr().out == "5 requests: 5 answered as before, 0 otherwise\n"
    # The other model.
    monkeypatch.setenv("FACTOR", "1.001")
    assert main(["replay", str(folder), program, "--show", "2"]) == 1
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 4
    assert out[0].endswith(": [0] is 1.001, and was 1.0")
    assert out[0].startswith("2")
    assert out[2:] == ["... and 2 more", "5 requests: 1 answered as before, 4 otherwise"]
    assert main(["replay", str(folder), program, "--relative", "0.01"]) == 0


def test_lines_that_cannot_be_read_are_left_out(
    program: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    file = tmp_path / "of-a-killed-worker.jsonl"
    file.write_text(line([1], [1]) + "\n" + line([2], [2])[:50])
    assert main(["replay", str(file), program]) == 0
    out, err = capsys.readouterr()
    assert out == "1 request: 1 answered as before, 0 otherwise\n"
    assert err.startswith("of-a-killed-worker.jsonl:3 is not JSON: ")
    file.write_text("")
    assert main(["replay", str(file), program]) == 2
    assert "there are no captured requests in " in capsys.readouterr().err


def test_failures_are_shown(program: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    file = tmp_path / "captured.jsonl"
    file.write_text(line("fail", "fine", eventId="id-1"))
    assert main(["replay", str(file), program]) == 1
    out = capsys.readouterr().out
    assert out.startswith('captured.jsonl:1 (id-1): the status is 500: {"error": ')


def test_a_stream_that_breaks_off_differs(
    program: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    file = tmp_path / "captured.jsonl"
    file.write_text(line("break off", 1.0, eventId="id-1"))
    assert main(["replay", str(file), program]) == 1
    assert "captured.jsonl:1 (id-1): the stream broke off" in capsys.readouterr().out


def test_a_server_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    file = tmp_path / "captured.jsonl"
    file.write_text(line(1, 1))
    assert main(["replay", str(file), "http://127.0.0.1:1"]) == 1
    assert "there is no answer from http://127.0.0.1:1: " in capsys.readouterr().err
    assert main(["replay", str(tmp_path / "none"), "http://127.0.0.1:1"]) == 2


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(array))
    return buffer.getvalue()


def npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


LARGE = b"1" + b"0" * 400
DEEP = b"[" * 100_000


@pytest.mark.parametrize(
    ("content_type", "was", "now", "found"),
    [
        (JSON, b'{"a":1,"b":[2]}', b'{"b": [2.0000001], "a": 1.0}', ""),
        (JSON, b'{"a":1}', b'{"a":2}', "['a'] is 2, and was 1"),
        (JSON, b'{"a":1}', b'{"b":1}', "['a'] is missing, and was 1"),
        (JSON, b'{"a":1}', b'{"a":1,"b":true}', "['b'] is True, and was not there"),
        (JSON, b"[1]", b"[1,2]", "[1] is 2, and was not there"),
        (JSON, b"1", b"true", "the answer is True, and was 1"),
        (JSON, b"1", b'"1"', "the answer is '1', and was 1"),
        (JSON, b"null", b"null ", ""),
        (JSON, b"[NaN]", b"[NaN ]", ""),
        (JSON, b"[NaN]", b"[1]", "[0] is 1, and was nan"),
        (JSON, b"[0]", b"[1e-9]", ""),
        (JSON, b"[0]", b"[1e-7]", "[0] is 1e-07, and was 0"),
        (JSON, LARGE, LARGE + b" ", ""),
        (JSON, b"[1]", b"{", "the body is b'{' (1 byte), and was b'[1]' (3)"),
        (JSON, DEEP, DEEP + b" ", "the body is b'" + "[" * 55 + "... (100001 bytes)"),
        ("application/jsonlines", b"1\n2\n", b"1\n\n2.0", ""),
        ("application/jsonlines", b"1\n2\n", b"1\n3\n", "[1] is 3, and was 2"),
        ("text/csv", b"1,a\n", b'1.0,"a"\r\n', ""),
        ("text/csv", b"1,a\n", b"1,b\n", "[0][1] is 'b', and was 'a'"),
        ("text/csv", b'"a\nb"\n', b'"ab"\n', "[0][0] is 'ab', and was 'a\\nb'"),
        ("text/csv", b"a\r\nb\r\n", b"a\nb", ""),
        ("text/csv", b"x" * 200_000 + b"\n", b"1", "the body is b'1' (1 byte)"),
        ("text/plain", b"a", b"b", "the body is b'b' (1 byte), and was b'a' (1)"),
        ("application/x-npy", npy([[1.0, 2.0]]), npy([[1, 2]]), ""),
        ("application/x-npy", npy([[1, 2]]), npy([[1, 3]]), "[0, 1] is 3, and was 2"),
        ("application/x-npy", npy(1), npy(2), "the answer is 2, and was 1"),
        ("application/x-npy", npy([1]), npy([1, 2]), "the shape is (2,), and was (1,)"),
        ("application/x-npy", npy(["a"]), npy(["b"]), "[0] is 'b', and was 'a'"),
        ("application/x-npz", npz(a=[1], b=[2]), npz(b=[2], a=[1]), ""),
        ("application/x-npz", npz(a=[1]), npz(a=[2]), "['a'][0] is 2, and was 1"),
    ],
)
def test_values_are_compared(content_type: str, was: bytes, now: bytes, found: str) -> None:
    tolerance = Tolerance(1e-5, 1e-8)
    seen = difference(was, content_type, now, f"{content_type}; charset=utf-8", tolerance)
    assert seen.startswith(found) if found.endswith(("byte)", "bytes)")) else seen == found


def test_content_types_are_compared() -> None:
    seen = difference(b"1", "text/csv", b"1", "application/json", Tolerance(0, 0))
    assert seen == "the content type is application/json, and was text/csv"
    seen = difference(b"1", "", b"1", "text/csv", Tolerance(0, 0))
    assert seen == "the content type is text/csv, and was none"


def test_captures_of_sagemaker_in_base64_are_read(
    program: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    half = {"observedContentType": JSON, "data": base64.b64encode(b"[3]").decode()}
    half["encoding"] = "BASE64"
    document = {"captureData": {"endpointInput": half, "endpointOutput": half}}
    (tmp_path / "captured.jsonl").write_text(json.dumps(document))
    assert main(["replay", str(tmp_path / "captured.jsonl"), program]) == 0
    assert "1 answered as before" in capsys.readouterr().out


def test_odd_lines_are_left_out_and_the_others_compared(
    program: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    folder = tmp_path / "captured"
    (folder / "folder.jsonl").mkdir(parents=True)
    good = json.loads(line([1], [1]))
    half = good["captureData"]["endpointInput"]

    def changed(**changes: Any) -> str:
        halves = {**good["captureData"], "endpointInput": {**half, **changes}}
        return json.dumps({**good, "captureData": halves}) + "\n"

    lines = [
        "{}\n",
        "[]\n",
        "5\n",
        json.dumps({**good, "eventMetadata": "text"}) + "\n",
        json.dumps({**good, "eventMetadata": {"customAttributes": 5}}) + "\n",
        changed(observedContentType=5),
        changed(data=5),
        changed(encoding="BASE64", data="ä"),
        changed(observedContentType="text/csv\r\nX-A: b"),
        json.dumps({**good, "eventMetadata": {"customAttributes": {"a": 1}}}) + "\n",
        line([2], [2]),
    ]
    (folder / "a.jsonl").write_text("".join(lines))
    assert main(["replay", str(folder), program]) == 1
    out, err = capsys.readouterr()
    left_out = err.splitlines()
    assert left_out[0].startswith("a.jsonl:1 has no captureData: SageMaker has to capture input")
    assert len(left_out) == 8
    assert all(" is not a captured request: " in text for text in left_out[1:])
    assert out.splitlines()[0].startswith("a.jsonl:9: it cannot be sent: the value 'text/csv\\r\\n")
    assert out.splitlines()[-1] == "3 requests: 2 answered as before, 1 otherwise"
