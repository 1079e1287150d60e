"""Wait for events by fractions of a millisecond."""

from __future__ import annotations

# Looked up before the program is imported: gevent and eventlet replace it in its module.
from select import select
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from select import epoll


def poll_precisely(instance: epoll, patience: float, most: int) -> list[tuple[int, int]]:
    """Wait for events; epoll counts in whole milliseconds, which may be a whole batch.

    Args:
        instance: what they come from.
        patience: how long they are waited for, in seconds.
        most: how many are returned at most.
    """
    try:
        select([instance.fileno()], [], [], patience)
    except ValueError:  # its number is 1,024 or more
        return instance.poll(patience, most)
    return instance.poll(0, most)
