"""`invoke`: one request, and how its response is shown."""

from __future__ import annotations

import io
import re
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from support.one_answer import OneAnswer

from sagemaker_inference import codecs
from sagemaker_inference.__main__ import main
from sagemaker_inference._cli._pretty import shown
from sagemaker_inference.testing import Reply

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
from sagemaker_inference import model_loader, predictor

@model_loader
def load(model_dir):
    return {"a": 1}

@predictor
def predict(data, model, context):
    context.custom_attributes = context.custom_attributes or "none"
    if isinstance(data, str):
        if data == "break off":
            return (1 / number for number in (1, 0))
        return model[data]
    return data if context.headers.get("X-More") is None else ["more"]
"""


@pytest.fixture
def program(tmp_path: Path) -> str:
    (tmp_path / "inference.py").write_text(PROGRAM)
    (tmp_path / "request.json").write_text("[1,2]")
    (tmp_path / "rows.csv").write_text("1,2\n")
    (tmp_path / "nothing").write_text("1,2\n")
    return str(tmp_path / "inference.py")


def test_a_pipe_gets_the_bytes(program, capfdbinary):
    assert main(["invoke", program]) == 0
    assert capfdbinary.readouterr().out == b"[1,2]"


def test_the_name_of_a_file_says_its_type(program, tmp_path, capfdbinary):
    assert main(["invoke", program, str(tmp_path / "rows.csv"), "--accept", "text/csv"]) == 0
    assert capfdbinary.readouterr().out == b"1,2\n"
    unnamed = str(tmp_path / "nothing")
    assert main(["invoke", program, unnamed, "--content-type", "text/csv"]) == 0
    assert main(["invoke", program, unnamed]) == 2
    assert b"nothing has no known type: pass --content-type" in capfdbinary.readouterr().err


def test_the_standard_input_is_sent(program, monkeypatch, capfdbinary):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"[3]")))
    assert main(["invoke", program, "-", "--content-type", "application/json"]) == 0
    assert capfdbinary.readouterr().out == b"[3]"
    assert main(["invoke", program, "-"]) == 2
    assert b"the standard input has no known type" in capfdbinary.readouterr().err


def test_headers_are_sent_and_shown(program, capfdbinary):
    words = ["-H", "X-More: 1", "--custom-attributes", "a=b", "--include"]
    assert main(["invoke", program, *words]) == 0
    out = capfdbinary.readouterr().out.decode()
    assert out.startswith("200 OK\n")
    assert "\nx-amzn-sagemaker-custom-attributes: a=b\n" in out.lower()
    assert out.endswith('\n\n["more"]')


def test_a_failure_is_shown_and_its_traceback_logged(program, tmp_path, capfdbinary, caplog):
    (tmp_path / "request.json").write_text('"b"')
    assert main(["invoke", program]) == 1
    assert b'"code"' in capfdbinary.readouterr().out
    assert "KeyError: 'b'" in caplog.text


def test_a_stream_that_breaks_off_is_a_failure(program, tmp_path, capfdbinary):
    (tmp_path / "broken.json").write_text('"break off"')
    assert main(["invoke", program, str(tmp_path / "broken.json")]) == 1
    out, err = capfdbinary.readouterr()
    assert out.startswith(b"1.0\n")
    assert b"the stream broke off" in err


def test_the_body_is_written_to_a_file(program, tmp_path, capfdbinary):
    out = tmp_path / "out.json"
    assert main(["invoke", program, "--output", str(out)]) == 0
    assert out.read_bytes() == b"[1,2]"
    assert capfdbinary.readouterr().out == b""


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["nothing.json"], "there is no file nothing.json"),
        (["-H", "a"], "'a' is not a header"),
        (["-H", ": a"], "': a' is not a header"),
        (["-H", "a b: c"], "'a b' is not the name of a header"),
        (["--accept", "text/csv\nx: y"], "Accept cannot be 'text/csv\\nx: y': use printable ASCII"),
        (["--path", "ping"], "'ping' is not a path of a URL: write it as in --path /v1/chat"),
        (["--path", "/a b"], "'/a b' is not a path of a URL"),
        (["--custom-attributes", "Z\xfcrich"], "cannot be 'Z\xfcrich': use printable ASCII"),
    ],
)
def test_a_wrong_command_line_is_named(program, words, problem, capsys):
    assert main(["invoke", program, *words]) == 2
    assert problem in capsys.readouterr().err


def test_a_program_that_is_not_there_is_named_first(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for words in (["invoke", "a.py"], ["transform", "a.py", ".", "b"], ["replay", ".", "a.py"]):
        assert main(words) == 2
        assert "there is no file a.py. Name a program's file, or a" in capsys.readouterr().err


def test_the_last_header_of_a_name_is_sent(program, capfdbinary):
    words = ["--accept", "text/csv", "-H", "accept: application/json"]
    assert main(["invoke", program, *words]) == 0
    assert capfdbinary.readouterr().out == b"[1,2]"


def test_without_a_file_there_has_to_be_a_request(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["invoke", "http://127.0.0.1:1"]) == 2
    assert f"there is no request.json, request.csv ... in {tmp_path}" in capsys.readouterr().err
    (tmp_path / "request.csv").touch()
    assert main(["invoke", "http://127.0.0.1:1"]) == 1
    said = capsys.readouterr().err
    assert "there is no answer from http://127.0.0.1:1: " in said
    assert "Is the server running?" in said


def test_a_server_at_a_url_is_asked(program, tmp_path, capfdbinary):
    with OneAnswer(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n1,2\n") as server:
        assert main(["invoke", server.url, str(tmp_path / "rows.csv"), "--path", "/a?b=c"]) == 0
    assert capfdbinary.readouterr().out == b"1,2\n"
    head, _, body = server.received.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /a?b=c HTTP/1.1\r\n")
    assert b"\r\ncontent-type: text/csv" in head.lower()
    assert body == b"1,2\n"


def test_a_status_without_a_name_is_shown(program, capfdbinary):
    with OneAnswer(b"HTTP/1.1 299\r\nA: b\r\n\r\nc") as server:
        assert main(["invoke", server.url, program, "-H", "content-type: a/b", "-i"]) == 0
    assert capfdbinary.readouterr().out == b"299\nA: b\n\nc"


def printed(reply: Reply) -> str:
    from rich.console import Console

    text = io.StringIO()
    Console(file=text, width=60).print(shown(reply))
    return text.getvalue()


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        ("application/json", b'{"a":[1]}', '{\n  "a": [\n    1\n  ]\n}\n'),
        ("application/json", b"{", "{\n"),
        ("text/plain", b"a\n", "a\n"),
        ("application/jsonlines", b"1\n2\n", "1\n2\n"),
        ("image/png", b"1234", "image/png, 4 bytes: write the body with --output FILE\n"),
        ("a/b", b"1234", "a/b, 4 bytes: write the body with --output FILE\n"),
    ],
)
def test_a_terminal_shows_a_response_by_its_type(content_type, body, text):
    assert printed(Reply(200, [("Content-Type", content_type)], body)) == text


def test_a_terminal_shows_tables_and_arrays():
    rows = printed(Reply(200, [("Content-Type", "text/csv")], b"setosa,0.5\n"))
    assert "│ setosa │ 0.5 │" in rows
    many = printed(Reply(200, [("Content-Type", "text/csv")], b"1\n" * 51))
    assert "51 rows, of which these are the first" in many
    assert many.count("│ 1 │") == 50
    npy = codecs.for_content_type("application/x-npy").encode(np.ones((1, 2)), "a/b")
    array = printed(Reply(200, [("Content-Type", "application/x-npy")], bytes(npy)))
    assert array == "array of shape (1, 2), float64\n[[1. 1.]]\n"


def test_on_a_terminal_what_is_shown_is_readable(program, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    assert main(["invoke", program]) == 0
    out = capsys.readouterr().out
    # It may be bold, but has no colour.
    assert re.sub(r"\x1b\[[01]m", "", out) == "[\n  1,\n  2\n]\n"
    (tmp_path / "request.json").write_text("[[1, 2]]")
    assert main(["invoke", program, "--accept", "application/x-npy"]) == 0
    assert "array of shape (1, 2)" in capsys.readouterr().out
