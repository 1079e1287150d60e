"""Ports for servers that tests start."""

from __future__ import annotations

import random
import socket


def free_port() -> int:
    """A port that the front end takes and that nobody serves.

    Below the range from which the kernel takes ports for clients. Drawn by chance, so that test
    runs beside each other do not try the same one in the same moment; not by the generator that
    tests and Hypothesis seed.
    """
    dice = random.SystemRandom()
    while True:
        port = dice.randint(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
