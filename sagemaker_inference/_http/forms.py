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
    """Make a request's parts those of the form in its body, behind the parameters of its query.

    Args:
        request: one whose Content-Type is that of a form.
        body: its body, unpacked.

    Raises:
        DecodeError: the form cannot be read.
        UnsupportedMediaTypeError: its charset is unknown.
    """
    fields = form.fields(body, request.content_type)
    request.parts = [*request.other_parts, *(Part(*field) for field in fields)]


def show_fields(request: Request, body: Body | None) -> None:
    """Take a form apart if there is one and it can be read, for who makes do with either."""
    if body is not None and content_types.is_form(request.content_type):
        with contextlib.suppress(InferenceError):
            take_apart(request, body)
