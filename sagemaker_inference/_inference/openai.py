"""Paths of OpenAI's API: which answers are streams, and how clients of that API read them.

https://platform.openai.com/docs/api-reference/chat-streaming
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from sagemaker_inference import _content_types as content_types
from sagemaker_inference._errors import BadRequestError, NotAcceptableError
from sagemaker_inference._inference.decoding import most_specific
from sagemaker_inference._inference.encoding import Encoders, refusing
from sagemaker_inference._inference.inference_handler import InferenceHandler

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference._http.messages import Response
    from sagemaker_inference._inference.encoding import Encoding
    from sagemaker_inference._inference.inference_handler import Job
    from sagemaker_inference._inference.stream_formats import StreamFormat

_STREAM: Final = "stream"
_NOT_ASKED: Final = (
    'This request is answered by a stream, which its body does not ask for. Send "stream": true. '
    "For other requests, the program returns one document."
)


class OpenAIEncoders(Encoders):
    """The writers of responses on a path of OpenAI's API: streams are events, whatever is accepted.

    Its clients accept JSON, also where they ask for a stream.
    """

    def _find(self, accept: str) -> Encoding:
        try:
            return super()._find(accept)
        except NotAcceptableError as error:
            # Whether the prediction is a stream is not known yet.
            return refusing(error.message)

    def _find_stream(self, accept: str) -> StreamFormat:  # noqa: ARG002 - as the base has it
        from sagemaker_inference._inference import stream_formats

        events = stream_formats.framed(content_types.EVENT_STREAM).of_openai()
        encoder = most_specific(self.registered, content_types.EVENT_STREAM)
        return events if encoder is None else events.by(encoder.handler)

    def for_transformer_stream(self, accept: str, returned_type: str) -> StreamFormat:  # noqa: ARG002
        """The format of what a transformer yields; see `Encoders`."""
        return self.for_stream(accept)


class OpenAIHandler(InferenceHandler):
    """Answers requests to a path of OpenAI's API."""

    async def _open(self, job: Job, items: Any, choose: Callable[[], StreamFormat]) -> Response:
        def choose_if_asked() -> StreamFormat:
            if not _asks_for_stream(job):
                raise BadRequestError(_NOT_ASKED)
            return choose()

        return await super()._open(job, items, choose_if_asked)


def _asks_for_stream(job: Job) -> bool:
    """Whether the body has ``"stream": true``, or a form has such a field."""
    if job.request.fields is not None:
        return any(
            part.name == _STREAM and bytes(part.value).lower() == b"true"
            for part in job.request.fields
        )
    try:
        document = orjson.loads(job.body or b"")
    except orjson.JSONDecodeError:
        return False
    return isinstance(document, dict) and document.get(_STREAM) is True
