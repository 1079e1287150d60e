"""`invoke --form`: fields and files, as curl sends them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from support.one_answer import OneAnswer

from sagemaker_inference.__main__ import main

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
from sagemaker_inference import Upload, model_loader, predictor

@model_loader
def load(): pass

@predictor
def predict(data: list[Upload], model):
    return [[one.filename, one.content_type, one.read().decode()] for one in data]
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inference.py").write_text(PROGRAM)
    (tmp_path / "request.json").write_text("[1,2]")
    (tmp_path / "rows.csv").write_text("1,2\n")
    return "inference.py"


def parts(words: list[str], capfdbinary: Any) -> Any:
    assert main(["invoke", *words]) == 0
    return json.loads(capfdbinary.readouterr().out)


def test_parts_are_fields_and_files(program, capfdbinary):
    words = ["--form", "size=5", "-F", "rows=@rows.csv", "-F", "a=b=c;d", "-F", "empty="]
    assert parts([program, *words], capfdbinary) == [
        [None, "", "5"],
        ["rows.csv", "text/csv", "1,2\n"],
        [None, "", "b=c;d"],
        [None, "", ""],
    ]


def test_parts_have_the_types_that_are_named(program, capfdbinary):
    words = ["-F", "rows=@rows.csv;type=text/plain", "-F", 'meta={"a":1};type=application/json']
    assert parts([program, *words], capfdbinary) == [
        ["rows.csv", "text/plain", "1,2\n"],
        [None, "application/json", '{"a":1}'],
    ]


def test_a_server_gets_a_form(program):
    with OneAnswer(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as server:
        assert main(["invoke", server.url, "--form", "rows=@rows.csv"]) == 0
    head, _, body = server.received.partition(b"\r\n\r\n")
    assert b"content-type: multipart/form-data; boundary=" in head.lower()
    assert b'name="rows"; filename="rows.csv"\r\nContent-Type: text/csv\r\n\r\n1,2\n' in body


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["-F", "a"], "'a' is not a part of a form. Write it as in: --form name=value"),
        (["-F", "=a"], "'=a' is not a part of a form"),
        (["-F", "a=@b"], "there is no file b"),
        (["rows.csv", "-F", "a=b"], "leave out rows.csv, or send it as --form NAME=@rows.csv"),
        (["-F", "a=b", "--content-type", "a/b"], "leave out the Content-Type a/b"),
        (["-F", "a=b", "-H", "content-type: a/b"], "leave out the Content-Type a/b"),
    ],
)
def test_what_is_no_form_is_named(program, words, problem, capsys):
    assert main(["invoke", program, *words]) == 2
    assert problem in capsys.readouterr().err
