"""The connections of the front end that the supervisor has passed on to a worker."""

from __future__ import annotations

import array
import contextlib
import os
import socket

# Looked up before the program is imported: gevent and eventlet replace it in its module.
from socket import socket as _Socket  # noqa: N812 - a class
from typing import TYPE_CHECKING

from sagemaker_inference._ipc import slots
from sagemaker_inference._ipc.fds import receive_fds
from sagemaker_inference._worker.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Iterator


class Connections:
    """Those that this process has, each at its slot's descriptor.

    Args:
        control: where the supervisor sends them.
    """

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._received: dict[int, Connection] = {}

    def __iter__(self) -> Iterator[Connection]:
        return iter(self._received.values())

    def get(self, slot: int, generation: int) -> Connection:
        """The connection of a slot; one that is on its way is waited for."""
        connection = self._received.get(slot)
        if connection is None or connection.generation != generation:
            connection = self._fetch(slot, generation)
        return connection

    def forget(self, slot: int) -> None:
        """Close the connection of a slot."""
        connection = self._received.pop(slot, None)
        if connection is not None:
            # What still holds it, as a traceback may, must not close the next one's number with it.
            connection.sock.detach()
            slots.reserve([slot])

    def receive_waiting(self) -> None:
        """Receive what the supervisor has sent; its socket does not hold many."""
        with contextlib.suppress(BlockingIOError):
            while self._next(socket.MSG_DONTWAIT):
                pass

    def _fetch(self, slot: int, generation: int) -> Connection:
        """Receive connections from the supervisor until this one is there.

        It is on its way: the supervisor sends a connection before it hands out its events.
        """
        while True:
            connection = self._next()
            if connection and (connection.slot, connection.generation) == (slot, generation):
                return connection

    def _next(self, flags: int = 0) -> Connection | None:
        data, fds = receive_fds(self._control, 8, flags)
        if not fds:  # the supervisor has ended, and so does this process
            return None
        slot, generation = array.array("i", data)
        old = self._received.pop(slot, None)
        if old is not None:
            old.sock.detach()
        fd = os.dup2(fds[0], slots.FIRST_FD + slot, inheritable=False)
        os.close(fds[0])
        connection = self._received[slot] = Connection(slot, generation, _Socket(fileno=fd))
        return connection
