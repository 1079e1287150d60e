"""A program behind the real server: its processes, on a port of this machine."""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
import tempfile
import threading
import time
from dataclasses import replace
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, Final

from sagemaker_inference import _variables
from sagemaker_inference._errors import StartError
from sagemaker_inference._log import get_logger
from sagemaker_inference._os import linux
from sagemaker_inference._os.interpreter import python_command
from sagemaker_inference._os.ports import free_port
from sagemaker_inference.asgi._call import header_lines
from sagemaker_inference.asgi._ending import INTERRUPTED_SECONDS, is_interruption
from sagemaker_inference.asgi._source import source_of
from sagemaker_inference.testing._client import Client
from sagemaker_inference.testing._reply import Reply

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from typing_extensions import Self

logger = get_logger()

_HOST: Final = "127.0.0.1"
_POLL_SECONDS: Final = 0.02
# Seconds: the server itself ends within 22.5 s of SIGTERM.
_STOP_SECONDS: Final = 25.0
_CONNECT_SECONDS: Final = 10.0
_ANSWER_SECONDS: Final = 3600.0
_NOT_STARTED: Final = "the server does not run: write `with ServerProcess(...) as server:`"
# Of the log of a server that has ended by itself.
_LAST_LINES: Final = 30


class ServerProcess(Client):
    """The real server, with this program, and a client of it; it needs Linux and Java.

    It has one worker unless SAGEMAKER_MODEL_SERVER_WORKERS says something else; the other variables
    count as they do for `serve`. The file need not call `serve`.

    >>> from pathlib import Path
    >>> def answers(program: Path) -> bool:
    ...     with ServerProcess(program) as server:
    ...         return server.invoke([[5.1, 3.5, 1.4, 0.2]]).status_code == 200

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
        # Of the server that was stopped last.
        self._exit_code: int | None = None
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
        if self._log is not None:
            message = "the server is in use already: leave its `with` before entering it again"
            raise RuntimeError(message)
        self._log, self._exit_code = tempfile.TemporaryFile(), None
        try:
            self._process = self.launch(self._log)
            self._await_ready(self._process)
        except BaseException as error:
            self.__exit__(type(error))
            raise
        return self

    def launch(self, output: IO[bytes] | None = None) -> subprocess.Popen[bytes]:
        """Start the server without waiting until it is ready; the caller ends the process.

        Args:
            output: where it logs; None for this process's own output.

        Raises:
            StartError: this is not Linux, or a variable has a value that cannot be used.
        """
        linux.require("the server", "use TestClient, or the fixture sagemaker_endpoint.")
        # For Linux alone.
        from sagemaker_inference._os.child_process import die_with_parent
        from sagemaker_inference._supervisor.settings import settings_from_environment

        self.port = free_port(_HOST)
        settings = settings_from_environment(
            self._program,
            self._source.model_dir(self._model_dir),
            host=_HOST,
            port=self.port,
        )
        if not _variables.WORKERS.text:
            settings = replace(settings, workers=1)
        command = python_command("sagemaker_inference._supervisor.main", settings.dump())
        # To the kernel, the parent is the thread: another one may end while the server is used.
        is_lasting = threading.current_thread() is threading.main_thread()
        return subprocess.Popen(  # noqa: S603 - our own interpreter
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # A SIGINT from the terminal is for this process, which ends the server.
            start_new_session=True,
            # Nothing else would end it, where this process is killed.
            preexec_fn=die_with_parent if is_lasting else None,  # noqa: PLW1509 - no locks in it
        )

    def _await_ready(self, process: subprocess.Popen[bytes]) -> None:
        while not self._is_ready():
            if process.poll() is not None:
                message = f"the server has ended with {process.returncode}:\n{self.log}"
                raise StartError(message)
            time.sleep(_POLL_SECONDS)

    def _is_ready(self) -> bool:
        try:
            return self.ping().status_code == HTTPStatus.OK
        except OSError:
            return False

    def __exit__(self, kind: type[BaseException] | None = None, *_: object) -> None:
        if self._process is not None:
            # Where it has not started, or its block raises, that says why.
            if kind is None and self._process.poll() not in (None, 0):
                logger.error("%s", self._absence)
            self._end(INTERRUPTED_SECONDS if is_interruption(kind) else _STOP_SECONDS)
        if self._log is not None:
            self._log.close()
            self._log = None

    def terminate(self) -> int:
        """Stop the server as SageMaker does, by SIGTERM; returns its exit code.

        Of a server that has ended by itself, it is the exit code of that.

        Raises:
            RuntimeError: it has not been started, or is stopped already.
        """
        if self._process is None:
            raise RuntimeError(self._absence)
        return self._end(_STOP_SECONDS)

    @property
    def _absence(self) -> str:
        """Why there is no server; "" where it runs."""
        code = self._exit_code if self._process is None else self._process.poll()
        if code is None:
            return "" if self._process else _NOT_STARTED
        # For Linux alone.
        from sagemaker_inference._os.child_process import describe_exit

        if self._process is None:
            return f"the server has been stopped, and {describe_exit(code)}"
        lines = "\n".join(self.log.splitlines()[-_LAST_LINES:])
        what = f"the server {describe_exit(code)} before it was stopped"
        return f"{what}. The end of its log:\n{lines}"

    def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str | None] | None = None,
    ) -> Reply:
        """Send any request, over a connection of its own; see `Client.request`.

        Raises:
            ConnectionRefusedError: the server does not run; the message says why.
        """
        named = {name.decode(): value for name, value in header_lines(headers or {})}
        connection = http.client.HTTPConnection(_HOST, self.port, timeout=_CONNECT_SECONDS)
        try:
            try:
                connection.connect()
            except ConnectionRefusedError as error:
                raise ConnectionRefusedError(self._absence or str(error)) from error
            # The server has time limits of its own.
            connection.sock.settimeout(_ANSWER_SECONDS)
            connection.request(method, path, body, named)
            response = connection.getresponse()
            return Reply(response.status, response.getheaders(), response.read())
        finally:
            connection.close()

    def _end(self, seconds: float) -> int:
        """End the process, which may have ended; returns its exit code.

        Args:
            seconds: how long it may take to answer what is in progress.
        """
        process = self._process
        assert process is not None  # noqa: S101 - both callers look
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.terminate()
            process.wait(seconds)
        if process.poll() is None:
            # The second SIGTERM has the server end without waiting for requests.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.terminate()
                process.wait(_STOP_SECONDS)
        if process.poll() is None:
            process.kill()
        self._exit_code = process.wait()
        # Not before: who interrupts the wait leaves the block, which ends it.
        self._process = None
        return self._exit_code
