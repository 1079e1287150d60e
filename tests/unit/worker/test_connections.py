"""The connections that a worker has."""

from __future__ import annotations

import array
import os
import socket
from pathlib import Path

from sagemaker_inference._ipc import slots
from sagemaker_inference._ipc.fds import send_fds
from sagemaker_inference._worker.connection import Connection
from sagemaker_inference._worker.connections import Connections


def test_one_that_is_held_on_to_does_not_close_the_next_one() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    front, back = socket.socketpair()
    number = slots.FIRST_FD + 5
    with ours, theirs, front, back:
        connections = Connections(theirs)
        send_fds(ours, array.array("i", [5, 1]).tobytes(), [back.fileno()])
        held = connections.get(5, 1)
        assert held.sock.fileno() == number
        connections.forget(5)
        assert list(connections) == []
        assert str(Path(f"/proc/self/fd/{number}").readlink()) == os.devnull
        send_fds(ours, array.array("i", [5, 2]).tobytes(), [back.fileno()])
        following = connections.get(5, 2)
        del held
        following.sock.sendall(b"x")
        assert front.recv(1) == b"x"
        for _ in range(2):  # also where it is gone
            connections.forget(5)
        os.close(number)


def test_the_first_byte_of_a_message_stays_where_it_is() -> None:
    front, back = socket.socketpair()
    with front, back:
        connection = Connection(5, 1, back)
        assert connection.first_byte() == b""
        front.sendall(b"xy")
        assert connection.first_byte() == b"x"
        assert back.recv(9) == b"xy"
        connection.leftover = b"ab"
        assert connection.first_byte() == b"a"
