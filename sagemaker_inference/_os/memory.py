"""Memory that libraries keep when it is free, given back to the system."""

from __future__ import annotations

import ctypes
import gc
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

# Python 3.12 has frozen some itself.
_FROZEN_AT_FIRST: Final = gc.get_freeze_count()


def give_back() -> None:
    """Give free memory back to the system, where Python, glibc or Arrow holds it.

    Takes some milliseconds, and 0.1 ms more for each MiB that is given back: it is worth that
    after a large request, whose memory the next ones do not need.
    """
    arrow: Any = sys.modules.get("pyarrow")
    if arrow is not None:
        arrow.default_memory_pool().release_unused()
    _clear_free_lists()
    trim = _trim()
    if trim is not None:
        # What the C library needs at the end of its heap is little beside what was freed.
        trim(0)


def _clear_free_lists() -> None:
    """Have Python free the few objects of each type that it keeps to use again.

    Each of 80 dicts may hold a MiB of memory in which nothing else is left.
    """
    # Only a full collection frees them. It takes long where a program has many objects, and a
    # finalizer of the program may run, unless there is nothing to look at.
    is_frozen = gc.get_freeze_count() > _FROZEN_AT_FIRST
    if not is_frozen:
        gc.freeze()
    gc.collect()
    if not is_frozen:
        gc.unfreeze()


@lru_cache(maxsize=1)
def _trim() -> Callable[[int], int] | None:
    """``malloc_trim``, which only glibc has."""
    return getattr(ctypes.CDLL(None), "malloc_trim", None)
