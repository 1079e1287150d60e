"""What the console plots: from the last requests, and from the server's page of metrics."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

WINDOW: Final = 60
_PERCENTILES: Final = (50, 90, 99)
_LINE: Final = re.compile(r"^sagemaker_inference_(\w+?)(?:\{(.*)\})? (\S+)", re.MULTILINE)
_BOUND: Final = re.compile(r'le="([^"]+)"')


def of_requests(times: Sequence[tuple[float, float, int]]) -> dict[str, Any]:
    """Requests of each of the last seconds, and their latencies.

    Args:
        times: how long ago each request ended, how many seconds it took, and its status.
    """
    counts = [0] * WINDOW
    failures = [0] * WINDOW
    taken: list[list[float]] = [[] for _ in range(WINDOW)]
    for ago, seconds, status in times:
        # The oldest first.
        place = WINDOW - 1 - min(int(ago), WINDOW - 1)
        counts[place] += 1
        failures[place] += not 0 < status < 400  # noqa: PLR2004 - of HTTP
        taken[place].append(seconds)
    every = [seconds for _, seconds, _ in times]
    return {
        "counts": counts,
        "failures": failures,
        "latencies": [_percentiles(one) for one in taken],
        "latency": _percentiles(every),
    }


def _percentiles(seconds: Sequence[float]) -> list[float] | None:
    """The percentiles in milliseconds; None of nothing."""
    if not seconds:
        return None
    ordered = sorted(seconds)
    last = len(ordered) - 1
    return [round(1000 * ordered[round(last * part / 100)], 3) for part in _PERCENTILES]


def of_page(page: str) -> dict[str, Any]:
    """The queue, and the sizes of batches, in Prometheus' text format.

    Args:
        page: the page; "" if there is none.
    """
    queue: dict[str, float] = {}
    reached: dict[str, float] = {}
    for name, labels, value in _LINE.findall(page):
        if name in ("requests_waiting", "requests_running"):
            queue[name.removeprefix("requests_")] = float(value)
        elif name == "batch_size_bucket":
            bound = _BOUND.search(labels)
            assert bound is not None  # noqa: S101 - each bucket has one
            reached[bound[1]] = reached.get(bound[1], 0.0) + float(value)
    batches, before = {}, 0.0
    for bound_text, total in reached.items():
        batches[bound_text] = int(total - before)
        before = total
    return {"queue": queue, "batches": batches}
