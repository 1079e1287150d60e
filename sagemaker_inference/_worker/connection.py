"""One connection of the front end: whole messages in, answers out."""

from __future__ import annotations

# Looked up before the program is imported: gevent replaces it in its module.
from socket import MSG_DONTWAIT, MSG_PEEK
from typing import TYPE_CHECKING, Final

from sagemaker_inference._ipc import wire

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from sagemaker_inference.codecs import Body

_FIRST_READ: Final = 65536
# Room for the ends of lists behind a value, so that they come with it.
_SLACK: Final = 64


class Connection:
    """One connection of the front end, at its slot's descriptor."""

    __slots__ = ("generation", "leftover", "message", "slot", "sock")

    def __init__(self, slot: int, generation: int, sock: socket.socket) -> None:
        self.slot = slot
        self.generation = generation
        self.sock = sock
        self.leftover = b""
        # The bytes of the message that was received last, until they are taken.
        self.message: Body = b""

    def receive(self, limit: int) -> wire.Message | None:
        """Read one whole message; None where the front end has closed the connection.

        A message that fits the first read costs one system call. A longer one gets a buffer of its
        full length, and its body is a view into that.

        Raises:
            OSError: the connection broke, or stood still for longer than its time limit.
            WireError: what arrived is no message.
        """
        data = self.leftover or self.sock.recv(_FIRST_READ)
        if not data:
            return None
        found = wire.read(data, limit)
        if isinstance(found, int):
            return self._receive_long(data, found, limit)
        message, end = found
        self.leftover = data[end:]
        self.message = data[:end]  # the same object, where nothing follows
        return message

    def first_byte(self) -> bytes:
        """What the next message begins with; b"" where nothing has come."""
        try:
            return self.leftover[:1] or self.sock.recv(1, MSG_DONTWAIT | MSG_PEEK)
        except OSError:
            return b""

    def _receive_long(self, start: bytes, needed: int, limit: int) -> wire.Message | None:
        filled = len(start)
        buffer = bytearray(needed + _SLACK)
        buffer[:filled] = start
        while True:
            view = memoryview(buffer)
            while filled < needed:
                count = self.sock.recv_into(view[filled:])
                if not count:
                    return None
                filled += count
            found = wire.read(view[:filled], limit)
            if not isinstance(found, int):
                message, end = found
                self.leftover = bytes(view[end:filled])
                self.message = view[:end]
                return message
            needed = found
            larger = bytearray(needed + _SLACK)
            larger[:filled] = view[:filled]
            buffer = larger

    def send(self, pieces: Sequence[Body]) -> None:
        """Send all pieces; one system call unless the socket's buffer is full.

        Raises:
            OSError: the connection broke, or stood still for longer than its time limit.
        """
        if len(pieces) == 1:
            self.sock.sendall(pieces[0])
            return
        sent = self.sock.sendmsg(pieces)
        for piece in pieces:
            view = memoryview(piece).cast("B")
            if sent < view.nbytes:
                self.sock.sendall(view[sent:])
                sent = 0
            else:
                sent -= view.nbytes
