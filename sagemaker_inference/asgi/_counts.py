"""What is counted of requests, and the page of metrics."""

from __future__ import annotations

import bisect
import sys
import threading
from collections import defaultdict
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference._http import pings
from sagemaker_inference.metrics import _server
from sagemaker_inference.metrics._exposition import families, text
from sagemaker_inference.metrics._instruments import STATE
from sagemaker_inference.metrics._server import DURATIONS

if TYPE_CHECKING:
    from sagemaker_inference.asgi._model_thread import ModelThread

FRONT_END: Final = "ASGI"


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
            of_path = self._paths.setdefault(count.path, _nothing(count.path))
            of_path["statuses"][str(count.status)] += 1
            of_path["durations"][bisect.bisect_left(DURATIONS, seconds)] += 1
            of_path["seconds"] += seconds
            of_path["request_bytes"] += count.received
            of_path["response_bytes"] += count.sent

    def page(self, model: ModelThread, state: pings.State) -> bytes:
        """All metrics of this process, in Prometheus' text format.

        Args:
            model: the model.
            state: the state of the endpoint.
        """
        with self._lock:
            found = _server.of_requests(self._paths.values())
        running, waiting, load = _server.running(), _server.waiting(), _server.load_seconds()
        running.add({}, [float(model.running), 0.0])
        waiting.add({}, [float(len(model.inbox)), 0.0])
        found += [running, waiting]
        if model.is_loaded:
            load.add({}, [model.load_seconds, 0.0])
        found += [load, *families([STATE.area.read()])]
        found += _server.of_endpoint(pings.STATES, state, FRONT_END)
        return text(found).encode() + _of_prometheus_client()


def _nothing(path: str) -> dict[str, Any]:
    return {
        "path": path,
        "model": "",
        "statuses": defaultdict(int),
        "durations": [0] * (len(DURATIONS) + 1),
        "seconds": 0.0,
        "request_bytes": 0,
        "response_bytes": 0,
    }


def _of_prometheus_client() -> bytes:
    """What the program counts with that package, if it has imported it."""
    if "prometheus_client" not in sys.modules:
        return b""
    from prometheus_client import generate_latest

    return generate_latest()
