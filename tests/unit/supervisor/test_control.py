"""JSON lines over a unix socket; the test is the front end."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

import pytest

from sagemaker_inference._os.event_loop import EventLoop
from sagemaker_inference._supervisor import control
from sagemaker_inference._supervisor.control import ControlSocket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Bench:
    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "control.sock")
        self.loop = EventLoop()
        self.messages: list[dict[str, Any]] = []
        self.lost: list[str] = []
        self.control = ControlSocket(self.loop, self.path, self.messages.append, self.lost.append)
        self.sockets: list[socket.socket] = []

    def connect(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(20)
        self.sockets.append(sock)
        sock.connect(self.path)
        self.loop.turn()
        return sock

    def wait(self, condition: Callable[[], object]) -> None:
        while not condition():
            self.loop.turn()

    def close(self) -> None:
        self.control.close()
        for sock in self.sockets:
            sock.close()
        self.loop.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    one = Bench(tmp_path)
    yield one
    one.close()


def test_messages_come_one_by_one_wherever_they_are_cut(bench: Bench) -> None:
    front = bench.connect()
    lines = [{"type": "hello", "pid": 1}, {"type": "é€", "id": 2}, {"type": "third", "a": [None]}]
    data = b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)
    for cut in range(len(data)):
        bench.messages.clear()
        for piece in (data[:cut], data[cut:]):
            front.sendall(piece)
            if piece:
                bench.loop.turn()
        assert bench.messages == lines, cut


def test_what_is_sent_before_it_has_connected_reaches_it(bench: Bench) -> None:
    bench.control.send("open")
    bench.control.send("health", status=200)
    front = bench.connect()
    assert front.recv(1000) == b'{"type": "open"}\n{"type": "health", "status": 200}\n'


def test_what_does_not_fit_the_sockets_buffer_follows(bench: Bench) -> None:
    front = bench.connect()
    for number in range(3):
        bench.control.send("reply", id=number, body="x" * (1 << 20))
    received = b""
    while received.count(b"\n") < 3:
        received += front.recv(1 << 16)
        bench.loop.after(0, lambda: None)
        bench.loop.turn()
    assert [json.loads(line)["id"] for line in received.splitlines()] == [0, 1, 2]
    front.sendall(b'{"type": "a"}\n')
    bench.wait(lambda: bench.messages)


def test_a_front_end_that_reads_nothing_is_given_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "_MOST_UNSENT", 1 << 20)
    bench.connect()
    for _ in range(3):
        bench.control.send("reply", body="x" * (1 << 20))
    assert bench.lost == ["it does not read what it is sent"]


def test_a_front_end_that_hangs_up_is_lost(bench: Bench) -> None:
    bench.connect().close()
    bench.wait(lambda: bench.lost)
    assert bench.lost == ["it has closed its control socket"]
    bench.control.send("open")


def test_a_front_end_that_is_gone_cannot_be_told_anything(bench: Bench) -> None:
    bench.connect().close()
    bench.control.send("open")
    assert bench.lost == ["it cannot be written to: Broken pipe"]


def test_a_reset_is_an_end(bench: Bench) -> None:
    front = bench.connect()
    bench.control.send("open")
    front.close()  # with what it has not read
    bench.wait(lambda: bench.lost)
    assert bench.lost == ["it cannot be read from: Connection reset by peer"]


@pytest.mark.parametrize("line", [b"nonsense", b"[]", b"{}", b"7", b'{"type', b"\xff"])
def test_what_is_not_a_message_ends_it(bench: Bench, line: bytes) -> None:
    front = bench.connect()
    front.sendall(line + b'\n{"type": "hello"}\n')
    bench.wait(lambda: bench.lost)
    assert bench.lost[0].startswith("it has sent what is not a message: ")
    assert bench.messages == []
    assert front.recv(1) == b""


def test_a_line_without_end_ends_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "_LONGEST_LINE", 1000)
    front = bench.connect()
    front.sendall(b"x" * 600)
    bench.loop.turn()
    assert bench.lost == []
    front.sendall(b"x" * 600)
    bench.wait(lambda: bench.lost)
    assert bench.lost == ["it has sent a line of more than 1000 bytes"]


def test_nobody_else_can_connect(bench: Bench) -> None:
    bench.connect()
    with pytest.raises(ConnectionRefusedError):
        bench.connect()


def test_a_message_may_be_the_last(bench: Bench) -> None:
    front = bench.connect()
    bench.control._on_message = lambda _message: bench.control.close()
    front.sendall(b'{"type": "a"}\n{"type": "b"}\n')
    bench.loop.turn()
    assert front.recv(1) == b""
    assert bench.lost == []


def test_a_connection_that_is_gone_before_it_is_accepted(bench: Bench) -> None:
    bench.control._accept()
    front = bench.connect()
    bench.control.send("open")
    assert front.recv(100) == b'{"type": "open"}\n'
    assert bench.control._socket is not None
    bench.control._read(bench.control._socket)
    assert bench.lost == []


def test_a_front_end_that_hangs_up_with_something_unread_is_lost_once(bench: Bench) -> None:
    front = bench.connect()
    bench.control.send("reply", body="x" * (1 << 20))
    front.close()
    bench.wait(lambda: bench.lost)
    assert bench.lost == ["it cannot be written to: Broken pipe"]
