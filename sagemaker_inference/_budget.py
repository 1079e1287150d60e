"""What a request may cost: one budget, shared by its content codings, its parts and their codecs.

The inference handler begins a budget with the size of what was sent. Codecs find it with `of`; one
that is called alone, as in ``csv.decode(body)``, gets a budget from the size of its body. Four
limits, each checked before what it limits is spent:

===========  =======================================================================================
limit        what it is for
===========  =======================================================================================
`unpack`     bytes that packed data becomes: content codings, members of zips, columns, pixels
`take`       memory of the values that are made: Python objects, cells, arrays
`attempt`    memory that is needed until a body is known to be valid, so that one that is refused
             has cost little
`step`       steps of interpreted Python, about a microsecond each, in readers that may find an
             error only at the end
===========  =======================================================================================
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from sagemaker_inference._errors import PayloadTooLargeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sized

_MIB: Final = 1 << 20
# The largest body that SageMaker passes on to an endpoint.
_LARGEST: Final = 25 * _MIB
# Packed data of any size may become this much.
_LEAST_UNPACKED: Final = 64 * _MIB
_TIMES_UNPACKED: Final = 3
# Values take 20 bytes for each byte of their text, the most that JSON and CSV usually need.
_LEAST_TAKEN: Final = 64 * _MIB
_TIMES_TAKEN: Final = 20
_LEAST_ATTEMPTED: Final = 224 * _MIB
_TIMES_ATTEMPTED: Final = 9
_LEAST_STEPS: Final = 1_000_000
_BYTES_A_STEP: Final = 25
_LARGE: Final = 8 * _MIB
# Objects of so many bytes take a step to make; within a form, any of them may be in vain.
_BYTES_OF_STEP: Final = 128
# Bodies up to this size cost little whatever they are.
SMALL: Final = 1 << 20


class Budget:
    """What is left to a request; a refusal is a PayloadTooLargeError with size and limit.

    Args:
        sent: the size of the body as it was sent, in bytes.

    Attributes:
        sent: the same.
        unpacked: how many bytes packed data has become.
        taken: the memory of the values that were made, in bytes, as estimated.
        steps: how many steps of interpreted Python were taken.
        is_divided: whether the parts of a form share it: any of them may still be refused.
        is_tentative: whether the values may still be refused when they are made, because they do
            not fit an annotation.
        expects_numbers: whether all cells of a table have to be numbers or booleans.
    """

    __slots__ = (
        "expects_numbers",
        "is_divided",
        "is_tentative",
        "sent",
        "steps",
        "taken",
        "unpacked",
    )

    def __init__(self, sent: int) -> None:
        self.sent = sent
        self.unpacked = 0
        self.taken = 0
        self.steps = 0
        self.is_divided = False
        self.is_tentative = False
        self.expects_numbers = False

    @property
    def received(self) -> int:
        """The size of the largest body that can be part of this request."""
        return max(self.sent, self.unpacked)

    @property
    def is_large(self) -> bool:
        """Whether the request has used memory that is worth giving back to the system."""
        return self.received + self.taken > _LARGE

    @property
    def unpackable(self) -> int:
        """How many more bytes packed data may become."""
        return max(_LEAST_UNPACKED, _TIMES_UNPACKED * self.sent) - self.unpacked

    def unpack(self, size: int, what: str, times: int = _TIMES_UNPACKED) -> None:
        """Count bytes that packed data becomes.

        Args:
            size: how many.
            what: the name of the format, for the message.
            times: how many times what was sent is the limit, if that is more than 64 MiB.

        Raises:
            PayloadTooLargeError: over the limit.
        """
        limit = max(_LEAST_UNPACKED, times * self.sent)
        if self.unpacked + size > limit:
            raise self._refusal(what, f"unpacks to {self.unpacked + size} bytes", limit)
        self.unpacked += size

    def take(self, size: int, what: str) -> None:
        """Count the memory of values, as estimated.

        Raises:
            PayloadTooLargeError: over 64 MiB and 20 times the body; what packed data becomes counts
                as body up to 25 MiB.
        """
        if not self.can_take(size):
            total = self.taken + self.unpacked + size
            raise self._refusal(what, f"needs {total} bytes of memory", self._takable)
        if self.is_divided:
            self.attempt(size, what)
            self.step(size // _BYTES_OF_STEP, what)
        elif self.is_tentative:
            self.attempt(size, what)
        self.taken += size

    def give_back(self, size: int) -> None:
        """Take back what was counted for values that were not made, or are no more."""
        self.taken -= size

    def attempt(self, size: int, what: str) -> None:
        """Check the memory that is needed until a body is known to be valid; it is not counted.

        Raises:
            PayloadTooLargeError: over 224 MiB, or nine times what was sent if that is more.
        """
        if not self.can_attempt(size):
            verb = f"needs {self._attempted + size} bytes of memory to be checked"
            raise self._refusal(what, verb, self._attemptable)

    def can_take(self, size: int) -> bool:
        """Whether `take` is within its limit."""
        return self.taken + self.unpacked + size <= self._takable

    def can_attempt(self, size: int) -> bool:
        """Whether `attempt` is within its limit."""
        return self._attempted + size <= self._attemptable

    @property
    def _takable(self) -> int:
        body = min(self.received, max(self.sent, _LARGEST))
        return _LEAST_TAKEN + _TIMES_TAKEN * body

    @property
    def _attempted(self) -> int:
        return self.sent + self.unpacked + (self.taken if self.is_divided else 0)

    @property
    def _attemptable(self) -> int:
        return max(_LEAST_ATTEMPTED, _TIMES_ATTEMPTED * self.sent)

    def step(self, count: int, what: str) -> None:
        """Count steps of interpreted Python.

        Raises:
            PayloadTooLargeError: over a million, or one for each 25 bytes sent if that is more.
        """
        limit = max(_LEAST_STEPS, self.sent // _BYTES_A_STEP)
        self.steps += count
        if self.steps > limit:
            raise self._refusal(what, f"takes {self.steps} steps to read", limit)

    def _refusal(self, what: str, verb: str, limit: int) -> PayloadTooLargeError:
        message = f"The {what} body of {self.sent} bytes {verb}, over the limit of {limit}"
        return PayloadTooLargeError(message[:300])


_current: Final[ContextVar[Budget | None]] = ContextVar("budget", default=None)


def begin(sent: int) -> Budget:
    """Begin a request's budget: codecs that are called from here on share it, until `end`."""
    budget = Budget(sent)
    _current.set(budget)
    return budget


def end() -> None:
    """End the budget of the request."""
    _current.set(None)


def of(body: Sized) -> Budget:
    """The budget for reading a body: the request's, else a new one.

    A body that is larger than all of the request is not part of it: a handler has fetched it from
    elsewhere.
    """
    budget = _current.get()
    return Budget(len(body)) if budget is None or len(body) > budget.received else budget


def if_large(body: Sized) -> Budget | None:
    """The same; None for a body that costs little whatever it is, unless it is one of many."""
    if len(body) > SMALL:
        return of(body)
    budget = _current.get()
    return budget if budget is not None and budget.is_divided else None


@contextmanager
def tentative(body: Sized) -> Iterator[None]:
    """Count values that an annotation may refuse as memory that is needed until they are valid."""
    with shared(body) as budget:
        before, budget.is_tentative = budget.is_tentative, True
        try:
            yield
        finally:
            budget.is_tentative = before


@contextmanager
def of_numbers(body: Sized) -> Iterator[None]:
    """Have a table refused before its cells are made, if one is neither number nor boolean."""
    with shared(body) as budget:
        budget.expects_numbers = True
        try:
            yield
        finally:
            budget.expects_numbers = False


@contextmanager
def shared(body: Sized) -> Iterator[Budget]:
    """The budget for a body whose parts share it."""
    budget = of(body)
    token = _current.set(budget)
    try:
        yield budget
    finally:
        _current.reset(token)
