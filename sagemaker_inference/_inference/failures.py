"""Turn an exception during a request into its response, and log it."""

from __future__ import annotations

import sys
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple

from sagemaker_inference._aws import mms_objects
from sagemaker_inference._errors import (
    BaseInferenceToolkitError,
    ErrorCode,
    OutOfMemoryError,
    PredictionError,
)
from sagemaker_inference._http.error_response import error_response, error_status, with_traceback
from sagemaker_inference._http.messages import Response
from sagemaker_inference._inference.columns import ColumnsError
from sagemaker_inference._log import get_logger, users_exc_info

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sagemaker_inference._http.messages import Request
    from sagemaker_inference._program.signatures import Handler
    from sagemaker_inference.codecs import Body

logger = get_logger()

# The codes of unexpected exceptions, by role.
_CODES: Final = {
    "decoder": ErrorCode.DECODER_FAILED,
    "predictor": ErrorCode.PREDICTION_FAILED,
    "encoder": ErrorCode.ENCODER_FAILED,
    "transformer": ErrorCode.TRANSFORMER_FAILED,
    "bidirectional": ErrorCode.BIDIRECTIONAL_FAILED,
}


class Failure(NamedTuple):
    """Why a request, or a part of it, has no answer.

    Attributes:
        error: the exception.
        handler: the handler that raised it, or None.
    """

    error: BaseException
    handler: Handler | None


class Undecided(Response):
    """In place of a response: the failure of a request of which parts may be tried.

    Args:
        failure: why it has failed.
        unpacked: its body without content codings, if it came so far.
        headers: response headers that the program has set.
    """

    __slots__ = ("failure", "unpacked")

    def __init__(self, failure: Failure, unpacked: Body | None, headers: Mapping[str, str]) -> None:
        super().__init__(b"", "", headers=headers)
        self.failure = failure
        self.unpacked = unpacked


def must_pass(error: BaseException, *, is_async: bool) -> bool:
    """Whether an exception is not the failure of a request: it closes or cancels a coroutine.

    All others are, also those that Exception does not cover: ``sys.exit`` and argparse's errors,
    time-outs of gevent and func_timeout. They must not end the worker, nor fail other requests.

    Args:
        error: the exception.
        is_async: whether a handler that awaits has raised it; others cannot be closed or cancelled.
    """
    if not is_async or isinstance(error, Exception):
        return False
    # Nobody has raised it if asyncio is not imported.
    cancelled = getattr(sys.modules.get("asyncio.exceptions"), "CancelledError", ())
    return isinstance(error, (GeneratorExit, cancelled))


def failure_response(
    request: Request, error: BaseException, handler: Handler | None, headers: Mapping[str, str]
) -> Response:
    """The response with the error's status; errors that are not the client's are logged.

    Args:
        request: the request that failed.
        error: the exception.
        handler: the handler that raised it, or None.
        headers: response headers that the program has set.
    """
    trace = request.note_failure(error)
    failure = as_failure(request, error, handler)
    response = error_response(failure, request.id, request.accept, headers, request.path)
    return with_traceback(response, trace) if trace else response


def failure_record(
    request: Request, error: BaseException, handler: Handler | None
) -> tuple[int, bytes]:
    """The status of an error, and its JSON document, for the end of a stream that has begun."""
    trace = request.note_failure(error)
    failure = as_failure(request, error, handler)
    response = error_response(failure, request.id, path=request.path)
    if trace:
        response = with_traceback(response, trace)
    return response.status, response.body  # type: ignore[return-value]


def as_failure(
    request: Request, error: BaseException, handler: Handler | None, *, is_logged: bool = True
) -> BaseInferenceToolkitError:
    """The error that a client gets for an exception.

    Args:
        request: the request that failed.
        error: the exception.
        handler: the handler that raised it, or None.
        is_logged: whether one that is not the client's is logged.
    """
    log = logger.error if is_logged else _ignore
    if isinstance(error, BaseInferenceToolkitError):
        # 4xx is the client's mistake, and the response names it; 5xx is ours to find in the log.
        if error_status(error) >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log("request %s failed", request.id, exc_info=users_exc_info(error))
        elif isinstance(error, ColumnsError):
            trace = users_exc_info(error.refusal)
            log("request %s: the model refused its columns", request.id, exc_info=trace)
        return error
    converted = mms_objects.from_prediction_exception(error)
    if converted is not None:
        log("request %s failed", request.id, exc_info=users_exc_info(error))
        return converted
    if isinstance(error, MemoryError):
        log("request %s ran out of memory", request.id, exc_info=users_exc_info(error))
        return OutOfMemoryError("Memory ran out during this request.")
    role = handler.role.name if handler else "server"
    log("request %s: the %s failed", request.id, role, exc_info=users_exc_info(error))
    return PredictionError(
        f"The {role} failed on this request. Search the endpoint's log for the request id to find "
        "the cause.",
        code=_CODES.get(role, ErrorCode.INTERNAL_ERROR).value,
    )


def _ignore(*_message: object, **_options: object) -> None:
    """Leave a failure out of the log."""
