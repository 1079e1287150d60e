"""Words of messages."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """A number of things, in words.

    >>> counted(1, "request"), counted(2, "request")
    ('1 request', '2 requests')

    Args:
        number: how many there are.
        noun: the name of one, whose plural ends with "s".
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
