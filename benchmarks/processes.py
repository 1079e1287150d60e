"""A contender's server as a tree of processes: start, stop, and what the kernel counts of it."""

from __future__ import annotations

import http.client
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections import Counter, defaultdict
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from benchmarks import contender as contenders
from benchmarks.works import JSON_SMALL, Work

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.contender import Contender

HOST: Final = "127.0.0.1"
# MMS refuses ports of 32767 and above; the kernel gives out those of 32768 and above itself.
_PORTS: Final = range(20_000, 32_000)
_START_SECONDS: Final = 120.0
_STOP_SECONDS: Final = 15.0
_POLL_SECONDS: Final = 0.01
_TURN: Final = "BENCHMARK_TURN"
TICKS: Final = os.sysconf("SC_CLK_TCK")
# Of the surrounding shell, nothing may slow or steer a server.
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_FOREIGN: Final = ("OPENBLAS_", "OMP_", "PYTHON", "PIP_", "SAGEMAKER_", "MMS_", "VIRTUAL_ENV")


class ServerError(Exception):
    """A server did not start; the message has the last lines of its log."""


class Memory(NamedTuple):
    """Memory of all processes together, in MB of 1,000,000 bytes.

    Attributes:
        pss: what they hold, shared pages divided among those that share them.
        rss: the same, shared pages counted for each.
        peak: the sum of the most that each ever had resident.
    """

    pss: float
    rss: float
    peak: float


class _Identity(NamedTuple):
    """A process, however often its number is used again."""

    pid: int
    started: str


class Server:
    """A running contender.

    Args:
        contender: what to start.
        python: the Python of its environment.
        mode: what it is to be, see contenders/task.py.
        more: what else its environment says.
    """

    def __init__(
        self, contender: Contender, python: Path, mode: str, more: Mapping[str, str] = _NOTHING
    ) -> None:
        self.contender = contender
        self.port = _free_port()
        # A short path: sockets are made below it, and have at most 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="bm-"))
        self.start_seconds = 0.0
        self._mark = uuid.uuid4().hex
        self._known: set[_Identity] = set()
        self._log = self.folder / "server.log"
        environ = {
            name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)
        }
        environ |= {
            "PATH": f"{python.parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(contenders.FOLDER),
            "TMPDIR": str(self.folder),
            "TEMP": str(self.folder),
            # One worker each; the others' own programs say so.
            "SAGEMAKER_MODEL_SERVER_WORKERS": "1",
            "BENCHMARK_MODE": mode,
            "BENCHMARK_PORT": str(self.port),
            _TURN: self._mark,
            **more,
        }
        self._began = time.monotonic()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [python, contender.folder / contender.program],
                cwd=self.folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def await_first_answer(self, work: Work = JSON_SMALL) -> None:
        """Ask until the first answer of each model; `start_seconds` tells when all had come.

        Args:
            work: what is asked for.

        Raises:
            ServerError: it did not come.
        """
        model = 0
        while True:
            try:
                status, reply = self.ask(work, model)
            except (OSError, http.client.HTTPException) as error:
                why = str(error)
            else:
                if status == http.HTTPStatus.OK:
                    model += 1
                    if model < work.models:
                        continue
                    self.start_seconds = time.monotonic() - self._began
                    return
                why = f"status {status}: {reply[:200]!r}"
            if self._process.poll() is not None or self._age() > _START_SECONDS:
                message = f"no answer after {self._age():.0f} s ({why}). Its log:\n{self.tail()}"
                raise ServerError(message)
            time.sleep(_POLL_SECONDS)

    def _age(self) -> float:
        return time.monotonic() - self._began

    def ask(self, work: Work, model: int = 0) -> tuple[int, bytes]:
        """Send one request; returns the status and the body of the answer."""
        path, body = self.contender.target(work, model)
        connection = http.client.HTTPConnection(HOST, self.port, timeout=30)
        try:
            headers = self.contender.headers(work, model)
            connection.request(work.method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def check(self, work: Work) -> None:
        """See that it answers a work rightly, each model of it.

        Raises:
            WrongAnswerError: it does not.
        """
        for model in range(work.models):
            work.check(*self.ask(work, model))

    def tail(self) -> str:
        """The last lines of its log."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-12:])

    def pids(self) -> list[int]:
        """All of its processes.

        Some contenders have daemons, which leave the session and lose their parent, but carry the
        mark that the server was started with; some write their title over their environment, and so
        over the mark, but have a parent. Whoever was seen once stays known.
        """
        mark = f"{_TURN}={self._mark}".encode()
        parents: dict[_Identity, int] = {}
        found: dict[int, _Identity] = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                identity = _Identity(int(folder.name), fields[19])
                environ = (folder / "environ").read_bytes().split(b"\0")
            except OSError:  # ended meanwhile, or somebody else's
                continue
            if fields[0] == "Z":
                continue
            parents[identity] = int(fields[1])
            if mark in environ or identity in self._known:
                found[identity.pid] = identity
        count = 0
        while count < len(found):
            count = len(found)
            found |= {each.pid: each for each, parent in parents.items() if parent in found}
        self._known |= set(found.values())
        return list(found)

    def cpu(self) -> dict[str, float]:
        """Seconds of processor time so far, by kind of process."""
        spent: dict[str, float] = defaultdict(float)
        for pid in self.pids():
            try:
                stat = Path(f"/proc/{pid}/stat").read_text()
                kind = kind_of(Path(f"/proc/{pid}/exe").readlink().name)
            except OSError:
                continue
            spent[kind] += cpu_seconds(stat)
        return spent

    def memory(self) -> Memory:
        """What all processes hold now."""
        sums: Counter[str] = Counter()
        for pid in self.pids():
            try:
                text = Path(f"/proc/{pid}/smaps_rollup").read_text()
                text += Path(f"/proc/{pid}/status").read_text()
            except OSError:
                continue
            for line in text.splitlines():
                name, _, value = line.partition(":")
                if name in {"Pss", "Rss", "VmHWM"}:
                    sums[name] += int(value.split()[0]) * 1024
        return Memory(*(sums[name] / 1e6 for name in ("Pss", "Rss", "VmHWM")))

    def close(self) -> None:
        """End it: by its own means, then by force whatever is left."""
        self.pids()  # who loses its parent now is still known
        self._process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        while left := self.pids():
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            self._process.poll()
            time.sleep(_POLL_SECONDS)
        self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def kind_of(executable: str) -> str:
    """What kind of process an executable makes: java, python or other."""
    return next((kind for kind in ("java", "python") if executable.startswith(kind)), "other")


def cpu_seconds(stat: str) -> float:
    """Time in user and system mode from a line of /proc/PID/stat (proc(5), fields 14 and 15)."""
    # The second field is a name in parentheses, which may have blanks in it.
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _free_port() -> int:
    """A port that is free together with the two after it, which some contenders want too."""
    while True:
        port = random.choice(_PORTS)  # noqa: S311 - any will do
        if all(_is_free(each) for each in range(port, port + 3)):
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True
