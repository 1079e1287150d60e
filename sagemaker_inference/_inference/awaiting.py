"""Answers that are awaited, within a time limit."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from sagemaker_inference._errors import PredictionError, PredictionTimeoutError
from sagemaker_inference._http.error_response import error_response
from sagemaker_inference._log import get_logger

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from sagemaker_inference._errors import InferenceError
    from sagemaker_inference._http.messages import Request, Response

logger = get_logger()


def uncancel(task: Any) -> None:
    """Have a task that was cancelled go on, as if it never was."""
    # Before Python 3.11, tasks do not count.
    for _ in range(getattr(task, "cancelling", int)()):
        task.uncancel()


async def await_answer(
    answering: Coroutine[Any, Any, list[Response]], requests: Sequence[Request], timeout: float
) -> list[Response]:
    """Answer requests within a time limit, whatever the program does with its tasks.

    Args:
        answering: answers them.
        requests: the requests.
        timeout: the limit, in seconds; after it, the answers say so.
    """
    # In this task, as `asyncio.wait_for` does only from Python 3.12 on: what a generator opens
    # before its first item and closes after the last may belong to its task.
    task = cast("asyncio.Task[None]", asyncio.current_task())
    is_late = False

    def give_up() -> None:
        nonlocal is_late
        is_late = True
        task.cancel()

    timer = asyncio.get_running_loop().call_later(timeout, give_up)
    error: InferenceError
    try:
        return await answering
    except asyncio.CancelledError:
        ids = ", ".join(request.id for request in requests)
        if is_late:
            uncancel(task)
            logger.error("request %s was given up after %g s", ids, timeout)  # noqa: TRY400
            error = PredictionTimeoutError(f"No prediction within {timeout:g} s.")
        else:
            # Nobody else here cancels: user code did, or something that it awaits.
            logger.error("request %s was cancelled by the program", ids)  # noqa: TRY400
            error = PredictionError("The request was cancelled by the program that serves it.")
    finally:
        timer.cancel()
    return [
        error_response(error, request.id, request.accept, path=request.path) for request in requests
    ]
