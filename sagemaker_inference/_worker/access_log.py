"""The access line: one per request, when it has been answered."""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING, Final

from sagemaker_inference._http.access_line import AccessLine
from sagemaker_inference._log import get_logger
from sagemaker_inference._program.paths import INVOCATIONS

if TYPE_CHECKING:
    from sagemaker_inference._http.messages import Request, Response
    from sagemaker_inference._inference.streams import Stream

logger = get_logger()

# What is measured, with its decimals: a queue's time is only a bound.
_TIMES: Final = {"queue": 1, "decode": 2, "predict": 2, "encode": 2}


class AccessLog:
    """Writes a line per request to a pipe of the supervisor: a request pays one system call for it.

    A pipe that is full or closed costs lines, and neither time nor the worker: what was lost is
    counted in a line of its own when there is room again.

    The front end passes on only the further paths of a program.

    Args:
        fd: where to write; it never blocks.
        path: where the model is invoked.
        level: the container's log level; above INFO nothing is written.
        as_json: JSON lines instead of text.
    """

    def __init__(
        self, fd: int, level: int, *, path: str = INVOCATIONS, as_json: bool = False
    ) -> None:
        self._fd = fd
        self._line = AccessLine("POST", path, _TIMES, as_json=as_json)
        self._as_json = as_json
        self._lines: dict[tuple[str, str], AccessLine] = {}
        self._second = 0
        self._stamp = ""
        self._is_silent = level > logging.INFO
        self._lost = 0

    def write(
        self, request: Request, response: Response, waited: float, stream: Stream | None = None
    ) -> None:
        """Say what was answered, and where the milliseconds went.

        Args:
            request: the request.
            response: its answer.
            waited: the longest the request can have waited for the one before, in seconds: since
                this process last looked for requests.
            stream: the answer, where it was sent while it was made.
        """
        if self._is_silent:
            return
        # As _log.timestamp writes it, but for the seconds, which are written once in a second.
        milliseconds = time.time_ns() // 1_000_000
        now = milliseconds // 1000
        if now != self._second:
            self._second = now
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
        stamp = f"{self._stamp}.{milliseconds % 1000:03d}Z"
        times = (
            waited * 1000,
            response.decode_seconds * 1000,
            response.predict_seconds * 1000,
            response.encode_seconds * 1000,
        )
        facts = None if stream is None else stream.facts
        try:
            line = self._line
            if request.path != INVOCATIONS:
                line = self._line_of(request)
            os.write(self._fd, line.write(stamp, response.status, times, request.id, facts))
        except OSError:
            self._lost += 1
            return
        if self._lost:
            self._tell_lost()

    def _line_of(self, request: Request) -> AccessLine:
        """The line of a further path, or of a WebSocket, of which a program has a few."""
        method, path = "POST" if request.query is None else "GET", request.path
        line = self._lines.get((method, path))
        if line is None:
            line = AccessLine(method, path, _TIMES, as_json=self._as_json)
            self._lines[method, path] = line
        return line

    def _tell_lost(self) -> None:
        lost, self._lost = self._lost, 0
        logger.warning("%d access lines were lost: nobody read the log in time", lost)
