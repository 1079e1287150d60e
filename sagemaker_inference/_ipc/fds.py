"""Descriptors that pass from process to process."""

from __future__ import annotations

import array
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def send_fds(control: socket.socket, data: bytes, fds: Sequence[int]) -> None:
    """Send descriptors without ever waiting; ``socket.send_fds`` ignores its flags.

    Raises:
        OSError: the other side is gone, or has not read for so long that the socket is full.
    """
    rights = array.array("i", fds)
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)]
    control.sendmsg([data], ancillary, socket.MSG_DONTWAIT)


def receive_fds(
    control: socket.socket, size: int, flags: int = 0
) -> tuple[bytes, array.array[int]]:
    """Receive data and a descriptor; ``socket.recv_fds`` ignores its flags.

    Raises:
        BlockingIOError: with MSG_DONTWAIT, nothing has come.
    """
    fds = array.array("i")
    data, ancillary, _, _ = control.recvmsg(size, socket.CMSG_LEN(fds.itemsize), flags)
    for _level, _type, rights in ancillary:
        fds.frombytes(rights)
    return data, fds
