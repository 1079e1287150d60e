"""Who reads the log of a server: for good, for a while, or until it goes away."""

from __future__ import annotations

import os
import select
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_PIECE = 1 << 16


class LogReader:
    """Reads from a pipe into a file.

    Attributes:
        writer: the end for the server.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader, self.writer = os.pipe()
        self._wake, self._waker = os.pipe()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        with self._path.open("wb") as file:
            while True:
                ready = select.select([self._reader, self._wake], [], [])[0]
                if self._wake in ready:
                    return
                data = os.read(self._reader, _PIECE)
                if not data:
                    return
                file.write(data)

    @property
    def text(self) -> str:
        """What it has read; to be asked when it reads no more."""
        return self._path.read_text(errors="replace")

    def close_writer(self) -> None:
        """Close this process's copy of the writer, so that the pipe ends with the server."""
        os.close(self.writer)

    def stop(self) -> None:
        """Read no more."""
        if self._waker >= 0:
            os.close(self._waker)
            self._waker = -1
        self._thread.join()

    def go_away(self) -> None:
        """Read no more, and close the pipe."""
        self.stop()
        if self._reader >= 0:
            os.close(self._reader)
            self._reader = -1

    def finish(self) -> None:
        """Read to the end of the log, unless it has stopped, and close everything."""
        self._thread.join()
        self.go_away()
        os.close(self._wake)
