"""The interface that a worker serves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from sagemaker_inference._http.messages import Request, Response
    from sagemaker_inference._program.concurrency import Concurrency


class Servable(Protocol):
    """An `InferenceHandler`, or a handler service for Multi Model Server."""

    @property
    def concurrency(self) -> Concurrency:
        """How many requests it handles at the same time, and how."""
        ...

    @property
    def readable(self) -> Sequence[str]:
        """Content types that can be read; empty if unknown."""
        ...

    @property
    def writable(self) -> Sequence[str]:
        """Content types that can be written; empty if unknown."""
        ...

    def load(self, model_dir: str, gpu_id: int | None = None, model_name: str = "model") -> None:
        """Load the model; an exception aborts startup."""
        ...

    def answer(self, requests: Sequence[Request]) -> Coroutine[Any, Any, list[Response]]:
        """Answer the requests, in order; the failure of a request is a response."""
        ...

    @property
    def has_idle_work(self) -> bool:
        """Whether `use_idle_time` has something to do."""
        ...

    def use_idle_time(self) -> None:
        """Do a piece of work that can wait until no request does; never raises."""
        ...

    def watch_retries(self, on_retry: Callable[[Sequence[str]], None]) -> None:
        """Have a function called with the ids of requests that are about to be tried once more."""
        ...

    def close(self) -> None:
        """Clean up; never raises."""
        ...
