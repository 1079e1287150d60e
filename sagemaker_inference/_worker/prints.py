"""What a program prints, as JSON lines where those are asked for."""

from __future__ import annotations

import atexit
import io
import json
import sys
import threading
import time
from typing import TYPE_CHECKING, Final

from sagemaker_inference._log import current_request, json_line

if TYPE_CHECKING:
    from typing import TextIO

# A longer line is written in pieces, so that memory is bounded.
_LONGEST_LINE: Final = 65536


class JsonPrints(io.TextIOWrapper):
    """A standard stream that writes each printed line as a JSON object.

    A line that is a JSON object already, as of a program that logs in JSON itself, is unchanged.

    Args:
        stream: the stream to write to.
        name: its name, in place of that of a logger.
        level_name: the level of its lines.
    """

    def __init__(self, stream: TextIO, name: str, level_name: str) -> None:
        super().__init__(stream.buffer, "utf-8", "backslashreplace", line_buffering=True)
        self._logger = name
        self._level_name = level_name
        # print() writes a line in pieces, and other threads print in between.
        self._partial = threading.local()
        atexit.register(self.end_line)

    def end_line(self) -> None:
        """Write what this thread has printed without an end of the line."""
        if getattr(self._partial, "text", ""):
            self.write("\n")

    def write(self, text: str) -> int:
        """Write the lines that are complete; keep the rest until its end is written."""
        if not isinstance(text, str):
            message = f"write() argument must be str, not {type(text).__name__}"
            raise TypeError(message)
        partial = getattr(self._partial, "text", "")
        *lines, partial = (partial + text).split("\n")
        if len(partial) >= _LONGEST_LINE:
            lines, partial = [*lines, partial], ""
        self._partial.text = partial
        if lines:
            super().write("".join(map(self._as_json, lines)))
        return len(text)

    def _as_json(self, line: str) -> str:
        # A progress bar returns to the start of its line: its last state counts.
        line = line.rstrip("\r").rpartition("\r")[2]
        if not line.strip():
            return ""
        if not _is_object(line):
            request = current_request.get()
            line = json_line(time.time(), self._level_name, self._logger, line, request=request)
        return line + "\n"


def _is_object(line: str) -> bool:
    if not line.startswith("{"):
        return False
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def print_json() -> None:
    """Replace the standard streams of this process."""
    sys.stdout = JsonPrints(sys.stdout, "stdout", "INFO")
    sys.stderr = JsonPrints(sys.stderr, "stderr", "WARNING")
