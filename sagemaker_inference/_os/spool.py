"""Temporary folders of requests, within one that does not outlive its process for long."""

from __future__ import annotations

import os
import tempfile
import threading
from pathlib import Path
from typing import Final

from sagemaker_inference._os import locked_folder
from sagemaker_inference._os.locked_folder import LockedFolder, sweep

# Within the pattern of the folders of servers: the next start removes what a killed one has left.
_PREFIX: Final = "sagemaker-inference-files-"


class Spool:
    """Makes folders for requests, in one that is made when the first is needed."""

    def __init__(self) -> None:
        self._folder: LockedFolder | None = None
        # A program may answer in several threads.
        self._lock = threading.Lock()

    def sweep(self) -> None:
        """Remove what killed processes have left behind, also before one is needed."""
        sweep(_PREFIX)

    def new_folder(self) -> Path:
        """A new folder that only this user can enter.

        Raises:
            OSError: it cannot be made.
        """
        with self._lock:
            # Some systems remove temporary folders that are old.
            if self._folder is not None and not Path(self._folder.path).is_dir():
                self.close()
            if self._folder is None:
                self._folder = LockedFolder(_PREFIX)
            return Path(tempfile.mkdtemp(dir=self._folder.path))

    def close(self) -> None:
        """Remove all of them."""
        folder, self._folder = self._folder, None
        if folder is not None:
            folder.close()


def remove(folder: Path) -> None:
    """Remove the folder of a request, with what a program has added."""
    locked_folder.remove(folder)


def write(path: Path, data: bytes | bytearray | memoryview) -> None:
    """Write a new file that only this user can read.

    Raises:
        OSError: it cannot be written, or is there already.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with open(os.open(path, flags, 0o600), "wb") as file:  # noqa: PTH123 - a descriptor
        file.write(data)
