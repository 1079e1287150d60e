"""Decode a form, or query parameters: each part by its own type, into one dict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sagemaker_inference import _content_types as content_types
from sagemaker_inference._errors import BadRequestError, InferenceError
from sagemaker_inference._http import forms
from sagemaker_inference._http.uploads import Upload
from sagemaker_inference.codecs import form

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagemaker_inference._http.messages import Part
    from sagemaker_inference._inference.decoding import Decoders
    from sagemaker_inference._inference.inference_handler import Job
    from sagemaker_inference.codecs import Body


async def decode_parts(job: Job, decoders: Decoders, body: Body, content_type: str) -> None:
    """Decode a form that the front end has parsed, or query parameters without a body."""
    request = job.request
    if request.fields is None:
        if decoders.takes_raw_body(content_type):
            decoding = decoders.for_content_type(content_type)
            job.data = await job.read(decoding, body, content_type)
            return
        if content_types.is_form(content_type):
            forms.parse_fields(request, body)
        else:
            request.fields = ()
    await decode_fields(job, decoders)


async def decode_fields(job: Job, decoders: Decoders) -> None:
    """Decode the fields of a form, and query parameters."""
    request = job.request
    # Where all of them are files, parameters are none of them.
    parts: Sequence[Part] = request.fields or () if decoders.file_names is None else request.parts
    if not parts:
        message = "The form has no fields or is truncated."
        raise BadRequestError(message)
    job.divide_budget(parts)
    fields: list[tuple[str, Any]] = []
    for part in parts:
        if decoders.file_names is None or part.name in decoders.file_names:
            # A browser sends a field for files that nobody has chosen one for.
            if len(part.value) or part.filename != "":
                fields.append((part.name, Upload.from_part(part)))
            continue
        decoding = decoders.for_part(part.content_type)
        try:
            data = await job.read(decoding, part.value, part.content_type)
            fields.append((part.name, data))
        except InferenceError as error:
            raise form.named(error, part.name) from None
    job.handler = None
    job.data = decoders.convert_fields(fields)
