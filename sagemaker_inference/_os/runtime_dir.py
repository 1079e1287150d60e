"""The temporary directory of a server, for its sockets and the files of the front end."""

from __future__ import annotations

import tempfile
from typing import Final

from sagemaker_inference._errors import StartError
from sagemaker_inference._os.locked_folder import LockedFolder

_PREFIX: Final = "sagemaker-inference-"
# sun_path has 108 bytes (unix(7)); "/sagemaker-inference-xxxxxxxx/management.sock" is appended.
_LONGEST_PARENT: Final = 60


class PrivateFolder:
    """A directory that only this user can enter, with a path short enough for sockets in it.

    It is locked while its server runs. A new server removes the unlocked ones that killed servers
    have left behind.

    Attributes:
        path: the path of the directory.
    """

    def __init__(self) -> None:
        try:
            usual = tempfile.gettempdir()
        except FileNotFoundError as error:
            message = (
                f"the server needs a directory for its sockets: {error.strerror}. Make one of them "
                "writable, or name another in TMPDIR."
            )
            raise StartError(message) from None
        parent = usual if len(usual) <= _LONGEST_PARENT else "/tmp"  # noqa: S108 - mkdtemp: private
        try:
            self._folder = LockedFolder(_PREFIX, parent)
        except OSError as error:
            message = (
                f"the server needs a directory for its sockets, and {parent} does not take one: "
                f"{error.strerror}. Make it writable, or name another in TMPDIR."
            )
            raise StartError(message) from None
        self.path = self._folder.path

    def close(self) -> None:
        """Remove the directory and its contents."""
        self._folder.close()
