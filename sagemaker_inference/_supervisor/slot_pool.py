"""Which slots are in use: they are numbers that all deployments of a supervisor share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagemaker_inference._ipc.slots import MAX_SLOTS

if TYPE_CHECKING:
    from collections.abc import Iterable


class SlotPool:
    """Hands out slots.

    Args:
        size: how many there are.
    """

    def __init__(self, size: int = MAX_SLOTS) -> None:
        self._free = set(range(size))

    @property
    def free(self) -> int:
        """How many are free."""
        return len(self._free)

    def take(self, count: int) -> list[int]:
        """The lowest ones; fewer than asked for where no more are free."""
        taken = sorted(self._free)[:count]
        self._free.difference_update(taken)
        return taken

    def give_back(self, slots: Iterable[int]) -> None:
        """Make slots free again."""
        self._free.update(slots)
