"""``sagemaker-inference dev`` as a process of a test."""

from __future__ import annotations

import signal
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import httpx
from support.command import RUN, limited
from support.ports import free_port

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

PROGRAM: Final = """\
from sagemaker_inference import model_loader, predictor


@model_loader
def load(model_dir):
    return 1


@predictor
def predict(data, model):
    return data
"""
_MOST_SECONDS: Final = 180


class Developed:
    """The command, which runs.

    Attributes:
        url: where the program is served.
        client: a client of that.
        setup: what the command has printed at first.
        log: what it has logged so far, line by line.
    """

    def __init__(self, process: subprocess.Popen[str], port: int, folder: Path) -> None:
        self._process = process
        self._folder = folder
        self.url = f"http://127.0.0.1:{port}"
        self.client = httpx.Client(base_url=self.url, timeout=60, trust_env=False)
        self.setup = ""
        self.log: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stderr is not None
        self.log += self._process.stderr

    def invoke(self, data: Any = 1) -> httpx.Response:
        """Send a request."""
        return self.client.post("/invocations", json=data)

    def until(self, condition: Callable[[], object]) -> None:
        """Wait until something is the case."""
        end = time.monotonic() + _MOST_SECONDS
        while not condition():
            assert self._process.poll() is None, self.log
            assert time.monotonic() < end, self.log
            time.sleep(0.05)

    def wait_for(self, text: str) -> None:
        """Wait for a line of the log."""
        self.until(lambda: any(text in line for line in list(self.log)))

    def is_up(self) -> bool:
        """Whether pings are answered with 200."""
        return self.client.get("/ping").status_code == 200

    def edit(self, old: str, new: str) -> None:
        """Change the program, as editors do: by another file in its place."""
        path = self._folder / "inference.py"
        other = self._folder / "inference.tmp"
        other.write_text(path.read_text().replace(old, new))
        other.replace(path)

    def send(self, number: int) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def stop(self, number: int = signal.SIGINT) -> int:
        """Send a signal, and wait for the end; returns the exit code."""
        self._process.send_signal(number)
        code = self._process.wait(60)
        self._reader.join(30)
        return code


@contextmanager
def developed(folder: Path, *options: str, **environment: str) -> Iterator[Developed]:
    """Run the command, with a small program, until the end of the block.

    Args:
        folder: where its program is written, if there is none.
        *options: what follows the program; without `--console`, there is none.
        **environment: further variables.
    """
    port = free_port()
    path = folder / "inference.py"
    if not path.exists():
        path.write_text(PROGRAM)
    if "--console" not in options:
        options = (*options, "--console", "off")
    command = [sys.executable, "-c", RUN, "dev", "inference.py", "--port", str(port), *options]
    with limited(command, folder, environment, _MOST_SECONDS) as process:
        assert process.stdout is not None
        running = Developed(process, port, folder)
        try:
            running.setup = process.stdout.readline()
            yield running
        finally:
            running.client.close()
            process.terminate()
            process.wait(30)
