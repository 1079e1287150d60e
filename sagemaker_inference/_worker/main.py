"""The program of a worker: import the user's program, load the model, serve.

The supervisor starts it with its `Assignment` in the environment variable `ASSIGNMENT_ENV`.
"""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Final

from sagemaker_inference import _log as toolkit_logging
from sagemaker_inference import metrics
from sagemaker_inference._aws.mms_objects import HandlerServiceAdapter
from sagemaker_inference._errors import OutOfMemoryError, StartError
from sagemaker_inference._http.error_response import one_line
from sagemaker_inference._inference import program
from sagemaker_inference._inference.inference_handler import InferenceHandler
from sagemaker_inference._ipc import slots
from sagemaker_inference._ipc.messages import ASSIGNMENT_ENV, UNFORKABLE, Assignment, Report
from sagemaker_inference._program.paths import INVOCATIONS
from sagemaker_inference._worker import blocking, forkable, zygote
from sagemaker_inference._worker.access_log import AccessLog
from sagemaker_inference._worker.capture import capture_for
from sagemaker_inference._worker.children import Inheritance
from sagemaker_inference._worker.leaving import leave_soon
from sagemaker_inference._worker.loop import Loop
from sagemaker_inference._worker.prints import print_json

if TYPE_CHECKING:
    from sagemaker_inference._inference.servable import Servable
    from sagemaker_inference._worker.capture import Capture

logger = toolkit_logging.get_logger()

# An async request is given up by the loop; only a loop that is stuck needs the supervisor.
_PATIENCE: Final = 5.0


def main(_argv: list[str]) -> int:
    """Run the worker that the environment describes; returns its exit code."""
    return run(Assignment.read(os.environ.pop(ASSIGNMENT_ENV)))


def run(assignment: Assignment) -> int:
    """Run a worker; returns its exit code."""
    inheritance = Inheritance(_own_fds(assignment))
    inheritance.begin()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    slots.reserve(range(slots.count()))
    toolkit_logging.configure_root()
    if assignment.config.log_format == "json":
        print_json()
    control = socket.socket(fileno=assignment.control_fd)
    if assignment.metrics_fd >= 0:
        # Before the program is imported, which may count then.
        metrics.attach(assignment.metrics_fd)
        os.close(assignment.metrics_fd)
    if assignment.config.gate:
        # For `sagemaker-inference dev` alone.
        from sagemaker_inference._worker import development

        development.show_tracebacks()
        development.wait(assignment.config.gate)
    try:
        service = _prepare(assignment)
        control.send(_report("assembled", service))
        if isinstance(service, InferenceHandler):
            service.on_warmup = lambda: control.send(_report("warming", service))
        program.load_model(
            service,
            assignment.model_dir,
            assignment.gpu_id,
            assignment.model_name,
            program=assignment.program,
        )
    except StartError as error:
        # Not printed here: all workers may fail alike, which is to be read once.
        control.send(_failure(error))
        return 1
    if assignment.is_zygote and (reason := _obstacle(service)):
        control.send(Report(UNFORKABLE, cause=reason).dump())
    elif assignment.is_zygote:
        control.send(_report("loaded", service))

        def serve_copy(own: socket.socket, index: int) -> int:
            copy = replace(assignment, index=index, control_fd=own.fileno())
            inheritance.take_over(_own_fds(copy))
            return _serve(service, copy, own)

        zygote.serve_copies(control, serve_copy, inheritance.copying)
    return _serve(service, assignment, control)


def _obstacle(service: Servable) -> str:
    """Why no workers can be forked from this process, which has loaded; "" where they can."""
    if isinstance(service, InferenceHandler) and service.has_event_loop:
        return "an async handler ran at the load, whose event loop belongs to one process"
    return forkable.obstacle()


def _own_fds(assignment: Assignment) -> list[int]:
    """The descriptors that stay open; that of metrics is closed once it is mapped."""
    return [fd for fd in assignment.fds if fd != assignment.metrics_fd]


def _serve(service: Servable, assignment: Assignment, control: socket.socket) -> int:
    access = AccessLog(
        assignment.log_fd,
        assignment.config.log_level,
        path=assignment.path,
        as_json=assignment.config.log_format == "json",
    )
    capture = capture_for(assignment.config, assignment.model_name)
    loop = loop_for(service, assignment, control, access, capture)
    # Not before: once a server serves, its first page of metrics is to have those of requests.
    control.send(_report("loaded", service))
    try:
        run_loop(loop)
    except SystemExit:
        # Handlers' own are answers: this one comes from a task or a callback of the program.
        logger.exception("the program ended this worker by sys.exit outside its handlers")
        raise
    loop.leave()
    if capture is not None:
        capture.close()
    service.close()
    code = 1 if loop.checks.has_failed else 0
    leave_soon(code)
    return code


def loop_for(
    service: Servable,
    assignment: Assignment,
    control: socket.socket,
    access: AccessLog,
    capture: Capture | None = None,
) -> Loop:
    """Create the loop of a worker."""
    sessions = service.sessions if isinstance(service, InferenceHandler) else None
    if sessions is None:
        return Loop(service, assignment, control, access, capture)
    # A program without sessions does not pay for them.
    from sagemaker_inference._worker.session_loop import SessionLoop

    return SessionLoop(service, assignment, control, access, sessions, capture)


def run_loop(loop: Loop) -> None:
    """Serve until the server stops, in the way that the program is to get its requests."""
    concurrency = loop.servable.concurrency
    if concurrency.is_concurrent:
        # A worker that serves one batch at a time never pays for asyncio.
        from sagemaker_inference._worker import concurrency as concurrent_serving

        concurrent_serving.serve(loop, concurrency)
    else:
        blocking.serve(loop)


def _prepare(assignment: Assignment) -> Servable:
    if assignment.program is None:
        return HandlerServiceAdapter(assignment.handler_service, assignment.config)
    if assignment.program.arguments:
        # As under `python inference.py --option`.
        sys.argv = list(assignment.program.arguments)
    return program.assembled(assignment.program, config=assignment.config, as_main=True)


def _failure(error: StartError) -> bytes:
    origin = error.__cause__
    cause = str(error) if origin is None or not str(origin) else f"{error}: {origin}"
    is_memory = isinstance(origin, (MemoryError, OutOfMemoryError))
    words = toolkit_logging.last_words(error, origin)
    return Report("failed", cause=one_line(cause), out_of_memory=is_memory, words=words).dump()


def _report(stage: str, service: Servable) -> bytes:
    concurrency = service.concurrency
    sockets = service.sockets if isinstance(service, InferenceHandler) else None
    patience = _PATIENCE if concurrency.is_async else 0.0
    report = Report(
        stage,
        concurrency.connections,
        patience,
        service.readable,
        service.writable,
        limit=concurrency.limit,
        predictor=service.default_predictor if isinstance(service, InferenceHandler) else "",
        # AWS's own handler services read what a job sends without being asked: many records.
        reads_rows=not isinstance(service, InferenceHandler) or service.reads_rows,
        paths=service.paths if isinstance(service, InferenceHandler) else (INVOCATIONS,),
        sockets=[asdict(item) for item in sockets.options] if sockets else (),
    )
    return report.dump()
