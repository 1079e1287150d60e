"""Forms that clients send: the body of a request taken apart into its fields."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagemaker_inference.codecs import form
from sagemaker_inference.errors import BadRequestError
from sagemaker_inference.requests import Part

if TYPE_CHECKING:
    from sagemaker_inference.requests import Body, Request


def take_apart(request: Request, body: Body | None) -> None:
    """Make a request's parts those of the form in its body, behind the parameters of its query.

    Args:
        request: one whose Content-Type is that of a form.
        body: its body, unpacked; None where the front end has taken it apart.

    Raises:
        BadRequestError: the form has no fields, or cannot be read.
        UnsupportedMediaTypeError: its charset is unknown.
    """
    if body is not None:
        fields = form.fields(body, request.content_type)
        request.parts = [*request.other_parts, *(Part(*field) for field in fields)]
    if not request.parts:
        message = "The form has no fields, or is cut off."
        raise BadRequestError(message)
