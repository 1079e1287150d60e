"""Whether a worker is able to take a request, by the marks that it leaves in shared memory."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sagemaker_inference._ipc.slots import SlotTable

# Where the whole machine stood still, or this process did, no worker is to blame.
_LONGEST_STEP_SECONDS: Final = 3.0


class Pulse:
    """How long a worker's loop has stood still.

    An idle worker leaves a mark each second, a busy one with each answer, at no cost that could be
    measured. One that a thread of the program keeps from running, or that somebody has stopped,
    leaves none.

    Args:
        table: the shared records.
        index: the worker's place.

    Attributes:
        still_for: seconds without a mark, as far as this process has seen.
        is_stopped, stopped_for: whether somebody has stopped it, and for how long at least.
    """

    def __init__(self, table: SlotTable, index: int) -> None:
        self._table = table
        self._index = index
        self.begin()

    def begin(self) -> None:
        """Count from now on: there are no marks before the model is loaded."""
        self._marks = self._read()
        self._looked = monotonic()
        self.still_for = self.stopped_for = 0.0
        self.is_stopped = False

    def look(self, *, is_stopped: bool) -> None:
        """Look for new marks; to be called about once a second.

        Args:
            is_stopped: whether the process is stopped now.
        """
        now = monotonic()
        step, self._looked = min(now - self._looked, _LONGEST_STEP_SECONDS), now
        marks = self._read()
        self.still_for = self.still_for + step if marks == self._marks else 0.0
        self._marks = marks
        self.stopped_for = self.stopped_for + step if self.is_stopped and is_stopped else 0.0
        self.is_stopped = is_stopped

    def _read(self) -> tuple[int, int]:
        return self._table.beats(self._index), self._table.answered(self._index)
