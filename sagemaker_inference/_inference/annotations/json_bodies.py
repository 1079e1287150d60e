"""Bodies of JSON: the libraries that validate read them, each in its own way."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any, Final

import orjson

from sagemaker_inference import _budget
from sagemaker_inference import _content_types as content_types
from sagemaker_inference._inference.annotations.problems import NO_VALUE
from sagemaker_inference.codecs import _charset

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from sagemaker_inference.codecs import Body

# The start of {"instances": ...}, which `codecs.json` unwraps.
WRAPPED: Final = re.compile(rb'\s*\{\s*"instances"\s*:')
# What an array of arrays of numbers in JSON is made of.
_NUMBER_BYTES: Final = b"0123456789+-.eE,[] \t\r\n"


def is_json(content_type: str) -> bool:
    return content_types.parse(content_type).name == content_types.JSON


def wraps_instances(text: bytes | bytearray) -> bool:
    """Whether a JSON text begins as ``{"instances": ...}``, which `codecs.json` unwraps."""
    return WRAPPED.match(text) is not None


def affordable(body: Body, content_type: str, *, numbers: bool = False) -> bytes:
    """The text of a JSON body, once its values are within the budget.

    Args:
        body: the body.
        content_type: its Content-Type.
        numbers: whether only numbers can fit.

    Raises:
        PayloadTooLargeError: they are not.
    """
    text = _charset.utf8(body, content_type)
    if (budget := _budget.if_large(body)) is not None:
        from sagemaker_inference.codecs import _json_size

        with _reading(text, numbers=numbers):
            _json_size.take(text, budget, "JSON")
    return bytes(text)


def _reading(text: bytes | bytearray, *, numbers: bool) -> AbstractContextManager[None]:
    """What to read a text in: where only numbers can fit, and it has more, it may be refused.

    Args:
        text: the JSON.
        numbers: whether only numbers can fit.
    """
    is_doubtful = numbers and len(text) > _budget.SMALL and text.translate(None, _NUMBER_BYTES)
    return _budget.tentative(text) if is_doubtful else contextlib.nullcontext()


def or_instances(read: Callable[[bytes], Any], invalid: type[Exception]) -> Callable[[bytes], Any]:
    """Read JSON, or the value of ``{"instances": ...}``, which `codecs.json` unwraps as well."""

    def read_either(text: bytes) -> Any:
        try:
            return read(text)
        except invalid:
            if not wraps_instances(text):
                raise
            try:
                document = orjson.loads(text)
            except orjson.JSONDecodeError:
                document = {}
            if list(document) != ["instances"]:
                raise
        return read(orjson.dumps(document["instances"]))

    return read_either


def document_of(body: Body, content_type: str) -> Any:
    """What JSON holds that was refused; the value of ``{"instances": ...}``."""
    try:
        document = orjson.loads(_charset.utf8(body, content_type))
    except orjson.JSONDecodeError:
        return NO_VALUE
    is_wrapped = isinstance(document, dict) and list(document) == ["instances"]
    return document["instances"] if is_wrapped else document
