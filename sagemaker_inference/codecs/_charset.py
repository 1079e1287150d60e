"""Text bodies as UTF-8 bytes, whatever charset their header names."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, Final

from sagemaker_inference import content_types
from sagemaker_inference.errors import DecodeError, UnsupportedMediaTypeError

if TYPE_CHECKING:
    from sagemaker_inference.codecs import Body

_BOM: Final = codecs.BOM_UTF8


def utf8(body: Body | str, content_type: str) -> bytes | bytearray:
    """The body in UTF-8 without a byte order mark; not copied where it is so already.

    UTF-8 is what a header without a charset means. Whether UTF-8 is valid is left to the parser.

    Raises:
        DecodeError: the body is not written in the charset that the header names.
        UnsupportedMediaTypeError: the charset has no decoder.
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


def _converted(body: bytes | bytearray, content_type: str) -> bytes | bytearray:
    charset = content_types.parse(content_type).parameters.get("charset", "utf-8")
    try:
        name = codecs.lookup(charset).name
        if name in ("utf-8", "ascii"):
            return body
        return body.decode(name).encode()
    except UnicodeDecodeError as error:
        msg = f"The body is not valid {charset[:40]} at byte {error.start}"
        raise DecodeError(msg) from None
    except (LookupError, ValueError):
        msg = f"Charset {repr(charset)[:40]} is not supported; send UTF-8"
        raise UnsupportedMediaTypeError(msg) from None
