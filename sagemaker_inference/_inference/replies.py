"""Turn the return value of an encoder or a transformer into a response."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from http import HTTPStatus
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference import _content_types as content_types
from sagemaker_inference import codecs
from sagemaker_inference._aws import mms_objects
from sagemaker_inference._errors import EncodeError
from sagemaker_inference._http import content_coding
from sagemaker_inference._http.error_response import ascii_line, standard_phrase
from sagemaker_inference._http.messages import Response
from sagemaker_inference._os import memory

if TYPE_CHECKING:
    from sagemaker_inference._http.context import Context
    from sagemaker_inference._http.messages import Request
    from sagemaker_inference._inference.inference_handler import Job
    from sagemaker_inference.codecs import Body

_OK: Final = int(HTTPStatus.OK)
_ITERATORS: Final = (Iterator, AsyncIterator)
_BODIES: Final = (bytes, str, bytearray, memoryview)


def reply(request: Request, context: Context, result: Any, content_type: str) -> Response:
    """The response for a body, or for a tuple of a body and its content type.

    Raises:
        EncodeError: the result is not a body, its charset cannot encode it, or the status or
            content type that the program has set cannot be sent.
    """
    if isinstance(result, tuple):
        result, returned_type = result
        content_type = returned_type or content_type
    content_type = context.response_content_type or content_type
    if "*" in content_type:
        message = f"The encoder for {content_type} must return (body, content_type)"
        raise EncodeError(message)
    # Asked here, not in a function: the answers to most requests are of these kinds.
    status = _status(context.status) if context.status else _OK
    phrase = ascii_line(context.phrase) if context.phrase else standard_phrase(status)
    headers = context.response_headers
    # Bodies first: to ask an abstract class takes a tenth of the time of a small request.
    if not isinstance(result, _BODIES) and isinstance(result, _ITERATORS):
        return Response(result, content_type, status=status, headers=headers, phrase=phrase)
    body = result if type(result) is bytes else _body(result, content_type)
    if isinstance(result, str):
        content_type = with_charset(content_type)
    accepted = request.headers.find("accept-encoding")
    if content_coding.is_worth_packing(len(body), content_type, accepted) and not any(
        name.lower() == "content-encoding" for name in headers
    ):
        body = content_coding.pack(body)
        headers = {**headers, "Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    return Response(body, content_type, status=status, headers=headers, phrase=phrase)


def finished(job: Job) -> Response:
    """The response of a request, with the times that its steps took.

    Raises:
        RuntimeError: it has none.
    """
    response = job.response
    if response is None:  # every path above ends in a response
        message = "a request has no response"
        raise RuntimeError(message)
    start, *ends = *job.times, perf_counter()
    # A request that failed has fewer steps.
    decoded, predicted, encoded = (*ends, ends[-1], ends[-1])[:3]
    response.decode_seconds = decoded - start
    response.predict_seconds = predicted - decoded
    response.encode_seconds = encoded - predicted
    if job.budget is not None and job.budget.is_large:
        job.data = None
        memory.give_back()
    if (metrics := job.context.own_metrics) is not None:
        mms_objects.log_metrics(metrics)
    return response


def body_and_type(result: Any, content_type: str) -> tuple[Body, str]:
    """The bytes that an encoder has returned, and their type.

    Raises:
        EncodeError: it has returned something else, or its charset cannot encode it.
    """
    if isinstance(result, tuple):
        result, returned_type = result
        content_type = returned_type or content_type
    return _body(result, content_type), content_type


def _status(value: Any) -> int:
    try:
        status = int(value)
    except (TypeError, ValueError):
        status = 0
    if not 200 <= status <= 599:  # noqa: PLR2004 - RFC 9110: final statuses
        message = f"The program set status {value!r:.40}, which is not a number from 200 to 599"
        raise EncodeError(message)
    return status


def built_in_body(result: Any, content_type: str) -> Any:
    """The return value of a transformer, encoded by a built-in format unless it is a body.

    Raises:
        EncodeError: no built-in format writes ``content_type``.
    """
    if isinstance(result, (*_BODIES, tuple, *_ITERATORS)):
        return result
    codec = codecs.for_content_type(content_type)
    if codec is None or codec.encode is None:
        message = f"The transformer returned {type(result).__name__}, not bytes or str"
        raise EncodeError(message)
    return codec.encode(result, content_type)


def with_charset(content_type: str) -> str:
    """The type of plain text with its charset, without which some clients take it for Latin-1.

    Other types stay as they are: SageMaker's SDK compares that of CSV for equality.
    """
    is_bare = content_type.strip().lower() == content_types.TEXT
    return f"{content_types.TEXT}; charset=utf-8" if is_bare else content_type


def _body(result: Any, content_type: str) -> Body:
    if isinstance(result, (bytes, bytearray)):
        return result
    if isinstance(result, str):
        return _encoded(result, content_type)
    if isinstance(result, memoryview):
        return result if result.c_contiguous else result.tobytes()
    message = f"The encoder for {content_type} returned {type(result).__name__}, not bytes or str"
    raise EncodeError(message)


def _encoded(text: str, content_type: str) -> bytes:
    charset = content_types.parse(content_type).parameters.get("charset", "utf-8")
    try:
        return text.encode(charset)
    except (UnicodeEncodeError, LookupError) as error:
        message = f"The response cannot be written as {content_type}"
        raise EncodeError(message) from error
