"""Texts that are written in pieces, since orjson asks for eight times their memory."""

import subprocess
import sys
import textwrap

import orjson
import pytest

from sagemaker_inference.codecs import _json_writer, json, jsonlines, text
from sagemaker_inference.errors import EncodeError

LONG = 'ab\n"é\U0001f600\\\x01' * 5


@pytest.fixture(autouse=True)
def pieces(monkeypatch):
    monkeypatch.setattr(_json_writer, "_LONG_TEXT", 7)
    monkeypatch.setattr(_json_writer, "_LONGEST_TEXT", 100)


@pytest.mark.parametrize(
    "value",
    [
        LONG,
        LONG[:7],
        LONG[:8],
        {"a": LONG, "b": [1, LONG]},
        {"a": 1, "b": LONG},
        dict.fromkeys(LONG),
    ],
)
def test_texts_in_pieces_are_written_as_in_one(value):
    assert json.encode(value) == orjson.dumps(value)


def test_long_bytes_and_lines_are_written_as_texts():
    assert json.encode(LONG.encode()) == orjson.dumps(LONG)
    assert json.encode([LONG.encode()]) == orjson.dumps([LONG])
    assert jsonlines.encode([LONG]) == orjson.dumps(LONG) + b"\n"


def test_lone_surrogates_are_written_by_the_standard_library():
    assert orjson.loads(json.encode("\ud800" + LONG).replace(b"\\ud800", b"")) == LONG


def test_a_text_that_no_response_can_have_is_refused_at_once():
    for value in ("x" * 101, {"a": "x" * 101}):
        with pytest.raises(EncodeError, match="a text of 101 characters is too long"):
            json.encode(value)
    assert text.encode("x" * 101) == b"x" * 101


@pytest.mark.parametrize("value", ["long", "{'label': long}"])
def test_a_text_without_the_memory_for_eight_is_no_crash(value):
    source = f"""
        import resource
        from pathlib import Path
        from sagemaker_inference.codecs import json
        long = "x" * (100 << 20)
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + (700 << 20),) * 2)
        print(len(json.encode({value})))
    """
    code = textwrap.dedent(source)
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert int(result.stdout) >= 100 << 20
