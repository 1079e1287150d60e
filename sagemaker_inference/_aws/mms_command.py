"""Support for containers that start the ``multi-model-server`` command themselves.

Our supervisor does not use this module.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference import _config
from sagemaker_inference._errors import StartError
from sagemaker_inference._log import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = get_logger()

MAIN_CLASS: Final = "com.amazonaws.ml.mms.ModelServer"

_ETC: Final = Path(__file__).parents[1] / "etc"
SINGLE_MODEL: Final = str(_ETC / "default-mms.properties")
MULTI_MODEL: Final = str(_ETC / "mme-mms.properties")
LOG: Final = str(_ETC / "stock-log4j2.xml")

_POLL_SECONDS: Final = 0.05
# Counted from when this process has no children: the command may not have been started yet.
_GRACE_SECONDS: Final = 2.0
_PR_SET_CHILD_SUBREAPER: Final = 36
_PPID, _STATE = 1, 0

# Processes whose exit code `ServerProcess.wait` waits for.
_awaited: set[int] = set()


def config_file() -> str:
    """The path of the configuration: AWS's, or in a private directory if that is read-only."""
    usual = Path("/etc", "sagemaker-mms.properties")
    if os.access(usual if usual.exists() else usual.parent, os.W_OK):
        return str(usual)
    return str(Path(tempfile.mkdtemp(prefix="sagemaker-mms-"), usual.name))


def properties(env: Any, handler_service: str | None, *, multi_model: bool) -> str:
    """The configuration of the ``multi-model-server`` command.

    Args:
        env: an `Environment`, or an object with its attributes.
        handler_service: the handler service; None leaves it to the model, or to SAGEMAKER_HANDLER
            in multi-model mode.
        multi_model: whether models are loaded and unloaded over HTTP.
    """
    size = env.max_request_size or _config.DEFAULT_MAX_PAYLOAD_IN_MB * _config.MEGABYTE
    address = f"http://0.0.0.0:{env.inference_http_port}"
    management = f"http://0.0.0.0:{env.management_http_port}"
    if not multi_model:
        # It has no authentication and loads code from any URL, so only multi-model mode exposes it.
        management = f"unix:{tempfile.mkdtemp(prefix='sagemaker-mms-')}/management.sock"
    values = {
        # In seconds: MMS's default_response_timeout is in minutes.
        "default_response_timeout_seconds": env.model_server_timeout_seconds
        or env.model_server_timeout,
        "default_workers_per_model": env.model_server_workers,
        "inference_address": address,
        "management_address": management,
        "vmargs": env.vmargs,
        "max_request_size": size,
        "max_response_size": size,
        "default_service_handler": handler_service,
    }
    lines = [f"{name}={value}" for name, value in values.items() if value]
    fixed = Path(MULTI_MODEL if multi_model else SINGLE_MODEL).read_text()
    return fixed.rstrip("\n") + "\n" + "\n".join(lines) + "\n"


class ServerProcess:
    """The Java process that the ``multi-model-server`` command has started.

    Attributes:
        pid: its process id.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        _awaited.add(pid)

    def wait(self) -> int | None:
        """Wait until it exits; return its exit code, or None if it is not our descendant."""
        try:
            status = self._status()
        finally:
            _awaited.discard(self.pid)
        if status is None:
            return None
        code = os.waitstatus_to_exitcode(status)
        if code not in (0, -signal.SIGTERM, 128 + signal.SIGTERM):
            logger.error("Multi Model Server ended with exit code %d", code)
        return code

    def _status(self) -> int | None:
        while True:
            try:
                return os.waitpid(self.pid, 0)[1]
            except ChildProcessError:
                # It is the child of its command until that exits.
                if not Path("/proc", str(self.pid)).exists():
                    return None
                time.sleep(_POLL_SECONDS)


def await_server(seconds: float) -> ServerProcess:
    """Find the server among the descendants of this process.

    The wait ends early if the command has exited, and at SIGTERM, which also stops the server.

    Args:
        seconds: how long to wait for the server to appear.

    Raises:
        StartError: it did not appear, or has exited.
        SystemExit: SIGTERM arrived.
    """
    # The command detaches from Java. As a subreaper (prctl(2)) this process becomes Java's parent
    # and gets its exit code; process 1 of a container does anyway.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    deadline = time.monotonic() + seconds
    alone_since: float | None = None
    with _stop_signal() as received:
        while time.monotonic() < deadline:
            descendants = _descendants()
            servers = [pid for pid in descendants if MAIN_CLASS in _command_line(pid)]
            if received:
                for pid in servers or descendants:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGTERM)
                raise SystemExit(128 + signal.SIGTERM)
            if servers:
                return ServerProcess(servers[0])
            now = time.monotonic()
            alone_since = None if descendants else alone_since or now
            if alone_since is not None and now - alone_since > _GRACE_SECONDS:
                break
            time.sleep(_POLL_SECONDS)
    message = (
        "Multi Model Server is not running: its command exited, or did not start it within "
        f"{seconds:g} s (SAGEMAKER_STARTUP_TIMEOUT). Its output is above."
    )
    raise StartError(message)


def reap_orphans() -> None:
    """Reap orphans that this process has inherited, but no child that code here waits for."""
    this_process = os.getpid()
    zombies = [
        pid
        for pid, stat in _processes()
        if stat[_STATE] == "Z" and int(stat[_PPID]) == this_process and pid not in _awaited
    ]
    if not zombies:
        return
    # The owner of a Popen will ask it for the exit code, which can be fetched only once.
    # By type: isinstance would trust objects that pretend to be of another class.
    popens = [item for item in gc.get_objects() if issubclass(type(item), subprocess.Popen)]
    claimed = {getattr(popen, "pid", None) for popen in popens}
    for pid in zombies:
        if pid not in claimed:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


@contextmanager
def _stop_signal() -> Iterator[list[int]]:
    """A list that SIGTERM is appended to when it arrives."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    previous = signal.signal(signal.SIGTERM, lambda number, _frame: received.append(number))
    try:
        yield received
    finally:
        signal.signal(signal.SIGTERM, previous)


def _processes() -> Iterator[tuple[int, list[str]]]:
    """All processes, with the fields of /proc/PID/stat starting at the state (proc(5))."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                yield int(entry.name), (entry / "stat").read_text().rpartition(")")[2].split()


def _descendants() -> list[int]:
    """The running descendants of this process."""
    parents = {pid: int(stat[_PPID]) for pid, stat in _processes() if stat[_STATE] != "Z"}
    family = {os.getpid()}
    while children := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= children
    return sorted(family - {os.getpid()})


def _command_line(pid: int) -> list[str]:
    try:
        return Path("/proc", str(pid), "cmdline").read_text(errors="replace").split("\0")
    except OSError:
        return []
