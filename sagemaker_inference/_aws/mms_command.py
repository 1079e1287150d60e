"""Support for containers that start the ``multi-model-server`` command themselves.

Our supervisor does not use this module.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference import _variables
from sagemaker_inference._errors import StartError
from sagemaker_inference._log import get_logger
from sagemaker_inference._os import resources
from sagemaker_inference._os.orphans import OrphanReaper, processes
from sagemaker_inference._parsers import MEGABYTE

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = get_logger()

MAIN_CLASS: Final = "com.amazonaws.ml.mms.ModelServer"

_ETC: Final = Path(__file__).parents[1] / "etc"
SINGLE_MODEL: Final = str(_ETC / "default-mms.properties")
MULTI_MODEL: Final = str(_ETC / "mme-mms.properties")
LOG: Final = str(_ETC / "stock-log4j2.xml")

_POLL_SECONDS: Final = 0.05
_SOCKET: Final = "management.sock"
_REAP_MILLISECONDS: Final = 1000
# Counted from when this process has no children: the command may not have been started yet.
_GRACE_SECONDS: Final = 2.0
_PR_SET_CHILD_SUBREAPER: Final = 36
_PPID, _STATE = 1, 0

_orphans: Final = OrphanReaper()
# Processes whose exit code `ServerProcess.wait` waits for.
_awaited: set[int] = set()


def config_file() -> str:
    """The path of the configuration: AWS's, or in a private directory if that is read-only."""
    usual = Path("/etc", "sagemaker-mms.properties")
    if os.access(usual if usual.exists() else usual.parent, os.W_OK):
        return str(usual)
    return str(Path(_private_dir(), usual.name))


def properties(env: Any, handler_service: str | None, *, multi_model: bool) -> str:
    """The configuration of the ``multi-model-server`` command.

    Args:
        env: an `Environment`, or an object with its attributes.
        handler_service: the handler service; None leaves it to the model, or to SAGEMAKER_HANDLER
            in multi-model mode.
        multi_model: whether models are loaded and unloaded over HTTP.
    """
    size = env.max_request_size or _variables.DEFAULT_MAX_PAYLOAD_IN_MB * MEGABYTE
    address = f"http://0.0.0.0:{env.inference_http_port}"
    management = f"http://0.0.0.0:{env.management_http_port}"
    if not multi_model:
        # It has no authentication and loads code from any URL, so only multi-model mode exposes it.
        management = f"unix:{_private_dir()}/{_SOCKET}"
    # Without a number MMS counts the processors of the machine, not those of the container.
    workers = env.model_server_workers
    if not workers and not multi_model:
        workers = len(resources.gpus()) or resources.usable_cpus()
    values = {
        # In seconds: MMS's default_response_timeout is in minutes.
        "default_response_timeout_seconds": env.model_server_timeout_seconds
        or env.model_server_timeout,
        "default_workers_per_model": workers,
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
            _remove_socket()
        if status is None:
            logger.warning("Multi Model Server ended; its exit code is unknown")
            return None
        code = os.waitstatus_to_exitcode(status)
        if code not in (0, -signal.SIGTERM, 128 + signal.SIGTERM):
            logger.error("Multi Model Server ended with exit code %d", code)
        return code

    def _status(self) -> int | None:
        while True:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                # It is the child of its command until that exits.
                if not Path("/proc", str(self.pid)).exists():
                    return None
                time.sleep(_POLL_SECONDS)
            else:
                if pid:
                    return status
                self._wait_a_while()
            reap_orphans()

    def _wait_a_while(self) -> None:
        """Wait until it exits, or for a second: there may be orphans to reap."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except OSError:  # a kernel without it
            time.sleep(_POLL_SECONDS)
            return
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        poll.poll(_REAP_MILLISECONDS)
        os.close(descriptor)


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
    _orphans.reap(_awaited)


@cache
def _private_dir() -> str:
    """A directory that only this user can read: one for a process, however often it is asked."""
    return tempfile.mkdtemp(prefix="sagemaker-mms-")


def _remove_socket() -> None:
    """Remove the server's socket and its directory, unless that has the configuration as well."""
    if _private_dir.cache_info().currsize:
        folder = Path(_private_dir())
        with suppress(OSError):
            (folder / _SOCKET).unlink(missing_ok=True)
            folder.rmdir()
            _private_dir.cache_clear()


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


def _descendants() -> list[int]:
    """The running descendants of this process."""
    parents = {pid: int(stat[_PPID]) for pid, stat in processes() if stat[_STATE] != "Z"}
    family = {os.getpid()}
    while children := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= children
    return sorted(family - {os.getpid()})


def _command_line(pid: int) -> list[str]:
    try:
        return Path("/proc", str(pid), "cmdline").read_text(errors="replace").split("\0")
    except OSError:
        return []
