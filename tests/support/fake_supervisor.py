"""A supervisor and workers in threads, for tests of the front end as a process."""

from __future__ import annotations

import base64
import contextlib
import json
import queue
import socket
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any

from support.ports import free_port

from sagemaker_inference._frontends.mms.command import front_end_command
from sagemaker_inference._frontends.mms.jar import class_path
from sagemaker_inference._frontends.mms.java import find_java
from sagemaker_inference._http.messages import Response
from sagemaker_inference._ipc import wire

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sagemaker_inference._http.messages import Request

_VALUE_LIMIT = 1 << 28
MEGABYTE = 1 << 20


def java_command(config: Path, *vmargs: str) -> list[str]:
    """Return what starts the front end."""
    return front_end_command(
        find_java(),
        class_path(),
        config,
        *("-Xmx256m", "-XX:MaxDirectMemorySize=512m"),
        *vmargs,
    )


def echo(request: Request) -> Response:
    """Answer with the body."""
    return Response(bytes(request.body or b""), "application/octet-stream")


class FakeWorkers:
    """Listens on a socket and answers each request in a thread of its connection.

    Args:
        path: of the socket.
        answer: makes the response to a request; None ends the connection.
    """

    def __init__(self, path: Path, answer: Callable[[Request], Response | None] = echo) -> None:
        self.path = path
        self.answer = answer
        self.requests: list[Request] = []
        self.connections: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(128)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections.append(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        data = bytearray()
        needed = 1
        with contextlib.suppress(OSError):
            while chunk := sock.recv(MEGABYTE):
                data += chunk
                if len(data) < needed:
                    continue
                result = wire.read(bytes(data), _VALUE_LIMIT)
                if isinstance(result, int):
                    needed = result
                    continue
                requests, end = result
                del data[:end]
                needed = 1
                self._reply(sock, requests[0])
        self._forget(sock)

    def _reply(self, sock: socket.socket, request: Request) -> None:
        self.requests.append(request)
        response = self.answer(request)
        if response is None:
            sock.shutdown(socket.SHUT_RDWR)
            return
        for piece in wire.write(request.id, response):
            sock.sendall(piece)

    def _forget(self, sock: socket.socket) -> None:
        sock.close()
        with contextlib.suppress(ValueError):
            self.connections.remove(sock)

    def disconnect(self) -> None:
        """End all connections; further ones are taken."""
        for sock in list(self.connections):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End everything."""
        # A thread that is in accept() would keep the socket open.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.disconnect()
        self.path.unlink(missing_ok=True)


class FakeSupervisor:
    """Starts the front end and speaks the control protocol with it.

    Args:
        folder: for files and sockets.
        vmargs: further arguments for Java.
        properties: further configuration of the front end.

    Attributes:
        port: where clients connect.
        java: the process.
        hello: its first message.
    """

    def __init__(self, folder: Path, *vmargs: str, **properties: object) -> None:
        self.folder = folder
        self.port = free_port()
        self._messages: queue.Queue[dict[str, Any]] = queue.Queue()
        self._skipped: list[dict[str, Any]] = []
        self._workers: list[FakeWorkers] = []
        self._log = folder / "log.txt"
        control = folder / "control.sock"
        config = folder / "config.properties"
        settings = {
            "inference_address": f"http://127.0.0.1:{self.port}",
            "control_socket": control,
            "number_of_netty_threads": 1,
            "netty_client_threads": 1,
            **properties,
        }
        config.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(control))
            listener.listen()
            command = java_command(config, *vmargs)
            with self._log.open("wb") as log:
                self.java = subprocess.Popen(
                    command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
                )
            listener.settimeout(30)
            self._control, _ = listener.accept()
        self._may_read = threading.Event()
        self._may_read.set()
        threading.Thread(target=self._read, daemon=True).start()
        self.hello = self.expect("hello")

    @property
    def log(self) -> str:
        """What the front end has logged."""
        return self._log.read_text(errors="replace")

    def _read(self) -> None:
        with self._control.makefile("rb") as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    return  # the connection ended in the middle of a message
                self._messages.put(json.loads(line))
                self._may_read.wait()

    def pause(self) -> None:
        """Read one more message at most."""
        self._may_read.clear()

    def resume(self) -> None:
        """Read messages again."""
        self._may_read.set()

    def send(self, type: str, **fields: object) -> None:  # noqa: A002 - the protocol's word
        """Send a message."""
        self.send_bytes(json.dumps({"type": type, **fields}).encode() + b"\n")

    def send_bytes(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._control.sendall(data)

    def expect(self, type: str, timeout: float = 20, **fields: object) -> dict[str, Any]:  # noqa: A002
        """Wait for a message of a type with these fields; others are kept for later."""
        expected = {"type": type, **fields}
        for message in self._skipped:
            if expected.items() <= message.items():
                self._skipped.remove(message)
                return message
        deadline = time.monotonic() + timeout
        while True:
            try:
                message = self._messages.get(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                error = f"no {expected}, only {self._skipped}; {self.log}"
                raise AssertionError(error) from None
            if expected.items() <= message.items():
                return message
            self._skipped.append(message)

    def open(self) -> None:
        """Have the port opened."""
        self.send("open")
        self.expect("opened")

    def deploy(
        self,
        id: int,  # noqa: A002 - the protocol's word
        *routes: str,
        answer: Callable[[Request], Response | None] = echo,
        connections: int = 4,
    ) -> FakeWorkers:
        """Deploy workers and wait until they are."""
        workers = self.workers(f"{id}.sock", answer)
        self.send(
            "deploy",
            id=id,
            socket=str(workers.path),
            connections=connections,
            routes=routes or ("/invocations",),
            wait_limit=60.0,
        )
        self.expect("deployed", id=id)
        return workers

    def workers(
        self, name: str, answer: Callable[[Request], Response | None] = echo
    ) -> FakeWorkers:
        """Start workers that are not deployed."""
        workers = FakeWorkers(self.folder / name, answer)
        self._workers.append(workers)
        return workers

    def reply(self, request: dict[str, Any], body: bytes = b"", **fields: object) -> None:
        """Reply to a request that the front end has asked about."""
        answer = {"status": 200, "headers": [["content-type", "text/plain"]], **fields}
        self.send("reply", id=request["id"], body=base64.b64encode(body).decode(), **answer)

    def disconnect(self) -> None:
        """End the control connection."""
        self._control.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End everything."""
        self.resume()
        with contextlib.suppress(OSError):
            self.disconnect()
        self._control.close()
        try:
            self.java.wait(10)
        except subprocess.TimeoutExpired:
            self.java.kill()
            self.java.wait()
        for workers in self._workers:
            workers.close()
