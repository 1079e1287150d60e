"""The program of a model process: import the user's program, load the model, serve.

The supervisor starts it with its `Assignment` in the environment variable `ASSIGNMENT_ENV`.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sagemaker_inference import _log as toolkit_logging
from sagemaker_inference._aws.mms_objects import MmsService
from sagemaker_inference._errors import OutOfMemoryError, StartError
from sagemaker_inference._http.messages import one_line
from sagemaker_inference._inference import program
from sagemaker_inference._inference.inference_handler import Pipeline
from sagemaker_inference._ipc import slots
from sagemaker_inference._ipc.messages import ASSIGNMENT_ENV, Assignment, Report
from sagemaker_inference._worker import zygote
from sagemaker_inference._worker.access_log import AccessLog
from sagemaker_inference._worker.loop import Loop

if TYPE_CHECKING:
    from sagemaker_inference._inference.service import Service

# An async request is given up by the loop; only a loop that is stuck needs the supervisor.
_PATIENCE: Final = 5.0


def main(_argv: list[str]) -> int:
    """Run the model process that the environment describes; returns its exit code."""
    return run(Assignment.read(os.environ.pop(ASSIGNMENT_ENV)))


def run(assignment: Assignment) -> int:
    """Be a model process; returns its exit code."""
    # The supervisor decides when to stop: a Ctrl-C reaches the whole group of processes. Handlers
    # rather than SIG_IGN, since programs that user code starts would inherit that.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    slots.reserve()
    toolkit_logging.configure_root()
    control = socket.socket(fileno=assignment.control_fd)
    try:
        service = _prepare(assignment)
        control.send(_report("assembled", service))
        _load(service, assignment)
    except StartError as error:
        toolkit_logging.last_word(error, error.__cause__)
        control.send(_failure(error))
        return 1
    if assignment.is_template:
        control.send(_report("loaded", service))
        zygote.serve_copies(
            control, lambda own, index: _serve(service, replace(assignment, index=index), own)
        )
    return _serve(service, assignment, control)


def _serve(service: Service, assignment: Assignment, control: socket.socket) -> int:
    control.send(_report("loaded", service))
    access = AccessLog(
        assignment.log_fd,
        toolkit_logging.level(),
        path=assignment.path,
        as_json=toolkit_logging.is_json(),
    )
    Loop(service, assignment, control, access).run()
    service.shut_down()
    return 0


def _prepare(assignment: Assignment) -> Service:
    if assignment.program is None:
        return MmsService(assignment.handler_service, assignment.model_dir, assignment.gpu_id)
    handler = program.assembled(assignment.program)
    return Pipeline(handler, assignment.model_dir, assignment.gpu_id)


def _load(service: Service, assignment: Assignment) -> None:
    try:
        service.load()
    except StartError:
        raise
    except BaseException as error:
        message = f"loading the model from {assignment.model_dir} failed: {type(error).__name__}"
        raise StartError(message) from error


def _failure(error: StartError) -> bytes:
    origin = error.__cause__
    cause = str(error) if origin is None or not str(origin) else f"{error}: {origin}"
    is_memory = isinstance(origin, (MemoryError, OutOfMemoryError))
    return Report("failed", cause=one_line(cause), out_of_memory=is_memory).dump()


def _report(stage: str, service: Service) -> bytes:
    plan = service.plan
    return Report(
        stage, plan.slots, _PATIENCE if plan.is_async else 0.0, service.readable, service.writable
    ).dump()
