"""Named parts: multipart/form-data (RFC 7578), urlencoded forms and query parameters.

`decode` gives a dict of the parts by name, in their order; a name that comes more than once has
a list. A part of a multipart body is decoded by its own Content-Type: JSON, CSV, images and so
on as their formats say, anything unknown as bytes. Without one it is a str, or bytes if it has a
file name or is not UTF-8. Parts within parts stay bytes. Values of urlencoded forms and of
queries are str.

Multi Model Server takes forms apart itself and hands on the parts alone. A multipart body that was
cut off thus reaches a program without the part that was cut, and nothing tells: a program should
ask for the parts it needs, by an annotation with required fields, for example. `decode` is given
whole bodies and refuses one that is cut off.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from sagemaker_inference import codecs, content_types
from sagemaker_inference.codecs._charset import utf8
from sagemaker_inference.errors import DecodeError, InferenceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sagemaker_inference.codecs import Body

CONTENT_TYPES: Final = ("multipart/form-data", content_types.FORM)

_MOST_PARTS: Final = 1000
_HEADERS_END: Final = re.compile(rb"\r?\n\r?\n")


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
    kind, parameters = content_types.parse(content_type)
    if kind == CONTENT_TYPES[1]:
        try:
            return query(utf8(body, content_type).decode())
        except UnicodeDecodeError as error:
            msg = f"Invalid form: not UTF-8 at byte {error.start}"
            raise DecodeError(msg) from None
    boundary = parameters.get("boundary", "")
    if not 0 < len(boundary) <= 200:  # noqa: PLR2004
        msg = "Invalid multipart body: its Content-Type has no boundary"
        raise DecodeError(msg)
    data = body.encode() if isinstance(body, str) else bytes(body)
    return _gathered(_parts(data, boundary.encode("utf-8", "replace")))


def query(text: str) -> dict[str, Any]:
    """Read query parameters (``a=1&b=2``), percent-decoded; a repeated name has a list.

    Raises:
        DecodeError: over 1,000 parameters.
    """
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_PARTS)
    except ValueError:
        msg = f"Over {_MOST_PARTS} parameters"
        raise DecodeError(msg) from None
    return _gathered(pairs)


def _gathered(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, list[Any]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def _parts(body: bytes, boundary: bytes) -> Iterator[tuple[str, Any]]:
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


def _part(number: int, piece: bytes) -> tuple[str, Any]:
    end = _HEADERS_END.search(piece)
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
    name, data = disposition["name"], piece[end.end() :]
    kind = headers.get("content-type", "")
    try:
        return name, _value(data, kind, is_file="filename" in disposition)
    except InferenceError as error:
        error.message = f"Part {repr(name)[:40]}: {error.message}"[:300]
        raise


def _value(data: bytes, kind: str, *, is_file: bool) -> Any:
    if kind:
        codec = codecs.find(kind)
        if codec is None or codec.decode is None or codec.content_types == CONTENT_TYPES:
            return data
        return codec.decode(data, kind)
    if is_file:
        return data
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data
