"""What the platform reads at /metrics."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx
import pytest
from starlette.responses import Response
from support.emulated import LIMITS, emulated, until

from sagemaker_inference._emulator import scraping
from sagemaker_inference._emulator.container import Container
from sagemaker_inference._emulator.scraping import problems

if TYPE_CHECKING:
    from sagemaker_inference._emulator.container import Answer

PAGE = """\
# HELP requests_total Requests.
# TYPE requests_total counter
requests_total{path="/invocations",status="200"} 3
requests_total{path="a \\" b",} 3.5e-3 1700000000000
# a comment
seconds_bucket{le="+Inf"} +Inf
empty NaN

"""


@pytest.mark.rule("metrics-format")
def test_a_page_in_prometheus_format_can_be_read() -> None:
    assert problems(PAGE) == []
    wrong = ["1requests 3", "requests", "requests{path=a} 1", "# TYPE requests number", "{} 1"]
    for line in wrong:
        assert problems(f"a 1\n{line}\n") == [f"line 2 cannot be read: {line}"]


@pytest.mark.rule("metrics-scrape")
def test_the_container_is_scraped_and_changes_are_reported(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO", "sagemaker_inference._emulator")
    with emulated(limits=replace(LIMITS, scrape_pause=0.01)) as emulator:
        container = emulator.container
        said = "GET /metrics: 404: CloudWatch gets no metrics of the container"
        until(lambda: said in caplog.text)
        container.metrics = lambda: Response(PAGE)
        until(lambda: "GET /metrics: 200, all lines can be read" in caplog.text)
        container.metrics = lambda: Response("a\nb\nc\nd")
        until(lambda: "GET /metrics: 200, but line 1 cannot be read: a; line 2" in caplog.text)
        assert "line 4" not in caplog.text

        async def refused(*_: object) -> Answer:
            raise httpx.ReadError("")

        async def late(*_: object) -> Answer:
            raise TimeoutError

        monkeypatch.setattr(Container, "get", refused)
        until(lambda: "GET /metrics: no answer (ReadError)" in caplog.text)
        monkeypatch.setattr(scraping, "_SECONDS", 3)
        monkeypatch.setattr(Container, "get", late)
        until(lambda: "GET /metrics: no answer within 3 s" in caplog.text)
        before = container.scrapes
    assert caplog.text.count(said) == 1
    asyncio.run(asyncio.sleep(0.05))
    assert container.scrapes == before
