"""What a worker asks of whatever answers requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from sagemaker_inference._http.messages import Request, Response
    from sagemaker_inference._program.concurrency import Concurrency


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
