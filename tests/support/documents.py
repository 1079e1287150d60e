"""What the documentation says, as something to test: its blocks, commands and replies."""

from __future__ import annotations

import http.client
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest
from support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT: Final = Path(__file__).parents[2]
# What a document writes for a part that differs each time, such as a request id.
ANYTHING: Final = "..."

_FENCE: Final = re.compile(r"^```([\w{}-]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_START_SECONDS: Final = 60
_STOP_SECONDS: Final = 30


class Block(NamedTuple):
    """A fenced block.

    Attributes:
        language: the word after the fence, "" if there is none.
        text: what is in it.
        line: where it begins.
        lead: the text between the block before and this one.
    """

    language: str
    text: str
    line: int
    lead: str


def blocks(path: Path) -> list[Block]:
    """The fenced blocks of a Markdown file."""
    text = path.read_text()
    found, end = [], 0
    for match in _FENCE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(match[1], match[2], line, text[end : match.start()]))
        end = match.end()
    return found


class Reply(NamedTuple):
    """An HTTP response; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: str


class Curl(NamedTuple):
    """A command ``curl``: what it sends, as far as the documentation uses it."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def read(cls, command: str, root: Path = ROOT) -> Curl:
        """Read a command; options that are not understood are refused."""
        words = iter(shlex.split(command.replace("\\\n", " ")))
        assert next(words) == "curl"
        headers, body, url = {"Accept": "*/*"}, b"", ""
        for word in words:
            if word == "-H":
                name, _, value = next(words).partition(": ")
                headers[name] = value
            elif word == "--data-binary":
                data = next(words)
                body = (root / data[1:]).read_bytes() if data[0] == "@" else data.encode()
            elif word == "-i":
                continue
            else:
                assert not word.startswith("-"), f"curl {word}"
                url = word
        base = "http://127.0.0.1:8080"
        assert url.startswith(base), url
        return cls(url.removeprefix(base), headers, body)

    def send(self, port: int) -> Reply:
        """Send it to a server on this machine."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_STOP_SECONDS)
        try:
            method = "POST" if self.body else "GET"
            connection.request(method, self.path, self.body or None, dict(self.headers))
            response = connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, headers, response.read().decode())
        finally:
            connection.close()


class Exchange(NamedTuple):
    """A command in a document and the reply that the document shows for it."""

    name: str
    curl: Curl
    reply: Reply
    language: str

    def check(self, got: Reply) -> None:
        """Assert that what came back is what the document shows; floats nearly so."""
        wanted = self.reply
        assert got.status == wanted.status, got
        for name, value in wanted.headers.items():
            assert got.headers.get(name) == value, got
        kind = wanted.headers.get("content-type", self.language)
        assert _same(_values(got.body, kind), _values(wanted.body, kind)), got.body


def exchanges(path: Path) -> list[Exchange]:
    """The commands of a document that are each alone in a block, and the blocks of their replies.

    Where the text between the two names a file ("The reply (`reply.csv`):"), that file must hold
    what the block holds.
    """
    found = []
    document = blocks(path)
    for block, after in pairwise(document):
        if block.language != "sh" or not block.text.startswith("curl ") or after.language == "sh":
            continue
        name = f"{path.relative_to(ROOT)}:{block.line}"
        for file in re.findall(r"`(reply[\w.-]*)`", after.lead):
            assert (path.parent / file).read_text() == after.text, name
        reply = _read_http(after.text) if after.language == "http" else Reply(200, {}, after.text)
        found.append(Exchange(name, Curl.read(block.text), reply, after.language))
    return found


def _read_http(text: str) -> Reply:
    head, _, body = text.partition("\n\n")
    first, *lines = head.splitlines()
    headers = dict(line.split(": ", 1) for line in lines)
    headers = {name.lower(): value for name, value in headers.items()}
    return Reply(int(first.split()[1]), headers, body)


def _values(text: str, kind: str) -> Any:
    if "json" in kind:
        return json.loads(text)
    if "csv" in kind:
        return [[_number(cell) for cell in line.split(",")] for line in text.splitlines()]
    return text.rstrip("\n")


def _number(cell: str) -> float | str:
    try:
        return float(cell)
    except ValueError:
        return cell


def _same(got: Any, wanted: Any) -> bool:
    if isinstance(wanted, float):
        return bool(got == pytest.approx(wanted, rel=1e-6, abs=1e-12))
    if isinstance(wanted, list):
        pairs = zip(got, wanted, strict=False)
        return len(got) == len(wanted) and all(_same(*pair) for pair in pairs)
    if isinstance(wanted, dict):
        return got.keys() == wanted.keys() and all(_same(got[key], wanted[key]) for key in wanted)
    return bool(got == wanted) or (wanted == ANYTHING and bool(got))


@contextmanager
def served(
    command: Sequence[str | Path], log: Path, *, env: Mapping[str, str] | None = None
) -> Iterator[int]:
    """Run a server, give its port, and stop it as SageMaker would: it must exit with 0.

    Args:
        command: the program and its arguments.
        log: gets its output.
        env: environment variables besides those of this process.
    """
    port = free_port()
    settings = {"SAGEMAKER_BIND_TO_PORT": str(port), "SAGEMAKER_MODEL_SERVER_WORKERS": "1"}
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [str(word) for word in command],
            # Not the checkout: an installed package is to be found where it is installed.
            cwd=log.parent,
            env={**os.environ, **settings, **(env or {})},
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            _await(process, port, log)
            yield port
            process.send_signal(signal.SIGTERM)
            assert process.wait(_STOP_SECONDS) == 0, log.read_text()
        finally:
            # Its children die with it.
            process.kill()


def _await(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        try:
            if Curl("/ping", {}, b"").send(port).status == http.HTTPStatus.OK:
                return
        except OSError:
            time.sleep(0.05)


def run(command: Sequence[str | Path], *, cwd: Path = ROOT) -> str:
    """Run a program to its end; it must exit with 0. Returns what it printed."""
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


PYTHON: Final = sys.executable
