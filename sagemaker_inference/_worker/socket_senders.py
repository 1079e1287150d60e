"""WebSockets in a worker: frames both ways on the connection of one request."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final, cast

# As in the senders of streams.
from socket import MSG_DONTWAIT  # isort: skip

from sagemaker_inference._inference.sockets import SWITCHING, GoingAwayError
from sagemaker_inference._ipc import wire
from sagemaker_inference._worker.async_senders import AGAIN_SECONDS, AsyncSender
from sagemaker_inference._worker.senders import CLIENT_GONE, Cut

if TYPE_CHECKING:
    from sagemaker_inference._http.messages import Response
    from sagemaker_inference._inference.sockets import Socket
    from sagemaker_inference._worker.connection import Connection
    from sagemaker_inference._worker.senders import Limits

# How long a program may go on when its client has gone.
GRACE_SECONDS: Final = 5.0
CLIENT_CLOSED: Final = "client_closed"
_READ: Final = 1 << 18
# The front end knows the same number: what a message counts with beyond its bytes.
_OVERHEAD: Final = 64
# So many bytes that the program has taken are reported together.
_REPORTED: Final = 1 << 16


class SocketSender(AsyncSender):
    """Sends what a program yields to a client, and gives it what the client sends."""

    def __init__(self, limits: Limits, connection: Connection, response: Response) -> None:
        super().__init__(limits, connection, response)
        self._connection = connection
        self._socket = cast("Socket", response.body)
        self._inbox = bytearray()
        self._unreported = 0
        self._gone_at = 0.0
        self._messages = self._socket.open(self._on_taken)

    # From the client.

    def _listen(self) -> None:
        try:
            data = self._sock.recv(_READ, MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._is_connected = False
            self._loop.remove_reader(self._sock.fileno())
            self._on_gone()
            return
        self._inbox += data
        frames, end = wire.messages(self._inbox)
        del self._inbox[:end]
        for frame in frames:
            if frame is None:
                self._on_gone()
            else:
                self._socket.put(*frame)
        if self._messages.close_code is not None and not self._gone_at:
            self._gone_at = monotonic()

    def _on_gone(self) -> None:
        self._messages.end(1006)
        self._gone_at = self._gone_at or monotonic()

    def _on_taken(self, size: int) -> None:
        self._unreported += size + _OVERHEAD
        if self._unreported >= _REPORTED and not self._rest and self._is_connected:
            self._rest = memoryview(wire.taken(self._unreported))
            self._unreported = 0
            self._go_on()

    # To the client.

    def _joined(self, chunks: list[bytes]) -> bytes:
        return b"".join(map(wire.chunk, chunks))  # frames

    async def _send(self) -> tuple[str, int]:
        name, _ = await super()._send()
        self._connection.leftover = bytes(self._inbox)
        if self._messages.close_code is not None and name in {"complete", CLIENT_GONE}:
            self._socket.gone()
            name = CLIENT_GONE if self._socket.close_code == 1006 else CLIENT_CLOSED  # noqa: PLR2004
        return name, SWITCHING

    # Limits: none of its own, and the front end's.

    def _look(self, now: float) -> None:
        self._looked = now
        self._limits.table.restart(self._slot, self._state)

    def tick(self, now: float) -> None:
        """Look whether the program goes on for too long behind its client's end."""
        if self._ending:
            if now - self._ending > AGAIN_SECONDS:
                self._cancel()
            return
        # It may be quiet for as long as it likes: the supervisor sees that its loop goes round.
        self._limits.table.restart(self._slot, self._state)
        if self._gone_at and now - self._gone_at > GRACE_SECONDS:
            self._end(Cut(CLIENT_GONE))

    def stop(self) -> None:
        """End it, since the worker ends."""
        if not self._ending:
            self._end(Cut("stopped", GoingAwayError("The server is stopping.")))
