"""Access lines of refused requests that no worker has had; workers write those of the others."""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from sagemaker_inference import _log
from sagemaker_inference._log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

logger = get_logger()

# What a log line can hold as it is; clients send what they like.
_PLAIN: Final = "!#$%&'()*+,-./:;=?@[]_~"


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
        milliseconds = message["seconds"] * 1000
        path = quote(message["path"], safe=_PLAIN)
        if self._as_json:
            document = {
                "time": stamp,
                "level": "INFO",
                "method": message["method"],
                "path": path,
                "status": message["status"],
                "total_ms": round(milliseconds, 3),
                "request_id": message["request_id"],
            }
            line = json.dumps(document)
        else:
            line = (
                f"{stamp} INFO {message['method']} {path} {message['status']} "
                f"total={milliseconds:.1f} ms id={message['request_id']}"
            )
        self._write(line.encode() + b"\n")
