"""Whether workers can be forked from a process: a fork copies one thread, and no other.

What waits for the others in a copy waits for ever: a team of OpenMP threads (torch, LightGBM),
a pool, a queue. So a zygote looks once it has loaded, before it forks.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Final, NoReturn

_TASKS: Final = Path("/proc/self/task")
# They change nothing that a copy waits for: jemalloc prepares itself for a fork. pyarrow starts one
# at its import.
_FORKED_WELL: Final = frozenset({"jemalloc_bg_thd"})
# A thread that has been joined is in that folder for a moment longer.
_SETTLE_SECONDS: Final = 0.5
_TRIAL_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.005


def obstacle(trial_seconds: float = _TRIAL_SECONDS) -> str:
    """Why this process cannot be forked, as the end of a sentence; "" where it can.

    Libraries that can be forked end their threads before a fork and start them when they are next
    used, as OpenBLAS does. Only a fork shows which: one is tried, whose copy ends at once.

    Args:
        trial_seconds: how long that may take.
    """
    if not _threads_that_stay():
        return ""
    has_ended = _try_fork(trial_seconds)
    threads = _threads_that_stay()
    if threads:
        return f"threads run once the model is loaded: {', '.join(threads)}"
    return "" if has_ended else "a copy of the process hangs as soon as it is forked"


def _threads_that_stay() -> list[str]:
    """Python threads by their names, and native ones by what the kernel calls them."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    while (names := _others()) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return names


def _others() -> list[str]:
    python = {thread.native_id: thread.name for thread in threading.enumerate()}
    native: Counter[str] = Counter()
    names = []
    for number in sorted(int(entry.name) for entry in _TASKS.iterdir()):
        if number not in python:
            native[_name_of(number)] += 1
        elif number != threading.get_native_id():
            names.append(repr(python[number]))
    return names + [
        f"{count} native named {name!r}"
        for name, count in native.items()
        if name not in _FORKED_WELL
    ]


def _name_of(number: int) -> str:
    try:
        return (_TASKS / str(number) / "comm").read_text().strip()
    except OSError:  # it has just ended
        return "?"


def _try_fork(seconds: float) -> bool:
    """Fork a copy that ends at once; whether it has."""
    with warnings.catch_warnings():
        # Python 3.12 and later warn of the threads that this is about.
        warnings.simplefilter("ignore", DeprecationWarning)
        copy = os.fork() or _leave()
    deadline = time.monotonic() + seconds
    while os.waitpid(copy, os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(copy, signal.SIGKILL)
            os.waitpid(copy, 0)
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _leave() -> NoReturn:
    os._exit(0)
