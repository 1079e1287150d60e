"""What the loop of a model process asks of whatever answers requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from sagemaker_inference._http.messages import Request, Response


_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Plan:
    """How requests reach a service.

    Attributes:
        max_batch_size: most requests per call.
        max_batch_delay: seconds to wait for more.
        threads: how many threads call a blocking service at the same time.
        is_async: whether calls await, and so run concurrently in one loop.
    """

    max_batch_size: int = 1
    max_batch_delay: float = 0.0
    threads: int = 1
    is_async: bool = False

    # An async program mostly waits for others: as many at a time as MMS queues comfortably.
    _ASYNC_CONCURRENCY = 32
    # Beyond those in work, the front end may send requests that wait in the socket: the next one
    # is there the moment a process is free. More would only hide the queue from the front end.
    _AHEAD = 7

    @property
    def concurrency(self) -> int:
        """How many requests a process works on at the same time."""
        return self._ASYNC_CONCURRENCY if self.is_async else max(self.max_batch_size, self.threads)

    @property
    def slots(self) -> int:
        """How many connections of the front end one process keeps busy."""
        return self.concurrency + self._AHEAD


class Service(Protocol):
    """A loaded model behind a uniform face: the user's program, or a handler service for MMS."""

    @property
    def plan(self) -> Plan:
        """How requests reach it."""
        ...

    @property
    def readable(self) -> Sequence[str]:
        """Content types that it reads, where that is known."""
        ...

    @property
    def writable(self) -> Sequence[str]:
        """Content types that it answers with, where that is known."""
        ...

    def load(self) -> None:
        """Load the model; whatever it raises ends the start."""
        ...

    def answer(self, requests: Sequence[Request]) -> Coroutine[Any, Any, list[Response]]:
        """Answer each request, in order; never raises for a request's failure."""
        ...

    def shut_down(self) -> None:
        """Clean up; never raises."""
        ...


def run(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Drive a coroutine that never waits, without a loop."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: _T = stop.value
        return result
    coroutine.close()
    message = "a handler that is not async waited for something"
    raise RuntimeError(message)
