"""URLs of servers on command lines."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagemaker_inference.__main__ import main
from sagemaker_inference._cli._endpoint import Endpoint
from sagemaker_inference._cli._urls import read_url

if TYPE_CHECKING:
    from pathlib import Path

MALFORMED = [
    "http://[::1",
    "http://",
    "http:///ping",
    "http://x:99999",
    "http://x:0",
    "http://x:-1",
    "http://x:port",
    "http://[::1%eth0]",
    "ftp://127.0.0.1:8080",
    "http://a b",
    "http://a\tb",
    "http://a/b c",
    "http://a/ä",
    "http://user:password@a",
    "http://a/?b",
    "http://a#b",
    "http://a..b",
    f"http://{'a' * 64}",
    "http://a\ud800",
    "http://a%20b",
    "://",
    "http://\N{ACCOUNT OF}",
]


@pytest.mark.parametrize("url", MALFORMED)
@pytest.mark.parametrize("command", ["check", "invoke", "transform", "replay", "emulate"])
def test_each_command_refuses_what_is_not_a_url_in_one_line(
    command: str, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "request.csv"
    data.write_text("1\n")
    captured = tmp_path / "captured.jsonl"
    half = {"observedContentType": "text/csv", "data": "1", "encoding": "CSV"}
    halves = {"captureData": {"endpointInput": half, "endpointOutput": half}}
    captured.write_text(json.dumps(halves))
    words = {
        "check": [url],
        "invoke": [url, str(data)],
        "transform": [url, str(data), str(tmp_path / "out")],
        "replay": [str(captured), url],
        "emulate": ["--url", url],
    }
    assert main([command, *words[command]]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "is not a URL of a server: " in said
    assert "Write it as in http://127.0.0.1:8080" in said


def test_a_url_without_a_scheme_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["emulate", "--url", "127.0.0.1:8080"]) == 2
    assert "it does not begin with http:// or https:// and a host" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "read"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("HTTP://LocalHost:8080/invocations", "http://localhost:8080"),
        ("https://example.com/a/b/", "https://example.com/a/b"),
        ("http://[::1]:80", "http://[::1]:80"),
        ("http://[0:0::1]", "http://[::1]"),
        ("http://a_b:", "http://a_b"),
        ("http://bücher.example", "http://xn--bcher-kva.example"),
    ],
)
def test_a_url_is_read(url: str, read: str) -> None:
    assert str(read_url(url)) == read
    assert str(read_url(read)) == read


@settings(max_examples=50, deadline=None)
@given(st.text(alphabet="htps:/[]@.%#? \t0123456789abäß世\x00\u2100", max_size=30))
def test_whatever_is_read_can_be_asked(text: str) -> None:
    for url in (text, f"http://{text}"):
        try:
            read = str(read_url(url))
        except click.UsageError:
            continue
        endpoint = Endpoint(read)
        with httpx.Client(base_url=read) as client:
            assert client.base_url.host
        connection = endpoint._new(endpoint._host, endpoint._port)
        assert connection.host
        connection.putrequest("GET", f"{endpoint._root}/ping", skip_host=False)
