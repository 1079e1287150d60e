"""What becomes of the requests that a worker was working on when it died.

One of them is to blame, as a rule. Where it is known which, that one is answered from here; the
others are handed out again, each to be predicted alone. Where it is not known, all are.
"""

from __future__ import annotations

from http import HTTPStatus
from time import monotonic
from typing import TYPE_CHECKING, Final

from sagemaker_inference._errors import (
    ErrorCode,
    InferenceError,
    OutOfMemoryError,
    PredictionError,
    PredictionTimeoutError,
    ServiceUnavailableError,
    session_lost,
)
from sagemaker_inference._ipc.slots import BEGUN, HANDED_OVER, RUNNING, SOCKET
from sagemaker_inference._supervisor.worker_handle import TOO_LATE
from sagemaker_inference.metrics._exposition import Family
from sagemaker_inference.metrics._server import SOCKETS, SOCKETS_HELP, STREAMS, STREAMS_HELP

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference._ipc.slots import Slot
    from sagemaker_inference._supervisor.connections import Connections
    from sagemaker_inference._supervisor.worker_handle import WorkerHandle
    from sagemaker_inference._supervisor.worker_records import ModelRecord

# The status of a WebSocket that the server fails (RFC 6455, 7.4.1).
_FAILED: Final = 1011


def answer(  # noqa: PLR0913 - what is to be known of a death
    worker: WorkerHandle,
    connections: Connections,
    counts: ModelRecord,
    timeout: float,
    close: Callable[[int], None],
    *,
    out_of_memory: bool,
) -> list[str]:
    """Answer what a dead worker was working on.

    Args:
        worker: the worker.
        connections: those of its deployment.
        counts: where streams are counted that nobody else counts.
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
        running = [slot for slot, record in held if record.state in (RUNNING, *BEGUN)]
        guilty = frozenset(running if len(running) == 1 else ())
    for slot, record in held:
        may_repeat = not (worker.ends_for or slot in guilty)
        if may_repeat and connections.hand_out_again(slot, record):
            lost.append(f"{record.request_id} (tried again)")
            continue
        error = _error(worker, record, timeout, out_of_memory=out_of_memory)
        if record.is_taken:
            lost.append(f"{record.request_id} ({int(error.status)})")
        elif record.state in BEGUN:
            # Its client sees the connection end without the end of the stream.
            what = "a WebSocket" if record.state == SOCKET else "a stream"
            lost.append(f"{record.request_id} ({what}, broken off)")
            counts.keep(_counted(worker, slot, record))
            # One of several may have left a part of a chunk with a client that reads slowly.
            if record.state != SOCKET and worker.limit == 1 and _is_late(worker, slot):
                connections.break_off(slot, HTTPStatus.GATEWAY_TIMEOUT)
        if not connections.answer(slot, record, error):
            close(slot)
    return lost


def _is_late(worker: WorkerHandle, slot: int) -> bool:
    """Whether a stream was broken off for its silence: its program was not within a chunk then."""
    return worker.killed_for == TOO_LATE and slot in worker.guilty and not worker.pulse.is_stopped


def _counted(worker: WorkerHandle, slot: int, record: Slot) -> Family:
    if record.state == SOCKET:
        # As the front end closes it.
        family, label = Family(SOCKETS, "counter", SOCKETS_HELP), {"close": str(_FAILED)}
    else:
        why = "stopped" if worker.ends_for else "worker_died"
        end = "timeout" if _is_late(worker, slot) else why
        family, label = Family(STREAMS, "counter", STREAMS_HELP), {"end": end}
    family.add(label, [1.0])
    return family


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
    if record.state == HANDED_OVER:
        return session_lost()
    return PredictionError(
        "The worker died while this request was in progress.",
        code=ErrorCode.PROCESS_DIED.value,
    )
