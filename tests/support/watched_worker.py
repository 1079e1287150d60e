"""A worker that is a record, its connections, and a clock."""

from __future__ import annotations

import socket
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from sagemaker_inference._config import Config
from sagemaker_inference._ipc import slots
from sagemaker_inference._ipc.slots import SlotTable
from sagemaker_inference._supervisor import lost_requests, pulse, time_limits
from sagemaker_inference._supervisor.connections import Connections
from sagemaker_inference._supervisor.pulse import Pulse
from sagemaker_inference._supervisor.slot_pool import SlotPool
from sagemaker_inference._supervisor.time_limits import overdue
from sagemaker_inference._supervisor.worker_records import ModelRecord

if TYPE_CHECKING:
    import pytest

PID = 4711
CONFIG = replace(
    Config.from_environment(),
    timeout=10.0,
    workers_name="initial_workers",
    timeout_name="response_timeout",
)


class WatchedWorker:
    """A clock, connections and a worker that is a record.

    Attributes:
        now: the time.
        front: the front end's ends of the connections.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, count: int = 3) -> None:
        self.now = 100.0
        for module in (slots, pulse, time_limits, lost_requests):
            monkeypatch.setattr(module, "monotonic", lambda: self.now)
        self.connections = Connections(SlotTable(), SlotPool())
        self.table = self.connections.table
        self.front = []
        for _ in range(count):
            ours, theirs = socket.socketpair()
            self.front.append(ours)
            slot = self.connections.add(theirs)
            assert slot is not None
            self.connections.arm(slot)
        self.closed: list[int] = []
        self.counts = ModelRecord()
        self.worker: Any = SimpleNamespace(
            child=SimpleNamespace(pid=PID, is_stopped=False),
            index=0,
            patience=0.0,
            limit=1,
            pulse=Pulse(self.table, 0),
            is_loaded=True,
            loaded_at=self.now,
            is_overdue=False,
            killed_for="",
            ends_for="",
            guilty=frozenset(),
        )

    def run(
        self, slot: int, state: int = slots.RUNNING, *, tries: int = 0, kept: bool = True
    ) -> None:
        message = b"message"
        size = self.connections.journal.keep(slot, message) if kept else 0
        self.table.write(slot, state, PID, 1, f"id-{slot}", tries=tries, kept=size)

    def pass_time(self, seconds: int, *, beats: bool = False, config: Config = CONFIG) -> Any:
        """Look once a second; what the last look finds."""
        found = None
        for _ in range(seconds):
            self.now += 1
            if beats:
                self.table.beat(0)
            found = overdue(self.worker, self.connections, config)
        return found

    def close(self, slot: int) -> None:
        self.closed.append(slot)
        self.connections.close(slot)

    def states(self) -> list[int]:
        return [self.table.state(slot)[0] for slot in range(len(self.front))]

    def lose(self, **changes: Any) -> list[str]:
        """Have what a worker had answered that dies in some state; what is logged of it."""
        vars(self.worker).update(changes)
        return lost_requests.answer(
            self.worker, self.connections, self.counts, 10.0, self.close, out_of_memory=False
        )
