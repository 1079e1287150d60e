"""Answers to the requests that a worker was working on when it died."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from sagemaker_inference._errors import (
    ErrorCode,
    InferenceError,
    OutOfMemoryError,
    PredictionError,
    PredictionTimeoutError,
    ServiceUnavailableError,
)
from sagemaker_inference._ipc.slots import RUNNING

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference._ipc.slots import Slot
    from sagemaker_inference._supervisor.connections import Connections
    from sagemaker_inference._supervisor.worker_handle import WorkerHandle


def answer(
    worker: WorkerHandle,
    connections: Connections,
    timeout: float,
    close: Callable[[int], None],
    *,
    out_of_memory: bool,
) -> list[str]:
    """Answer what a dead worker was working on.

    Args:
        worker: the worker.
        connections: those of its deployment.
        timeout: the time limit of a prediction, in seconds.
        close: closes the connection of a slot that cannot be answered.
        out_of_memory: whether the kernel killed the worker because memory ran out.

    Returns:
        The ids of the requests with the statuses of their answers.
    """
    lost: list[str] = []
    for slot, record in connections.held_by(worker.child.pid):
        error = _error(worker, record, timeout, out_of_memory=out_of_memory)
        if record.state == RUNNING:
            lost.append(f"{record.request_id} ({int(error.status)})")
        if not connections.answer(slot, record, error):
            close(slot)
    return lost


def _error(
    worker: WorkerHandle, record: Slot, timeout: float, *, out_of_memory: bool
) -> InferenceError:
    if worker.is_overdue and monotonic() - record.since >= timeout:
        return PredictionTimeoutError(f"No prediction within {timeout:g} s.")
    if out_of_memory:
        return OutOfMemoryError("The model process ran out of memory on this request.")
    if worker.is_ending:
        return ServiceUnavailableError(
            "The model is being unloaded, or has fewer processes now. Send the request again later."
        )
    return PredictionError(
        "The model process died while this request was in progress.",
        code=ErrorCode.PROCESS_DIED.value,
    )
