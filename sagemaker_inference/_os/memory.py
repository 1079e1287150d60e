"""Memory that libraries keep when it is free, given back to the system."""

from __future__ import annotations

import ctypes
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def give_back() -> None:
    """Give free memory back to the system, where glibc or Arrow holds it.

    Takes about a millisecond, and 0.1 ms more for each MiB that is given back: it is worth that
    after a large request, whose memory the next ones do not need.
    """
    arrow: Any = sys.modules.get("pyarrow")
    if arrow is not None:
        arrow.default_memory_pool().release_unused()
    trim = _trim()
    if trim is not None:
        # What the C library needs at the end of its heap is little beside what was freed.
        trim(0)


@lru_cache(maxsize=1)
def _trim() -> Callable[[int], int] | None:
    """``malloc_trim``, which only glibc has."""
    return getattr(ctypes.CDLL(None), "malloc_trim", None)
