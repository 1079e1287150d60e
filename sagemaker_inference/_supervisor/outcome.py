"""How a change of workers ends, and who hears of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from sagemaker_inference._ipc.messages import Report

# Why workers end, for clients whose requests are refused.
STOPPING: Final = "the server is stopping"
UNLOADING: Final = "the model is being unloaded"
FEWER: Final = "the model has fewer workers now"
LOST: Final = "the workers of the model have failed"


class Outcome(NamedTuple):
    """How a change has ended.

    Attributes:
        cause: in a line, why it failed; "" where it succeeded.
        out_of_memory: whether it was memory that it failed for.
        is_unloaded: whether somebody has unloaded the model meanwhile.
    """

    cause: str = ""
    out_of_memory: bool = False
    is_unloaded: bool = False


class WorkersOwner(Protocol):
    """Who wants to know what becomes of the workers."""

    def on_all_loaded(self, report: Report) -> None:
        """Every worker can answer; called again after a replacement has loaded."""
        ...

    def on_failed(self, outcome: Outcome) -> None:
        """There is no point in going on; the log says why at length, the outcome in a line."""
        ...

    def on_all_stopped(self) -> None:
        """Every worker has ended as it was told to."""
        ...

    def close_connection(self, slot: int) -> None:
        """A connection can no longer be used."""
        ...
