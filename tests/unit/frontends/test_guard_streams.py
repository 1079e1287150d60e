"""What the guard passes on, Netty reads as another parser of HTTP/1.1 does: h11.

Streams are generated: requests, several behind each other, most of them with bytes that are wrong.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import struct
import subprocess
from typing import TYPE_CHECKING, Any, Final

import h11
import pytest
from support.documents import ROOT
from support.java_sources import build

from sagemaker_inference._frontends.mms import jar

if TYPE_CHECKING:
    from collections.abc import Iterable

STREAMS: Final = 100_000
PARTS: Final = 40
CLOSED: Final = "the connection ends here"
# Where a request ends is not in doubt: a target with other bytes than ASCII, and an empty line
# before a request, which RFC 9112 (2.2) would have servers ignore.
STRICTER: Final = re.compile(r"illegal request line: .*\\x[89a-f]|no request line received")
WHY: Final = "no javac is on PATH: THE GUARD WAS NOT COMPARED WITH h11. Install a JDK."
CLASS: Final = "sagemaker.inference.frontend.GuardStreams"

LINES: Final = [
    b"POST /a HTTP/1.1",
    b"GET / HTTP/1.1",
    b"PUT http://x/ HTTP/1.1",
    b"POST /a HTTP/1.0",
]
FIELDS: Final = [
    b"Host: x", b"X: y", b"X:", b"X-Long: a, b \t", b"Connection: keep-alive", b"Accept: */*",
    b"Expect: 100-continue", b"TE: trailers", b"Cookie: a=\xe9",
]  # fmt: skip
FRAMING: Final = [
    b"Content-Length: 5", b"content-length:  5 ", b"Content-Length: 0", b"Content-Length: 05",
    b"Content-Length: 5, 5", b"Content-Length: +5", b"Content-Length: 5 5", b"Content-Length: 0x5",
    b"Transfer-Encoding: chunked", b"transfer-encoding: CHUNKED ", b"Transfer-Encoding: identity",
    b"Transfer-Encoding: chunked, identity", b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding : chunked", b" Content-Length: 5",
]  # fmt: skip
CHUNKS: Final = [
    b"5\r\nabcde\r\n", b"1\r\n\n\r\n", b"00002\r\n\r\n\r\n", b"2;a=b\r\nab\r\n",
    b"A\r\n0123456789\r\n",
    b'1;a="\r\nb"\r\na\r\n', b"1;a\nb\r\na\r\n", b"2\nab\r\n", b"2\r\nabc\r\n", b"2 \r\nab\r\n",
    b"0x2\r\nab\r\n", b"11111111111111111\r\n", b"-1\r\n", b"\r\n",
]  # fmt: skip
ENDS: Final = [
    b"0\r\n\r\n", b"00\r\nX: y\r\n\r\n", b"0;a\r\n\r\n", b"0\r\nX : y\r\n\r\n", b"0\n\n",
]  # fmt: skip
# What is put into a stream somewhere, or in place of a byte.
ODD: Final = [
    b"\r",
    b"\n",
    b"\r\n",
    b"\0",
    b"\t",
    b" ",
    b":",
    b";",
    b'"',
    b",",
    b"0",
    b"f",
    b"\x0b",
    b"\xff",
]


def stream(source: random.Random) -> bytes:
    """One to three requests, and what may be wrong with them."""
    made = b"".join(request(source) for _ in range(source.choice((1, 1, 2, 3))))
    for _ in range(source.choice((0, 0, 0, 1, 2))):
        position = source.randrange(len(made))
        made = made[:position] + source.choice(ODD) + made[position + source.randrange(2) :]
    return made


def request(source: random.Random) -> bytes:
    is_chunked = source.random() < 0.5
    # Usually what belongs together.
    framing = [b"Transfer-Encoding: chunked" if is_chunked else b"Content-Length: 5"]
    if source.random() < 0.25:
        framing = source.choices(FRAMING, k=source.choice((0, 1, 1, 2)))
        is_chunked = any(b"hunked" in field.lower() for field in framing)
    fields = [b"Host: x", *source.sample(FIELDS[1:], k=source.randrange(3)), *framing]
    if source.random() < 0.1:
        fields.append(b"Host: y" if source.random() < 0.5 else fields.pop(0))
    source.shuffle(fields)
    head = source.choices(LINES, (6, 2, 1, 1))[0] + b"\r\n" + b"\r\n".join(fields) + b"\r\n\r\n"
    if not is_chunked:
        return head + b"abcde"
    kinds = CHUNKS if source.random() < 0.3 else CHUNKS[:2]
    chunks = b"".join(source.choices(kinds, k=source.randrange(4)))
    return head + chunks + source.choices(ENDS, (8, 2, 1, 1, 1))[0]


def read_by_h11(data: bytes) -> tuple[list[dict[str, Any]], str]:
    """The messages that h11 reads, and why it reads no more."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    messages: list[dict[str, Any]] = []
    message: dict[str, Any] = {}
    try:
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                return messages, ""
            if event is h11.PAUSED:
                connection.start_next_cycle()
            elif isinstance(event, h11.Request):
                message = {
                    "method": event.method.decode(),
                    "target": event.target.decode(),
                    "version": f"HTTP/{event.http_version.decode()}",
                    "headers": as_texts(event.headers),
                    "body": "",
                }
            elif isinstance(event, h11.Data):
                message["body"] += bytes(event.data).decode("latin-1")
            elif isinstance(event, h11.EndOfMessage):
                messages.append({**message, "trailer": as_texts(event.headers)})
                connection.send(h11.Response(status_code=404, headers=[("content-length", "0")]))
                connection.send(h11.EndOfMessage())
                if connection.our_state is h11.MUST_CLOSE:
                    return messages, CLOSED
    except h11.RemoteProtocolError as error:
        return messages, f"h11 refuses it: {error}"


def as_texts(fields: Any) -> list[list[str]]:
    return alike([name.decode("latin-1"), value.decode("latin-1")] for name, value in fields)


def alike(fields: Iterable[list[str]]) -> list[list[str]]:
    """Fields as both may write them: Netty puts lengths anew, h11 codings in lower case."""
    changes = {"content-length": lambda value: str(int(value)), "transfer-encoding": str.lower}
    return sorted([name, changes.get(name, str)(value)] for name, value in fields)


@pytest.fixture(scope="module")
def class_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The Java that reads streams, compiled, before the jar that is served."""
    folder = tmp_path_factory.mktemp("java")
    sources = [path for path in build.TESTS if path.stem == "GuardStreams"]
    build.compile_classes(folder, sources, str(jar.OUR_JAR))
    return f"{folder}:{jar.OUR_JAR}:{jar.find_jar()}"


def read_by_the_front_end(streams: list[bytes], class_path: str) -> list[dict[str, Any]]:
    given = struct.pack(">i", len(streams))
    given += b"".join(struct.pack(">i", len(one)) + one for one in streams)
    log = ROOT / "sagemaker_inference" / "etc" / "log4j2.xml"
    command = ["java", f"-Dlog4j.configurationFile={log.as_uri()}", "-cp", class_path, CLASS]
    done = subprocess.run(command, input=given, capture_output=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr.decode()
    # log4j warns there as well.
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith(b"{")]


# In parts, since all of them take longer than a test may.
@pytest.mark.once
@pytest.mark.skipif(shutil.which("javac") is None, reason=WHY)
@pytest.mark.parametrize("seed", range(PARTS))
def test_what_the_guard_passes_netty_reads_as_h11_does(class_path: str, seed: int) -> None:
    source = random.Random(seed)  # noqa: S311 - nothing is secret
    streams = [stream(source) for _ in range(STREAMS // PARTS)]
    results = read_by_the_front_end(streams, class_path)
    passed = 0
    for data, result in zip(streams, results, strict=True):
        messages, why = read_by_h11(data)
        if why == CLOSED or STRICTER.search(why):
            # The answer to HTTP/1.0 is the last for h11. The front end may keep the connection.
            result["messages"] = result["messages"][: len(messages)]
        ours = [
            {**one, "headers": alike(one["headers"]), "trailer": alike(one["trailer"])}
            for one in result["messages"]
        ]
        assert ours == messages[: len(ours)], (data, why)
        passed += len(ours)
    refused = sum(result["refused"] for result in results)
    # Both happen often enough.
    assert passed > len(streams) / 2
    assert len(streams) / 4 < refused < 3 * len(streams) / 4
