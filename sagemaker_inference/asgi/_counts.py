"""What is counted of requests."""

from __future__ import annotations

import bisect
import threading
from collections import defaultdict
from time import monotonic
from typing import Any

from sagemaker_inference.metrics._instruments import REQUEST_BUCKETS


class Count:
    """A request that is being counted.

    Attributes:
        path: its path, as metrics name it.
        status: the status of its response; 500 where there was none.
        received, sent: bytes of the bodies.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.status = 500
        self.received = self.sent = 0
        self.began = monotonic()


class Counts:
    """Counts requests by path, as the front end does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._paths: dict[str, dict[str, Any]] = {}

    def begin(self, path: str) -> Count:
        """Begin to count a request."""
        return Count(path)

    def end(self, count: Count) -> None:
        """Count a request that is over."""
        seconds = monotonic() - count.began
        with self._lock:
            of_path = self._paths.get(count.path)
            if of_path is None:
                of_path = self._paths[count.path] = _nothing(count.path)
            # In Python 3.10, str() of an HTTPStatus is its name.
            of_path["statuses"][str(int(count.status))] += 1
            of_path["durations"][bisect.bisect_left(REQUEST_BUCKETS, seconds)] += 1
            of_path["seconds"] += seconds
            of_path["request_bytes"] += count.received
            of_path["response_bytes"] += count.sent

    @property
    def all(self) -> list[dict[str, Any]]:
        """What has been counted, by path, as the front end says it."""
        with self._lock:
            return list(self._paths.values())


def _nothing(path: str) -> dict[str, Any]:
    return {
        "path": path,
        "model": "",
        "statuses": defaultdict(int),
        "durations": [0] * (len(REQUEST_BUCKETS) + 1),
        "seconds": 0.0,
        "request_bytes": 0,
        "response_bytes": 0,
    }
