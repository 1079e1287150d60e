"""The socket between the supervisor and the front end: JSON objects, one a line, both ways."""

from __future__ import annotations

import json
import select
import socket
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference._log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_inference._os.event_loop import EventLoop

logger = get_logger()

Message = dict[str, Any]

_LONGEST_LINE: Final = 16 << 20
# A front end that reads so little that more than this waits for it is given up.
_MOST_UNSENT: Final = 32 << 20
_READ_SIZE: Final = 1 << 18


class ControlSocket:
    """Listens for the front end and exchanges messages with it, without ever waiting.

    What is sent before the front end has connected reaches it when it does.

    Args:
        loop: calls back when there is something to read or room to write.
        path: where to listen.
        on_message: gets each message of the front end.
        on_lost: called once, with the reason, when the connection can no longer be used.
    """

    def __init__(
        self,
        loop: EventLoop,
        path: str,
        on_message: Callable[[Message], None],
        on_lost: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._on_message = on_message
        self._on_lost = on_lost
        self._socket: socket.socket | None = None
        self._unsent = bytearray()
        # The pieces of a line whose end has not come, and how long they are together.
        self._pieces: list[bytes] = []
        self._length = 0
        self._is_closed = False
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.setblocking(False)  # noqa: FBT003 - socket's own signature
        self._listener.bind(path)
        self._listener.listen(1)
        loop.watch(self._listener.fileno(), self._accept)

    def send(self, kind: str, **fields: Any) -> None:
        """Send a message; what does not fit the socket's buffer follows when there is room."""
        if self._is_closed:
            return
        self._unsent += json.dumps({"type": kind, **fields}).encode() + b"\n"
        if self._socket is not None:
            self._flush(self._socket)

    def close(self) -> None:
        """Hang up."""
        self._is_closed = True
        self._close_listener()
        if self._socket is not None:
            self._loop.unwatch(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except BlockingIOError:
            return
        # There is one front end: nobody else is heard.
        self._close_listener()
        sock.setblocking(False)  # noqa: FBT003 - socket's own signature
        self._socket = sock
        self._loop.watch(sock.fileno(), lambda: self._on_ready(sock))
        self._flush(sock)

    def _close_listener(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.unwatch(self._listener.fileno())
            self._listener.close()

    def _on_ready(self, sock: socket.socket) -> None:
        if self._unsent:
            self._flush(sock)
        if not self._is_closed:
            self._read(sock)

    def _flush(self, sock: socket.socket) -> None:
        try:
            while self._unsent:
                with memoryview(self._unsent) as view:
                    sent = sock.send(view)
                del self._unsent[:sent]
        except BlockingIOError:
            pass
        except OSError as error:
            self._lose(f"it cannot be written to: {error.strerror}")
            return
        if len(self._unsent) > _MOST_UNSENT:
            self._lose("it does not read what it is sent")
            return
        events = select.EPOLLIN | (select.EPOLLOUT if self._unsent else 0)
        self._loop.modify(sock.fileno(), events)

    def _read(self, sock: socket.socket) -> None:
        try:
            data = sock.recv(_READ_SIZE)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(f"it cannot be read from: {error.strerror}")
            return
        if not data:
            self._lose("it has closed its control socket")
            return
        *lines, rest = data.split(b"\n")
        for line in lines:
            whole = b"".join([*self._pieces, line])
            self._pieces, self._length = [], 0
            if not self._take(whole):
                return
        if rest:
            self._pieces.append(rest)
            self._length += len(rest)
        if self._length > _LONGEST_LINE:
            self._lose(f"it has sent a line of more than {_LONGEST_LINE} bytes")

    def _take(self, line: bytes) -> bool:
        """Pass a message on; whether to go on with the next."""
        try:
            message = json.loads(line)
            kind = message["type"]
        except (ValueError, LookupError, TypeError):
            self._lose(f"it has sent what is not a message: {line[:100]!r}")
            return False
        logger.debug("the front end: %s %s", kind, message.get("id", ""))
        self._on_message(message)
        return not self._is_closed

    def _lose(self, reason: str) -> None:
        self.close()
        self._on_lost(reason)
