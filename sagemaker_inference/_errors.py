"""Everything that can go wrong, in two families that never meet.

Mistakes of the author abort startup, before any request is served; clients never see them::

    Exception
    ├── RegistrationError (TypeError)     a handler has the wrong signature, or two conflict
    └── StartError                        program, port, Java or environment prevent serving

The failure of a request is a response with a status. Each is raised here::

    client ──> front end ──> decoder ──> predictor ──> encoder ──> client
               404 model not found       422 does not fit      406 not acceptable
               413 too large             500 the model failed  500 cannot be encoded
               429 / 503 queue full      504 too slow
                        400 cannot be decoded                  507 out of memory
                        415 unknown content type

User code may raise any class of the second family, from any function, and the client gets its
status. Any other exception becomes a 500 without details; the log has the traceback.
"""

from __future__ import annotations

from enum import Enum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "BadRequestError",
    "BaseInferenceToolkitError",
    "DecodeError",
    "EncodeError",
    "ErrorCode",
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


class ErrorCode(str, Enum):
    """A failure as one word for programs: ``{"error": {"code": ...}}``.

    A failure has the same code wherever it is detected: in a worker, the supervisor or the front
    end (``ErrorCode.java`` has the codes that the front end sends).

    >>> ErrorCode.PREDICTION_TIMEOUT.value, int(ErrorCode.PREDICTION_TIMEOUT.status)
    ('prediction_timeout', 504)

    Attributes:
        status: the HTTP status of this failure.
    """

    status: HTTPStatus

    def __new__(cls, code: str, status: HTTPStatus) -> Self:
        """Create a member: a str with a status."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.status = status
        return member

    BAD_REQUEST = "bad_request", HTTPStatus.BAD_REQUEST
    UNDECODABLE_BODY = "undecodable_body", HTTPStatus.BAD_REQUEST
    NOT_FOUND = "not_found", HTTPStatus.NOT_FOUND
    MODEL_NOT_FOUND = "model_not_found", HTTPStatus.NOT_FOUND
    SESSION_NOT_FOUND = "session_not_found", HTTPStatus.NOT_FOUND
    SESSION_LOST = "session_lost", HTTPStatus.NOT_FOUND
    METHOD_NOT_ALLOWED = "method_not_allowed", HTTPStatus.METHOD_NOT_ALLOWED
    NOT_ACCEPTABLE = "not_acceptable", HTTPStatus.NOT_ACCEPTABLE
    REQUEST_TIMEOUT = "request_timeout", HTTPStatus.REQUEST_TIMEOUT
    PAYLOAD_TOO_LARGE = "payload_too_large", HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    URI_TOO_LONG = "uri_too_long", HTTPStatus.REQUEST_URI_TOO_LONG
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type", HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    UNPROCESSABLE_INPUT = "unprocessable_input", HTTPStatus.UNPROCESSABLE_ENTITY
    TOO_MANY_REQUESTS = "too_many_requests", HTTPStatus.TOO_MANY_REQUESTS
    HEADER_FIELDS_TOO_LARGE = (
        "header_fields_too_large",
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    )
    INTERNAL_ERROR = "internal_error", HTTPStatus.INTERNAL_SERVER_ERROR
    DECODER_FAILED = "decoder_failed", HTTPStatus.INTERNAL_SERVER_ERROR
    PREDICTION_FAILED = "prediction_failed", HTTPStatus.INTERNAL_SERVER_ERROR
    ENCODER_FAILED = "encoder_failed", HTTPStatus.INTERNAL_SERVER_ERROR
    TRANSFORMER_FAILED = "transformer_failed", HTTPStatus.INTERNAL_SERVER_ERROR
    BIDIRECTIONAL_FAILED = "bidirectional_failed", HTTPStatus.INTERNAL_SERVER_ERROR
    UNENCODABLE_PREDICTION = "unencodable_prediction", HTTPStatus.INTERNAL_SERVER_ERROR
    MODEL_NOT_LOADED = "model_not_loaded", HTTPStatus.INTERNAL_SERVER_ERROR
    PROCESS_DIED = "process_died", HTTPStatus.INTERNAL_SERVER_ERROR
    SERVICE_UNAVAILABLE = "service_unavailable", HTTPStatus.SERVICE_UNAVAILABLE
    PREDICTION_TIMEOUT = "prediction_timeout", HTTPStatus.GATEWAY_TIMEOUT
    OUT_OF_MEMORY = "out_of_memory", HTTPStatus.INSUFFICIENT_STORAGE
    TOO_MANY_SESSIONS = "too_many_sessions", HTTPStatus.INSUFFICIENT_STORAGE

    @classmethod
    def for_status(cls, status: int) -> str:
        """The code for an error that has only a status; without one, its reason phrase."""
        code = _CODES.get(status)
        if code is not None:
            return str(code.value)
        try:
            phrase = HTTPStatus(status).phrase
        except ValueError:
            return "error"
        return phrase.lower().replace(" ", "_")


# Of several codes with the same status, the first is the general one.
_CODES: dict[int, ErrorCode] = {int(code.status): code for code in reversed(ErrorCode)}


def _restored(kind: type[BaseException], args: tuple[Any, ...]) -> BaseException:
    """An exception with what its base class has got; its attributes follow."""
    error = kind.__new__(kind, *args)
    error.args = args
    return error


class _Restorable(BaseException):
    """An exception that is pickled as it is, whatever its ``__init__`` takes, as for Ray."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self.args), vars(self)


class RegistrationError(_Restorable, TypeError):
    """A handler cannot be registered; the message names it, its file and line, and the fix.

    >>> from sagemaker_inference import Registry
    >>> try:
    ...     Registry().model_loader(lambda a, b, c: None)
    ... except RegistrationError as error:
    ...     print(str(error)[:16])
    @model_loader is
    """


class StartError(_Restorable, Exception):
    """The server cannot start; the message names the problem and the fix. Exit code 1.

    >>> from sagemaker_inference.testing import TestClient
    >>> try:
    ...     TestClient("no_such_file.py")
    ... except StartError as error:
    ...     print("no_such_file.py" in str(error))
    True
    """


class BaseInferenceToolkitError(_Restorable, Exception):
    """The failure of a request: an HTTP status, a message for the client and a reason phrase.

    Subclasses may skip ``super().__init__``; attributes that they do not set come from the class.

    >>> error = BaseInferenceToolkitError(409, "The model is being updated.", "Conflict")
    >>> error.status_code, error.phrase
    (409, 'Conflict')

    Args:
        status_code: HTTP status, 200 to 599; 204 has no body.
        message: the message for the client.
        phrase: the reason phrase of the status line; None means the registered one.
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

    >>> GenericInferenceToolkitError(418, "no coffee here").status_code
    418

    Args:
        status_code: HTTP status, 200 to 599; 204 has no body.
        message: the message for the client; "Invalid Request" by default.
        phrase: the reason phrase; the message by default.
    """

    def __init__(
        self, status_code: int, message: str | None = None, phrase: str | None = None
    ) -> None:
        message = message or "Invalid Request"
        super().__init__(status_code, message, phrase or message)


class InferenceError(BaseInferenceToolkitError):
    """The failure of a request, with the status of its class; raise a subclass with a message.

    >>> class QuotaError(InferenceError):
    ...     status = HTTPStatus.PAYMENT_REQUIRED
    >>> int(QuotaError("The quota is used up.").status_code)
    402

    Args:
        message: the message for the client: what is wrong and what to send instead. Responses cut
            it at 400 characters, since SageMaker passes it on as ``OriginalMessage``.
        code: one word for programs; that of the class by default.
    """

    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR
    code: str = ErrorCode.INTERNAL_ERROR.value

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(self.status, message, None)
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return self.message


class BadRequestError(InferenceError):
    """400: the request is malformed.

    >>> error = BadRequestError("Name a language.")
    >>> int(error.status_code), error.code
    (400, 'bad_request')
    """

    status = ErrorCode.BAD_REQUEST.status
    code = ErrorCode.BAD_REQUEST.value


class DecodeError(BadRequestError, ValueError):
    """400: the body is not what its Content-Type says; the message says where.

    It is a ValueError as well, which AWS's toolkit raises.

    >>> from sagemaker_inference.codecs import json
    >>> try:
    ...     json.decode(b"[1,")
    ... except DecodeError as error:
    ...     int(error.status_code), error.code
    (400, 'undecodable_body')
    """

    code = ErrorCode.UNDECODABLE_BODY.value


class ModelNotFoundError(InferenceError):
    """404: no such model is loaded.

    >>> error = ModelNotFoundError("There is no model en-fr.")
    >>> int(error.status_code), error.code
    (404, 'model_not_found')
    """

    status = ErrorCode.MODEL_NOT_FOUND.status
    code = ErrorCode.MODEL_NOT_FOUND.value


class SessionNotFoundError(InferenceError):
    """404: there is no such session: it has expired, was closed, or its worker is gone.

    >>> error = SessionNotFoundError("The game is over.")
    >>> int(error.status_code), error.code
    (404, 'session_not_found')
    """

    status = ErrorCode.SESSION_NOT_FOUND.status
    code = ErrorCode.SESSION_NOT_FOUND.value


def session_lost() -> SessionNotFoundError:
    """The failure of a request whose session ended with its worker."""
    message = "The session is lost: the worker that had it has ended. Begin a new session."
    return SessionNotFoundError(message, code=ErrorCode.SESSION_LOST.value)


class NotAcceptableError(InferenceError):
    """406: the response cannot be written in any type that the client accepts.

    >>> error = NotAcceptableError("Accept image/png.")
    >>> int(error.status_code), error.code
    (406, 'not_acceptable')
    """

    status = ErrorCode.NOT_ACCEPTABLE.status
    code = ErrorCode.NOT_ACCEPTABLE.value


class RequestTimeoutError(InferenceError):
    """408: the request did not arrive in time.

    >>> error = RequestTimeoutError("The upload was too slow.")
    >>> int(error.status_code), error.code
    (408, 'request_timeout')
    """

    status = ErrorCode.REQUEST_TIMEOUT.status
    code = ErrorCode.REQUEST_TIMEOUT.value


class PayloadTooLargeError(InferenceError):
    """413: the body, or what it unpacks to, is over the limit.

    >>> error = PayloadTooLargeError("Send at most 10 pages.")
    >>> int(error.status_code), error.code
    (413, 'payload_too_large')
    """

    status = ErrorCode.PAYLOAD_TOO_LARGE.status
    code = ErrorCode.PAYLOAD_TOO_LARGE.value


class UnsupportedMediaTypeError(InferenceError):
    """415: no decoder reads this Content-Type.

    >>> error = UnsupportedMediaTypeError("Send a PDF file.")
    >>> int(error.status_code), error.code
    (415, 'unsupported_media_type')
    """

    status = ErrorCode.UNSUPPORTED_MEDIA_TYPE.status
    code = ErrorCode.UNSUPPORTED_MEDIA_TYPE.value


class UnprocessableInputError(InferenceError):
    """422: the body was decoded, but the predictor cannot use it.

    >>> error = UnprocessableInputError("Send rows of 4 numbers.")
    >>> int(error.status_code), error.code
    (422, 'unprocessable_input')
    """

    status = ErrorCode.UNPROCESSABLE_INPUT.status
    code = ErrorCode.UNPROCESSABLE_INPUT.value


class TooManyRequestsError(InferenceError):
    """429: the client sends too many requests and should retry later.

    >>> error = TooManyRequestsError("Wait for a second.")
    >>> int(error.status_code), error.code
    (429, 'too_many_requests')
    """

    status = ErrorCode.TOO_MANY_REQUESTS.status
    code = ErrorCode.TOO_MANY_REQUESTS.value


class PredictionError(InferenceError):
    """500: the model failed on this input.

    >>> error = PredictionError("The solver does not converge.")
    >>> int(error.status_code), error.code
    (500, 'prediction_failed')
    """

    code = ErrorCode.PREDICTION_FAILED.value


class EncodeError(InferenceError, TypeError, ValueError):
    """500: the prediction cannot be written in the negotiated content type.

    It is a TypeError and a ValueError as well: AWS's toolkit raises one or the other.

    >>> from sagemaker_inference.codecs import csv
    >>> try:
    ...     csv.encode({"a": object()})
    ... except EncodeError as error:
    ...     int(error.status_code), error.code
    (500, 'unencodable_prediction')
    """

    code = ErrorCode.UNENCODABLE_PREDICTION.value


class ServiceUnavailableError(InferenceError):
    """503: the request was not processed and can safely be sent again.

    >>> error = ServiceUnavailableError("The feature store is down.")
    >>> int(error.status_code), error.code
    (503, 'service_unavailable')
    """

    status = ErrorCode.SERVICE_UNAVAILABLE.status
    code = ErrorCode.SERVICE_UNAVAILABLE.value


class PredictionTimeoutError(InferenceError):
    """504: the prediction took longer than its time limit.

    >>> error = PredictionTimeoutError("The feature store did not answer.")
    >>> int(error.status_code), error.code
    (504, 'prediction_timeout')
    """

    status = ErrorCode.PREDICTION_TIMEOUT.status
    code = ErrorCode.PREDICTION_TIMEOUT.value


class OutOfMemoryError(InferenceError):
    """507: memory ran out while the request was processed.

    >>> error = OutOfMemoryError("The batch does not fit.")
    >>> int(error.status_code), error.code
    (507, 'out_of_memory')
    """

    status = ErrorCode.OUT_OF_MEMORY.status
    code = ErrorCode.OUT_OF_MEMORY.value


class UnsupportedFormatError(UnsupportedMediaTypeError):
    """415: the AWS toolkit's class and wording for an unsupported content type.

    >>> from sagemaker_inference import decoder
    >>> try:
    ...     decoder.decode(b"", "application/pdf")
    ... except UnsupportedFormatError as error:
    ...     int(error.status_code), error.content_type
    (415, 'application/pdf')

    Args:
        content_type: the content type as the client sent it.
    """

    def __init__(self, content_type: object) -> None:
        self.content_type = content_type
        super().__init__(
            f"Content type {content_type} is not supported by this framework. "
            "Send one of the built-in types, or register a decoder or an encoder for it."
        )
