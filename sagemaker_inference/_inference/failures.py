"""From an exception on the path of a request to its response, and to the log."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from sagemaker_inference._aws import mms_objects
from sagemaker_inference._errors import (
    BaseInferenceToolkitError,
    ErrorCode,
    OutOfMemoryError,
    PredictionError,
)
from sagemaker_inference._http.error_response import error_response, error_status
from sagemaker_inference._log import get_logger, users_exc_info

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sagemaker_inference._http.messages import Request, Response
    from sagemaker_inference._program.signatures import Handler

logger = get_logger()

# Unexpected exceptions of handlers, by role.
_CODES: Final = {
    "decoder": ErrorCode.DECODER_FAILED,
    "predictor": ErrorCode.PREDICTION_FAILED,
    "encoder": ErrorCode.ENCODER_FAILED,
    "transformer": ErrorCode.TRANSFORMER_FAILED,
}


def failure_response(
    request: Request, error: Exception, handler: Handler | None, headers: Mapping[str, str]
) -> Response:
    """Answer with the error's status, and log what is not the client's doing.

    Args:
        request: the request that failed.
        error: what was raised.
        handler: the program's function that raised it, or None.
        headers: response headers that the program has set.
    """
    answer = _answer(request, error, handler)
    return error_response(answer, request.id, request.accept, headers)


def _answer(
    request: Request, error: Exception, handler: Handler | None
) -> BaseInferenceToolkitError:
    if isinstance(error, BaseInferenceToolkitError):
        # What user code raises on purpose is for the client; what we cannot write is our fault.
        if error_status(error) >= HTTPStatus.INTERNAL_SERVER_ERROR:
            logger.error("request %s failed", request.id, exc_info=users_exc_info(error))
        return error
    raised = mms_objects.of_prediction_exception(error)
    if raised is not None:
        logger.error("request %s failed", request.id, exc_info=users_exc_info(error))
        return raised
    if isinstance(error, MemoryError):
        logger.error("request %s ran out of memory", request.id, exc_info=users_exc_info(error))
        return OutOfMemoryError("Memory ran out during this request.")
    where = handler.role.name if handler else "server"
    logger.error("request %s: the %s failed", request.id, where, exc_info=users_exc_info(error))
    return PredictionError(
        f"The {where} failed on this request. The endpoint's log has the cause under the request "
        "id.",
        code=_CODES.get(where, ErrorCode.INTERNAL_ERROR).value,
    )
