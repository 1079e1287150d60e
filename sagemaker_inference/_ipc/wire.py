"""The bytes between Multi Model Server's front end (Java) and a back end; bytes only, no sockets.

Lengths are big-endian int32, -1 ends a list. The layout is what MMS 1.1.11 sends and reads
(``ModelRequestEncoder`` and ``ModelResponseDecoder`` in its jar; ``mms/protocol`` in its package);
tests/contract pins it against the released package. Our part of the front end keeps to it
(``WorkerProtocol.java``).

A request to a further path of the program is ours alone: "P" and the path, then what follows "I".
So is one for a WebSocket: "W", the path and the query, then the same.

Streams are ours alone. One begins with 206 in place of 200, and has the fields of an answer up to
its headers. Then each chunk follows its length; -1 ends a stream that is complete, and -2 (from the
supervisor: -3) with a status one that is not. A front end whose client has gone sends "C", and
reads on until that end.

A WebSocket is a stream with status 101 whose chunks are frames: the first byte that a frame has,
and its payload. In place of that byte, 3 says how many bytes of messages the program has taken. The
front end sends "M", a length, and a frame of the client, up to 256 KB more than were taken.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from struct import error as _ShortBuffer  # noqa: N812 - what it means here
from typing import TYPE_CHECKING, Final, NamedTuple, Union

from sagemaker_inference._http.messages import BODY, Headers, Part, Request
from sagemaker_inference._http.sendable import header_line

if TYPE_CHECKING:
    from sagemaker_inference._http.messages import Response
    from sagemaker_inference.codecs import Body

_INT: Final = Struct("!i")
_END: Final = _INT.pack(-1)
_LOAD: Final = ord("L")
_PREDICT: Final = ord("I")
_PREDICT_AT: Final = b"P"
UPGRADE: Final = b"W"
CANCEL: Final = b"C"
MESSAGE: Final = ord("M")
# Before the payload of a message: "M", the length, the first byte of the frame.
_MESSAGE_HEAD: Final = 6
_TAKEN: Final = b"\x03"
# A value is followed by at least the ends of its parameters and of the batch.
_TAIL: Final = 8
_HEADER_LIMIT: Final = 1 << 20
# What the front end lets through beside a body of the limit: the boundaries and headers of a
# multipart body.
FORM_OVERHEAD: Final = 65536
# Up to this, copying a body costs less than a system call over several pieces.
_JOINED: Final = 16384

_OK: Final = _INT.pack(200) + _INT.pack(2) + b"OK"
# The text in place of OK: our front end writes the access line of such an answer, since no worker
# does.
_LOST: Final = _INT.pack(200) + _INT.pack(4) + b"lost"
_STREAM: Final = _INT.pack(206) + _INT.pack(6) + b"Stream"
_BROKEN: Final = _INT.pack(-2)
# The same from the supervisor: our front end writes the access line, as for an answer that is lost.
_LOST_STREAM: Final = _INT.pack(-3)
# Ends a stream that is complete.
STREAM_END: Final = _END


class _Recent:
    """The headers that were last read, and their bytes: clients send the same ones again."""

    headers = (_END, Headers())


_RECENT: Final = _Recent()
# Longer ones are not kept.
_KEPT: Final = 4096


class WireError(Exception):
    """The front end sent what no front end sends; the connection cannot be used any more."""


class Load(NamedTuple):
    """The front end asks for a model.

    Attributes:
        model_name: its name.
        model_path: its folder.
        batch_size: most requests the front end will send in one message.
        handler: the handler service, as configured.
        gpu_id: -1 for none.
        io_name: start of the names of two files the front end reads output from.
    """

    model_name: str
    model_path: str
    batch_size: int
    handler: str
    gpu_id: int
    io_name: str


class Cancel(NamedTuple):
    """The client of a stream has gone, or has said something to one that has ended meanwhile.

    Where the stream has ended, neither means anything.
    """


Message = Union[Load, Cancel, "list[Request]"]


def read(data: Body, limit: int) -> tuple[Message, int] | int:
    """Read one message from the start of ``data``.

    Args:
        data: what has arrived so far; at least one byte.
        limit: most bytes that a single value may have.

    Returns:
        The message and where it ends; or, where it is incomplete, the least number of bytes from
        the start that are needed to get further.

    Raises:
        WireError: no front end sends this.
    """
    try:
        if data[0] == _PREDICT:
            return _read_predict(data, limit)
        if data[0] in _PREDICT_AT + UPGRADE:
            return _read_predict_at(data, limit, has_query=data[:1] == UPGRADE)
        if data[0] == _LOAD:
            return _read_load(data)
        if data[:1] == CANCEL:
            return Cancel(), 1
        if data[0] == MESSAGE:
            end = _MESSAGE_HEAD - 1 + _INT.unpack_from(data, 1)[0]
            return (Cancel(), end) if len(data) >= end else end
    except _ShortBuffer:
        # A length is cut off: how much of it is missing does not matter, one byte surely is.
        return len(data) + 1
    message = f"unknown command {data[0]:#x}"
    raise WireError(message)


# Flat, and so is the reader of headers: every request passes here, and a function for a field would
# cost 1.3 of the 7.2 µs that a request with other headers than the last takes.
def _read_predict(  # noqa: C901, PLR0912 - as above
    data: Body, limit: int, place: int = 1
) -> tuple[list[Request], int] | int:
    number = _INT.unpack_from
    size = len(data)
    requests: list[Request] = []
    while True:
        length = number(data, place)[0]
        place += 4
        if length == -1:
            return requests, place
        end = place + length
        if not place <= end <= size:
            return _needed(place, length, _HEADER_LIMIT) + _TAIL
        request_id = str(data[place:end], "utf-8", "replace")
        place = end
        block, headers = _RECENT.headers
        end = place + len(block)
        if data[place:end] == block:
            place = end
        else:
            found = _read_headers(data, place)
            if isinstance(found, int):
                return found
            headers, place = found
        body: Body = b""
        has_body = False
        parameters: list[Part] = []
        while (length := number(data, place)[0]) != -1:
            place += 4
            end = place + length
            if not place <= end <= size:
                return _needed(place, length, _HEADER_LIMIT) + _TAIL
            name = str(data[place:end], "utf-8", "replace")
            length = number(data, end)[0]
            place = end + 4
            end = place + length
            if not place <= end <= size:
                return _needed(place, length, _HEADER_LIMIT) + _TAIL
            content_type = data[place:end]
            length = number(data, end)[0]
            place = end + 4
            end = place + length
            if not place <= end <= size:
                return _needed(place, length, limit) + _TAIL
            if name != BODY:
                media_type = str(content_type, "utf-8", "replace")
                parameters.append(Part(name, media_type, data[place:end]))
            else:
                if has_body:  # the one before was a query parameter of that name
                    parameters.append(Part(BODY, "", body))
                body, has_body = data[place:end], True
            place = end
        place += 4
        requests.append(Request(request_id, headers, body, parameters))


def _read_predict_at(data: Body, limit: int, *, has_query: bool) -> tuple[list[Request], int] | int:
    place = 1
    texts = []
    for _ in range(1 + has_query):
        length = _INT.unpack_from(data, place)[0]
        place += _INT.size
        end = place + length
        if not place <= end <= len(data):
            return _needed(place, length, _HEADER_LIMIT) + _TAIL
        texts.append(str(data[place:end], "utf-8", "replace"))
        place = end
    found = _read_predict(data, limit, place)
    if not isinstance(found, int):
        for request in found[0]:
            request.path = texts[0]
            request.query = texts[1] if has_query else None
    return found


def _read_headers(data: Body, start: int) -> tuple[Headers, int] | int:
    number = _INT.unpack_from
    size = len(data)
    items: list[tuple[str, str]] = []
    place = start
    while (length := number(data, place)[0]) != -1:
        place += 4
        end = place + length
        if not place <= end <= size:
            return _needed(place, length, _HEADER_LIMIT) + _TAIL
        name = str(data[place:end], "utf-8", "replace")
        length = number(data, end)[0]
        place = end + 4
        end = place + length
        if not place <= end <= size:
            return _needed(place, length, _HEADER_LIMIT) + _TAIL
        items.append((name, str(data[place:end], "utf-8", "replace")))
        place = end
    place += 4
    headers = Headers(items)
    if place - start <= _KEPT:
        _RECENT.headers = bytes(data[start:place]), headers
    return headers, place


def _read_load(data: Body) -> tuple[Load, int] | int:
    place = 1
    fields: list[str | int] = []
    for is_text in (True, True, False, True, False, True):
        (value,) = _INT.unpack_from(data, place)
        place += 4
        if is_text:
            end = place + value
            if not place <= end <= len(data):
                return _needed(place, value, _HEADER_LIMIT)
            fields.append(str(data[place:end], "utf-8", "replace"))
            place = end
        else:
            fields.append(value)
    return Load(*fields), place  # type: ignore[arg-type]


def _needed(place: int, length: int, limit: int) -> int:
    """Where a field ends that has not arrived whole.

    A field that has arrived is not measured against its limit: it is in memory anyway.
    """
    if 0 <= length <= limit:
        return place + length
    message = f"a field of {length} bytes, where at most {limit} can be"
    raise WireError(message)


def loaded(model_name: str, pid: int) -> bytes:
    """The answer to `Load`: the front end reads the process id from the end of its text."""
    text = f"loaded {model_name} [PID]:{pid}".encode()
    return _INT.pack(200) + _INT.pack(len(text)) + text + _END


def write(request_id: str, response: Response) -> list[Body]:
    """The answer to a message of one request, in pieces that one system call sends.

    The body of a response is in one piece by now, here and below: see `sendable`.
    """
    body: Body = response.body  # type: ignore[assignment]
    size = _size(body)
    head = _head(request_id, response)
    if size <= _JOINED:
        return [b"".join((_OK, head, _INT.pack(size), body, _END))]
    return [b"".join((_OK, head, _INT.pack(size))), body, _END]


def write_for_lost(request_id: str, response: Response) -> list[Body]:
    """The answer to a message of one request, whose worker no longer can."""
    body: Body = response.body  # type: ignore[assignment]
    return [_LOST + _head(request_id, response) + _INT.pack(_size(body)), body, _END]


def write_batch(answers: list[tuple[str, Response]]) -> list[Body]:
    """The answer to a message of several requests."""
    pieces: list[Body] = [_OK]
    for request_id, response in answers:
        body: Body = response.body  # type: ignore[assignment]
        pieces += [_head(request_id, response) + _INT.pack(_size(body)), body]
    pieces.append(_END)
    return pieces


def begin_stream(request_id: str, response: Response) -> bytes:
    """The start of a stream; its chunks and its end follow."""
    return _STREAM + _head(request_id, response)


def chunk(data: bytes) -> bytes:
    """A part of a stream, of at least one byte."""
    return _INT.pack(len(data)) + data


def taken(count: int) -> bytes:
    """The chunk that says that the program has taken so many bytes of messages."""
    return chunk(_TAKEN + _INT.pack(count))


def messages(data: Body) -> tuple[list[tuple[int, bytes] | None], int]:
    """Read what has arrived for a WebSocket.

    Returns:
        The first byte and the payload of each frame, None where the client has gone; and where the
        rest begins, which is incomplete, or is for later.
    """
    frames: list[tuple[int, bytes] | None] = []
    place, size = 0, len(data)
    while place < size:
        if data[place] == CANCEL[0]:
            frames.append(None)
            place += 1
            continue
        if data[place] != MESSAGE or size < place + _MESSAGE_HEAD:
            break
        end = place + _MESSAGE_HEAD - 1 + _INT.unpack_from(data, place + 1)[0]
        if end > size:
            break
        frames.append((data[place + 5], bytes(data[place + _MESSAGE_HEAD : end])))
        place = end
    return frames, place


def break_stream(status: int) -> bytes:
    """The end of a stream that is not complete.

    Args:
        status: what has become of it, which the front end counts.
    """
    return _BROKEN + _INT.pack(status)


def break_lost_stream(status: int) -> bytes:
    """As `break_stream`, of a stream whose worker no longer can end it."""
    return _LOST_STREAM + _INT.pack(status)


def _head(request_id: str, response: Response) -> bytes:
    number = _INT.pack
    identity = request_id.encode()
    pieces = [
        number(len(identity)),
        identity,
        _kind(str(response.content_type), response.status, response.phrase),
        number(len(response.headers)),
    ]
    for name, value in response.headers.items():
        for text in (header_line(name), header_line(value)):
            pieces += [number(len(text)), text]
    return b"".join(pieces)


# A program answers with few kinds, many times; the limit is for those that clients make it invent.
@lru_cache(maxsize=256)
def _kind(content_type: str, status: int, phrase: str) -> bytes:
    number = _INT.pack
    name, reason = header_line(content_type), phrase.encode("ascii", "replace")
    return b"".join([number(len(name)), name, number(status), number(len(reason)), reason])


def _size(body: Body) -> int:
    return body.nbytes if isinstance(body, memoryview) else len(body)
