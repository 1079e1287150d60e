"""A change of the number of workers, and how those leave that are too many."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagemaker_inference._supervisor.outcome import FEWER

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference._ipc.slots import SlotTable
    from sagemaker_inference._os.event_loop import EventLoop
    from sagemaker_inference._supervisor.outcome import Outcome
    from sagemaker_inference._supervisor.worker_handle import WorkerHandle


class Scaling:
    """At most one change at a time.

    Attributes:
        before: how many workers there were to be before the last change.
    """

    def __init__(self) -> None:
        self.before = 0
        self._on_done: Callable[[Outcome], None] | None = None

    @property
    def is_going_on(self) -> bool:
        """Whether there is a change that has no outcome yet."""
        return self._on_done is not None

    def begin(self, before: int, on_done: Callable[[Outcome], None]) -> None:
        """Begin a change.

        Args:
            before: how many workers there were to be.
            on_done: gets the outcome.
        """
        self.before, self._on_done = before, on_done

    def adds(self, index: int) -> bool:
        """Whether a worker is one of those to be added."""
        return self.is_going_on and index >= self.before

    def finish(self, outcome: Outcome) -> None:
        """Report the outcome of the change, if there is one."""
        on_done, self._on_done = self._on_done, None
        if on_done is not None:
            on_done(outcome)


def dismiss(worker: WorkerHandle, table: SlotTable, loop: EventLoop, seconds: float) -> None:
    """Have a worker finish what it works on, clean up and end; one that loads is killed.

    Args:
        worker: the worker.
        table: where it looks, at least once a second.
        loop: calls back when its time is over.
        seconds: after which it is killed.
    """
    worker.ends_for = FEWER
    if not worker.is_loaded:
        worker.kill()
        return
    table.dismiss(worker.index, worker.child.pid)
    loop.after(seconds, worker.kill)
