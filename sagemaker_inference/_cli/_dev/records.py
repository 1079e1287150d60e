"""The last requests: what the console shows of them, and plots."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import count
from time import monotonic, time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagemaker_inference._http.messages import Headers

_KEPT: Final = 50
# The problem of a request that nobody waits for any more: no failure of the program.
GONE: Final = "the client has disconnected"
# Of each body, for a person to read.
KEPT_BYTES: Final = 64 * 1024
# For plots: long enough to see a trend, short enough to see one's own requests.
_WINDOW_SECONDS: Final = 60.0
_MOST_TIMES: Final = 20_000


@dataclass(slots=True)
class Body:
    """A body: its beginning, and its size."""

    data: bytearray = field(default_factory=bytearray)
    size: int = 0

    def add(self, data: bytes) -> None:
        """Note a part."""
        self.size += len(data)
        room = KEPT_BYTES - len(self.data)
        if room > 0:
            self.data += data[:room]


@dataclass(slots=True)
class Record:
    """A request and its response, as far as it has come.

    Attributes:
        number: counts the requests.
        at: when it came, in seconds since 1970.
        status: of the response; 0 before there is one.
        first, seconds: how long the head of the response, and all of it, took; None before.
        problem: why there is no response, or no end of it.
        is_answered: whether the response is complete.
        server: the number of the program that answered.
    """

    number: int
    method: str
    target: str
    headers: Headers
    at: float
    began: float
    server: int = 0
    request: Body = field(default_factory=Body)
    response: Body = field(default_factory=Body)
    status: int = 0
    content_type: str = ""
    first: float | None = None
    seconds: float | None = None
    problem: str = ""
    is_answered: bool = False

    def note_head(self, status: int, content_type: str) -> None:
        """Note the head of the response."""
        self.status, self.content_type = status, content_type
        self.first = monotonic() - self.began


class Records:
    """Keeps the last requests, and how long those of the last minute took."""

    def __init__(self) -> None:
        self._kept: deque[Record] = deque(maxlen=_KEPT)
        self._numbers = count(1)
        self._times: deque[tuple[float, float, int]] = deque(maxlen=_MOST_TIMES)
        self.running = 0

    def begin(self, method: str, target: str, headers: Headers) -> Record:
        """Note a request."""
        record = self.apart(method, target, headers, next(self._numbers))
        self._kept.append(record)
        self.running += 1
        return record

    @staticmethod
    def apart(method: str, target: str, headers: Headers, number: int = 0) -> Record:
        """A record that nobody keeps."""
        return Record(number, method, target, headers, time(), monotonic())

    def end(self, record: Record) -> None:
        """Note its end, unless nobody keeps it."""
        if not record.number:
            return
        now = monotonic()
        record.seconds = now - record.began
        self.running -= 1
        is_broken = record.problem not in {"", GONE}
        self._times.append((now, record.seconds, 0 if is_broken else record.status))

    def find(self, number: int) -> Record | None:
        """A request that is still kept."""
        return next((one for one in self._kept if one.number == number), None)

    def __iter__(self) -> Iterator[Record]:
        return reversed(self._kept)

    def times(self) -> list[tuple[float, float, int]]:
        """Of the requests of the last minute: how long ago, how long, and with which status.

        The status is 0 where there was no response, or no end of it.
        """
        now = monotonic()
        while self._times and now - self._times[0][0] > _WINDOW_SECONDS:
            self._times.popleft()
        return [(now - at, seconds, status) for at, seconds, status in self._times]
