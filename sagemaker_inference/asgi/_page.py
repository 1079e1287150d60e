"""The page of metrics: what this process has counted."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from sagemaker_inference._http import pings
from sagemaker_inference.metrics import _server
from sagemaker_inference.metrics._exposition import CONTENT_TYPE, families, text
from sagemaker_inference.metrics._instruments import STATE

if TYPE_CHECKING:
    from sagemaker_inference.asgi._counts import Counts
    from sagemaker_inference.asgi._model_thread import ModelThread

__all__ = ["CONTENT_TYPE", "page"]

_FRONT_END: Final = "ASGI"


def page(counts: Counts, model: ModelThread, state: pings.State) -> bytes:
    """All metrics of this process, in Prometheus' text format.

    Args:
        counts: what has been counted of requests.
        model: the model.
        state: the state of the endpoint.
    """
    found = _server.of_requests(counts.all)
    running, waiting, load = _server.running(), _server.waiting(), _server.load_seconds()
    running.add({}, [float(model.running), 0.0])
    waiting.add({}, [float(model.waiting), 0.0])
    if model.is_loaded:
        load.add({}, [model.load_seconds, 0.0])
    found += [running, waiting, load, *families([STATE.area.read()])]
    found += _server.of_endpoint(pings.STATES, state, _FRONT_END)
    return text(found).encode() + _of_prometheus_client()


def _of_prometheus_client() -> bytes:
    """What the program counts with that package, if it has imported it."""
    if "prometheus_client" not in sys.modules:
        return b""
    from prometheus_client import generate_latest

    return generate_latest()
