"""Requests and their responses as lines, in the format of SageMaker's data capture.

https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture-endpoint.html
"""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from sagemaker_inference import _content_types as content_types
from sagemaker_inference._errors import BaseInferenceToolkitError
from sagemaker_inference._http import content_coding
from sagemaker_inference._http.context import CUSTOM_ATTRIBUTES

if TYPE_CHECKING:
    from sagemaker_inference._http.messages import Request, Response
    from sagemaker_inference.codecs import Body

INFERENCE_ID: Final = "X-Amzn-SageMaker-Inference-Id"
_CODING: Final = "content-encoding"
_BASE64: Final = "BASE64"
# What SageMaker's endpoints are usually told to capture as text (CaptureContentTypeHeader).
_TEXTS: Final = {
    content_types.CSV: "CSV",
    content_types.JSON: "JSON",
    "application/jsonlines": "JSON",
}


class Captured(NamedTuple):
    """A request that was captured, and its response.

    Attributes:
        event_id: the id of the request.
        content_type: the Content-Type of the request, "" without one.
        body: the body of the request.
        custom_attributes: SageMaker's CustomAttributes, "" without.
        inference_id: SageMaker's InferenceId, "" without.
        answer_type: the Content-Type of the response, "" without one.
        answer: the body of the response.
    """

    event_id: str
    content_type: str
    body: bytes
    custom_attributes: str
    inference_id: str
    answer_type: str
    answer: bytes


def write(request: Request, response: Response, body: Body, seconds: float) -> bytes:
    """The line of a request.

    Args:
        request: the request.
        response: its response.
        body: the body of the response.
        seconds: when it was sent, in seconds since 1970.
    """
    headers = {name.lower(): str(value) for name, value in response.headers.items()}
    sent = _plain(body, headers.get(_CODING, ""))
    received = _plain(request.body, request.headers.find(_CODING))
    metadata: dict[str, Any] = {"eventId": request.id}
    attributes = request.headers.find(CUSTOM_ATTRIBUTES.lower())
    if attributes:
        # A list of one text, as in AWS's sample of captured data:
        # https://github.com/aws-samples/amazon-sagemaker-data-quality-monitor-custom-preprocessing
        metadata["customAttributes"] = [attributes]
    inference_id = request.headers.find(INFERENCE_ID.lower())
    if inference_id:
        metadata["inferenceId"] = inference_id
    metadata["inferenceTime"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
    document = {
        "captureData": {
            "endpointInput": _half(request.content_type, "INPUT", received),
            "endpointOutput": _half(response.content_type, "OUTPUT", sent),
        },
        "eventMetadata": metadata,
        "eventVersion": "0",
    }
    return orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)


def _plain(body: Body, codings: str) -> Body:
    """A body without its content codings, for which the format has no field."""
    if not codings:
        return body
    try:
        return content_coding.unpack(body, codings)
    except BaseInferenceToolkitError:  # the program has read it in a way of its own
        return body


def _half(content_type: str, mode: str, body: Body) -> dict[str, str]:
    encoding = _TEXTS.get(content_types.parse(content_type).name, _BASE64)
    data = ""
    if encoding != _BASE64:
        try:
            data = str(body, "utf-8")
        except UnicodeDecodeError:
            encoding = _BASE64
    if encoding == _BASE64:
        data = base64.b64encode(body).decode()
    return {
        "observedContentType": content_type,
        "mode": mode,
        "data": data,
        "encoding": encoding,
    }


def read(line: bytes) -> Captured:
    """Read a line, of SageMaker or of `write`.

    Raises:
        ValueError: it is not one; the message says why, as the end of a sentence.
    """
    try:
        document = orjson.loads(line)
    except ValueError as error:
        message = f"is not JSON: {error}"
        raise ValueError(message) from None
    try:
        data, metadata = document["captureData"], document.get("eventMetadata") or {}
        given, wanted = data["endpointInput"], data["endpointOutput"]
        attributes = metadata.get("customAttributes") or [""]
        return Captured(
            str(metadata.get("eventId", "")),
            _type(given),
            _body(given),
            attributes if isinstance(attributes, str) else str(next(iter(attributes))),
            str(metadata.get("inferenceId") or ""),
            _type(wanted),
            _body(wanted),
        )
    except KeyError as error:
        message = f"has no {error.args[0]}: SageMaker has to capture input and output"
    except (AttributeError, TypeError):
        message = "is not a captured request: its parts are others"
    except ValueError as error:
        message = f"is not a captured request: {error}"
    raise ValueError(message)


def _type(half: dict[str, Any]) -> str:
    found = half.get("observedContentType") or ""
    if not isinstance(found, str):
        message = f"its observedContentType is {found!r}"
        raise ValueError(message)  # noqa: TRY004 - of the line
    return found


def _body(half: dict[str, Any]) -> bytes:
    text: str = half["data"]
    if half.get("encoding") == _BASE64:
        return base64.b64decode(text, validate=True)
    return text.encode()
