"""A request and its response.

`_ipc.wire` makes them of bytes, and `_aws.mms_objects` of what Multi Model Server's own back end
hands over; the path of a request knows no others.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sagemaker_inference.codecs import Body

BODY: Final = "body"
# Those that are lists may come in several lines: RFC 9110 section 5.3.
_LISTS: Final = {"accept", "accept-encoding", "content-encoding"}


class Headers(Mapping[str, str]):
    """Request headers: look-ups ignore case, and names come back as the client wrote them."""

    __slots__ = ("_items",)

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        # The last one wins, as in Multi Model Server's own dict of headers.
        items = list(items)
        self._items = {name.lower(): (name, value) for name, value in items}
        if len(self._items) < len(items):
            self._join(items)

    def _join(self, items: list[tuple[str, str]]) -> None:
        for lower_name in _LISTS & self._items.keys():
            lines = [(name, value) for name, value in items if name.lower() == lower_name]
            self._items[lower_name] = lines[0][0], ", ".join(value for _, value in lines)

    def __getitem__(self, name: str) -> str:
        return self._items[name.lower()][1]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._items

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._items.values())

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return f"Headers({dict(self)!r})"

    def find(self, lower_name: str) -> str:
        """The value of a header named in lower case, "" if absent: one dict look-up."""
        item = self._items.get(lower_name)
        return item[1] if item else ""


class Part(NamedTuple):
    """A named piece of a request: the body (``body``), a form's field or a query parameter.

    Attributes:
        name: the field's or the parameter's.
        content_type: a field's own, "" without one; the body's without parameters.
        value: the bytes.
    """

    name: str
    content_type: str
    value: Body


class Request:
    """One request as it arrived.

    >>> from sagemaker_inference import Request
    >>> request = Request.from_body(b"[1, 2]", "application/json")
    >>> request.content_type, request.accept
    ('application/json', '')

    Attributes:
        id: the front end's id, also in the response header ``x-request-id`` and in the log.
        headers: the client's headers.
        body: the bytes; empty where a form came taken apart.
        parameters: the query's parameters, in their order.
        fields: a form's fields, once it is taken apart; None before, and where it is no form.
    """

    __slots__ = ("body", "fields", "headers", "id", "parameters")

    def __init__(
        self,
        id: str,  # noqa: A002 - the trade's word
        headers: Headers,
        body: Body = b"",
        parameters: Sequence[Part] = (),
        fields: Sequence[Part] | None = None,
    ) -> None:
        self.id = id
        self.headers = headers
        self.body = body
        self.parameters = parameters
        self.fields = fields

    @classmethod
    def from_body(
        cls,
        body: Body,
        content_type: str = "",
        accept: str = "",
        headers: Mapping[str, str] | None = None,
        *,
        id: str = "",  # noqa: A002 - as above
    ) -> Request:
        """A request of a body and its headers, as a test or a notebook makes it."""
        named = {"Content-Type": content_type, "Accept": accept, **(headers or {})}
        return cls(id, Headers((name, value) for name, value in named.items() if value), body)

    @property
    def parts(self) -> Sequence[Part]:
        """Everything that was sent: query parameters, then the form's fields or the body."""
        if self.fields is not None:
            return [*self.parameters, *self.fields]
        media_type = self.content_type.partition(";")[0].strip()
        return [*self.parameters, Part(BODY, media_type, self.body)]

    @property
    def content_type(self) -> str:
        """The Content-Type header, as sent; "" if absent."""
        return self.headers.find("content-type")

    @property
    def accept(self) -> str:
        """The Accept header, as sent; "" if absent."""
        return self.headers.find("accept")


class Response:
    """One answer.

    Attributes:
        status: HTTP status.
        body: what is sent: bytes, or an iterator or async iterator of bytes.
        content_type: what the body is.
        headers: further response headers.
        phrase: the reason phrase: one short ASCII line, or "".
        decode_seconds, predict_seconds, encode_seconds: where the time went, for the access line.
    """

    __slots__ = (
        "body",
        "content_type",
        "decode_seconds",
        "encode_seconds",
        "headers",
        "phrase",
        "predict_seconds",
        "status",
    )

    def __init__(
        self,
        body: Body | Iterator[bytes] | AsyncIterator[bytes],
        content_type: str,
        *,
        status: int = HTTPStatus.OK,
        headers: Mapping[str, str] | None = None,
        phrase: str = "",
    ) -> None:
        self.status = status
        self.body = body
        self.content_type = content_type
        self.headers = headers or {}
        self.phrase = phrase
        self.decode_seconds = self.predict_seconds = self.encode_seconds = 0.0


def whole_body(response: Response) -> Body:
    """The body of a response in one piece; what an iterator raises passes through.

    Raises:
        TypeError: it is an async iterator.
    """
    body = response.body
    if isinstance(body, (bytes, bytearray, memoryview)):
        return body
    return b"".join(body)  # type: ignore[arg-type]
