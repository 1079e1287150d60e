"""Text bodies converted from the charset of their header."""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING, Final

from sagemaker_inference import _content_types as content_types
from sagemaker_inference._errors import DecodeError, UnsupportedMediaTypeError

if TYPE_CHECKING:
    from sagemaker_inference.codecs import Body

_BOM: Final = codecs.BOM_UTF8
# Clients may only choose charsets that people write text in: Python has codecs for other purposes,
# and punycode takes time that grows with the square of the length.
_TEXT_CHARSETS: Final = re.compile(
    "ascii|utf-(8|16|32)|iso8859|iso2022|cp[0-9]|koi8|mac|gb|hz|big5|shift_jis|euc_|johab|tis-620|kz1048"
)


def utf8(body: Body | str, content_type: str) -> bytes | bytearray:
    """The body in UTF-8 without a byte order mark; not copied if it already is that.

    Without a charset in the header, the body is taken to be UTF-8; the parser has to validate it.

    Raises:
        DecodeError: the body is not valid in the charset of the header.
        UnsupportedMediaTypeError: the charset is not supported.
    """
    if type(body) is bytes and ";" not in content_type and body[:1] != _BOM[:1]:
        return body
    if isinstance(body, str):
        try:
            return body.encode().removeprefix(_BOM)
        except UnicodeEncodeError as error:
            msg = f"The text has a lone surrogate at character {error.start}"
            raise DecodeError(msg) from None
    if isinstance(body, memoryview):
        body = bytes(body)
    if ";" in content_type:
        body = _converted(body, content_type)
    return body.removeprefix(_BOM)


def text(body: Body, content_type: str) -> str:
    """Decode the body in the charset of its header; a byte order mark is kept.

    Raises:
        DecodeError: the body is not valid in that charset.
        UnsupportedMediaTypeError: the charset is not supported.
    """
    name = _name(content_type)
    try:
        return str(body, name)
    except UnicodeDecodeError as error:
        msg = f"The body is not valid {name} at byte {error.start}"
        raise DecodeError(msg) from None


def _converted(body: bytes | bytearray, content_type: str) -> bytes | bytearray:
    if _name(content_type) in ("utf-8", "ascii"):
        return body
    return text(body, content_type).encode()


def _name(content_type: str) -> str:
    """Python's name for the charset of a header."""
    charset = content_types.parse(content_type).parameters.get("charset", "utf-8")
    try:
        name = codecs.lookup(charset).name
    except (LookupError, ValueError):
        name = ""
    if _TEXT_CHARSETS.match(name) is None:
        msg = f"Charset {repr(charset)[:40]} is not supported; send UTF-8"
        raise UnsupportedMediaTypeError(msg)
    return name
