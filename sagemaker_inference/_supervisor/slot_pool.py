"""Which slots are in use: they are numbers that all deployments of a supervisor share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagemaker_inference._ipc import slots

if TYPE_CHECKING:
    from collections.abc import Iterable


class SlotPool:
    """Hands out slots.

    Args:
        size: how many there are; None makes as many as this process may have.

    Attributes:
        size: how many there are.
    """

    def __init__(self, size: int | None = None) -> None:
        self.size = slots.count() if size is None else size
        self._free = set(range(self.size))

    @property
    def free(self) -> int:
        """How many are free."""
        return len(self._free)

    def take(self, count: int) -> list[int]:
        """The lowest ones; fewer than asked for where no more are free."""
        taken = sorted(self._free)[:count]
        self._free.difference_update(taken)
        return taken

    def give_back(self, taken: Iterable[int]) -> None:
        """Make slots free again."""
        self._free.update(taken)
