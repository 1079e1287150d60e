"""The front end of many models and its processes, as a test plays them."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from made import LoopBench, settings

from sagemaker_inference._frontends.mms import launcher
from sagemaker_inference._supervisor.model_repository import MultiModel
from tests.server.conftest import free_port

if TYPE_CHECKING:
    from sagemaker_inference._ipc.messages import Report

SOURCE = """
    def model_fn(model_dir):
        return None

    def predict_fn(data, model):
        return data
"""


def load(name: str, path: Path | str) -> bytes:
    """The message with which the front end asks for a model."""

    def text(value: str) -> bytes:
        return struct.pack("!i", len(value)) + value.encode()

    size, gpu = struct.pack("!i", 1), struct.pack("!i", -1)
    return b"L" + text(name) + text(str(path)) + size + text("sagemaker_inference") + gpu + text("")


class Bench(LoopBench):
    """Many models, and who wants to know of them."""

    def __init__(self, folder: Path, **changes: object) -> None:
        super().__init__()
        self.folder = folder
        self.sockets: list[socket.socket] = []
        self.processes: list[subprocess.Popen[bytes]] = []
        Path(launcher.models_folder(str(folder))).mkdir()
        told = settings(model_dir=str(folder), port=free_port(), multi_model=True, **changes)
        self.many = MultiModel(told, self.loop, self, str(folder))
        self.loop.every(0.02, self.many.reap)

    def on_all_loaded(self, report: Report) -> None:
        self.heard.append("ready")

    def model(self, source: str = SOURCE) -> Path:
        """Write a model."""
        code = self.folder / "model" / "code"
        code.mkdir(parents=True, exist_ok=True)
        (code / "inference.py").write_text(textwrap.dedent(source))
        return code.parent

    def connect(self, data: bytes) -> socket.socket:
        """Open a connection as the front end does, and send something on it."""
        front, theirs = socket.socketpair()
        self.many.accept(theirs)
        front.setblocking(False)  # noqa: FBT003 - socket's own signature
        front.send(data)
        self.sockets.append(front)
        return front

    def link(self, path: Path, name: str = "m") -> socket.socket:
        """Come as a process that the front end has started."""
        process = subprocess.Popen(["/bin/sleep", "60"], start_new_session=True)
        self.processes.append(process)
        link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        link.connect(launcher.link_path(str(self.folder)))
        message = {
            "name": name,
            "path": str(path),
            "handler": "sagemaker_inference",
            "pid": process.pid,
        }
        link.send(json.dumps(message).encode())
        link.setblocking(False)  # noqa: FBT003 - socket's own signature
        self.sockets.append(link)
        return link

    def wait_answer(self, sock: socket.socket) -> bytes:
        """What comes back; nothing where the connection is closed."""
        answer: list[bytes] = []

        def has_come() -> bool:
            try:
                answer.append(sock.recv(65536))
            except BlockingIOError:
                return False
            except ConnectionResetError:
                answer.append(b"")
            return True

        self.wait(has_come)
        return answer[0]

    def end_processes(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()

    def close_models(self) -> None:
        self.many.close()
        self.many.close = lambda: None  # type: ignore[method-assign]

    def close(self) -> None:
        self.many.close()
        self.loop.close()
        for sock in self.sockets:
            sock.close()
        self.end_processes()


def status_of(answer: bytes) -> int:
    return int(struct.unpack("!i", answer[:4])[0])
