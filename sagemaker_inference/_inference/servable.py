"""What a worker asks of whatever answers requests, and how it drives a coroutine without a loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from sagemaker_inference._http.messages import Request, Response
    from sagemaker_inference._program.concurrency import Concurrency

_T = TypeVar("_T")


class Servable(Protocol):
    """A program behind a uniform face: an `InferenceHandler`, or a handler service for MMS."""

    @property
    def concurrency(self) -> Concurrency:
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

    def load(self, model_dir: str, gpu_id: int | None = None, model_name: str = "model") -> None:
        """Load the model; whatever it raises aborts startup."""
        ...

    def answer(self, requests: Sequence[Request]) -> Coroutine[Any, Any, list[Response]]:
        """Answer each request, in order; never raises for a request's failure."""
        ...

    def close(self) -> None:
        """Clean up; never raises."""
        ...


def run_without_loop(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Drive a coroutine that never waits: a program without async handlers pays for no loop.

    Raises:
        RuntimeError: it waited.
    """
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: _T = stop.value
        return result
    coroutine.close()
    message = "a handler that is not async waited for something"
    raise RuntimeError(message)
