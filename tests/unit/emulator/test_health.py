"""Pings, and how the container is stopped."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError
from starlette.responses import Response
from support.emulated import LIMITS, SmallContainer, emulated, until
from support.ports import free_port

from sagemaker_inference._emulator.application import application
from sagemaker_inference._emulator.identity import Identity
from sagemaker_inference._emulator.limits import REAL_TIME, SERVERLESS, Limits
from sagemaker_inference._emulator.platform import Platform
from sagemaker_inference._emulator.server import server
from sagemaker_inference._emulator.storage import Storage

if TYPE_CHECKING:
    from pathlib import Path

NOT_FOUND = "Endpoint demo of account 123456789012 not found."


@pytest.fixture(autouse=True)
def all_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "sagemaker_inference._emulator")


def code_of(emulator) -> str:
    with pytest.raises(ClientError) as caught:
        emulator.invoke()
    return str(caught.value.response["Error"]["Message"])


@pytest.mark.rule("numbers")
def test_the_numbers_are_the_platforms() -> None:
    assert (
        Limits(
            request_size=25 * 2**20,
            inline_size=128_000,
            async_size=2**30,
            accept=0.25,
            answer=60,
            stream=480,
            async_answer=900,
            ping=2,
            start=480,
            stop=30,
            scrape_pause=60,
            websocket_ping=60,
            websocket_patience=300,
        )
        == REAL_TIME
    )
    assert replace(REAL_TIME, request_size=4 * 2**20, start=180) == SERVERLESS


@pytest.mark.rule("ping-start")
def test_the_first_200_puts_the_endpoint_in_service(caplog: pytest.LogCaptureFixture) -> None:
    async def loading() -> Response:
        return Response('{"status":"initializing"}', 503)

    container = SmallContainer()
    healthy, container.ping = container.ping, loading
    with emulated(container, in_service=False) as emulator:
        until(lambda: container.pings > 1)
        assert emulator.platform.health.status == "Creating"
        assert code_of(emulator) == NOT_FOUND
        container.ping = healthy
        until(lambda: emulator.platform.health.status == "InService")
        assert emulator.invoke()["Body"].read() == b"[1]"
    # Once, however often it was asked.
    assert caplog.text.count('GET /ping: 503 {"status":"initializing"}') == 1
    assert "the endpoint is in service" in caplog.text


@pytest.mark.rule("ping-8-minutes")
def test_an_endpoint_that_is_not_healthy_in_time_has_failed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    limits = replace(LIMITS, start=0.1)
    with emulated(
        limits=limits, url=f"http://127.0.0.1:{free_port()}", in_service=False
    ) as running:
        health = running.platform.health
        assert health.failure_reason == ""
        until(lambda: health.status == "Failed")
        assert code_of(running) == NOT_FOUND
    assert health.failure_reason == (
        "The primary container for production variant AllTraffic did not pass the ping health "
        "check. Please check CloudWatch logs for this endpoint."
    )
    assert "GET /ping: nothing listens" in caplog.text
    assert "the endpoint has failed after 0.1 s" in caplog.text


@pytest.mark.rule("ping-2-seconds")
def test_a_ping_that_is_answered_late_has_failed(caplog: pytest.LogCaptureFixture) -> None:
    async def late() -> Response:
        await asyncio.sleep(60)
        raise AssertionError

    container = SmallContainer()
    container.ping = late
    with emulated(container, replace(LIMITS, ping=0.05), in_service=False) as emulator:
        until(lambda: "GET /ping: no answer within 0.05 s" in caplog.text)
        assert emulator.platform.health.status == "Creating"


@pytest.mark.rule("accept-250-ms")
def test_a_container_that_does_not_accept_fails_pings(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", free_port()))
        listener.listen(0)
        # The queue is full: the kernel answers nothing.
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.settimeout(0)
            filler.connect_ex(listener.getsockname())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with emulated(limits=replace(LIMITS, accept=0.25), url=url, in_service=False):
            until(lambda: "GET /ping: no connection within 250 ms" in caplog.text)
        for filler in fillers:
            filler.close()


def test_a_container_that_closes_the_connection_fails_pings(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with emulated(url=url, in_service=False):
            listener.accept()[0].close()
            until(lambda: "GET /ping: no answer (" in caplog.text)


@pytest.mark.rule("ping-steady")
def test_an_endpoint_that_stays_unhealthy_takes_no_requests(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def critical() -> Response:
        return Response("out of memory", 500)

    with emulated() as emulator:
        container, health = emulator.container, emulator.platform.health
        healthy, container.ping = container.ping, critical
        until(lambda: not health.takes_requests)
        with pytest.raises(ClientError) as caught:
            emulator.invoke()
        assert caught.value.response["Error"]["Code"] == "ServiceUnavailable"
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
        container.ping = healthy
        until(lambda: health.takes_requests)
        assert emulator.invoke()["Body"].read() == b"[1]"
        until(lambda: "GET /ping: 200 again" in caplog.text)
    assert caplog.text.count("GET /ping: 500 out of memory") == 1
    assert caplog.text.count("3 pings in a row have failed") == 1


def script(code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)


def test_a_container_that_stops_in_time_is_not_killed(caplog: pytest.LogCaptureFixture) -> None:
    with script("import time; time.sleep(60)") as process, emulated(process=process):
        pass
    assert process.returncode == -signal.SIGTERM
    assert "the container has ended with exit code -15 after" in caplog.text


@pytest.mark.rule("stop-30-seconds")
def test_a_container_that_does_not_stop_is_killed(caplog: pytest.LogCaptureFixture) -> None:
    code = (
        "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); "
        "time.sleep(60)"
    )
    with script(code) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with emulated(limits=replace(LIMITS, stop=0.1), process=process):
            pass
    assert process.returncode == -signal.SIGKILL
    assert "the container gets SIGKILL: it ran for 0.1 s after SIGTERM" in caplog.text


def test_a_container_that_ends_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    with script("import time; time.sleep(60)") as process, emulated(process=process) as emulator:
        process.kill()
        until(lambda: "the container has ended with exit code -9: SageMaker would" in caplog.text)
        assert emulator.platform.health.status == "InService"


def test_a_container_that_ends_before_it_is_ready_ends_the_emulator(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    with script("raise SystemExit(3)") as process:
        url = f"http://127.0.0.1:{free_port()}"
        platform = Platform(url, Identity("demo"), LIMITS, process=process)
        server(application(platform, Storage(tmp_path)), platform, free_port()).run()
    assert platform.health.status == "Failed"
    assert "the container has ended with exit code 3: see its log above" in caplog.text
