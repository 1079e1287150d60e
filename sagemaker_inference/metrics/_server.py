"""Metrics of the server that do not depend on what serves: of requests, of health, of versions."""

from __future__ import annotations

import functools
import platform
from typing import TYPE_CHECKING, Any, Final

from sagemaker_inference.metrics._exposition import Family
from sagemaker_inference.metrics._instruments import REQUEST_BUCKETS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

PREFIX: Final = "sagemaker_inference_"

# What alarms look at: a rate needs the number before the first one. With many models, these would
# be hundreds of lines.
_AWAITED: Final = ("200", "500", "503", "504")

# What workers count of streams and WebSockets, and the supervisor of those whose worker is lost.
STREAMS: Final = f"{PREFIX}streams"
STREAMS_HELP: Final = "Streams, by how they ended."
SOCKETS: Final = f"{PREFIX}sockets"
SOCKETS_HELP: Final = "WebSockets, by the status that closed them."


def server_family(
    kind: str, name: str, description: str, buckets: tuple[float, ...] = ()
) -> Family:
    """A metric of the server."""
    return Family(PREFIX + name, kind, description, buckets)


def of_requests(counts: Iterable[Mapping[str, Any]], *, has_many: bool = False) -> list[Family]:
    """What has been counted of requests.

    Args:
        counts: of each path and model: "path", "model", "statuses", "durations" (a number for each
            bucket and one for what is larger), "seconds", "request_bytes" and "response_bytes".
        has_many: whether there are many models, which a label tells apart.
    """
    requests = server_family("counter", "requests", "Requests by path and status.")
    for status in () if has_many else _AWAITED:
        requests.add({"path": "/invocations", "status": status}, [0])
    durations = server_family(
        "histogram",
        "request_duration_seconds",
        "Seconds from the whole request to its response.",
        REQUEST_BUCKETS,
    )
    received = server_family("counter", "request_bytes", "Bytes of the bodies of requests.")
    sent = server_family("counter", "response_bytes", "Bytes of the bodies of responses.")
    for of_path in counts:
        path = {"path": of_path["path"]}
        labels = {**path, **label(of_path["model"], has_many=has_many)}
        for status, count in of_path["statuses"].items():
            requests.add({**labels, "status": status}, [count])
        durations.add(path, [*of_path["durations"], of_path["seconds"]], REQUEST_BUCKETS)
        received.add(labels, [of_path["request_bytes"]])
        sent.add(labels, [of_path["response_bytes"]])
    return [requests, durations, received, sent]


def label(model: str, *, has_many: bool) -> dict[str, str]:
    """The label that tells models apart where there are many."""
    return {"model": model} if has_many and model else {}


def with_model(labels: Iterable[tuple[str, str]], model: Mapping[str, str]) -> dict[str, str]:
    """A program's labels beside that of its model.

    One that is called as that is becomes ``exported_model``, as Prometheus does it:
    https://prometheus.io/docs/prometheus/latest/configuration/configuration/#scrape_config
    """
    own = {f"exported_{name}" if name in model else name: value for name, value in labels}
    return {**model, **own}


def running() -> Family:
    """Requests in progress, without numbers yet."""
    return server_family("gauge", "requests_running", "Requests that a worker is at work on.")


def waiting() -> Family:
    """Requests that nobody has taken yet, without numbers yet."""
    return server_family("gauge", "requests_waiting", "Requests that wait for a worker.")


def load_seconds() -> Family:
    """How long a model took to load, without numbers yet."""
    return server_family("gauge", "model_load_seconds", "Seconds that a worker took to load.")


def of_endpoint(states: Sequence[str], now: str, front_end: str) -> list[Family]:
    """The state of the endpoint, and what serves it.

    Args:
        states: all states there are.
        now: the one that it is in.
        front_end: what serves HTTP.
    """
    endpoint = Family("sagemaker_endpoint_health", "gauge", "1 for the state of the endpoint.")
    for state in states:
        endpoint.add({"state": state}, [float(state == now), 0.0])
    info = server_family("gauge", "build_info", "What serves.")
    python = platform.python_version()
    info.add({"version": version(), "python": python, "front_end": front_end}, [1.0, 0.0])
    return [endpoint, info]


@functools.cache
def version() -> str:
    """The version of this package."""
    # A megabyte of modules that only a scrape needs.
    from importlib import metadata

    try:
        return metadata.version("sagemaker-inference")
    except metadata.PackageNotFoundError:
        return "unknown"
