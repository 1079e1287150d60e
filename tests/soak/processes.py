"""What the processes of a server hold: descriptors and memory; and how their workers are killed."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from support.proc import descriptors, memory

if TYPE_CHECKING:
    from tests.server.conftest import Server

WORKER = "sagemaker_inference._worker"
STARTUP_SECONDS = 40
# A worker that is stopped is noticed and replaced in less.
SETTLE_SECONDS = STARTUP_SECONDS + 20
_POLL_SECONDS = 0.2
# One in so many is stopped instead of killed.
_STOPPED = 4
# How often it does not matter whether the workers have loaded.
_ANY_TIME = 0.1
READY = 'workers{state="ready"}'


def measures(server: Server, *names: str) -> dict[str, int]:
    """Some of its metrics; -1 for those that it does not have, or where it does not answer."""
    try:
        lines = server.request(method="GET", path="/metrics").body.decode().splitlines()
    except OSError:  # it has not opened its port yet, or is gone
        lines = []
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: int(values.get(f"sagemaker_inference_{name}", "-1")) for name in names}


class Held(NamedTuple):
    """What a process holds; of several workers, what the one holds that holds most."""

    descriptors: int
    megabytes: float


# How many MB a process may hold beyond what it held after the warm-up. Java's heap and its memory
# for bodies grow up to their limits, whatever is in them: those limits are small in a soak, so that
# what leaks leads to errors. A worker may be a new one.
MEMORY_BOUNDS = {"supervisor": 16.0, "front end": 128.0, "worker": 32.0}


def held(server: Server) -> dict[str, Held]:
    """What each kind of process holds."""
    pids = {
        "supervisor": [server.process.pid],
        "front end": server.pids("FrontEnd"),
        "worker": server.pids(WORKER),
    }
    return {kind: _most(list_) for kind, list_ in pids.items()}


def _most(pids: list[int]) -> Held:
    every = [Held(0, 0.0)]
    for pid in pids:
        with contextlib.suppress(OSError):  # it has ended
            every.append(Held(descriptors(pid), memory(pid) / (1 << 20)))
    return Held(max(one.descriptors for one in every), max(one.megabytes for one in every))


def leaks(server: Server, before: dict[str, Held]) -> list[str]:
    """What is held now beyond what was held before, once that does not change any more."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while (found := _leaks(before, held(server))) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return found


def _leaks(before: dict[str, Held], after: dict[str, Held]) -> list[str]:
    found = []
    for kind, bound in MEMORY_BOUNDS.items():
        old, new = before[kind], after[kind]
        if new.descriptors > old.descriptors:
            found.append(f"{kind}: {new.descriptors} descriptors, {old.descriptors} before")
        if new.megabytes > old.megabytes + bound:
            found.append(f"{kind}: {new.megabytes:.0f} MB, {old.megabytes:.0f} MB before")
    return found


class Killer:
    """Kills a worker every so often, and stops one at times.

    Args:
        server: whose workers they are.
        seconds: how often.
        least_left: where there are no more than these, none is killed.
        stops: whether some are stopped instead.
        able: how many workers are able to work when nothing happens. It mostly waits for that:
            else a slow machine would never have any.

    Attributes:
        kills: how many it has killed and stopped.
    """

    def __init__(
        self,
        server: Server,
        seconds: float,
        *,
        least_left: int = 0,
        stops: bool = False,
        able: int = 0,
    ) -> None:
        self.kills = 0
        self._stopped: set[int] = set()
        self._server = server
        self._seconds = seconds
        self._least_left = least_left
        self._stops = stops
        self._able = able
        self._random = random.Random(0)  # noqa: S311 - chance, not secrets

    @contextlib.contextmanager
    def at_work(self):
        """Kill for the duration of the block."""
        is_over = threading.Event()
        thread = threading.Thread(target=self._run, args=(is_over,))
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()

    def _run(self, is_over: threading.Event) -> None:
        while not is_over.wait(self._seconds):
            pids = self._server.pids(WORKER)
            if len(pids) <= self._least_left:
                continue
            are_able = not self._able or measures(self._server, READY)[READY] >= self._able
            if not are_able and self._random.random() > _ANY_TIME:
                continue
            pid = self._random.choice(pids)
            # One that is stopped while it loads is noticed late.
            is_stopped = self._stops and are_able and not self._random.randrange(_STOPPED)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP if is_stopped else signal.SIGKILL)
                self.kills += 1
                if is_stopped:
                    self._stopped.add(pid)

    def left(self) -> list[int]:
        """Those that it has stopped and nobody has replaced in time."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while left := self._stopped & set(self._server.pids(WORKER)):
            if time.monotonic() > deadline:
                break
            time.sleep(_POLL_SECONDS)
        self._stopped.clear()
        return sorted(left)
