"""How the emulator's server ends."""

from __future__ import annotations

import asyncio
import signal
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from support.emulated import LIMITS, Asked, SmallContainer, served, until
from support.ports import free_port

from sagemaker_inference._emulator.application import application
from sagemaker_inference._emulator.identity import Identity
from sagemaker_inference._emulator.platform import Platform
from sagemaker_inference._emulator.server import server
from sagemaker_inference._emulator.storage import Storage

if TYPE_CHECKING:
    import pytest
    from starlette.responses import Response


class Process:
    """A process that ends when it is asked to."""

    pid = 0

    def __init__(self) -> None:
        self.code: int | None = None

    def poll(self) -> int | None:
        return self.code

    def terminate(self) -> None:
        self.code = 0

    def kill(self) -> None:
        self.code = -9


def test_a_second_interrupt_gives_requests_up_and_stops_the_container(
    caplog: pytest.LogCaptureFixture,
) -> None:
    container, process, asked = SmallContainer(), Process(), threading.Event()
    replies: list[int] = []

    async def answer(_: Asked) -> Response:
        asked.set()
        await asyncio.sleep(3600)
        raise AssertionError

    def invoke() -> None:
        url = f"http://127.0.0.1:{port}/endpoints/demo/invocations"
        reply = httpx.post(url, content=b"1", timeout=60, trust_env=False)
        replies.append(reply.status_code)

    container.answer = answer
    port = free_port()
    with served(container.app) as url, tempfile.TemporaryDirectory() as folder:
        platform = Platform(url, Identity("demo"), LIMITS, process=process)
        made = server(application(platform, Storage(Path(folder))), platform, port)
        threads = [threading.Thread(target=one, daemon=True) for one in (made.run, invoke)]
        threads[0].start()
        until(lambda: platform.health.status == "InService")
        threads[1].start()
        assert asked.wait(30)
        made.handle_exit(signal.SIGINT, None)
        made.handle_exit(signal.SIGINT, None)
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
    assert process.code == 0
    assert replies == [500]
    assert "Traceback" not in caplog.text
