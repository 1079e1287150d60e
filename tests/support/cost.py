"""What a call costs: measured in a forked child, which starts with the memory of its parent."""

from __future__ import annotations

import os
import pickle
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from support.proc import memory

if TYPE_CHECKING:
    from collections.abc import Callable

MIB: Final = 1 << 20
# What a refused request may cost.
REFUSED_GROWTH: Final = 256 * MIB
# The aim is two seconds; a busy machine may take more, and what this keeps away took 14 to 45.
# Where coverage traces each line, all of that takes up to three times as long.
SECONDS: Final = 10 if sys.gettrace() is None else 30


class Cost(NamedTuple):
    """The cost of a call.

    Attributes:
        result: what it returned; an exception that it raised.
        growth: how much memory it needed at most, in bytes.
        kept: how much was left when it had returned.
        seconds: its processor time.
    """

    result: Any
    growth: int
    kept: int
    seconds: float


def cost_of(call: Callable[[], Any]) -> Cost:
    """Call a function in a child; its result has to be small."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        # Libraries have threads that do nothing here.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        try:
            os.write(writer, pickle.dumps(_measured(call)))
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        data = pipe.read()
    os.waitpid(pid, 0)
    assert data, "the child died"
    return pickle.loads(data)  # noqa: S301 - from our own child


def _measured(call: Callable[[], Any]) -> Cost:
    Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
    before = memory("self")
    started = time.process_time()
    try:
        result = call()
    except Exception as error:  # noqa: BLE001 - the test looks at it
        result = error
    seconds = time.process_time() - started
    return Cost(result, memory("self", "VmHWM") - before, memory("self") - before, seconds)
