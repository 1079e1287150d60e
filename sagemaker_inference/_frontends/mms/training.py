"""A training run: the front end serves for a second, so that Java can record what a server uses.

Java records the classes that it loads and, from release 25 on, how their code is used. The run is a
server of its own in a private folder: this module plays its supervisor, its worker and its clients.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import threading
from pathlib import Path
from time import monotonic
from typing import IO, TYPE_CHECKING, Any, Final

from sagemaker_inference._frontends.mms.command import front_end_command
from sagemaker_inference._http.messages import Response
from sagemaker_inference._ipc import wire
from sagemaker_inference._os.child_process import die_with_parent
from sagemaker_inference._os.runtime_dir import PrivateFolder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sagemaker_inference._frontends.mms.java import Java
    from sagemaker_inference._http.messages import Request
    from sagemaker_inference.codecs import Body

_LAST_LINES: Final = 5
_POLL_SECONDS: Final = 0.05
_MEGABYTE: Final = 1 << 20
_MEMORY: Final = ("-Xmx256m", "-XX:MaxDirectMemorySize=256m")
_JSON: Final = "application/json"
# Of requests that are answered item by item.
_STREAMED: Final = "text/event-stream"
_SMALL: Final = b'{"instances": [[5.1, 3.5, 1.4, 0.2]]}'
_LARGE: Final = b"x" * _MEGABYTE
# Code that runs often is noted, too.
_SMALL_REQUESTS: Final = 40
_PIPELINED: Final = 4
# How long the front end lets a request wait for a worker.
_WAIT_SECONDS: Final = 60.0


class TrainingError(Exception):
    """A training run went wrong; the message says how."""


def run(java: Java, jars: str, flags: Sequence[str], seconds: float) -> None:
    """Start the front end with these flags, have it answer requests of each kind, and end it.

    Args:
        java: the virtual machine.
        jars: the front end's class path.
        flags: what has Java record.
        seconds: how long that may take.

    Raises:
        TrainingError: it did not work; the message has Java's last lines.
        OSError: a file or a socket cannot be made.
    """
    private = PrivateFolder()
    try:
        _run_in(Path(private.path), java, jars, flags, monotonic() + seconds)
    finally:
        private.close()


def run_java(command: Sequence[str], log: Path, seconds: float) -> None:
    """Run a Java that ends by itself.

    Raises:
        TrainingError: it failed, or took longer.
        OSError: it cannot be started.
    """
    with _started(command, log) as process:
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise TrainingError(_with_last_lines(f"it took over {seconds:g} s", log)) from None
    if code:
        raise TrainingError(_with_last_lines(f"it ended with exit code {code}", log))


@contextlib.contextmanager
def _started(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A Java that ends with the block, in the process group of this process."""
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - the Java that serves
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - no thread of ours runs by then
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _with_last_lines(problem: str, log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-_LAST_LINES:]
    return (
        f"{problem}. Its last lines:{''.join(f'{chr(10)}    {line}' for line in lines) or ' none'}"
    )


def _run_in(folder: Path, java: Java, jars: str, flags: Sequence[str], deadline: float) -> None:
    configuration, log = folder / "config.properties", folder / "log.txt"
    configuration.write_text(
        f"inference_address=unix:{folder / 'http.sock'}\n"
        f"control_socket={folder / 'control.sock'}\n"
        f"max_request_size={2 * _MEGABYTE}\n"
        "number_of_netty_threads=1\nnetty_client_threads=1\n"
    )
    command = front_end_command(java, jars, configuration, *_MEMORY, *flags)
    with _listening(folder / "control.sock") as listener, _started(command, log) as process:
        try:
            _direct(folder, _accept(listener, process, deadline), deadline)
            process.wait(max(0, deadline - monotonic()))
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            message = f"the front end's training run failed ({type(error).__name__}: {error})"
            raise TrainingError(_with_last_lines(message, log)) from None


@contextlib.contextmanager
def _listening(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        try:
            yield listener
        finally:
            # A thread that is in accept() would go on waiting.
            listener.shutdown(socket.SHUT_RDWR)


class _Supervisor:
    """Directs the front end: sends messages and waits for their answers, one after the other.

    Args:
        sock: the control socket.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._lines = sock.makefile("rb")

    def send(self, kind: str, **fields: object) -> None:
        self._socket.sendall(json.dumps({"type": kind, **fields}).encode() + b"\n")

    def expect(self, kind: str) -> dict[str, Any]:
        """The next message but for access lines, which is of this type.

        Raises:
            ValueError: it is not, or there is none.
        """
        message: dict[str, Any] = {"type": "access"}
        while message["type"] == "access":
            line = self._lines.readline()
            message = json.loads(line) if line else {"type": "the end"}
        if message["type"] != kind:
            problem = f"{kind} was expected and {message} came"
            raise ValueError(problem)
        return message

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


def _accept(
    listener: socket.socket, process: subprocess.Popen[bytes], deadline: float
) -> socket.socket:
    """Wait until the front end connects.

    Raises:
        OSError: it has ended, or its time is over.
    """
    listener.settimeout(_POLL_SECONDS)
    while True:
        with contextlib.suppress(TimeoutError):
            return listener.accept()[0]
        if process.poll() is not None or monotonic() > deadline:
            problem = "it did not connect"
            raise OSError(problem)


def _direct(folder: Path, control: socket.socket, deadline: float) -> None:
    """Have the front end serve, ask it for what servers are asked for, and let it go."""
    workers = folder / "workers.sock"
    control.settimeout(max(_POLL_SECONDS, deadline - monotonic()))
    supervisor = _Supervisor(control)
    with _listening(workers) as listener:
        threading.Thread(target=_work, args=(listener,), daemon=True).start()
        try:
            supervisor.expect("hello")
            supervisor.send("health", status=200, content_type=_JSON, body="{}\n")
            supervisor.send("ask", paths=["/models", "/models/*"])
            supervisor.send("open")
            supervisor.expect("opened")
            routes = ["/invocations", "/models/model/invoke"]
            supervisor.send(
                "deploy",
                id=1,
                socket=str(workers),
                connections=1,
                routes=routes,
                wait_limit=_WAIT_SECONDS,
            )
            supervisor.expect("deployed")
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(control.gettimeout())
                client.connect(str(folder / "http.sock"))
                _send_requests(client, supervisor)
            supervisor.send("retire", id=1, cause="the end")
            supervisor.expect("retired")
            supervisor.send("drain")
            supervisor.expect("drained")
        finally:
            supervisor.close()


def _send_requests(client: socket.socket, supervisor: _Supervisor) -> None:
    """Send requests of each kind over one connection, and read the responses."""
    with client.makefile("rb") as responses:

        def exchange(*requests: bytes) -> None:
            client.sendall(b"".join(requests))
            for _ in requests:
                _read_response(responses)

        small = _request("POST", "/invocations", _SMALL)
        for _ in range(_SMALL_REQUESTS):
            exchange(small)
        exchange(*[small] * _PIPELINED)
        exchange(_request("GET", "/ping"))
        exchange(_request("POST", "/invocations?threshold=0.5", b"1,2\n", "text/csv"))
        exchange(_request("POST", "/models/model/invoke", _LARGE, "application/x-npy"))
        exchange(_request("POST", "/invocations", _SMALL, _STREAMED))
        exchange(_request("GET", "/invocations"), _request("GET", "/nowhere"))
        client.sendall(_request("GET", "/models"))
        asked = supervisor.expect("request")
        headers = [["content-type", _JSON]]
        supervisor.send("reply", id=asked["id"], status=200, headers=headers, body="e30K")
        _read_response(responses)


def _request(method: str, target: str, body: bytes = b"", content_type: str = _JSON) -> bytes:
    head = (
        f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _read_response(responses: IO[bytes]) -> None:
    """Read a response, of whatever status.

    Raises:
        ValueError: it breaks off.
    """
    length, is_chunked = 0, False
    while (line := responses.readline()) != b"\r\n":
        name, _, value = line.partition(b":")
        if not line:
            problem = "a response broke off"
            raise ValueError(problem)
        if name.lower() == b"content-length":
            length = int(value)
        is_chunked |= name.lower() == b"transfer-encoding"
    responses.read(length)
    while is_chunked:
        length = int(responses.readline(), 16)
        responses.read(length + len(b"\r\n"))
        is_chunked = length > 0


def _work(listener: socket.socket) -> None:
    """Answer each request with its body, some item by item, until the front end hangs up."""
    with contextlib.suppress(OSError):
        sock, _ = listener.accept()
        with sock:
            data = b""
            while chunk := sock.recv(_MEGABYTE):
                data += chunk
                message = wire.read(data, 2 * _MEGABYTE)
                if isinstance(message, tuple) and isinstance(message[0], list):
                    (request,), data = message[0], data[message[1] :]
                    response = Response(bytes(request.body or b""), _JSON)
                    for piece in _pieces(request, response):
                        sock.sendall(piece)


def _pieces(request: Request, response: Response) -> Sequence[Body]:
    if request.content_type != _STREAMED:
        return wire.write(request.id, response)
    chunk = wire.chunk(_SMALL)
    return [wire.begin_stream(request.id, response), chunk, chunk, wire.STREAM_END]
