"""Orphans: processes whose parent has exited, which this process has inherited and has to reap.

Process 1 of a container inherits them, and so does a subreaper. They cannot be told from children
that code of this process waits for, whose exit code can be fetched only once: so a zombie is left
alone for some seconds, and longer if an object stands for it. Nothing here calls ``waitpid(-1)``.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_SECONDS: Final = 5.0
_STATE, _PPID, _START_TIME = 0, 1, 19


class OrphanReaper:
    """Reaps children that nobody has waited for.

    Args:
        seconds: for how long a child has to be a zombie.
    """

    def __init__(self, seconds: float = _SECONDS) -> None:
        self._seconds = seconds
        # By process id and start time: ids are used again.
        self._since: dict[tuple[int, str], float] = {}

    def reap(self, spared: Collection[int] = ()) -> None:
        """Reap the zombies that are old enough; call it at SIGCHLD and now and then.

        Args:
            spared: process ids to leave alone.
        """
        if not _has_zombies():
            self._since = {}
            return
        now, this_process = time.monotonic(), os.getpid()
        zombies = [
            (pid, stat[_START_TIME])
            for pid, stat in processes()
            if stat[_STATE] == "Z" and int(stat[_PPID]) == this_process and pid not in spared
        ]
        self._since = {zombie: self._since.get(zombie, now) for zombie in zombies}
        old = [pid for (pid, _), since in self._since.items() if now - since >= self._seconds]
        claimed = _claimed() if old else set()
        for pid in old:
            if pid not in claimed:
                with suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)


def processes() -> Iterator[tuple[int, list[str]]]:
    """All processes, with the fields of /proc/PID/stat starting at the state (proc(5))."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                yield int(entry.name), (entry / "stat").read_text().rpartition(")")[2].split()


def _has_zombies() -> bool:
    try:
        return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return False


def _claimed() -> set[int]:
    """The children that a Popen or a Process of this process will ask the exit code of."""
    # By type: isinstance would trust objects that pretend to be of another class.
    popens = [item for item in gc.get_objects() if issubclass(type(item), subprocess.Popen)]
    # Looked up: if a Process was started, its module is imported.
    children = getattr(sys.modules.get("multiprocessing.process"), "_children", ())
    popens += [popen for child in list(children) if (popen := getattr(child, "_popen", None))]
    return {
        popen.pid
        for popen in popens
        if getattr(popen, "pid", None) and getattr(popen, "returncode", None) is None
    }
