"""A change of the number of workers, and how those leave that are too many."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference._ipc.slots import SlotTable
    from sagemaker_inference._os.event_loop import EventLoop
    from sagemaker_inference._supervisor.outcome import Outcome
    from sagemaker_inference._supervisor.worker_handle import WorkerHandle


class _Change(NamedTuple):
    before: int
    on_done: Callable[[Outcome], None]


class Scaling:
    """At most one change at a time."""

    def __init__(self) -> None:
        self._change: _Change | None = None
        self.before = 0

    @property
    def is_going_on(self) -> bool:
        """Whether there is a change that has no outcome yet."""
        return self._change is not None

    def begin(self, before: int, on_done: Callable[[Outcome], None]) -> None:
        """Begin a change.

        Args:
            before: how many workers there were to be.
            on_done: gets the outcome.
        """
        self._change, self.before = _Change(before, on_done), before

    def adds(self, index: int) -> bool:
        """Whether a worker is one of those to be added."""
        return self._change is not None and index >= self._change.before

    def finish(self, outcome: Outcome) -> None:
        """Report the outcome of the change, if there is one."""
        change, self._change = self._change, None
        if change is not None:
            change.on_done(outcome)


def dismiss(worker: WorkerHandle, table: SlotTable, loop: EventLoop, seconds: float) -> None:
    """Have a worker finish what it works on, clean up and end; one that loads is killed.

    Args:
        worker: the worker.
        table: where it looks, at least once a second.
        loop: calls back when its time is over.
        seconds: after which it is killed.
    """
    worker.is_ending = True
    if not worker.is_loaded:
        worker.kill()
        return
    table.dismiss(worker.index, worker.child.pid)
    loop.after(seconds, worker.kill)
