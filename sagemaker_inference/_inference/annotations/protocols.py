"""The signatures of functions that decode a body, or convert it to an annotation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from sagemaker_inference.codecs import Body


class Decode(Protocol):
    """A built-in format: body and Content-Type in, data out."""

    def __call__(self, body: Body, content_type: str, /) -> Any:
        """Decode a body."""


class Convert(Protocol):
    """The converter for one annotation."""

    def __call__(self, body: Body, content_type: str, /, decode: Decode) -> Any:
        """Convert a body to the annotation; ``decode`` is the format of its content type.

        Raises:
            UnprocessableInputError: it was decoded but does not fit.
        """
