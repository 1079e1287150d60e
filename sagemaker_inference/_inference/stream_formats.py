"""Write the items of a stream: JSON Lines, server-sent events, text, CSV, bytes, a JSON array.

Bytes are written as they are in every format: a program that frames its records itself yields
bytes. A str is text where the format is text or bytes, and a value where it has records.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sagemaker_inference import _content_types as content_types
from sagemaker_inference import codecs
from sagemaker_inference._inference.replies import with_charset
from sagemaker_inference.codecs import octet_stream
from sagemaker_inference.codecs._objects import is_object

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference._program.signatures import Handler
    from sagemaker_inference.codecs import Body

# Those that a wildcard may choose, the preferred ones first.
OFFERS: Final = (
    content_types.JSON_LINES,
    content_types.TEXT,
    content_types.EVENT_STREAM,
    content_types.CSV,
    content_types.OCTET_STREAM,
    content_types.JSON,
)

# The last event of a stream of OpenAI's API.
DONE: Final = b"data: [DONE]\n\n"

_BYTES: Final = (bytes, bytearray, memoryview)
# https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
_LINE_ENDS: Final = re.compile(rb"\r\n|\r|\n")


class StreamFormat(NamedTuple):
    """How the items of a stream are written.

    Attributes:
        content_type: the Content-Type of the response.
        write: ``write(item)``; with a handler, ``write(item, content_type, context)``.
        start, between, end: what comes before the first item, between two, and after the last.
        write_error: ``write_error(document, last)`` writes a last record from the JSON document of
            an error and the item before it; None where the format has no records.
        handler: the program's encoder, or None for a built-in format.
        is_async: whether ``write`` returns an awaitable.
        is_free: whether neither the client nor the program has chosen the content type.
        may_end_itself: whether the last item of a program that frames its items may be the end.
    """

    content_type: str
    write: Callable[..., Any]
    start: bytes = b""
    between: bytes = b""
    end: bytes = b""
    write_error: Callable[[bytes, bytes], bytes] | None = None
    handler: Handler | None = None
    is_async: bool = False
    is_free: bool = False
    may_end_itself: bool = False

    def for_item(self, item: Any) -> StreamFormat:
        """This; or text for a str and bytes for bytes, where the choice is free."""
        content_type = ""
        if self.is_free and isinstance(item, str):
            content_type = content_types.TEXT
        elif self.is_free and isinstance(item, _BYTES):
            content_type = content_types.OCTET_STREAM
        return (built_in(content_type) if content_type else None) or self

    def of_openai(self) -> StreamFormat:
        """This format of events, as clients of OpenAI's API read it."""
        return self._replace(end=DONE, write_error=_error_data, may_end_itself=True)

    def by(self, handler: Handler) -> StreamFormat:
        """This format, with items that the program's encoder writes."""
        return self._replace(write=handler.call, handler=handler, is_async=handler.is_async)


def built_in(content_type: str) -> StreamFormat | None:
    """The format of a content type; None where it cannot be written item by item."""
    if content_types.parse(content_type).name == content_types.EVENT_STREAM:
        encode = _encoder(content_types.JSON)
        return encode and _events(content_type, encode)
    codec = codecs.for_content_type(content_type)
    name = "" if codec is None else codec.name
    if name not in _MAKERS:
        return None
    # A line holds one value of JSON, whatever JSON Lines would make of a list.
    encode = _encoder(content_types.JSON if name == "jsonlines" else content_type)
    return encode and _MAKERS[name](content_type, encode)


def framed(content_type: str) -> StreamFormat:
    """As `built_in`, or one of bytes for a content type that has no format."""
    return built_in(content_type) or StreamFormat(content_type, octet_stream.encode)


def _encoder(content_type: str) -> Callable[[Any, str], Body] | None:
    codec = codecs.for_content_type(content_type)
    return codec.encode if codec else None


def _lines(content_type: str, encode: Callable[[Any, str], Body]) -> StreamFormat:
    def write(item: Any) -> Body:
        if isinstance(item, _BYTES):
            return item
        return b"".join((encode(item, content_types.JSON), b"\n"))

    return StreamFormat(content_type, write, write_error=_error_line)


def _events(content_type: str, encode: Callable[[Any, str], Body]) -> StreamFormat:
    def write(item: Any) -> Body:
        if isinstance(item, str):  # first, since tokens are
            text = octet_stream.encode_text(item)
            if "\n" not in item and "\r" not in item:
                return b"data: %b\n\n" % text
            return b"".join([b"data: %b\n" % line for line in _LINE_ENDS.split(text)]) + b"\n"
        if isinstance(item, _BYTES):
            return item
        return b"".join((b"data: ", encode(item, content_types.JSON), b"\n\n"))

    return StreamFormat(content_type, write, write_error=_error_event)


def _array(content_type: str, encode: Callable[[Any, str], Body]) -> StreamFormat:
    def write(item: Any) -> Body:
        return item if isinstance(item, _BYTES) else encode(item, content_type)

    return StreamFormat(content_type, write, start=b"[", between=b",", end=b"]")


def _rows(content_type: str, encode: Callable[[Any, str], Body]) -> StreamFormat:
    def write(item: Any) -> Body:
        if isinstance(item, (str, *_BYTES)):
            return octet_stream.encode(item)
        # A list, tuple or array of single values is a row.
        is_row = isinstance(item, (list, tuple)) and not any(
            isinstance(cell, (list, tuple)) or hasattr(cell, "__array__") or is_object(cell)
            for cell in item
        )
        is_row = is_row or getattr(item, "ndim", None) == 1
        return encode([item] if is_row else item, content_type)

    return StreamFormat(content_type, write)


def _text(content_type: str, encode: Callable[[Any, str], Body]) -> StreamFormat:
    def write(item: Any) -> Body:
        data = encode(item, content_type)
        return data if isinstance(item, (str, *_BYTES)) else b"".join((data, b"\n"))

    return StreamFormat(with_charset(content_type), write)


def _bytes(content_type: str, encode: Callable[[Any, str], Body]) -> StreamFormat:
    return StreamFormat(content_type, lambda item: encode(item, content_type))


# What the program has framed itself may have ended in the middle of a record.


def _error_line(document: bytes, last: bytes) -> bytes:
    return (b"" if last.endswith(b"\n") else b"\n") + document + b"\n"


def _error_event(document: bytes, last: bytes) -> bytes:
    return b"%bevent: error\ndata: %b\n\n" % (_to_next_event(last), document)


def _error_data(document: bytes, last: bytes) -> bytes:
    # Without a name: clients of OpenAI's API read events that have none.
    return b"%bdata: %b\n\n" % (_to_next_event(last), document)


def _to_next_event(last: bytes) -> bytes:
    return b"" if last.endswith((b"\n\n", b"\r\n\r\n")) else b"\n\n"


# By the names of codecs, which have several content types each.
_MAKERS: Final[dict[str, Callable[[str, Callable[[Any, str], Body]], StreamFormat]]] = {
    "jsonlines": _lines,
    "json": _array,
    "csv": _rows,
    "text": _text,
    "octet_stream": _bytes,
}
