"""The shapes of functions that read a body, by its format or for an annotation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from sagemaker_inference.codecs import Body


class Decode(Protocol):
    """A built-in format: body and Content-Type in, data out."""

    def __call__(self, body: Body, content_type: str, /) -> Any:
        """Read a body."""


class Convert(Protocol):
    """What an annotation stands for."""

    def __call__(self, body: Body, content_type: str, /, decode: Decode) -> Any:
        """Make of a body what the annotation says; ``decode`` is the format of its type.

        Raises:
            UnprocessableInputError: it was read and does not fit.
        """
