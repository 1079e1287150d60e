"""Everything that can go wrong, in two families that never meet.

Authors' mistakes end the start, before a request is served; nobody outside sees them::

    Exception
    ├── RegistrationError (TypeError)     a decorator was given what cannot be called, or twice
    └── StartError                        program, port, Java or environment keep us from serving

A request's failure is an answer with a status. Where along the way each is raised::

    client ──> front end ──> decoder ──> predictor ──> encoder ──> client
               404 model not found       422 does not fit      406 not acceptable
               413 too large             500 the model failed  500 cannot be encoded
               429 / 503 queue full      504 too slow
                        400 cannot be decoded                  507 out of memory
                        415 unknown content type

User code may raise any class of the second family, from any function, and the client gets that
status. Any other exception becomes a 500 whose text names no detail; the log has the traceback.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import ClassVar

__all__ = [
    "BadRequestError",
    "BaseInferenceToolkitError",
    "DecodeError",
    "EncodeError",
    "GenericInferenceToolkitError",
    "InferenceError",
    "ModelNotFoundError",
    "NotAcceptableError",
    "OutOfMemoryError",
    "PayloadTooLargeError",
    "PredictionError",
    "PredictionTimeoutError",
    "RegistrationError",
    "RequestTimeoutError",
    "ServiceUnavailableError",
    "StartError",
    "TooManyRequestsError",
    "UnprocessableInputError",
    "UnsupportedFormatError",
    "UnsupportedMediaTypeError",
]


class RegistrationError(TypeError):
    """A handler cannot be registered: the message says which, where and what to write instead."""


class StartError(Exception):
    """The server cannot start: the message says what is missing and what to do. Exit code 1."""


class BaseInferenceToolkitError(Exception):
    """A request's failure: an HTTP status, a message for the client and a reason phrase.

    Subclasses may skip ``super().__init__``; what they leave out is taken from the class.

    Args:
        status_code: HTTP status, 400 to 599.
        message: what the client is told.
        phrase: the reason phrase of the status line; None stands for the status's own.
    """

    status_code: int = HTTPStatus.INTERNAL_SERVER_ERROR
    message: str = ""
    phrase: str | None = None

    def __init__(self, status_code: int, message: str, phrase: str | None) -> None:
        self.status_code = status_code
        self.message = message
        self.phrase = phrase
        super().__init__(status_code, message, phrase)


class GenericInferenceToolkitError(BaseInferenceToolkitError):
    """Any status from user code: ``raise GenericInferenceToolkitError(418, "no coffee here")``.

    Args:
        status_code: HTTP status, 400 to 599.
        message: what the client is told; "Invalid Request" when left out.
        phrase: the reason phrase; the message when left out.
    """

    def __init__(
        self, status_code: int, message: str | None = None, phrase: str | None = None
    ) -> None:
        message = message or "Invalid Request"
        super().__init__(status_code, message, phrase or message)


class InferenceError(BaseInferenceToolkitError):
    """A request's failure whose status belongs to its class; raise a subclass with a message.

    Args:
        message: what the client is told: what was wrong and what to send instead. Kept short,
            since SageMaker passes it on as ``OriginalMessage``.
        code: a word for programs; the class's own when left out.
    """

    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR
    code: str = "internal_error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(self.status, message, None)
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return self.message


class BadRequestError(InferenceError):
    """400: the request makes no sense."""

    status = HTTPStatus.BAD_REQUEST
    code = "bad_request"


class DecodeError(BadRequestError):
    """400: the body is not what its Content-Type says; the message says where."""

    code = "undecodable_body"


class ModelNotFoundError(InferenceError):
    """404: no such model is loaded."""

    status = HTTPStatus.NOT_FOUND
    code = "model_not_found"


class NotAcceptableError(InferenceError):
    """406: nothing that the client accepts can be produced."""

    status = HTTPStatus.NOT_ACCEPTABLE
    code = "not_acceptable"


class RequestTimeoutError(InferenceError):
    """408: the request did not arrive in time."""

    status = HTTPStatus.REQUEST_TIMEOUT
    code = "request_timeout"


class PayloadTooLargeError(InferenceError):
    """413: the body, or what it unpacks to, is over the limit."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    code = "payload_too_large"


class UnsupportedMediaTypeError(InferenceError):
    """415: nobody here reads this Content-Type."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    code = "unsupported_media_type"


class UnprocessableInputError(InferenceError):
    """422: the body was read, and a field of it does not fit the predictor."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    code = "unprocessable_input"


class TooManyRequestsError(InferenceError):
    """429: come back later."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    code = "too_many_requests"


class PredictionError(InferenceError):
    """500: the model failed on this input."""

    code = "prediction_failed"


class EncodeError(InferenceError):
    """500: the prediction cannot be written in the content type that was agreed on."""

    code = "unencodable_prediction"


class ServiceUnavailableError(InferenceError):
    """503: not now; sending the same again is safe."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "service_unavailable"


class PredictionTimeoutError(InferenceError):
    """504: the prediction took longer than its time limit."""

    status = HTTPStatus.GATEWAY_TIMEOUT
    code = "prediction_timeout"


class OutOfMemoryError(InferenceError):
    """507: memory ran out while this request was worked on."""

    status = HTTPStatus.INSUFFICIENT_STORAGE
    code = "out_of_memory"


class UnsupportedFormatError(UnsupportedMediaTypeError):
    """415: the AWS toolkit's name and wording for a content type that nobody here handles.

    Args:
        content_type: the content type as it was asked for.
    """

    def __init__(self, content_type: object) -> None:
        self.content_type = content_type
        super().__init__(
            f"Content type {content_type} is not supported by this framework. "
            "Send one of the built-in types, or register a decoder or an encoder for it."
        )
