"""Commands whose standard output is for scripts: nothing of a program's own comes into it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support.command import RUN

from sagemaker_inference._os.interpreter import python_command
from sagemaker_inference._os.standard_streams import reserved_output

if TYPE_CHECKING:
    from pathlib import Path

# They take long, and no Python differs in what they are about.
pytestmark = pytest.mark.once

# It prints in every way, whenever its code runs.
PROGRAM = """
import atexit, ctypes, os, subprocess, sys
from sagemaker_inference import model_loader, on_shutdown, predictor

before = sys.stdout

def shout(word):
    print("NOISE", word)
    print("NOISE", word, file=before)
    os.write(1, f"NOISE {word}\\n".encode())
    subprocess.run([sys.executable, "-c", "print('NOISE of a child')"], check=True)
    ctypes.CDLL(None).puts(b"NOISE of C, which may be written when the process ends")

shout("import")
atexit.register(shout, "exit")

@model_loader
def load(model_dir):
    shout("load")

@predictor
def predict(data: list[int], model) -> list[int]:
    shout("predict")
    return data

@on_shutdown
def end(model):
    shout("shutdown")
"""
CAPTURED = {
    "captureData": {
        "endpointInput": {"observedContentType": "application/json", "mode": "INPUT",
                          "data": "[1]", "encoding": "JSON"},
        "endpointOutput": {"observedContentType": "application/json", "mode": "OUTPUT",
                           "data": "[1]", "encoding": "JSON"},
    },
    "eventMetadata": {"eventId": "1", "inferenceTime": "2026-11-22T15:33:04Z"},
    "eventVersion": "0",
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "inference.py").write_text(PROGRAM)
    (tmp_path / "request.json").write_text("[1]")
    (tmp_path / "in.json").write_text("[1]")
    (tmp_path / "captured.jsonl").write_text(json.dumps(CAPTURED))
    return tmp_path


def run(folder: Path, command: list[str]) -> str:
    """The standard output of a process; its standard error has the noise."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "NOISE" not in done.stdout
    return done.stdout


def command(*words: str) -> list[str]:
    return [sys.executable, "-c", RUN, *words]


def test_invoke_prints_the_response(folder):
    words = command("invoke", "inference.py")
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout == "[1]"
    ways = 5
    times = len(["import", "load", "predict", "shutdown", "exit"])
    assert done.stderr.count("NOISE") == ways * times
    run(folder, command("invoke", "inference.py", "--output", "out.json"))
    assert (folder / "out.json").read_text() == "[1]"


def test_a_file_may_be_the_standard_output(folder):
    words = ["--output", "/dev/stdout"]
    assert run(folder, command("invoke", "inference.py", *words)) == "[1]"
    document = json.loads(run(folder, command("schema", "inference.py", *words)))
    assert document["openapi"]


def test_schema_prints_the_document(folder):
    assert json.loads(run(folder, command("schema", "inference.py")))["openapi"]
    lines = run(folder, command("schema", "inference.py", "--samples", "samples")).splitlines()
    assert all(line.startswith("request.") for line in lines)


def test_the_process_that_describes_a_server_prints_the_document(folder):
    words = python_command("sagemaker_inference._cli.schema", "inference.py")
    assert json.loads(run(folder, words))["openapi"]


def test_the_process_that_looks_for_samples_prints_them(folder):
    words = python_command("sagemaker_inference._cli._dev.facts", "samples", "inference.py")
    assert json.loads(run(folder, words))[0]["path"] == "/invocations"


def test_check_prints_the_report(folder):
    assert json.loads(run(folder, command("check", "--format", "json")))["errors"] == 0


def test_transform_prints_a_line_for_each_file(folder):
    words = ["in.json", "out.json", "--content-type", "application/json"]
    out = run(folder, command("transform", "inference.py", *words))
    assert out.startswith("out.json: 1 record in 1 request, ")
    assert out.count("\n") == 1


def test_replay_prints_the_comparison(folder):
    out = run(folder, command("replay", "captured.jsonl", "inference.py"))
    assert out == "1 request: 1 answered as before, 0 otherwise\n"


def test_a_reader_that_has_gone_ends_the_command(folder):
    (folder / "inference.py").write_text(PROGRAM.replace("return data", "return data * 200000"))
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        command("invoke", "inference.py"),
        cwd=folder,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert done.returncode == 1
    assert [line for line in done.stderr.splitlines() if not line.startswith("NOISE")] == []


def test_a_command_works_without_a_standard_output(folder):
    code = f"import os; os.close(1); {RUN}"
    words = [sys.executable, "-c", code, "invoke", "inference.py", "--output", "out.json"]
    run(folder, words)
    assert (folder / "out.json").read_text() == "[1]"


def test_the_output_is_given_back(capfd):
    with reserved_output() as output:
        sys.stdout.write("of others\n")
        os.write(1, b"of others\n")
        output.write("document\n")
    sys.stdout.write("afterwards\n")
    os.write(1, b"afterwards\n")
    out, err = capfd.readouterr()
    assert sorted(out.splitlines()) == ["afterwards", "afterwards", "document"]
    assert err == "of others\nof others\n"


def test_a_stream_that_somebody_has_put_there_is_used(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    with reserved_output() as output:
        sys.stdout.write("of others\n")
        output.write("document")
    assert stream.getvalue() == "document"
    assert sys.stdout is stream
