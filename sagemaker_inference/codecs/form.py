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
from urllib.parse import unquote_to_bytes

from sagemaker_inference import _content_types as content_types
from sagemaker_inference import codecs
from sagemaker_inference._errors import DecodeError, InferenceError
from sagemaker_inference.codecs._charset import utf8

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sagemaker_inference.codecs import Body

_MOST_PARTS: Final = 10_000
_PIECE: Final = 1 << 16
_NO_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
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
        DecodeError: no boundary, a part without a name, a body cut off, over 10,000 parts, or a
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
    data = body.encode() if isinstance(body, str) else bytes(body)
    if kind == content_types.FORM:
        pairs = _pairs(data)
        if len(pairs) == 1 and pairs[0][0][:1] in ("[", "{") and b"=" not in data:
            msg = "Invalid form: it looks like JSON; send it with Content-Type: application/json"
            raise DecodeError(msg)
        # Percent-encoded or not, the bytes of a value are in the charset of the form.
        return [Field(name, "", bytes(utf8(value, content_type))) for name, value in pairs]
    boundary = parameters.get("boundary", "")
    if not 0 < len(boundary) <= 200:  # noqa: PLR2004
        msg = "Invalid multipart body: its Content-Type has no boundary"
        raise DecodeError(msg)
    return list(_parts(data, b"--" + boundary.encode("utf-8", "replace")))


def reader(content_type: str) -> Callable[[Body, str], Any]:
    """What reads a part of this type: ``read(data, content type)``.

    Without a type it is text if it is that; bytes stay what no format here reads, and forms.
    """
    if not content_type:
        return lambda data, _type: text_or_bytes(data)
    codec = codecs.for_content_type(content_type)
    if codec is None or codec.decode is None or content_types.is_form(content_type):
        return lambda data, _type: bytes(data)
    return codec.decode


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


def _pairs(data: bytes) -> list[tuple[str, bytes]]:
    if data.count(b"&") >= _MOST_PARTS:
        msg = f"Over {_MOST_PARTS} parameters"
        raise DecodeError(msg)
    broken = _NO_ESCAPE.search(data)
    if broken is not None:
        msg = f"Invalid form: a percent sign at byte {broken.start()} encodes nothing"
        raise DecodeError(msg)
    pairs = (pair.partition(b"=") for pair in data.split(b"&") if pair)
    try:
        return [(_unescaped(name).decode(), _unescaped(value)) for name, _, value in pairs]
    except UnicodeDecodeError:
        msg = "Invalid form: a name is not UTF-8"
        raise DecodeError(msg) from None


def _unescaped(text: bytes) -> bytes:
    # In pieces, none of which ends within an escape: of all at once, urllib makes a list.
    text = text.replace(b"+", b" ")
    pieces = []
    start = 0
    while start < len(text):
        end = start + _PIECE
        escape = text.find(b"%", max(start, end - 2), end)
        end = escape if escape > start else end
        pieces.append(unquote_to_bytes(text[start:end]))
        start = end
    return b"".join(pieces)


def gathered(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """A dict of what bears names; a name that comes more than once has a list."""
    found: dict[str, list[Any]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def _parts(body: bytes, delimiter: bytes) -> Iterator[Field]:
    line = b"\n" + delimiter
    if body.count(line) > _MOST_PARTS + 1:
        msg = f"Invalid multipart body: over {_MOST_PARTS} parts"
        raise DecodeError(msg)
    # A preamble may stand before the first delimiter, which needs no line end before it.
    start = len(delimiter) if body.startswith(delimiter) else body.find(line) + len(line)
    is_sound = start >= len(line) or body.startswith(delimiter)
    number = 0
    while is_sound and not body.startswith(b"--", start):
        begin, place = body.find(b"\n", start), body.find(line, start)
        is_sound = min(begin, place) >= 0
        if is_sound:
            number += 1
            yield _part(number, body, begin, place - body.startswith(b"\r", place - 1))
            start = place + len(line)
    if not is_sound:
        msg = "Invalid multipart body: its boundary is missing, or it is cut off"
        raise DecodeError(msg)


def _part(number: int, body: bytes, begin: int, end: int) -> Field:
    """A part between the end of its delimiter's line and the next delimiter."""
    found = _HEADERS_END.search(body, begin, min(end + 1, begin + _MOST_HEADER_BYTES))
    if found is None:
        msg = f"Invalid multipart body: part {number} has no end of its headers"
        raise DecodeError(msg)
    headers: dict[str, str] = {}
    for line in body[begin : found.start()].decode("utf-8", "replace").split("\n"):
        key, _, value = line.partition(":")
        headers[key.strip().lower()] = value.strip()
    disposition = content_types.parse(headers.get("content-disposition", "")).parameters
    if "name" not in disposition:
        msg = f"Invalid multipart body: part {number} has no name"
        raise DecodeError(msg)
    # RFC 7578 section 4.4: a file is bytes unless it says what else it is.
    is_file = "filename" in disposition or "filename*" in disposition
    kind = headers.get("content-type", "") or (content_types.OCTET_STREAM if is_file else "")
    return Field(disposition["name"], kind, body[found.end() : end])


def _value(field: Field) -> Any:
    try:
        return reader(field.content_type)(field.value, field.content_type)
    except InferenceError as error:
        raise named(error, field.name) from None
