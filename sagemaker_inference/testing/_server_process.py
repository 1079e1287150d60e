"""A program behind the real server: its processes, on a port of this machine."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, Final

from sagemaker_inference import _variables
from sagemaker_inference._errors import StartError
from sagemaker_inference._os.child_process import python_command
from sagemaker_inference.asgi._source import source_of
from sagemaker_inference.testing._client import Client
from sagemaker_inference.testing._reply import Reply

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from typing_extensions import Self

_HOST: Final = "127.0.0.1"
# Below those that the kernel gives to clients, of which one may get it in between.
_PORTS: Final = range(20000, 32000)
_POLL_SECONDS: Final = 0.02
# Seconds: the server itself ends within 22.5 s of SIGTERM.
_STOP_SECONDS: Final = 25.0
_CONNECT_SECONDS: Final = 10.0
_ANSWER_SECONDS: Final = 3600.0


class ServerProcess(Client):
    """The real server, with this program, and a client of it; it needs Linux and Java.

    It has one worker unless SAGEMAKER_MODEL_SERVER_WORKERS says something else; the other variables
    count as they do for `serve`. The file need not call `serve`.

    >>> with ServerProcess("inference.py") as server:  # doctest: +SKIP
    ...     server.invoke([[5.1, 3.5, 1.4, 0.2]]).json()

    Args:
        program: the program's file, or its module.
        model_dir: the folder of the model; by default where `serve` looks for it.

    Attributes:
        port: where it serves, on 127.0.0.1; 0 before.

    Raises:
        StartError: there is no such file. Within ``with``: the server has not started; the message
            has its log.
    """

    def __init__(
        self,
        program: str | os.PathLike[str] | ModuleType,
        *,
        model_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        self.port = 0
        source = source_of(program)
        if source.program is None:
            message = "a registry is in this process alone: pass the program's file."
            raise StartError(message)
        self._source = source
        self._program = source.program
        self._model_dir = model_dir
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it serves, for other clients."""
        return f"http://{_HOST}:{self.port}"

    @property
    def log(self) -> str:
        """What the server has logged so far."""
        if self._log is None:
            return ""
        # Not seek and read: the place in the file is the server's.
        number = self._log.fileno()
        return os.pread(number, os.fstat(number).st_size, 0).decode(errors="replace")

    def __enter__(self) -> Self:
        if sys.platform != "linux":
            message = "the server needs Linux: use TestClient, or the fixture sagemaker_endpoint."
            raise StartError(message)
        self._log = tempfile.TemporaryFile()
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self) -> None:
        # For Linux alone.
        from sagemaker_inference._supervisor.settings import settings_from_environment

        self.port = _free_port()
        settings = settings_from_environment(
            self._program,
            self._source.model_dir(self._model_dir),
            host=_HOST,
            port=self.port,
        )
        if not _variables.WORKERS.text:
            settings = replace(settings, workers=1)
        command = python_command("sagemaker_inference._supervisor.main", settings.dump())
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
            command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=subprocess.STDOUT
        )
        while not self._is_ready():
            if self._process.poll() is not None:
                message = f"the server has ended with {self._process.returncode}:\n{self.log}"
                raise StartError(message)
            time.sleep(_POLL_SECONDS)

    def _is_ready(self) -> bool:
        try:
            return self.ping().status_code == HTTPStatus.OK
        except OSError:
            return False

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            _end(self._process)
            self._process = None
        if self._log is not None:
            self._log.close()
            self._log = None

    def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send any request, over a connection of its own; see `Client.request`."""
        connection = http.client.HTTPConnection(_HOST, self.port, timeout=_CONNECT_SECONDS)
        try:
            connection.connect()
            # The server has time limits of its own.
            connection.sock.settimeout(_ANSWER_SECONDS)
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            return Reply(response.status, response.getheaders(), response.read())
        finally:
            connection.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    # The second SIGTERM has the server end without waiting for requests.
    for _ in range(2):
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
    if process.poll() is None:
        process.kill()
        process.wait()


def _free_port() -> int:
    while True:
        port = random.choice(_PORTS)  # noqa: S311 - no secret
        with socket.socket() as probe:
            try:
                probe.bind((_HOST, port))
            except OSError:
                continue
            return port
