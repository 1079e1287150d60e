"""A front end as a test plays it: the real control socket, and no HTTP."""

from __future__ import annotations

import base64
import json
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagemaker_inference._frontends.base import Launch
from sagemaker_inference._os.event_loop import EventLoop
from sagemaker_inference._os.output import Outputs
from sagemaker_inference._supervisor.front_end import FrontEndProcess
from sagemaker_inference._supervisor.slot_pool import SlotPool

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference._supervisor.front_end import Request


class FakeFrontEnd:
    """Stands for a front end that can be started; its process only waits.

    Args:
        command: what to start in its place.
    """

    def __init__(self, command: tuple[str, ...] = ("/bin/sleep", "60"), hint: str = "") -> None:
        self.command = list(command)
        self.hint = hint

    def prepare(self, folder: str, control_socket: str) -> Launch:
        return Launch(self.command, {"CONTROL_SOCKET": control_socket})

    def background(self, folder: str) -> Launch | None:
        return None

    def connections_for(self, slots: int, workers: int) -> int:
        return slots * workers


class Bench:
    """A supervisor's surroundings, and the other end of its control socket.

    Attributes:
        heard: what the front end's owner has been told.
        requests: what it was asked to answer.
    """

    def __init__(self, folder: Path, front_end: FakeFrontEnd | None = None) -> None:
        self.loop = EventLoop()
        self.folder = folder
        self.heard: list[Any] = []
        self.requests: list[Request] = []
        self.pool = SlotPool()
        self.outputs = Outputs(self.loop)
        self.process = FrontEndProcess(
            front_end or FakeFrontEnd(), self.loop, str(folder), self.outputs, self
        )
        self._socket: socket.socket | None = None
        self._received = b""
        self._messages: list[dict[str, Any]] = []
        self.connections: dict[int, list[socket.socket]] = {}

    # What the supervisor's front end tells its owner.

    def on_front_end_failed(self, exit_code: int) -> None:
        self.heard.append(exit_code)

    def on_request(self, request: Request) -> None:
        self.requests.append(request)

    # The front end.

    @property
    def path(self) -> str:
        return str(Path(self.folder, "control.sock"))

    def connect(self) -> socket.socket:
        """Connect to the control socket."""
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(self.path)
        self._socket.setblocking(False)  # noqa: FBT003 - socket's own signature
        return self._socket

    @property
    def socket(self) -> socket.socket:
        return self._socket or self.connect()

    def send(self, kind: str, **fields: Any) -> None:
        """Say something to the supervisor."""
        self.socket.sendall(json.dumps({"type": kind, **fields}).encode() + b"\n")

    def request(
        self, number: int, method: str, target: str, body: bytes = b"", content_type: str = ""
    ) -> None:
        """Leave a request to the supervisor."""
        headers = [["Content-Type", content_type]] if content_type else []
        text = base64.b64encode(body).decode()
        self.send(
            "request",
            id=number,
            request_id="an-id",
            method=method,
            target=target,
            headers=headers,
            body=text,
        )

    def next(self, kind: str = "") -> dict[str, Any]:
        """The next message of the supervisor, or the next of this kind."""
        found: list[dict[str, Any]] = []

        def has_come() -> bool:
            self._receive()
            found[:] = [m for m in self._messages if kind in ("", m["type"])][:1]
            return bool(found)

        self.wait(has_come)
        self._messages.remove(found[0])
        return found[0]

    def _receive(self) -> None:
        try:
            self._received += self.socket.recv(1 << 16)
        except BlockingIOError:
            return
        *lines, self._received = self._received.split(b"\n")
        self._messages += [json.loads(line) for line in lines]

    def reply(self) -> tuple[int, int, Any]:
        """The next reply: id, status and document."""
        message = self.next("reply")
        return message["id"], message["status"], json.loads(base64.b64decode(message["body"]))

    def deploy(self) -> dict[str, Any]:
        """Do as the next message ``deploy`` says."""
        message = self.next("deploy")
        self.connections[message["id"]] = []
        for _ in range(message["connections"]):
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(message["socket"])
            sock.setblocking(False)  # noqa: FBT003 - socket's own signature
            self.connections[message["id"]].append(sock)
        self.send("deployed", id=message["id"])
        return message

    def retire(self) -> int:
        """Do as the next message ``retire`` says."""
        number: int = self.next("retire")["id"]
        for sock in self.connections.pop(number, ()):
            sock.close()
        self.send("retired", id=number)
        return number

    def wait(self, condition: Callable[[], bool], seconds: float = 10) -> None:
        """Let the supervisor go on until something is the case."""
        self.loop.after(seconds, lambda: None)
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, (self.heard, self._messages)
            self.loop.after(0.01, lambda: None)
            self.loop.turn()

    def hang_up(self) -> None:
        """Close the control socket."""
        if self._socket is not None:
            self._socket.close()

    def close(self) -> None:
        self.process.close()
        self.hang_up()
        for sockets in self.connections.values():
            for sock in sockets:
                sock.close()
        self.outputs.close()
        self.loop.close()
