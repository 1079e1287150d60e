"""Requests and responses.

`_ipc.wire` reads requests from bytes, `_aws.mms_objects` from the objects of Multi Model Server's
stock back end.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sagemaker_inference._program.paths import INVOCATIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sagemaker_inference.codecs import Body

BODY: Final = "body"
# As nginx logs a request whose client has not waited for the answer.
CLIENT_CLOSED_REQUEST: Final = 499
# RFC 9110 section 5.3: a header that is a list may be sent as several lines.
_LISTS: Final = {"accept", "accept-encoding", "content-encoding"}
# RFC 9110: responses with these statuses have no content.
_WITHOUT_BODY: Final = {HTTPStatus.NO_CONTENT, HTTPStatus.RESET_CONTENT, HTTPStatus.NOT_MODIFIED}


class Headers(Mapping[str, str]):
    """Request headers: look-ups are case-insensitive, names are as the client sent them.

    Attributes:
        content_type: the Content-Type, "" if absent; ``ContentType`` counts as well, as in AWS's
            toolkit.
        accept: the Accept header, "" if absent.
    """

    __slots__ = ("_items", "accept", "content_type")

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        # Of repeated headers the last one counts, as in Multi Model Server's dict of headers.
        items = list(items)
        self._items = {name.lower(): (name, value) for name, value in items}
        if len(self._items) < len(items):
            self._join(items)
        # Clients send the same headers again, and these two are asked for several times a request.
        self.content_type = self.find("content-type") or self.find("contenttype")
        self.accept = self.find("accept")

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
        """The value of the header with this lower-case name, "" if absent: one dict look-up."""
        item = self._items.get(lower_name)
        return item[1] if item else ""


class _Part(NamedTuple):
    name: str
    content_type: str
    value: Body


class Part(_Part):
    """A named part of a request: the body (named ``body``), a form field or a query parameter.

    It is a tuple of three, as it ever was.

    Attributes:
        name: the name of the field or the parameter.
        content_type: a field's Content-Type, "" if it has none; the body's without parameters.
        value: the bytes.
        filename: the client's name for a file, without folders, "" for one that is of no use; None
            for what is not a file.
    """

    filename: str | None = None


class Request:
    """A request as received.

    >>> from sagemaker_inference import Request
    >>> request = Request.from_body(b"[1, 2]", "application/json")
    >>> request.content_type, request.accept
    ('application/json', '')

    Attributes:
        id: the front end's id, which is also in the response header ``x-request-id`` and the log.
        headers: the client's headers.
        body: the bytes; empty if the front end has already parsed a form.
        parameters: the query parameters, in the order they were sent.
        fields: the fields of a form once it is parsed; None before, or if it is not a form.
        path: the path of the program that it was sent to; "/invocations" also stands for the path
            of one of many models. Of a WebSocket, where its client has connected.
        query: of one that asks for a WebSocket, as its client has sent it; None for others.
        session: its session; None without one.
    """

    __slots__ = ("body", "fields", "headers", "id", "parameters", "path", "query", "session")

    def __init__(  # noqa: PLR0913, PLR0917 - the parts of a request
        self,
        id: str,  # noqa: A002 - the usual name
        headers: Headers,
        body: Body = b"",
        parameters: Sequence[Part] = (),
        fields: Sequence[Part] | None = None,
        path: str = INVOCATIONS,
    ) -> None:
        self.id = id
        self.headers = headers
        self.body = body
        self.parameters = parameters
        self.fields = fields
        self.path = path
        self.query: str | None = None
        self.session: Any = None

    @classmethod
    def from_body(  # noqa: PLR0913 - as above
        cls,
        body: Body,
        content_type: str = "",
        accept: str = "",
        headers: Mapping[str, str] | None = None,
        *,
        id: str = "",  # noqa: A002 - as above
        path: str = INVOCATIONS,
    ) -> Request:
        """Create a request from a body and headers, in a test or a notebook."""
        named = {"Content-Type": content_type, "Accept": accept, **(headers or {})}
        present = Headers((name, value) for name, value in named.items() if value)
        return cls(id, present, body, path=path)

    def note_failure(self, error: BaseException) -> str:  # noqa: ARG002 - for those who override it
        """Called with what the request failed for; returns a traceback for the client, or "".

        Here, nobody asks for it but the log, and the client gets none.
        """
        return ""

    @property
    def parts(self) -> Sequence[Part]:
        """Query parameters, then the fields of a form or the body."""
        if self.fields is not None:
            return [*self.parameters, *self.fields]
        media_type = self.content_type.partition(";")[0].strip()
        return [*self.parameters, Part(BODY, media_type, self.body)]

    @property
    def content_type(self) -> str:
        """The Content-Type header, as sent; "" if absent."""
        return self.headers.content_type

    @property
    def accept(self) -> str:
        """The Accept header, as sent; "" if absent."""
        return self.headers.accept


class Response:
    """A response.

    >>> Response(b"[1]", "application/json", status=202).status
    202

    Attributes:
        status: HTTP status.
        body: bytes, or an iterator or async iterator of bytes; dropped if the status does not have
            a body (204, 205, 304).
        content_type: the Content-Type of the body.
        headers: additional response headers.
        phrase: the reason phrase: one short ASCII line, or "".
        decode_seconds, predict_seconds, encode_seconds: the time each step took, for the access
            log.
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
        self.body = b"" if status in _WITHOUT_BODY else body
        self.content_type = content_type
        self.headers = headers or {}
        self.phrase = phrase
        self.decode_seconds = self.predict_seconds = self.encode_seconds = 0.0


def whole_body(response: Response) -> Body:
    """The body of a response in one piece; exceptions of an iterator pass through.

    Raises:
        TypeError: the body is an async iterator.
    """
    body = response.body
    if isinstance(body, (bytes, bytearray, memoryview)):
        return body
    return b"".join(body)  # type: ignore[arg-type]
