"""``sagemaker-inference emulate`` as a process of a test, and boto3's client of it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, Final

import boto3
import pytest
from support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

RUN: Final = (
    "import sys; from sagemaker_inference.__main__ import main; sys.exit(main(sys.argv[1:]))"
)
_MOST_SECONDS: Final = 60


class Started:
    """A command that runs.

    Attributes:
        port: where it serves.
        setup: what it has printed at first.
        rest: what it, and the container, have printed besides, when it has ended.
        log_rest: what of its log nobody has read, when it has ended.
    """

    def __init__(self, process: subprocess.Popen[str], port: int, setup: str) -> None:
        self._process = process
        self.port = port
        self.setup = setup
        self.rest = ""
        self.log_rest = ""

    @property
    def log(self) -> IO[str]:
        """Its log."""
        assert self._process.stderr is not None
        return self._process.stderr

    def wait_for(self, text: str) -> str:
        """The first line of the log that has a text."""
        seen = ""
        for line in self.log:
            seen += line
            if text in line:
                return line
        pytest.fail(f"the log ended without {text!r}:\n{seen}")

    def invoke(self, name: str = "demo", **more: Any) -> bytes:
        """`invoke_endpoint` of boto3; returns the body."""
        client = boto3.client(
            "sagemaker-runtime",
            endpoint_url=f"http://127.0.0.1:{self.port}",
            region_name="us-east-1",
            aws_access_key_id="none",
            aws_secret_access_key="none",  # noqa: S106 - signatures are not checked
        )
        try:
            body = client.invoke_endpoint(EndpointName=name, **more)["Body"].read()
        finally:
            client.close()
        assert isinstance(body, bytes)
        return body

    def stop(self, number: int) -> str:
        """Send a signal, and wait for the end; returns the rest of the log."""
        self._process.send_signal(number)
        assert self.wait() == 0
        return self.log_rest

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self.wait()

    def wait(self) -> int:
        """Wait for the end; returns the exit code."""
        self.rest, self.log_rest = self._process.communicate(timeout=60)
        return self._process.returncode


@contextmanager
def limited(
    command: list[str], cwd: Path, environment: Mapping[str, str], seconds: float
) -> Iterator[subprocess.Popen[str]]:
    """Run a command, not for ever if what a test waits for does not come."""
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    limit = threading.Timer(seconds, process.kill)
    with process:
        limit.start()
        try:
            yield process
        finally:
            limit.cancel()


@contextmanager
def started(*options: str, cwd: Path, code: str = RUN, **environment: str) -> Iterator[Started]:
    """Run the command until the end of the block.

    Args:
        *options: what follows ``emulate``, but for the port.
        cwd: where it runs.
        code: what a fresh interpreter runs.
        **environment: further variables.
    """
    port = free_port()
    command = [sys.executable, "-c", code, "emulate", "--port", str(port), *options]
    with limited(command, cwd, environment, _MOST_SECONDS) as process:
        assert process.stdout is not None
        try:
            yield Started(process, port, "".join(process.stdout.readline() for _ in range(4)))
        finally:
            process.kill()
