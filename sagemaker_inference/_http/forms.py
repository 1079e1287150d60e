"""Forms: parse the body of a request into fields."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from sagemaker_inference import _content_types as content_types
from sagemaker_inference._errors import InferenceError
from sagemaker_inference._http.messages import Part
from sagemaker_inference.codecs import form

if TYPE_CHECKING:
    from sagemaker_inference._http.messages import Request
    from sagemaker_inference.codecs import Body


def parse_fields(request: Request, body: Body) -> None:
    """Set the fields of a request from the form in its body.

    Args:
        request: one whose Content-Type is a form.
        body: its body, without content codings.

    Raises:
        DecodeError: the form cannot be parsed.
        UnsupportedMediaTypeError: its charset is unknown.
    """
    request.fields = [_part(field) for field in form.fields(body, request.content_type)]


def _part(field: form.Field) -> Part:
    part = Part(field.name, field.content_type, field.value)
    if field.filename is not None:
        part.filename = field.filename
    return part


def try_parse_fields(request: Request, body: Body) -> None:
    """Parse the form if there is a valid one, for handlers that take both fields and bodies."""
    if request.fields is None and content_types.is_form(request.content_type):
        with contextlib.suppress(InferenceError):
            parse_fields(request, body)
