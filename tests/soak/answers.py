"""What is asked, and whether the answer is right, honest, wrong or lost."""

from __future__ import annotations

import collections
import json
import random
import threading
from typing import TYPE_CHECKING, NamedTuple

from tests.server.conftest import Reply

if TYPE_CHECKING:
    from typing import BinaryIO

# So many of 10,000 requests; the others are echoes.
ACCIDENTS = {
    "raise": 100,
    "memory": 20,
    "exit": 5,
    "kill": 5,
    "crash": 5,
    "hang": 4,
    "block": 2,
}
_LARGE = 50
_MOST_TIMES = 3000
# What may happen to any request while workers are killed.
_INNOCENT = {"process_died", "prediction_timeout", "service_unavailable"}
_HONEST = {
    "raise": _INNOCENT | {"prediction_failed"},
    "memory": _INNOCENT | {"out_of_memory"},
}
_FAILS = frozenset(ACCIDENTS)


class Request(NamedTuple):
    """One request. Its answer is the nonce, so many times.

    Attributes:
        do: what the predictor is to do.
        nonce: a number that no other request has.
        times: how often it comes back.
    """

    do: str
    nonce: int
    times: int = 1

    @property
    def message(self) -> bytes:
        """It as HTTP."""
        body = json.dumps(self._asdict()).encode()
        return (
            b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )

    @property
    def answer(self) -> bytes:
        """The body of its answer."""
        return json.dumps([self.nonce] * self.times, separators=(",", ":")).encode()

    def verdict(self, reply: Reply) -> str:
        """What its answer is, as it is counted; faults begin with a capital letter."""
        if reply.status == 200:
            is_right = self.do not in _FAILS and reply.body == self.answer
            return "right" if is_right else f"WRONG: {self} got {reply.body[:80]!r}"
        error = json.loads(reply.body)["error"]
        is_honest = (
            reply.status >= 500
            and error["request_id"] == reply.headers.get("x-request-id")
            and error["code"] in _HONEST.get(self.do, _INNOCENT)
        )
        what = f"{self.do}: {reply.status} {error['code']}"
        return what if is_honest else f"UNEXPECTED: {what} {error}"


class Dice:
    """Draws requests.

    Args:
        seed: another one draws others.
        accidents: how many times as many accidents as `ACCIDENTS` says.
    """

    def __init__(self, seed: int, accidents: float) -> None:
        self.random = random.Random(seed)  # noqa: S311 - chance, not secrets
        self._kinds = [*ACCIDENTS, "echo"]
        weights = [count * accidents for count in ACCIDENTS.values()]
        self._weights = [*weights, max(0, 10_000 - sum(weights))]

    def echo(self, times: int = 1) -> Request:
        """One that is to be answered."""
        return Request("echo", self.random.getrandbits(48), times)

    def request(self) -> Request:
        """Any."""
        [do] = self.random.choices(self._kinds, self._weights)
        is_large = self.random.randrange(10_000) < _LARGE
        times = self.random.randrange(1, _MOST_TIMES) if is_large else 1
        return self.echo(times)._replace(do=do)


class Count:
    """What has become of requests, and how many more are to be sent."""

    def __init__(self) -> None:
        self.left = 0
        self.verdicts: collections.Counter[str] = collections.Counter()
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Take one of the requests that are to be sent; False where none is left."""
        with self._lock:
            self.left -= 1
            return self.left >= 0

    def note(self, verdict: str) -> None:
        """Count a verdict."""
        with self._lock:
            self.verdicts[verdict] += 1

    @property
    def innocent(self) -> int:
        """How many do no harm, and wait for their answers."""
        echoes = sum(n for verdict, n in self.verdicts.items() if verdict.startswith("echo: "))
        return self.verdicts["right"] + echoes

    @property
    def faults(self) -> list[str]:
        """What should not have been."""
        return [verdict for verdict in self.verdicts if verdict[0].isupper()]


def read_reply(file: BinaryIO) -> Reply:
    """Read one answer of several on a connection.

    Raises:
        ConnectionError: it ends too early.
    """
    line = file.readline()
    if not line:
        message = "closed before an answer"
        raise ConnectionError(message)
    status = int(line.split()[1])
    headers = {}
    while (line := file.readline()).strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    size = int(headers["content-length"])
    body = file.read(size)
    if len(body) < size:
        message = "closed in the middle of an answer"
        raise ConnectionError(message)
    return Reply(status, headers, body)
