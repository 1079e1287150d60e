"""On which processors the front end's threads run, on a machine that has just two.

The front end hands each request from thread to thread five times, and waking a thread on the other
processor costs more than what it then does. So while it is busy with small requests, its threads
share one processor, where one that is woken does not interrupt the one that wakes it (SCHED_BATCH,
sched(7)): a fifth more requests a second. The price is paid when something else runs there: they
wait for it, while the other processor may be idle. So while the front end has time to spare, or is
busy copying large bodies, its threads go where they like.

On more processors it would limit how much the front end can do; on one there is nothing to choose.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROC: Final = Path("/proc")
_PROCESSORS: Final = 2
# The front end's share of one processor. Measured with requests of 20 bytes: where clients ask as
# fast as they can 0.7 free and 0.75 bound, at half of that 0.57 free and 0.4 bound.
_BUSY: Final = 0.65
_AT_EASE: Final = 0.45
# Seconds that a thread runs before it waits. Measured: 10 to 20 µs where requests have 20 bytes,
# 50 µs where they have 77 KB, 600 µs where they have 4 MB.
_SHORT: Final = 100e-6
# What they do may wait; a request behind them may not.
_COMPILERS: Final = (b"C1 ", b"C2 ")
_TICKS: Final = os.sysconf("SC_CLK_TCK")
# Of /proc/PID/stat behind the name, which may hold spaces: utime and stime.
_TIMES: Final = slice(11, 13)
_WAITS: Final = re.compile(rb"^voluntary_ctxt_switches:\s*(\d+)", re.MULTILINE)


class Placement:
    """Binds the threads of a front end to one processor while that makes it faster.

    Args:
        pid: the front end's process.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._processors = os.sched_getaffinity(0)
        # Several servers on a machine shall not all choose the same one.
        self._chosen = {sorted(self._processors)[pid % len(self._processors)]}
        self._is_bound = False
        self._looked = monotonic()
        self._seconds = self._used()
        self._waits = 0

    def adjust(self) -> None:
        """Bind or release, by what the front end has done since the last call."""
        if len(self._processors) != _PROCESSORS:
            return
        now, seconds = monotonic(), self._used()
        used = seconds - self._seconds
        share = used / max(now - self._looked, 1 / _TICKS)
        self._looked, self._seconds = now, seconds
        if not self._is_bound and share < _BUSY:
            self._waits = 0
            return
        waits = self._waited()
        # Of a thread that has ended, the waits are gone too.
        is_short = bool(self._waits) and used < _SHORT * (waits - self._waits)
        self._waits = waits
        if share > _BUSY and is_short:
            # Again each time: threads come up as they are needed.
            self._place(self._chosen, os.SCHED_BATCH)
            self._is_bound = True
        elif self._is_bound and (share < _AT_EASE or not is_short):
            self._place(self._processors, os.SCHED_OTHER)
            self._is_bound = False

    def _used(self) -> float:
        """Seconds of processor that the front end has used; 0 when it has ended."""
        try:
            words = (_PROC / str(self._pid) / "stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            return 0.0
        return sum(map(int, words[_TIMES])) / _TICKS

    def _waited(self) -> int:
        """How often its threads have waited; 0 where the system does not tell."""
        waits = 0
        for task in self._tasks():
            with contextlib.suppress(OSError):
                found = _WAITS.search((task / "status").read_bytes())
                waits += int(found[1]) if found else 0
        return waits

    def _place(self, processors: set[int], policy: int) -> None:
        for task in self._tasks():
            # A system may refuse it: it only makes things faster.
            with contextlib.suppress(OSError):
                if not (task / "comm").read_bytes().startswith(_COMPILERS):
                    os.sched_setaffinity(int(task.name), processors)
                    os.sched_setscheduler(int(task.name), policy, os.sched_param(0))

    def _tasks(self) -> Iterator[Path]:
        """Its threads; they come and go, also while one looks."""
        return (_PROC / str(self._pid) / "task").glob("*")
