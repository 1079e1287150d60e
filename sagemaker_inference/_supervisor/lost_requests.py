"""What becomes of the requests that a worker was working on when it died.

One of them is to blame, as a rule. Where it is known which, that one is answered from here; the
others are handed out again, each to be predicted alone. Where it is not known, all are.
"""

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
from sagemaker_inference._ipc.slots import RUNNING, STREAMING
from sagemaker_inference._supervisor.worker_handle import TOO_LATE

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
        The ids of the requests, with the statuses of their answers.
    """
    lost: list[str] = []
    held = connections.held_by(worker.child.pid)
    guilty = worker.guilty
    if not worker.is_overdue:
        running = [slot for slot, record in held if record.state in (RUNNING, STREAMING)]
        guilty = frozenset(running if len(running) == 1 else ())
    for slot, record in held:
        may_repeat = not (worker.ends_for or slot in guilty)
        if may_repeat and connections.hand_out_again(slot, record):
            lost.append(f"{record.request_id} (tried again)")
            continue
        error = _error(worker, record, timeout, out_of_memory=out_of_memory)
        if record.is_taken:
            lost.append(f"{record.request_id} ({int(error.status)})")
        elif record.state == STREAMING:
            # Its client sees the connection end without the end of the stream.
            lost.append(f"{record.request_id} (a stream, broken off)")
        if not connections.answer(slot, record, error):
            close(slot)
    return lost


def _error(
    worker: WorkerHandle, record: Slot, timeout: float, *, out_of_memory: bool
) -> InferenceError:
    # Where nobody knows which is to blame, they were part of one call, which took too long.
    is_of_call = worker.killed_for == TOO_LATE and not worker.guilty and record.state == RUNNING
    if is_of_call or (worker.is_overdue and monotonic() - record.since >= timeout):
        return PredictionTimeoutError(f"No prediction within {timeout:g} s.")
    if out_of_memory:
        return OutOfMemoryError("The worker ran out of memory on this request.")
    if worker.ends_for:
        return ServiceUnavailableError(
            f"{worker.ends_for.capitalize()}. Send the request again later."
        )
    return PredictionError(
        "The worker died while this request was in progress.",
        code=ErrorCode.PROCESS_DIED.value,
    )
