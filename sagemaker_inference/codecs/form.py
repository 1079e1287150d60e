"""Named parts: multipart/form-data (RFC 7578), urlencoded forms and query parameters.

`decode` gives a dict of the parts by name, in their order; a name that comes more than once has
a list. A part of a multipart body is decoded by its own Content-Type: JSON, CSV, images and so
on as their formats say, anything unknown as bytes. Without one it is a str, or bytes if it has a
file name or is not UTF-8. Parts within parts stay bytes. Values of urlencoded forms and of
queries are str.

With many models, and on its own back end, Multi Model Server takes forms apart itself: what was
cut off then reaches a program without the part that was cut, and a file without a type as text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import parse_qsl

from sagemaker_inference import codecs, content_types
from sagemaker_inference.codecs._charset import utf8
from sagemaker_inference.errors import DecodeError, InferenceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sagemaker_inference.codecs import Body

CONTENT_TYPES: Final = (content_types.MULTIPART, content_types.FORM)

_MOST_PARTS: Final = 1000
# Browsers send some hundred bytes.
_MOST_HEADER_BYTES: Final = 1 << 14
_HEADERS_END: Final = re.compile(rb"\r?\n\r?\n")


class Field(NamedTuple):
    """A part of a form as it was sent.

    Attributes:
        name: its name.
        content_type: what it says of itself; a file's is ``application/octet-stream`` unless it
            says another, and that of all else without one is "".
        value: its bytes.
    """

    name: str
    content_type: str
    value: bytes


def decode(body: Body | str, content_type: str) -> dict[str, Any]:
    """Read named parts.

    Args:
        body: the form.
        content_type: the Content-Type header; multipart needs its ``boundary``.

    Raises:
        DecodeError: no boundary, a part without a name, a body cut off, over 1,000 parts, or a
            part that its own Content-Type cannot read; the message names the part.
        UnsupportedMediaTypeError: the charset is unknown, or a part's format is refused.
    """
    return gathered((field.name, _value(field)) for field in fields(body, content_type))


def fields(body: Body | str, content_type: str) -> list[Field]:
    """Take a form apart, and leave its parts as they are.

    Raises:
        DecodeError: as for `decode`.
        UnsupportedMediaTypeError: the charset is unknown.
    """
    kind, parameters = content_types.parse(content_type)
    if kind == content_types.FORM:
        try:
            pairs = _pairs(utf8(body, content_type).decode())
        except UnicodeDecodeError as error:
            msg = f"Invalid form: not UTF-8 at byte {error.start}"
            raise DecodeError(msg) from None
        return [Field(name, "", value.encode("utf-8", "replace")) for name, value in pairs]
    boundary = parameters.get("boundary", "")
    if not 0 < len(boundary) <= 200:  # noqa: PLR2004
        msg = "Invalid multipart body: its Content-Type has no boundary"
        raise DecodeError(msg)
    data = body.encode() if isinstance(body, str) else bytes(body)
    return list(_parts(data, boundary.encode("utf-8", "replace")))


def query(text: str) -> dict[str, Any]:
    """Read query parameters (``a=1&b=2``), percent-decoded; a repeated name has a list.

    Raises:
        DecodeError: over 1,000 parameters.
    """
    return gathered(_pairs(text))


def text_or_bytes(data: Body) -> str | bytes:
    """What a part without a type of its own is."""
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError:
        return bytes(data)


def named(error: InferenceError, name: str) -> InferenceError:
    """A part's failure, with the part's name in its message."""
    error.message = f"Part {repr(name)[:40]}: {error.message}"[:300]
    return error


def _pairs(text: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_PARTS)
    except ValueError:
        msg = f"Over {_MOST_PARTS} parameters"
        raise DecodeError(msg) from None


def gathered(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """A dict of what bears names; a name that comes more than once has a list."""
    found: dict[str, list[Any]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def _parts(body: bytes, boundary: bytes) -> Iterator[Field]:
    delimiter = b"--" + boundary
    # A preamble may stand before the first delimiter, which needs no line end before it.
    pieces = (b"\r\n" + body if body.startswith(delimiter) else body).split(b"\n" + delimiter)
    if len(pieces) > _MOST_PARTS + 2:
        msg = f"Invalid multipart body: over {_MOST_PARTS} parts"
        raise DecodeError(msg)
    if len(pieces) == 1 or not pieces[-1].startswith(b"--"):
        msg = "Invalid multipart body: its boundary is missing, or it is cut off"
        raise DecodeError(msg)
    for number, piece in enumerate(pieces[1:-1], 1):
        _, _, content = piece.partition(b"\n")
        yield _part(number, b"\r\n" + content.removesuffix(b"\r"))


def _part(number: int, piece: bytes) -> Field:
    end = _HEADERS_END.search(piece, 0, _MOST_HEADER_BYTES)
    if end is None:
        msg = f"Invalid multipart body: part {number} has no end of its headers"
        raise DecodeError(msg)
    headers: dict[str, str] = {}
    for line in piece[: end.start()].decode("utf-8", "replace").splitlines():
        key, _, value = line.partition(":")
        headers[key.strip().lower()] = value.strip()
    disposition = content_types.parse(headers.get("content-disposition", "")).parameters
    if "name" not in disposition:
        msg = f"Invalid multipart body: part {number} has no name"
        raise DecodeError(msg)
    # RFC 7578 section 4.4: a file is bytes unless it says what else it is.
    default = content_types.OCTET_STREAM if "filename" in disposition else ""
    kind = headers.get("content-type", "") or default
    return Field(disposition["name"], kind, piece[end.end() :])


def _value(field: Field) -> Any:
    if not field.content_type:
        return text_or_bytes(field.value)
    codec = codecs.find(field.content_type)
    if codec is None or codec.decode is None or codec.content_types == CONTENT_TYPES:
        return field.value
    try:
        return codec.decode(field.value, field.content_type)
    except InferenceError as error:
        raise named(error, field.name) from None
