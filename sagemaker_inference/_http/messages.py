"""A request, its response, and the context that handlers are given.

These are this package's own objects: the wire fills them (`backend.wire`), or MMS's stock back end
does (`mms_service`), and the path of a request knows no other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sagemaker_inference import _content_types as content_types
from sagemaker_inference._errors import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sagemaker_inference._errors import BaseInferenceToolkitError
    from sagemaker_inference.codecs import Body

# SageMaker passes the body of an error on as OriginalMessage: keep it readable there.
MESSAGE_LIMIT: Final = 400
_PHRASE_LIMIT: Final = 80
_LISTS: Final = {"accept", "accept-encoding", "content-encoding"}
_CODE_LIMIT: Final = 80
_BODY: Final = "body"

# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html
CUSTOM_ATTRIBUTES: Final = "X-Amzn-SageMaker-Custom-Attributes"
_CUSTOM_ATTRIBUTES_LIMIT: Final = 1024
_INFERENCE_ID: Final = "X-Amzn-SageMaker-Inference-Id"


class Headers(Mapping[str, str]):
    """Request headers: names are found without case and come back as the client wrote them."""

    __slots__ = ("_items",)

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        # Last one wins, as in MMS's own dict of headers.
        items = list(items)
        self._items = {name.lower(): (name, value) for name, value in items}
        if len(self._items) < len(items):
            self._join(items)

    def _join(self, items: list[tuple[str, str]]) -> None:
        """Those that are lists may come in several lines: RFC 9110 section 5.3."""
        for lower_name in _LISTS & self._items.keys():
            found = [(name, value) for name, value in items if name.lower() == lower_name]
            self._items[lower_name] = found[0][0], ", ".join(value for _, value in found)

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
        found = self._items.get(lower_name)
        return found[1] if found else ""


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

    Attributes:
        id: the front end's id, also in the response header ``x-request-id`` and in the log.
        headers: the client's headers.
        parts: the body and everything else that was sent along.
    """

    __slots__ = ("headers", "id", "parts")

    def __init__(self, id: str, headers: Headers, parts: Sequence[Part]) -> None:  # noqa: A002
        self.id = id
        self.headers = headers
        self.parts = parts

    @property
    def body(self) -> Body | None:
        """The body, or None where the front end has taken it apart (a form)."""
        found = self._body_part
        return None if found is None else found.value

    @property
    def other_parts(self) -> list[Part]:
        """The parts beside the body, in their order: query parameters, or a form's fields."""
        body = self._body_part
        return [part for part in self.parts if part is not body]

    @property
    def _body_part(self) -> Part | None:
        # Query parameters come first, and one of them may have that name, too.
        for part in reversed(self.parts):
            if part.name == _BODY:
                is_field = content_types.is_form(self.content_type) and not content_types.is_form(
                    part.content_type
                )
                return None if is_field else part
        return None

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
        body: what is sent.
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
        body: Body,
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


def error_response(
    error: BaseInferenceToolkitError,
    request_id: str,
    accept: str = "",
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Say what failed: ``{"error": {"code", "message", "request_id"}}``.

    A client that accepts text/plain and no JSON gets the message as text.
    """
    status = error_status(error)
    message = _shortened(_text(error.message))
    phrase = error.phrase or standard_phrase(status)
    if wants_text(accept):
        body, content_type = (
            message.encode(errors="replace"),
            f"{content_types.TEXT}; charset=utf-8",
        )
    else:
        code = getattr(error, "code", None) or ErrorCode.of_status(status)
        code = _text(code)[:_CODE_LIMIT]
        document = {"error": {"code": code, "message": message, "request_id": request_id}}
        body, content_type = json.dumps(document).encode(), content_types.JSON
    return Response(body, content_type, status=status, headers=headers, phrase=ascii_line(phrase))


def wants_text(accept: str) -> bool:
    """Whether a client that so accepts is told errors as text, and not as JSON."""
    offers = (content_types.JSON, content_types.TEXT)
    return (
        "text/" in accept.lower() and content_types.negotiate(accept, offers) == content_types.TEXT
    )


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - an object of the program's, in an error that it has raised
        return f"({type(value).__name__} without text)"


def error_status(error: BaseInferenceToolkitError) -> int:
    """The status that an error asks for; 500 where that is none of RFC 9110's for errors."""
    status = error.status_code
    is_error = isinstance(status, int) and 400 <= status <= 599  # noqa: PLR2004
    return int(status if is_error else HTTPStatus.INTERNAL_SERVER_ERROR)


def one_line(text: str) -> str:
    """A line that can be sent, of as much of a text as SageMaker's OriginalMessage is to show."""
    return _shortened(" ".join(text.split()).encode(errors="replace").decode())


def _shortened(message: str) -> str:
    return message if len(message) <= MESSAGE_LIMIT else message[: MESSAGE_LIMIT - 3] + "..."


@lru_cache
def standard_phrase(status: int) -> str:
    """The reason phrase that belongs to a status; "Error" for one that nobody has defined."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def ascii_line(text: str) -> str:
    """One short line of printable ASCII: a front end that gets more closes the connection."""
    line = " ".join(str(text).split())
    return line.encode("ascii", "replace").decode()[:_PHRASE_LIMIT]


class Context:
    """What a handler may know about the request, and say about the response.

    While the model loads there is no request yet: headers are empty and ids are "".

    Attributes:
        model_dir: where the model is.
        model_name: the front end's name for it.
        gpu_id: which GPU this process has, or None. Each process sees its own as number 0.
        response_headers: sent with the answer.
        status: HTTP status of the answer, 200 unless set.
        manifest: always None; MMS's name for a model archive's manifest.
    """

    manifest = None

    def __init__(
        self,
        model_dir: str = "",
        gpu_id: int | None = None,
        request: Request | None = None,
        model_name: str = "model",
    ) -> None:
        self.model_dir = model_dir
        self.model_name = model_name
        self.gpu_id = gpu_id
        self._request = request or Request("", Headers(), ())
        self.response_headers: dict[str, str] = {}
        self.response_content_type: str | None = None
        self.status: int | None = None
        self.phrase = ""

    @property
    def headers(self) -> Headers:
        """The request's headers; names are found without case."""
        return self._request.headers

    @property
    def content_type(self) -> str:
        """The request's Content-Type as sent, "" if absent."""
        return self._request.content_type

    @property
    def accept(self) -> str:
        """The request's Accept as sent, "" if absent."""
        return self._request.accept

    @property
    def parts(self) -> Sequence[Part]:
        """The body, form fields and query parameters, by name."""
        return self._request.parts

    @property
    def request_id(self) -> str:
        """The id that the log and the response header ``x-request-id`` carry."""
        return self._request.id

    @property
    def inference_id(self) -> str | None:
        """The caller's ``InferenceId``, or None."""
        return self.headers.get(_INFERENCE_ID)

    @property
    def custom_attributes(self) -> str | None:
        """The caller's ``CustomAttributes``, or None. Set it to answer with your own.

        Raises:
            ValueError: more than 1,024 characters, or other than visible ASCII; SageMaker's limits.
        """
        return self.headers.get(CUSTOM_ATTRIBUTES)

    @custom_attributes.setter
    def custom_attributes(self, value: str) -> None:
        if len(value) > _CUSTOM_ATTRIBUTES_LIMIT or not (value.isascii() and value.isprintable()):
            message = (
                f"custom attributes may have {_CUSTOM_ATTRIBUTES_LIMIT} visible ASCII characters, "
                f"not {value[:40]!r} ({len(value)} characters)"
            )
            raise ValueError(message)
        self.response_headers[CUSTOM_ATTRIBUTES] = value

    # From here on: the methods of mms.context.Context, so that functions written for it go on
    # working. ``idx`` is the place in MMS's batch; a context here is one request's, so it is 0.

    @property
    def system_properties(self) -> dict[str, Any]:
        """MMS's name for what is known about the model."""
        return {
            "model_dir": self.model_dir,
            "gpu_id": self.gpu_id,
            "batch_size": 1,
            "server_name": "MMS",
        }

    @property
    def request_processor(self) -> list[Context]:
        """MMS's list of one object per request of the batch."""
        return [self]

    @property
    def request_ids(self) -> dict[int, str]:
        """MMS's request ids by place in the batch."""
        return {0: self.request_id}

    def get_request_id(self, idx: int = 0) -> str:  # noqa: ARG002
        """The request id."""
        return self.request_id

    def get_request_header(self, idx: int, key: str) -> str | None:  # noqa: ARG002
        """A request header, or None."""
        return self.headers.get(key)

    def get_all_request_header(self, idx: int = 0) -> Headers:  # noqa: ARG002
        """All request headers."""
        return self.headers

    def get_request_property(self, key: str) -> str | None:
        """A request header, or None."""
        return self.headers.get(key)

    def get_request_properties(self) -> Headers:
        """All request headers."""
        return self.headers

    def set_response_content_type(self, idx: int, value: str) -> None:  # noqa: ARG002
        """Set the Content-Type of the answer."""
        self.response_content_type = value

    def get_response_content_type(self, idx: int = 0) -> str | None:  # noqa: ARG002
        """The Content-Type that was set, or None."""
        return self.response_content_type

    def set_response_header(self, idx: int, key: str, value: str) -> None:  # noqa: ARG002
        """Set a header of the answer."""
        self.response_headers[key] = value

    def get_response_headers(self, idx: int = 0) -> dict[str, str]:  # noqa: ARG002
        """The headers of the answer."""
        return self.response_headers

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:  # noqa: ARG002
        """Set status and reason phrase of the answer."""
        self.status, self.phrase = code, phrase

    def set_all_response_status(self, code: int = 200, phrase: str = "") -> None:
        """Set status and reason phrase of the answer."""
        self.status, self.phrase = code, phrase

    def get_response_status(self, idx: int = 0) -> tuple[int, str]:  # noqa: ARG002
        """Status and reason phrase of the answer."""
        return self.status or HTTPStatus.OK, self.phrase
