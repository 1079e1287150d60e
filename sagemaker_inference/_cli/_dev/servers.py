"""A server of the program, as a process: started ahead, and released when there is work for it.

Until then it has imported everything but the program, so that an edit is served at once.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference._os.interpreter import python_command
from sagemaker_inference._os.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sagemaker_inference._cli._dev.located import Located
    from sagemaker_inference.asgi._source import Source

HOST: Final = "127.0.0.1"
REAL: Final = "the real server"
IN_PROCESS: Final = "the ASGI application, in place of the real server, which needs Linux"
_KEPT_LINES: Final = 200
_WHOLE_LOG_SECONDS: Final = 1.0
# A server may wait for its release for as long as somebody thinks; the loads themselves are timed
# by whoever releases it.
_WEEK_SECONDS: Final = 7 * 24 * 3600


class Server(ABC):
    """A process that serves the program on a port of this machine, once it is released.

    Args:
        located: the program, and the folder of its model.
        address: where users reach it, in place of its own URL in its output.
        show: is called with each line of its output.

    Attributes:
        kind: what serves, for messages.
        located: as above.
        url: where.
        lines: the last lines of its output.
    """

    kind: str

    def __init__(self, located: Located, address: str, show: Callable[[str], object]) -> None:
        self.located = located
        self._address = address
        self.port = free_port(HOST)
        self.url = f"http://{HOST}:{self.port}"
        self.lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._show = show
        command, options = self._command(*located)
        # Bytecode is found again by the second and the size of its source: an edit may keep both.
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        # A Ctrl-C of the terminal is for this process, which ends the server. On Windows a group of
        # its own keeps the server from it, elsewhere a session.
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            **options,
        )
        self._reader = threading.Thread(target=self._read, name="output", daemon=True)
        self._reader.start()

    @abstractmethod
    def _command(self, source: Source, model_dir: str) -> tuple[Sequence[str], dict[str, Any]]:
        """The command of the process, and further arguments of Popen."""

    @abstractmethod
    def release(self) -> None:
        """Let it import the program, load the model and serve."""

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        with self._process.stdout as output:
            for raw in output:
                line = raw.decode("utf-8", "replace").rstrip().replace(self.url, self._address)
                self.lines.append(line)
                self._show(line)

    def poll(self) -> int | None:
        """The exit code of the process; None while it runs."""
        code = self._process.poll()
        if code is not None:
            # Its last lines say why.
            self._reader.join(_WHOLE_LOG_SECONDS)
        return code

    def terminate(self) -> None:
        """Have it answer what is in progress, and end."""
        self._process.terminate()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def close(self) -> None:
        """Forget it, when it has ended."""
        self._process.wait()
        self._reader.join(_WHOLE_LOG_SECONDS)


class RealServer(Server):
    """The server of a container, with one worker unless a variable says otherwise."""

    kind = REAL

    def _command(self, source: Source, model_dir: str) -> tuple[Sequence[str], dict[str, Any]]:
        # For Linux alone.
        from sagemaker_inference import _variables
        from sagemaker_inference._os.child_process import die_with_parent
        from sagemaker_inference._os.locked_folder import LockedFolder
        from sagemaker_inference._supervisor.settings import settings_from_environment

        self._folder = LockedFolder("sagemaker-dev-")
        self._gate = str(Path(self._folder.path, "gate"))
        self._opened: int | None = None
        os.mkfifo(self._gate)
        assert source.program is not None  # noqa: S101 - the command has a file
        settings = settings_from_environment(source.program, model_dir, host=HOST, port=self.port)
        config = replace(settings.config, gate=self._gate, startup_timeout=_WEEK_SECONDS)
        workers = settings.workers if _variables.WORKERS.text else 1
        settings = replace(settings, config=config, workers=workers)
        command = python_command("sagemaker_inference._supervisor.main", settings.dump())
        return command, {"stdin": subprocess.DEVNULL, "preexec_fn": die_with_parent}

    def release(self) -> None:
        """See `Server.release`."""
        # A FIFO that is opened for both does not wait for the workers that are still to come.
        self._opened = os.open(self._gate, os.O_RDWR)

    def close(self) -> None:
        """See `Server.close`."""
        super().close()
        if self._opened is not None:
            os.close(self._opened)
            self._opened = None
        self._folder.close()


class InProcessServer(Server):
    """The program as an ASGI application: what there is without Linux."""

    kind = IN_PROCESS

    def _command(self, source: Source, model_dir: str) -> tuple[Sequence[str], dict[str, Any]]:
        assert source.program is not None  # noqa: S101 - the command has a file
        module = "sagemaker_inference._cli._dev.in_process"
        command = python_command(module, source.program.path, model_dir, str(self.port))
        return command, {"stdin": subprocess.PIPE}

    def release(self) -> None:
        """See `Server.release`."""
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        # One that has ended is noticed by whoever waits for it.
        with contextlib.suppress(OSError):
            os.write(self._process.stdin.fileno(), b"go\n")

    def terminate(self) -> None:
        """See `Server.terminate`."""
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        # Not a signal, which ends a process of Windows at once.
        self._process.stdin.close()

    def close(self) -> None:
        """See `Server.close`."""
        super().close()
        self.terminate()


def kind_for_this_machine() -> type[Server]:
    """What serves on this machine."""
    return RealServer if sys.platform == "linux" else InProcessServer
