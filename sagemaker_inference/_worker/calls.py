"""What a worker has taken together, divided into calls of the program."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from sagemaker_inference._inference.paths import is_urgent, parts
from sagemaker_inference._ipc import slots

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sagemaker_inference._http.messages import Response
    from sagemaker_inference._ipc.slots import SlotTable
    from sagemaker_inference._worker.work import Work


def _path_of(work: Work) -> str:
    return work.requests[0].path


class Calls:
    """Divides what was taken by path.

    Args:
        limits: the most of one call, by path; empty where all is one call.
        table: says which requests wait for their call.
    """

    def __init__(self, limits: Mapping[str, int], table: SlotTable) -> None:
        self._limits = limits
        self._table = table

    @property
    def are_by_path(self) -> bool:
        """Whether what is taken together may be for several calls."""
        return bool(self._limits)

    def is_urgent(self, works: Sequence[Work]) -> bool:
        """Whether one of them is for a path that has no batches, while others have."""
        return bool(self._limits) and is_urgent(works, _path_of, self._limits)

    def of(self, works: list[Work]) -> Iterator[list[Work]]:
        """The calls, in order; the time of each begins when it is asked for."""
        calls = parts(works, _path_of, self._limits) if self._limits else [works]
        for call in calls[1:]:
            self._restart(call, slots.PENDING)
        for number, call in enumerate(calls):
            if number:
                self._restart(call, slots.RUNNING)
            yield call

    def _restart(self, works: Sequence[Work], state: int) -> None:
        for work in works:
            self._table.restart(work.connection.slot, state)


def answers_of(works: list[Work], responses: list[Response]) -> list[tuple[Work, list[Response]]]:
    """Divide the responses to a call among its messages."""
    rest = iter(responses)
    return [(work, list(islice(rest, len(work.requests)))) for work in works]
