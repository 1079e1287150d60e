"""Ports that are free."""

from __future__ import annotations

import random
import socket
from typing import Final

# Below those that the kernel gives to clients, of which one may get it in between.
_PORTS: Final = range(20000, 32000)


def free_port(host: str) -> int:
    """A port that nobody serves.

    Args:
        host: the address that it is to be free at.
    """
    while True:
        port = random.choice(_PORTS)  # noqa: S311 - no secret
        with socket.socket() as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
