"""The works: what is sent, what must come back, and on which server."""

from __future__ import annotations

import io
import json
import random
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

JSON: Final = "application/json"
CSV: Final = "text/csv"
NPY: Final = "application/x-npy"
BYTES: Final = "application/octet-stream"
EVENTS: Final = "text/event-stream"
# The mode of servers that stream; what they send does not depend on what they get.
STREAM: Final = "stream"
# The mode of servers with several models.
MANY: Final = "many"
# As contenders/task.py has them.
ITEMS: Final = [f"item {number:015}".encode() for number in range(200)]
MODELS: Final = 8

COLUMNS: Final = 4
# What the server returns of bytes: an image in, a few scores out.
HEAD_BYTES: Final = 1024
_OK: Final = 200

# Mode, content type and rows.
Kind = tuple[str, str, int]


class WrongAnswerError(Exception):
    """A server did not answer what it should."""


@dataclass(frozen=True)
class Work:
    """One kind of request, sent over so many connections.

    Attributes:
        name: its name on the command line and in the results.
        title: its name in tables.
        content_type: what is sent and asked for.
        rows: rows of the array, or kilobytes of bytes; 0 asks for `/ping`, which sends nothing.
        connections: how many requests are on their way at a time.
        mode: what the server is to be, see contenders/task.py.
    """

    name: str
    title: str
    content_type: str = JSON
    rows: int = 1
    connections: int = 4
    mode: str = "plain"

    @property
    def is_ping(self) -> bool:
        """Whether the model is left alone."""
        return self.rows == 0

    @property
    def is_stream(self) -> bool:
        """Whether the answer is a stream of `ITEMS`."""
        return self.mode == STREAM

    @property
    def models(self) -> int:
        """Over how many models requests are spread, one after the other."""
        return MODELS if self.mode == MANY else 1

    @property
    def accept(self) -> str:
        """What is asked for."""
        return EVENTS if self.is_stream else self.content_type

    @property
    def method(self) -> str:
        """The method of the request."""
        return "GET" if self.is_ping else "POST"

    @property
    def kind(self) -> Kind:
        """What a server is warmed up for, however many connections ask for it."""
        return self.mode, self.content_type, self.rows

    @cached_property
    def data(self) -> NDArray[np.float64]:
        """The array that is sent: the same in every run."""
        source = random.Random(self.rows)  # noqa: S311 - numbers to send, not secrets
        flat = [round(source.uniform(0.1, 10), 4) for _ in range(self.rows * COLUMNS)]
        return np.array(flat).reshape(-1, COLUMNS)

    @cached_property
    def body(self) -> bytes:
        """The bytes that are sent."""
        if self.is_ping:
            return b""
        if self.content_type == BYTES:
            return bytes(range(250)) * (self.rows * 4)  # begins with NUL, as no text does
        if self.content_type == JSON:
            return json.dumps(self.data.tolist()).encode()
        if self.content_type == CSV:
            return "".join(",".join(map(repr, row)) + "\n" for row in self.data.tolist()).encode()
        file = io.BytesIO()
        np.save(file, self.data, allow_pickle=False)
        return file.getvalue()

    def check(self, status: int, reply: bytes) -> None:
        """Compare a reply with what it should be.

        Raises:
            WrongAnswerError: it is something else.
        """
        if status != _OK:
            message = f"{self.name}: status {status}: {reply[:200]!r}"
            raise WrongAnswerError(message)
        if self.is_ping:
            return
        if self.is_stream:
            # Each contender has a form of its own around them.
            is_right = re.findall(rb"item \d{15}", reply) == ITEMS
        elif self.content_type == BYTES:
            is_right = reply == self.body[:HEAD_BYTES]
        else:
            try:
                found = parse(reply, self.content_type)
                # Shapes first: numpy would stretch the one to the other.
                is_right = found.shape == self.data.shape and bool(
                    np.allclose(found, self.data * 2, rtol=1e-12, atol=0)
                )
            except (ValueError, TypeError, KeyError, IndexError, EOFError):
                is_right = False
        if not is_right:
            message = f"{self.name}: a wrong answer: {reply[:200]!r}"
            raise WrongAnswerError(message)


def parse(reply: bytes, content_type: str) -> NDArray[np.float64]:
    """Read an array from a reply, by other means than the servers'.

    Raises:
        ValueError: it holds none; TypeError, KeyError, IndexError and EOFError may say so too.
    """
    if content_type == NPY:
        found: NDArray[np.float64] = np.load(io.BytesIO(reply), allow_pickle=False)
        return found
    if content_type == CSV:
        rows = [line.split(",") for line in reply.decode().splitlines()]
        return np.array(rows, dtype=np.float64)
    value = json.loads(reply)
    if isinstance(value, dict):  # the V2 protocol
        output = value["outputs"][0]
        flat = np.array(output["data"], dtype=np.float64)
        return flat.reshape(tuple(output["shape"]))
    return np.array(value, dtype=np.float64)


def in_v2(work: Work) -> bytes:
    """A work's array as a request of the V2 inference protocol."""
    flat = work.data.ravel().tolist()
    tensor = {"name": "data", "shape": work.data.shape, "datatype": "FP64", "data": flat}
    return json.dumps({"inputs": [{**tensor, "parameters": {"content_type": "np"}}]}).encode()


JSON_SMALL: Final = Work("json-small", "JSON 1×4")
WORKS: Final = (
    JSON_SMALL,
    Work("json-large", "JSON 1,000×4", rows=1000),
    Work("csv-large", "CSV 1,000×4", CSV, rows=1000),
    Work("npy-large", "NPY 1,000×4", NPY, rows=1000),
    Work("npy-4mb", "NPY 4 MB", NPY, rows=131_072),
    Work("bytes", "500 KB in, 1 KB out", BYTES, rows=500),
    Work("ping", "GET /ping", rows=0),
    *(
        Work(f"{mode}-{count}", f"10 ms{words}, {count}", connections=count, mode=mode)
        for mode, words in (("slow", ""), ("batched", " batched"))
        for count in (1, 8, 32)
    ),
    Work("stream-32", "32 streams", connections=32, mode=STREAM),
    Work(f"many-{MODELS}", f"JSON 1×4, {MODELS} models", mode=MANY),
)


def first(mode: str) -> Work:
    """What a server in a mode is asked first: `JSON_SMALL`, unless it answers something else."""
    own = (work for work in WORKS if work.mode == mode and mode in {MANY, STREAM})
    return next(own, JSON_SMALL)


# Measured with every start of the plain server: works that are no kinds of request.
HALF_LOAD: Final = "half-load"
# Requests per second by name.
RATES: Final = {f"rate-{rate}": rate for rate in (1000, 3000, 5000)}
NAMES: Final = (*(work.name for work in WORKS), HALF_LOAD, *RATES)
STREAM_NAMES: Final = tuple(work.name for work in WORKS if work.is_stream)
