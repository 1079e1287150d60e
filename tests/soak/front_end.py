"""Send requests to the front end alone while deployments are replaced and their workers hang up.

Run it by hand::

    python -m tests.soak.front_end --seconds 60

Supervisor and workers are threads of this process. Bodies that come back have to be those that were
sent, whatever their size; Netty looks for buffers that nobody has released, at each allocation.
"""

from __future__ import annotations

import argparse
import random
import re
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from support.fake_supervisor import FakeSupervisor

from tests.soak.answers import Count, read_reply
from tests.soak.processes import descriptors

if TYPE_CHECKING:
    from typing import BinaryIO

    from tests.server.conftest import Reply

_LEAK_DETECTION = "-Dio.netty.leakDetection.level=paranoid"
_FAULTS_IN_LOG = re.compile(r"^.*(?:LEAK|Exception).*", re.MULTILINE)
_CONNECTIONS = 3
_SIZES = (0, 10, 1000, 20_000, 300_000)
_AT_A_TIME = 50
# While workers hang up and deployments go.
_HONEST = {500, 503}
# In how many of the rounds workers hang up.
_HANG_UP = 0.15
_TIMEOUT = 30
_SETTLE_SECONDS = 10


class FrontEndSoak:
    """One run.

    Attributes:
        count: what became of requests.
        deployments: how many there were.
        faults: what should not have been.
    """

    def __init__(self, folder: Path) -> None:
        self.count = Count()
        self.deployments = 0
        self.faults: list[str] = []
        self._supervisor = FakeSupervisor(folder, _LEAK_DETECTION, number_of_netty_threads=3)
        # Two, of which one replaces the other.
        self._workers = [self._supervisor.workers(f"{number}.sock") for number in range(2)]
        self._is_over = threading.Event()

    def run(self, seconds: float, clients: int) -> None:
        """Run for so long, and see what is left."""
        try:
            self._supervisor.open()
            self._deploy()
            # What Java opens once is open then.
            self._send(random.Random(0), seconds=1)  # noqa: S311 - chance, not secrets
            before = descriptors(self._supervisor.java.pid)
            threads = [threading.Thread(target=self._client, args=(n,)) for n in range(clients)]
            for thread in threads:
                thread.start()
            try:
                self._replace(seconds)
            finally:
                self._is_over.set()
                for thread in threads:
                    thread.join()
            self._look_for_leaks(before)
        finally:
            self._supervisor.close()
        self.faults += self.count.faults
        self.faults += _FAULTS_IN_LOG.findall(self._supervisor.log)
        # It ends because its supervisor does.
        if (code := self._supervisor.java.returncode) != 1:
            self.faults.append(f"exit code {code}")

    def _deploy(self) -> None:
        number = self.deployments = self.deployments + 1
        workers = self._workers[number % 2]
        self._supervisor.send(
            "deploy",
            id=number,
            socket=str(workers.path),
            connections=_CONNECTIONS,
            routes=["/invocations"],
            wait_limit=float(_TIMEOUT),
        )
        self._supervisor.expect("deployed", id=number)

    def _replace(self, seconds: float) -> None:
        dice = random.Random(0)  # noqa: S311 - chance, not secrets
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._deploy()
            cause = "another one takes its place"
            self._supervisor.send("retire", id=self.deployments - 1, cause=cause)
            self._supervisor.expect("retired", id=self.deployments - 1)
            if dice.random() < _HANG_UP:
                self._workers[self.deployments % 2].disconnect()

    def _look_for_leaks(self, before: int) -> None:
        deadline = time.monotonic() + _SETTLE_SECONDS
        while (now := descriptors(self._supervisor.java.pid)) > before:
            if time.monotonic() > deadline:
                self.faults.append(f"{now} descriptors, {before} before")
                return
            time.sleep(0.1)

    def _client(self, seed: int) -> None:
        dice = random.Random(seed)  # noqa: S311 - chance, not secrets
        while not self._is_over.is_set():
            self._send(dice)

    def _send(self, dice: random.Random, seconds: float = _TIMEOUT) -> None:
        try:
            address = ("127.0.0.1", self._supervisor.port)
            with socket.create_connection(address, _TIMEOUT) as sock, sock.makefile("rb") as file:
                self._send_several(dice, sock, file, time.monotonic() + seconds)
        except Exception as error:  # noqa: BLE001 - counted
            self.count.note(f"LOST: {type(error).__name__} {error}")

    def _send_several(
        self, dice: random.Random, sock: socket.socket, file: BinaryIO, deadline: float
    ) -> None:
        for _ in range(dice.randrange(1, _AT_A_TIME)):
            if self._is_over.is_set() or time.monotonic() > deadline:
                return
            body = dice.randbytes(dice.choice(_SIZES))
            head = f"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            message = head.encode() + body
            if dice.random() < 0.05:
                sock.sendall(message[: dice.randrange(len(message))])
                self.count.note("gone in the request")
                return
            sock.sendall(message)
            reply = read_reply(file)
            self.count.note(_verdict(body, reply))
            if reply.headers.get("connection") == "close":
                return


def _verdict(body: bytes, reply: Reply) -> str:
    if reply.status == 200:
        return "right" if reply.body == body else "WRONG"
    error = reply.json["error"]
    is_honest = reply.status in _HONEST and error["request_id"] == reply.headers["x-request-id"]
    what = f"{reply.status} {error['code']}"
    return what if is_honest else f"UNEXPECTED: {what} {error}"


def main() -> int:
    """Run the soak; 0 where all was as it should be."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak.front_end",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=12)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        soak = FrontEndSoak(Path(name))
        soak.run(options.seconds, options.clients)
    print(f"{soak.deployments} deployments in {options.seconds:.0f} s")  # noqa: T201 - a script talks
    for verdict, count in soak.count.verdicts.most_common():
        print(f"{count:8d}  {verdict[:200]}")  # noqa: T201 - a script talks
    for fault in soak.faults[:20]:
        print(f"FAULT     {fault[:500]}")  # noqa: T201 - a script talks
    print(f"{len(soak.faults)} faults")  # noqa: T201 - a script talks
    return int(bool(soak.faults))


if __name__ == "__main__":
    sys.exit(main())
