"""For containers that start Multi Model Server's own command: its configuration and its process.

Our own server needs none of this (`supervisor`).
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
# From the moment that no child of ours runs any more: the command may not have been started yet.
_GRACE_SECONDS: Final = 2.0
_PR_SET_CHILD_SUBREAPER: Final = 36
_PPID, _STATE = 1, 0

# Processes whose exit code somebody waits for through `ServerProcess.wait`.
_awaited: set[int] = set()


def config_file() -> str:
    """Where the configuration goes: AWS's place, or a private directory where that is read-only."""
    usual = Path("/etc", "sagemaker-mms.properties")
    if os.access(usual if usual.exists() else usual.parent, os.W_OK):
        return str(usual)
    return str(Path(tempfile.mkdtemp(prefix="sagemaker-mms-"), usual.name))


def properties(env: Any, handler_service: str | None, *, multi_model: bool) -> str:
    """The configuration of Multi Model Server's own command.

    Args:
        env: an `Environment`, or what has its attributes.
        handler_service: what loads and answers; None leaves it to the model, or to
            SAGEMAKER_HANDLER in multi-model mode.
        multi_model: whether models are loaded and unloaded over HTTP.
    """
    size = env.max_request_size or _config.DEFAULT_MAX_PAYLOAD_IN_MB * _config.MEGABYTE
    address = f"http://0.0.0.0:{env.inference_http_port}"
    management = f"http://0.0.0.0:{env.management_http_port}"
    if not multi_model:
        # It has no authentication and loads code from any address: not on the network unneeded.
        management = f"unix:{tempfile.mkdtemp(prefix='sagemaker-mms-')}/management.sock"
    values = {
        # MMS's default_response_timeout counts minutes.
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
    """The Java process that Multi Model Server's command has left behind.

    Attributes:
        pid: its process id.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        _awaited.add(pid)

    def wait(self) -> int | None:
        """Wait until it has ended; its exit code, or None where it is nobody's we could ask."""
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
                # Until its command has ended, it is the command's child.
                if not Path("/proc", str(self.pid)).exists():
                    return None
                time.sleep(_POLL_SECONDS)


def await_server(seconds: float) -> ServerProcess:
    """Find the server among the descendants of this process.

    One that has died is noticed at once, and SIGTERM ends the wait and the server.

    Args:
        seconds: how long it may take to appear.

    Raises:
        StartError: it did not appear, or is gone.
        SystemExit: SIGTERM came.
    """
    # Its command detaches from Java: as subreaper (prctl(2)) we become Java's parent then, as a
    # container's pid 1 is anyway, and get its exit code.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    deadline = time.monotonic() + seconds
    alone_since: float | None = None
    with _stop_signal() as stopped:
        while time.monotonic() < deadline:
            family = _descendants()
            servers = [pid for pid in family if MAIN_CLASS in _command_line(pid)]
            if stopped:
                for pid in servers or family:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGTERM)
                raise SystemExit(128 + signal.SIGTERM)
            if servers:
                return ServerProcess(servers[0])
            now = time.monotonic()
            alone_since = None if family else alone_since or now
            if alone_since is not None and now - alone_since > _GRACE_SECONDS:
                break
            time.sleep(_POLL_SECONDS)
    message = (
        "Multi Model Server is not running: its command ended, or did not start it in "
        f"{seconds:g} s (SAGEMAKER_STARTUP_TIMEOUT). Its own words are above."
    )
    raise StartError(message)


def reap_strangers() -> None:
    """Reap what others have left to this process, and leave everybody's own children alone."""
    own = os.getpid()
    dead = [
        pid
        for pid, stat in _processes()
        if stat[_STATE] == "Z" and int(stat[_PPID]) == own and pid not in _awaited
    ]
    if not dead:
        return
    # Whoever holds a Popen will ask it for the exit code, which can be fetched only once.
    # By type: isinstance would ask objects that pretend to be of a class.
    held = [found for found in gc.get_objects() if issubclass(type(found), subprocess.Popen)]
    claimed = {getattr(found, "pid", None) for found in held}
    for pid in dead:
        if pid not in claimed:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


@contextmanager
def _stop_signal() -> Iterator[list[int]]:
    """A list that has the signal in it once SIGTERM has come."""
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    before = signal.signal(signal.SIGTERM, lambda number, _frame: came.append(number))
    try:
        yield came
    finally:
        signal.signal(signal.SIGTERM, before)


def _processes() -> Iterator[tuple[int, list[str]]]:
    """Every process, with the fields of /proc/PID/stat from the state on (proc(5))."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                yield int(entry.name), (entry / "stat").read_text().rpartition(")")[2].split()


def _descendants() -> list[int]:
    """Living descendants of this process."""
    parents = {pid: int(stat[_PPID]) for pid, stat in _processes() if stat[_STATE] != "Z"}
    found, added = {os.getpid()}, True
    while added:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        added = bool(more)
        found |= more
    return sorted(found - {os.getpid()})


def _command_line(pid: int) -> list[str]:
    try:
        return Path("/proc", str(pid), "cmdline").read_text(errors="replace").split("\0")
    except OSError:
        return []
