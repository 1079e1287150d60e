"""The places of a worker for WebSockets, which take none from its requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagemaker_inference._ipc.wire import UPGRADE

if TYPE_CHECKING:
    from sagemaker_inference._worker.connection import Connection


class SocketPlaces:
    """How many WebSockets a worker has open.

    One that comes when all places are in use is left to other workers: the front end asks for no
    more than all of them have.

    Args:
        limit: how many it may have.

    Attributes:
        used: how many it has.
        are_full: whether it takes no further one.
    """

    def __init__(self, limit: int) -> None:
        self.used = 0
        self.are_full = False
        self._limit = limit
        self._left: list[Connection] = []

    def begin(self) -> None:
        """Take a place."""
        self.used += 1
        self.are_full = self.used >= self._limit

    def end(self) -> None:
        """Give a place back."""
        self.used -= 1
        self.are_full = self.used >= self._limit

    def leave(self, connection: Connection) -> bool:
        """Leave the request of a connection to others, if it is for a WebSocket; says whether."""
        is_upgrade = connection.first_byte() == UPGRADE
        if is_upgrade:
            self._left.append(connection)
        return is_upgrade

    @property
    def has_left(self) -> bool:
        """Whether there are some that are to be handed out again."""
        return bool(self._left)

    def taken_left(self) -> list[Connection]:
        """The connections of those, once."""
        left, self._left = self._left, []
        return left
