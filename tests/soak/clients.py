"""Clients that wait, that send several requests at once, that stop reading, that go away."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING

from tests.soak.answers import Count, Dice, read_reply
from tests.soak.scenarios import WRITE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

_TIMEOUT = 60
# Beyond what the kernel keeps for a connection on both sides.
_ENDLESS_TIMES = 800_000
_LONG_TIMES = 100_000
# Their answers are in Java's memory, which is small.
_MOST_SLOW = 4
_MOST_AT_ONCE = 6
_MOST_IN_A_ROW = 60
_LINGER = struct.pack("ii", 1, 0)


class Clients:
    """Sends requests, and counts what becomes of them.

    Args:
        port: of the server.
        count: how many are to be sent, and what has become of them.
        connections: how many clients there are at the same time.
        accidents: how many times as many accidents as usual.
    """

    def __init__(self, port: int, count: Count, connections: int, accidents: float) -> None:
        self._port = port
        self._count = count
        self._connections = connections
        self._accidents = accidents
        self._seed = 0
        self._slow = threading.Semaphore(_MOST_SLOW)

    def run(self, requests: int) -> None:
        """Send so many requests, and wait until all clients have gone."""
        self._count.left = requests
        threads = []
        for _ in range(self._connections):
            self._seed += 1
            dice = Dice(self._seed, self._accidents)
            threads.append(threading.Thread(target=self._in_thread, args=(dice,)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _in_thread(self, dice: Dice) -> None:
        kinds = {
            self._wait_for_each: 12,
            self._several_at_once: 12,
            self._go_away: 15,
            self._stop_reading: 1,
        }
        while self._count.left > 0:
            [kind] = dice.random.choices([*kinds], [*kinds.values()])
            try:
                with self._connected() as (sock, file):
                    kind(dice, sock, file)
            except Exception as error:  # noqa: BLE001 - counted
                # Where the server is gone, none is sent: this has to end nevertheless.
                self._count.take()
                self._count.note(f"LOST: {kind.__name__} {type(error).__name__} {error}")

    @contextlib.contextmanager
    def _connected(self) -> Iterator[tuple[socket.socket, BinaryIO]]:
        with socket.socket() as sock:
            sock.settimeout(_TIMEOUT)
            # Small, so that it is full soon where a client does not read.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
            sock.connect(("127.0.0.1", self._port))
            with sock.makefile("rb") as file:
                yield sock, file

    def _wait_for_each(self, dice: Dice, sock: socket.socket, file: BinaryIO) -> None:
        for _ in range(dice.random.randrange(1, _MOST_IN_A_ROW)):
            if not self._count.take():
                return
            request = dice.request()
            sock.sendall(request.message)
            reply = read_reply(file)
            self._count.note(request.verdict(reply))
            if reply.headers.get("connection") == "close":
                return

    def _several_at_once(self, dice: Dice, sock: socket.socket, file: BinaryIO) -> None:
        requests = [dice.request() for _ in range(dice.random.randrange(2, _MOST_AT_ONCE))]
        requests = [request for request in requests if self._count.take()]
        sock.sendall(b"".join(request.message for request in requests))
        if dice.random.random() < 0.5:
            sock.shutdown(socket.SHUT_WR)
        for request in requests:
            self._count.note(request.verdict(read_reply(file)))

    def _stop_reading(self, dice: Dice, sock: socket.socket, file: BinaryIO) -> None:
        if self._slow.acquire(blocking=False):
            try:
                self._read_late(dice, sock, file)
            finally:
                self._slow.release()

    def _read_late(self, dice: Dice, sock: socket.socket, file: BinaryIO) -> None:
        if not self._count.take():
            return
        request = dice.echo(_ENDLESS_TIMES)
        sock.sendall(request.message)
        goes_on_in_time = dice.random.random() < 0.5
        sock.recv(1, socket.MSG_PEEK)
        time.sleep(WRITE_SECONDS * (0.25 if goes_on_in_time else 2.5))
        try:
            reply = read_reply(file)
        except OSError:
            # It was cut off, as it should be.
            self._count.note("LOST: a slow answer" if goes_on_in_time else "cut off")
        else:
            self._count.note(request.verdict(reply))

    def _go_away(self, dice: Dice, sock: socket.socket, file: BinaryIO) -> None:
        if not self._count.take():
            return
        request = dice.request()
        when = dice.random.choice(("in the request", "after it", "in the answer"))
        if when == "in the request":
            sock.sendall(request.message[: dice.random.randrange(len(request.message))])
        elif when == "after it":
            sock.sendall(request.message)
        else:
            sock.sendall(dice.echo(_LONG_TIMES).message)
            sock.recv(1000)
        if dice.random.random() < 0.5:
            # Closed by a reset.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
        self._count.note(f"gone {when}")
