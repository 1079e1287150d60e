"""The access line: one per request, when it has been answered."""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference._http.access_line import AccessLine
from sagemaker_inference._ipc.messages import INVOCATIONS
from sagemaker_inference._log import get_logger

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

    MMS's front end does not pass the path on; SageMaker invokes a model by one path only.

    Args:
        fd: where to write; it never blocks.
        path: that path.
        level: the container's log level; above INFO nothing is written.
        as_json: JSON lines instead of text.
    """

    def __init__(
        self, fd: int, level: int, *, path: str = INVOCATIONS, as_json: bool = False
    ) -> None:
        self._fd = fd
        self._line = AccessLine("POST", path, _TIMES, as_json=as_json)
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
        facts = None if stream is None else _facts_of(stream)
        try:
            os.write(self._fd, self._line.write(stamp, response.status, times, request.id, facts))
        except OSError:
            self._lost += 1
            return
        if self._lost:
            self._tell_lost()

    def _tell_lost(self) -> None:
        lost, self._lost = self._lost, 0
        logger.warning("%d access lines were lost: nobody read the log in time", lost)


def _facts_of(stream: Stream) -> dict[str, Any]:
    """What a line says of a stream, whose other times are those until its first item."""
    ending = stream.ending
    return {
        "stream": ending.name,
        "items": stream.items,
        "bytes": ending.size,
        "stream_ms": round(ending.seconds * 1000, 3),
    }
