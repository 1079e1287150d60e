"""Programs as real processes behind the real front end, on 127.0.0.1."""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from support.models import Models
from support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

# Every process that a test starts inherits this variable, so that none can be overlooked.
MARK = "SAGEMAKER_INFERENCE_TEST"
# One that has not stopped by then does not: its program is at work on something long.
STOP_SECONDS = 3.0

ECHO = """
from sagemaker_inference import model_loader, predictor, serve

@model_loader
def load(model_dir):
    return None

@predictor
def predict(data, model):
    return data

serve(__name__)
"""

# What to do is in the request, so that one program serves for all kinds of accidents.
ACCIDENTS = """
import os, signal, sys, time
from sagemaker_inference import model_loader, on_shutdown, predictor, serve

@model_loader
def load(model_dir):
    return None

@predictor
def predict(data, model):
    if data == "exit":
        print("about to exit"); os._exit(3)
    if data == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if data == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if data == "fork":
        os.fork()
    if data == "memory":
        raise MemoryError
    if isinstance(data, dict):
        time.sleep(data["sleep"])
    return {"pid": os.getpid(), "omp": os.environ["OMP_NUM_THREADS"]}

@on_shutdown
def clean_up(model):
    print("cleaned up")

serve(__name__)
"""


class Reply(NamedTuple):
    """What came back over HTTP."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


def send(
    port: int,
    body: bytes | str = b"",
    headers: Mapping[str, str] | None = None,
    *,
    method: str = "POST",
    path: str = "/invocations",
    timeout: float = 60,
) -> Reply:
    """Send one request over a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        given = {"Content-Type": "application/json", **(headers or {})}
        connection.request(method, path, body, {k: v for k, v in given.items() if v})
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, found, response.read())
    finally:
        connection.close()


class Server:
    """A server process and what it has said.

    Attributes:
        folder: where its program is.
        port: where it serves.
        process: the process.
        request: `send` to it.
    """

    def __init__(
        self,
        folder: Path,
        arguments: Sequence[str],
        env: Mapping[str, str],
        port: int,
        output: int | None = None,
        before: Callable[[], None] | None = None,
    ) -> None:
        self.folder = folder
        self.port = port
        self.request = functools.partial(send, port)
        self.mark = uuid.uuid4().hex
        self._temporary = tempfile.mkdtemp(prefix="server-")
        self._log = folder / f"log-{self.mark}.txt"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=folder,
                env={**os.environ, "TMPDIR": self._temporary, **env, MARK: self.mark},
                stdout=log if output is None else output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                preexec_fn=before,  # noqa: PLW1509 - limits, and nothing that takes a lock
            )

    @property
    def log(self) -> str:
        """Everything it has printed so far."""
        return self._log.read_text(errors="replace")

    def wait_ready(self, seconds: float = 60) -> Server:
        """Wait for the line that says what is served."""
        self.wait_for_log("serving ", seconds)
        return self

    def wait_for_log(self, text: str, seconds: float = 30) -> None:
        """Wait until ``text`` stands in the log."""
        deadline = time.monotonic() + seconds
        while text not in self.log:
            assert self.process.poll() is None, f"it has ended: {self.log}"
            assert time.monotonic() < deadline, f"{text!r} did not come: {self.log}"
            time.sleep(0.02)

    def wait_busy(self, count: int, seconds: float = 30) -> None:
        """Wait until so many requests are there that have no answer yet.

        Raises:
            AssertionError: they do not come in time.
        """
        unanswered = re.compile(
            r"sagemaker_inference_requests_(?:running|waiting)(?:{.*})? (\d+)\n"
        )
        end = time.monotonic() + seconds
        while True:
            page = self.request(path="/metrics", method="GET").body.decode()
            if sum(map(int, unanswered.findall(page))) >= count:
                return
            assert time.monotonic() < end, page
            time.sleep(0.02)

    def wait_end(self, seconds: float = 60) -> int:
        """Wait until it has ended; the exit code."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(f"it did not end: {self.log}")

    def all_at_once(self, bodies: Sequence[bytes | str]) -> list[Reply]:
        """Send requests at the same time; their replies, in order."""
        with ThreadPoolExecutor(len(bodies)) as pool:
            return list(pool.map(self.request, bodies))

    def pids(self, name: str = "") -> list[int]:
        """Living processes that descend from it and have ``name`` in their command line."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                if self.mark.encode() not in (entry / "environ").read_bytes():
                    continue
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                if state != "Z" and name.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
        return sorted(found)

    def wait_workers(
        self, count: int, seconds: float = 60, *, other_than: Sequence[int] = ()
    ) -> None:
        """Wait until it has so many workers, none of them one of these."""
        deadline = time.monotonic() + seconds
        while len(set(self.pids("sagemaker_inference._worker")) - set(other_than)) < count:
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)

    def wait_gone(self, seconds: float = 10) -> None:
        """Wait until nothing that descends from it is alive."""
        deadline = time.monotonic() + seconds
        while self.pids():
            assert time.monotonic() < deadline, f"left behind: {self.pids()}"
            time.sleep(0.02)

    def stop(self) -> int:
        """Ask it to stop; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait_end()

    def clean_up(self) -> None:
        """End it, by force where it does not stop, and whatever it has left behind."""
        # Asked first: of what a killed process has run, no measurement is left, or half of one.
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired, AssertionError):
                self.process.wait(STOP_SECONDS)
                # Multi Model Server's own does not wait for its workers.
                self.wait_gone(STOP_SECONDS)
        is_killed = self.process.poll() in (None, -signal.SIGKILL)
        if self.process.poll() is None:
            # It replaces no worker then, and workers do not see it end before they do.
            self.process.send_signal(signal.SIGSTOP)
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        left = os.listdir(self._temporary)  # noqa: PTH208 - names are enough
        shutil.rmtree(self._temporary)
        assert is_killed or left == [], "it has ended and left temporary files behind"


@contextlib.contextmanager
def starting(folder: Path) -> Iterator[Callable[..., Server]]:
    """A function that starts programs; they are ended at the end of the block."""
    with contextlib.ExitStack() as stack:

        def start(
            source: str = ECHO,
            *,
            env: Mapping[str, str] | None = None,
            arguments: Sequence[str] = ("inference.py",),
            workers: int | None = 1,
            port: int | None = None,
            name: str = "inference.py",
            output: int | None = None,
            before: Callable[[], None] | None = None,
        ) -> Server:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(source))
            port = port or free_port()
            given = {"SAGEMAKER_BIND_TO_PORT": str(port), **(env or {})}
            if workers is not None:
                given["SAGEMAKER_MODEL_SERVER_WORKERS"] = str(workers)
            server = Server(folder, arguments, given, port, output, before)
            stack.callback(server.clean_up)
            return server

        yield start


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start a program: ``start(source, env=..., arguments=...)``; ended with the test."""
    with starting(tmp_path) as function:
        yield function


@pytest.fixture
def serve(start: Callable[..., Server]) -> Callable[..., Server]:
    """Start a program and wait until it serves."""
    return lambda *arguments, **options: start(*arguments, **options).wait_ready()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """As `serve`, but tests of a file that ask for the same get the same server.

    For tests that neither stop nor kill anything of it.
    """
    with contextlib.ExitStack() as stack:
        running: dict[str, Server] = {}

        def serve(source: str = ECHO, **options: Any) -> Server:
            key = repr((source, sorted(options.items())))
            if key not in running:
                start = stack.enter_context(starting(tmp_path_factory.mktemp("shared")))
                running[key] = start(source, **options).wait_ready()
            return running[key]

        yield serve


@pytest.fixture
def many(serve: Callable[..., Server], tmp_path: Path) -> Iterator[Callable[..., Models]]:
    """Start a server of many models; with the test it is stopped, and must leave nothing."""
    made: list[Models] = []

    def make(**env: str) -> Models:
        made.append(Models(serve, tmp_path, **env))
        return made[-1]

    yield make
    for one in made:
        if one.server.process.poll() is None:
            assert one.server.stop() == 0, one.server.log
            one.server.wait_gone()
