"""Named parts: multipart/form-data (RFC 7578), urlencoded forms and query parameters.

`decode` returns a dict of the parts by name, in their order; the value of a repeated name is a
list. A part of a multipart body is decoded by its own Content-Type, as bytes if no codec reads it.
Without a Content-Type it is a str, or bytes if it has a file name or is not UTF-8. Nested multipart
parts stay bytes. Values of urlencoded forms and of queries are str.

For multi-model endpoints, and on its own back end, Multi Model Server parses forms itself: a form
that was cut off then reaches a program without its last part, and a file without a type as text.
"""

from __future__ import annotations

import re
import string
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import unquote_to_bytes

import orjson

from sagemaker_inference import _budget, codecs
from sagemaker_inference import _content_types as content_types
from sagemaker_inference._errors import DecodeError, InferenceError
from sagemaker_inference.codecs._charset import utf8
from sagemaker_inference.codecs._filenames import filename_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sagemaker_inference.codecs import Body

__all__ = ["decode"]

_NAME: Final = "form"
_MAX_PARTS: Final = 10_000
_ESCAPES_A_STEP: Final = 16
_PIECE: Final = 1 << 16
_SHORT: Final = 1 << 16
# So many escapes in a piece take urllib longer than numpy.
_DENSE: Final = 256
# What each byte is as a digit of 16; what is none is not asked for.
_DIGITS: Final = bytes(
    int(chr(code), 16) if chr(code) in string.hexdigits else 0 for code in range(256)
)
_INVALID_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
# Browsers send a few hundred bytes.
_MAX_HEADER_BYTES: Final = 1 << 14
_HEADERS_END: Final = re.compile(rb"\r?\n\r?\n")


class Field(NamedTuple):
    """A part of a form, not decoded.

    Attributes:
        name: its name.
        content_type: its Content-Type; without one, ``application/octet-stream`` for a file and ""
            for any other part.
        value: its bytes.
        filename: the client's name for a file, without folders; None for any other part.
    """

    name: str
    content_type: str
    value: bytes
    filename: str | None = None


def decode(body: Body | str, content_type: str) -> dict[str, Any]:
    """Read named parts.

    >>> decode("text=a+cat&text=a+dog&size=2", "application/x-www-form-urlencoded")
    {'text': ['a cat', 'a dog'], 'size': '2'}

    Args:
        body: the form.
        content_type: the Content-Type header; multipart needs its ``boundary``.

    Raises:
        DecodeError: the form has no boundary, is cut off, has over 10,000 parts or one without a
            name, or a part cannot be decoded; the message names that part.
        PayloadTooLargeError: the parts together need more than the budget of the request.
        UnsupportedMediaTypeError: the charset is unknown, or a part's format is refused.
    """
    with _budget.shared(body):
        return gathered((field.name, _value(field)) for field in fields(body, content_type))


def fields(body: Body | str, content_type: str) -> list[Field]:
    """Split a form into its parts, without decoding them.

    Raises:
        DecodeError: as for `decode`.
        PayloadTooLargeError: it is urlencoded and has too many escapes.
        UnsupportedMediaTypeError: the charset is unknown.
    """
    kind, parameters = content_types.parse(content_type)
    budget = _budget.of(body)
    budget.is_divided = True
    # A copy of the form, and one of its parts.
    budget.take(2 * len(body), _NAME)
    data = body.encode() if isinstance(body, str) else bytes(body)
    if kind == content_types.FORM:
        if _is_json(data):
            # curl -d sends any body as a form unless it is told otherwise.
            msg = "Invalid form: it is JSON; send it with Content-Type: application/json"
            raise DecodeError(msg)
        budget.step(data.count(b"%") // _ESCAPES_A_STEP, _NAME)
        pairs = _pairs(data)
        # The bytes of a value, percent-encoded or not, are in the charset of the form.
        return [Field(name, "", bytes(utf8(value, content_type))) for name, value in pairs]
    boundary = parameters.get("boundary", "")
    if not 0 < len(boundary) <= 200:  # noqa: PLR2004
        msg = "Invalid multipart body: its Content-Type has no boundary"
        raise DecodeError(msg)
    return list(_parts(data, b"--" + boundary.encode("utf-8", "replace")))


def reader(content_type: str) -> Callable[[Body, str], Any]:
    """The function that reads a part of this Content-Type: ``read(data, content_type)``.

    It is `text_or_bytes` without a Content-Type; parts that no codec reads, and forms, stay bytes.
    """
    if not content_type:
        return lambda data, _type: text_or_bytes(data)
    codec = codecs.for_content_type(content_type)
    if codec is None or codec.decode is None or content_types.is_form(content_type):
        return lambda data, _type: bytes(data)
    return codec.decode


def text_or_bytes(data: Body) -> str | bytes:
    """A str if the data is UTF-8, else bytes."""
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError:
        return bytes(data)


def named(error: InferenceError, name: str) -> InferenceError:
    """Add the name of a part to the message of its error."""
    error.message = f"Part {repr(name)[:40]}: {error.message}"[:300]
    return error


def _is_json(data: bytes) -> bool:
    """Whether a form is JSON: browsers escape brackets and braces."""
    if data[:_SHORT].lstrip()[:1] not in (b"[", b"{"):
        return False
    if len(data) > _SHORT:
        # Parsing would take many times its memory; a form has a name and its value by then.
        return b"=" not in data[:_SHORT]
    try:
        orjson.loads(data)
    except ValueError:
        return False
    return True


def _pairs(data: bytes) -> list[tuple[str, bytes]]:
    if data.count(b"&") >= _MAX_PARTS:
        msg = f"Over {_MAX_PARTS} parameters"
        raise DecodeError(msg)
    invalid = _INVALID_ESCAPE.search(data)
    if invalid is not None:
        msg = (
            f"Invalid form: a percent sign at byte {invalid.start()} needs two hex digits after it"
        )
        raise DecodeError(msg)
    pairs = (pair.partition(b"=") for pair in data.split(b"&") if pair)
    try:
        return [(_unescaped(name).decode(), _unescaped(value)) for name, _, value in pairs]
    except UnicodeDecodeError:
        msg = "Invalid form: a name is not UTF-8"
        raise DecodeError(msg) from None


def _unescaped(text: bytes) -> bytes:
    # In pieces that do not end within an escape: urllib would make one list of the full text.
    text = text.replace(b"+", b" ")
    pieces = []
    start = 0
    while start < len(text):
        end = start + _PIECE
        escape = text.find(b"%", max(start, end - 2), end)
        end = escape if escape > start else end
        piece = text[start:end]
        is_dense = piece.count(b"%") > _DENSE
        pieces.append(_unescaped_at_once(piece) if is_dense else unquote_to_bytes(piece))
        start = end
    return b"".join(pieces)


def _unescaped_at_once(text: bytes) -> bytes:
    """The same as urllib, for valid escapes, without a Python object for each of them."""
    import numpy as np

    digits = np.frombuffer(_DIGITS, np.uint8)
    codes = np.frombuffer(text, np.uint8).copy()
    signs = np.flatnonzero(codes == ord("%"))
    codes[signs] = digits[codes[signs + 1]] << 4 | digits[codes[signs + 2]]
    is_kept = np.ones(len(codes), np.bool_)
    is_kept[signs + 1] = is_kept[signs + 2] = False
    return bytes(codes[is_kept])


def gathered(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """A dict of named values; the value of a repeated name is a list."""
    by_name: dict[str, list[Any]] = {}
    for name, value in pairs:
        by_name.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in by_name.items()}


def _parts(body: bytes, delimiter: bytes) -> Iterator[Field]:
    line = b"\n" + delimiter
    if body.count(line) > _MAX_PARTS + 1:
        msg = f"Invalid multipart body: over {_MAX_PARTS} parts"
        raise DecodeError(msg)
    # The first delimiter begins the body or, after a preamble, a line.
    start = len(delimiter) if body.startswith(delimiter) else body.find(line) + len(line)
    is_valid = start >= len(line) or body.startswith(delimiter)
    number = 0
    while is_valid and not body.startswith(b"--", start):
        begin, end = body.find(b"\n", start), body.find(line, start)
        is_valid = min(begin, end) >= 0
        if is_valid:
            number += 1
            yield _part(number, body, begin, end - body.startswith(b"\r", end - 1))
            start = end + len(line)
    if not is_valid:
        msg = "Invalid multipart body: its boundary is missing, or it is cut off"
        raise DecodeError(msg)


def _part(number: int, body: bytes, begin: int, end: int) -> Field:
    """The part between the end of its delimiter's line and the next delimiter."""
    blank_line = _HEADERS_END.search(body, begin, min(end + 1, begin + _MAX_HEADER_BYTES))
    if blank_line is None:
        msg = f"Invalid multipart body: part {number} has no blank line after its headers"
        raise DecodeError(msg)
    headers: dict[str, str] = {}
    for line in body[begin : blank_line.start()].decode("utf-8", "replace").split("\n"):
        key, _, value = line.partition(":")
        headers[key.strip().lower()] = value.strip()
    disposition = content_types.parse(headers.get("content-disposition", "")).parameters
    if "name" not in disposition:
        msg = f"Invalid multipart body: part {number} has no name"
        raise DecodeError(msg)
    # RFC 7578 section 4.4: a file without a Content-Type is bytes.
    filename = filename_of(disposition)
    is_file = filename is not None
    kind = headers.get("content-type", "") or (content_types.OCTET_STREAM if is_file else "")
    return Field(disposition["name"], kind, body[blank_line.end() : end], filename)


def _value(field: Field) -> Any:
    try:
        return reader(field.content_type)(field.value, field.content_type)
    except InferenceError as error:
        raise named(error, field.name) from None
