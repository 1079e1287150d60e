"""Metrics: what the platform reads at ``/metrics``.

https://docs.aws.amazon.com/sagemaker/latest/dg/monitoring-enhanced-metrics.html
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Final

import anyio
import httpx

if TYPE_CHECKING:
    from sagemaker_inference._emulator.container import Container

METRICS: Final = "/metrics"
_OK: Final = 200
# As Prometheus's own default, which the platform's collector is not known to change.
_SECONDS: Final = 10.0
_NAME: Final = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL: Final = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\]|\\.)*"'
# https://prometheus.io/docs/instrumenting/exposition_formats/
_SAMPLE: Final = re.compile(
    rf"{_NAME}(?:\{{(?:{_LABEL}(?:,{_LABEL})*)?,?\}})?\s+"
    r"(?:[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?|[-+]?Inf|NaN)(?:\s+-?[0-9]+)?\s*"
)
_COMMENT: Final = re.compile(
    rf"#(?: HELP {_NAME}(?: .*)?| TYPE {_NAME} (?:counter|gauge|histogram|summary|untyped)|"
    r"(?! HELP| TYPE).*)"
)

logger = logging.getLogger(__name__)


def problems(page: str) -> list[str]:
    """What cannot be read of a page of metrics; empty if all can."""
    return [
        f"line {number} cannot be read: {line[:100]}"
        for number, line in enumerate(page.split("\n"), 1)
        if line and not (_SAMPLE.fullmatch(line) or _COMMENT.fullmatch(line))
    ]


class Scraping:
    """Reads the container's metrics, and reports what the platform could not read.

    Args:
        container: the container.
    """

    def __init__(self, container: Container) -> None:
        self._container = container
        self._last = ""

    async def run(self) -> None:
        """Scrape until cancelled."""
        while True:
            await anyio.sleep(self._container.limits.scrape_pause)
            result = await self._scrape()
            if result != self._last:
                self._last = result
                logger.info("GET /metrics: %s", result)

    async def _scrape(self) -> str:
        try:
            answer = await self._container.get(METRICS, _SECONDS)
        except TimeoutError:
            return f"no answer within {_SECONDS:g} s"
        except httpx.TransportError as error:
            return f"no answer ({type(error).__name__})"
        if answer.status != _OK:
            return f"{answer.status}: CloudWatch gets no metrics of the container"
        found = problems(answer.text)
        return f"200, but {'; '.join(found[:3])}" if found else "200, all lines can be read"
