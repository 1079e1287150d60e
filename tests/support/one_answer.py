"""A server that answers one request with given bytes."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Self


class OneAnswer:
    """Answers one request, and closes the connection.

    Args:
        parts: the bytes of the response.
        until: is waited for before each part but the first.

    Attributes:
        url: where it is.
        received: the request.
    """

    def __init__(self, *parts: bytes, until: Sequence[threading.Event] = ()) -> None:
        self.received = b""
        self._parts = parts
        self._until = until
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._answer)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(20)
        self._socket.close()

    def _answer(self) -> None:
        connection, _ = self._socket.accept()
        with connection:
            connection.settimeout(20)
            # The head, and the first of the body.
            while b"\r\n\r\n" not in self.received or self.received.endswith(b"\r\n\r\n"):
                self.received += connection.recv(1 << 16)
            for part, event in zip(self._parts, (None, *self._until), strict=True):
                assert event is None or event.wait(20)
                connection.sendall(part)
