"""Access lines of requests that no worker has answered; workers write those of the others.

The front end has refused them, the supervisor has, or a worker has died over them.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from sagemaker_inference import _log
from sagemaker_inference._http.access_line import AccessLine
from sagemaker_inference._log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

logger = get_logger()

# What a log line can hold as it is; clients send what they like.
_PLAIN: Final = "!#$%&'()*+,-./:;=?@[]_~"
_TIMES: Final = {"total": 1}


class RefusedRequests:
    """Writes a line for each, in the format and above the level of the container's log.

    Args:
        write: takes whole lines.
    """

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._is_silent = _log.level() > logging.INFO
        self._as_json = _log.is_json()

    def on_message(self, message: Mapping[str, Any]) -> None:
        """Write what the front end says of a request."""
        if self._is_silent:
            return
        if message["lost"]:
            logger.warning(
                "%d refused requests have no access lines: there were too many", message["lost"]
            )
        stamp = _log.timestamp(time.time())
        path = quote(message["path"], safe=_PLAIN)
        line = AccessLine(message["method"], path, _TIMES, as_json=self._as_json)
        milliseconds = [message["seconds"] * 1000]
        # Of a WebSocket that was open when its worker ended.
        facts = {"socket": "lost", "close": message["close"]} if "close" in message else None
        number, identity = message["status"], message["request_id"]
        self._write(line.write(stamp, number, milliseconds, identity, facts))
