"""Forms that clients send: the body of a request taken apart into its fields."""

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


def take_apart(request: Request, body: Body) -> None:
    """Set a request's fields to those of the form in its body.

    Args:
        request: one whose Content-Type is that of a form.
        body: its body, unpacked.

    Raises:
        DecodeError: the form cannot be read.
        UnsupportedMediaTypeError: its charset is unknown.
    """
    request.fields = [Part(*field) for field in form.fields(body, request.content_type)]


def show_fields(request: Request, body: Body) -> None:
    """Take a form apart if there is one and it can be read, for handlers that take either."""
    if request.fields is None and content_types.is_form(request.content_type):
        with contextlib.suppress(InferenceError):
            take_apart(request, body)
