"""Streams, WebSockets and sessions of one server, while its workers are killed.

Run it by hand, since it takes long::

    python -m tests.soak.streams --seconds 120

Clients read streams to their end, slowly or not at all, and hang up at any moment; talk over
WebSockets; and count with sessions. A stream has to be the one that was asked for, whole or without
its end, and a session goes on where it was or is said to be lost. In the end nothing may be left:
no request, no WebSocket, no descriptor, no memory.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from support.ports import free_port
from support.sockets import BIDIRECTIONAL, BINARY, CLOSE, LAST, Raw, closing, frame, handshake
from support.streams import Client, post

from tests.server.conftest import Server
from tests.soak.answers import Count, read_reply
from tests.soak.processes import Killer, held, leaks
from tests.soak.requests import VMARGS, faults_in_log, stop, wait_settled

if TYPE_CHECKING:
    from collections.abc import Callable

WORKERS = 2
SESSION = "X-Amzn-SageMaker-Session-Id"
PROGRAM = """
import asyncio
from sagemaker_inference import bidirectional, model_loader, predictor, serve, session_start

@model_loader
def load(model_dir):
    return None

@session_start
async def start():
    return {"n": 0}

async def items(data):
    for number in range(data["count"]):
        if number == data.get("fails"):
            raise ValueError("as it was asked to")
        if number % 10 == 0:
            await asyncio.sleep(data.get("pause", 0))
        yield f"{data['nonce']} {number} " + "x" * data.get("size", 0)

@predictor
async def predict(data, model, context):
    if context.session is not None:
        context.session.state["n"] += 1
        if data.get("close"):
            context.session.close()
        return context.session.state["n"]
    return items(data)

@bidirectional
async def talk(messages, model, context):
    async for message in messages:
        yield message

serve(__name__)
"""
_LINES = "Accept: application/jsonlines"
_END = b"0\r\n\r\n"
# What may happen to any request while workers are killed.
_HONEST = {"process_died", "service_unavailable", "prediction_timeout", "session_lost"}
_MOST_ITEMS = 200
_MOST_SIZE = 20_000


class StreamSoak:
    """One run.

    Attributes:
        count: what became of streams, messages and sessions.
        faults: what should not have been.
    """

    def __init__(self, folder: Path) -> None:
        self.count = Count()
        self.faults: list[str] = []
        self.kills = 0
        (folder / "inference.py").write_text(PROGRAM)
        env = {
            "SAGEMAKER_BIND_TO_PORT": str(free_port()),
            "SAGEMAKER_MODEL_SERVER_WORKERS": str(WORKERS),
            "SAGEMAKER_MODEL_SERVER_VMARGS": VMARGS,
        }
        self._server = Server(folder, ["inference.py"], env, int(env["SAGEMAKER_BIND_TO_PORT"]))
        self._is_over = threading.Event()

    def run(self, seconds: float, clients: int, kill_every: float) -> None:
        """Run for so long, and see what is left."""
        server = self._server
        try:
            wait_settled(server, WORKERS)
            # What is opened and loaded once is there then.
            self._play(clients, seconds / 3)
            self.faults += wait_settled(server, WORKERS)
            before = held(server)
            killer = Killer(server, kill_every, able=WORKERS)
            with killer.at_work():
                self._play(clients, seconds * 2 / 3)
            self.kills = killer.kills
            self.faults += wait_settled(server, WORKERS, "sockets_open")
            self.faults += leaks(server, before)
            self.faults += stop(server)
        finally:
            server.clean_up()
        self.faults += self.count.faults + faults_in_log(server.log)

    def _play(self, clients: int, seconds: float) -> None:
        self._is_over.clear()
        threads = [threading.Thread(target=self._client, args=(n,)) for n in range(clients)]
        for thread in threads:
            thread.start()
        self._is_over.wait(seconds)
        self._is_over.set()
        for thread in threads:
            thread.join()

    def _client(self, seed: int) -> None:
        dice = random.Random(seed)  # noqa: S311 - chance, not secrets
        kinds: list[Callable[[random.Random], str]] = [
            *(self._read, self._read, self._hang_up, self._read_slowly),
            *(self._fail, self._use_session, self._use_session, self._talk),
        ]
        while not self._is_over.is_set():
            kind = dice.choice(kinds)
            try:
                self.count.note(kind(dice))
            except Exception as error:  # noqa: BLE001 - counted
                self.count.note(f"LOST: {kind.__name__} {type(error).__name__} {error!r:.200}")

    # Streams.

    def _ask(self, dice: random.Random, **more: object) -> tuple[Client, list[str]]:
        data = {"nonce": dice.getrandbits(40), "count": dice.randrange(1, _MOST_ITEMS), **more}
        client = Client(self._server.port)
        client.send(data, _LINES)
        tail = "x" * int(str(data.get("size", 0)))
        return client, [f"{data['nonce']} {number} {tail}" for number in range(int(data["count"]))]

    def _read(self, dice: random.Random) -> str:
        client, items = self._ask(dice, size=dice.choice((0, 0, 100, _MOST_SIZE)))
        return _verdict(client, items)

    def _read_slowly(self, dice: random.Random) -> str:
        client, items = self._ask(dice, size=_MOST_SIZE)
        for _ in range(dice.randrange(1, 10)):
            client.data += client.sock.recv(10_000)
            time.sleep(0.02)
        return _verdict(client, items)

    def _hang_up(self, dice: random.Random) -> str:
        client, _ = self._ask(dice, pause=0.01, size=dice.choice((0, _MOST_SIZE)))
        if dice.random() < 0.7:
            client.sock.recv(dice.choice((1, 1000, 1 << 20)))
        client.close()
        return "gone"

    def _fail(self, dice: random.Random) -> str:
        client, items = self._ask(dice, fails=dice.randrange(1, 5), count=6)
        return _verdict(client, items, "prediction_failed")

    # Sessions.

    def _use_session(self, dice: random.Random) -> str:
        session = "NEW_SESSION"
        for turn in range(1, dice.randrange(2, 8)):
            client = Client(self._server.port)
            try:
                data = {"close": turn > 1 and dice.random() < 0.2}
                client.sock.sendall(post(data, f"{SESSION}: {session}"))
                with client.sock.makefile("rb") as file:
                    reply = read_reply(file)
            finally:
                client.close()
            if reply.status != 200:
                code = reply.json["error"]["code"]
                return f"session: {code}" if code in _HONEST else f"UNEXPECTED: session {code}"
            if reply.json != turn:
                return f"WRONG: a session counts {reply.json}, not {turn}"
            session = reply.headers.get(SESSION.lower(), session).partition(";")[0]
            if data["close"]:
                return "session: closed"
        return "session: left"

    # WebSockets.

    def _talk(self, dice: random.Random) -> str:
        with Raw(self._server.port, is_open=False) as raw:
            raw.send(handshake(BIDIRECTIONAL))
            head = raw.head()
            if not head.startswith(b"HTTP/1.1 101 "):
                code = json.loads(raw.body(head))["error"]["code"]
                return f"socket: {code}" if code in _HONEST else f"UNEXPECTED: socket {code}"
            for _ in range(dice.randrange(20)):
                message = dice.randbytes(dice.choice((0, 10, 1000, 100_000)))
                raw.send(frame(LAST | BINARY, message))
                found = raw.read()
                if found.first == LAST | CLOSE:
                    status, reason = found.close
                    is_honest = (status, reason.partition(":")[0]) == (1011, "process_died")
                    return "socket: lost" if is_honest else f"UNEXPECTED: {status} {reason}"
                if found.data != message:
                    return "WRONG: another message came back"
            if dice.random() < 0.5:
                return "socket: dropped"
            raw.send(closing(1000))
            answer = raw.read()
            is_closed = answer.first == LAST | CLOSE
            return "socket: closed" if is_closed else f"UNEXPECTED: {answer.data[:80]!r}"


def _verdict(client: Client, items: list[str], expected: str = "") -> str:
    """What a stream was, read to the end of its connection or of its body."""
    try:
        while _END not in client.data and (more := client.sock.recv(1 << 20)):
            client.data += more
    except ConnectionResetError:
        pass
    finally:
        client.close()
    head, _, body = client.data.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        code = json.loads(body)["error"]["code"] if body else "nothing"
        return f"stream: {code}" if code in _HONEST else f"UNEXPECTED: stream {head!r:.80} {code}"
    text, is_whole = _unchunked(body)
    lines = text.split(b"\n")
    documents = [json.loads(line) for line in lines[:-1]]
    if is_whole:
        is_right = documents == items and lines[-1] == b"" and not expected
        return "stream: whole" if is_right else "WRONG: a whole stream has other items"
    code = ""
    if documents and isinstance(documents[-1], dict):
        code = documents.pop()["error"]["code"]
    if documents != items[: len(documents)]:
        return "WRONG: a broken stream has other items"
    if code == expected or code in _HONEST or not code:
        return f"stream: broken {code}".strip()
    return f"UNEXPECTED: a stream was broken off by {code or 'nothing'}"


def _unchunked(data: bytes) -> tuple[bytes, bool]:
    """A chunked body, or what there is of one that was broken off; and whether it has its end."""
    found = []
    while b"\r\n" in data:
        size, _, data = data.partition(b"\r\n")
        if int(size, 16) == 0:
            return b"".join(found), True
        found.append(data[: int(size, 16)])
        data = data[int(size, 16) + 2 :]
    return b"".join(found), False


def main() -> int:
    """Run the soak; 0 where all was as it should be."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak.streams",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--clients", type=int, default=24)
    parser.add_argument("--kill-every", type=float, default=2, metavar="SECONDS")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        soak = StreamSoak(Path(name))
        soak.run(options.seconds, options.clients, options.kill_every)
    lines = [f"{soak.kills} kills from outside"]
    lines += [
        f"{count:8d}  {verdict[:200]}" for verdict, count in soak.count.verdicts.most_common()
    ]
    lines += [f"FAULT     {fault}" for fault in soak.faults[:20]]
    lines.append(f"{len(soak.faults)} faults")
    print("\n".join(lines), flush=True)  # noqa: T201 - a script talks
    return int(bool(soak.faults))


if __name__ == "__main__":
    sys.exit(main())
