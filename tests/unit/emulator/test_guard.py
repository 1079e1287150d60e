"""What web pages may not ask for."""

from __future__ import annotations

import signal
import subprocess
import sys

import httpx
import pytest
from support.emulated import Emulated, emulated
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

ELSEWHERE = ["https://example.com", "null", "http://[::1", "http://127.0.0.1.example.com"]


def post(emulator: Emulated, path: str, **headers: str) -> httpx.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(
        f"{emulator.url}{path}", content=b"1", headers=sent, timeout=30, trust_env=False
    )


@pytest.mark.rule("fault-pages")
def test_a_page_cannot_end_the_container() -> None:
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(command) as process, emulated(process=process) as emulator:
        for fault in ("sigterm", "kill-worker"):
            for headers in (
                *({"Origin": origin} for origin in ELSEWHERE),
                # A page of the emulator's own origin has been reached by another name.
                {"Origin": emulator.url},
                {"Host": "example.com"},
                {"Host": "[::1"},
                {"Sec_Fetch_Site": "cross-site"},
            ):
                answer = post(emulator, f"/_emulator/{fault}", **headers)
                assert answer.status_code == 403, headers
                assert answer.headers["x-amzn-ErrorType"] == "AccessDeniedException"
        assert process.poll() is None
        port = emulator.url.rpartition(":")[2]
        answer = post(emulator, "/_emulator/sigterm", Host=f"localhost:{port}")
        assert answer.status_code == 202
        assert process.wait(30) == -signal.SIGTERM


def test_pages_of_this_machine_alone_may_invoke_endpoints(emulator: Emulated) -> None:
    path = "/endpoints/demo/invocations"
    for origin in ELSEWHERE:
        for target in (path, "/", "/endpoints/demo/async-invocations"):
            assert post(emulator, target, Origin=origin).status_code == 403
    assert emulator.container.asked == []
    for origin in ("http://localhost:3000", "http://127.0.0.1", "http://[::1]:1"):
        assert post(emulator, path, Origin=origin).text == "1"
    # As containers name their machine.
    assert post(emulator, path, Host="host.docker.internal:8181").text == "1"


def test_pages_of_elsewhere_open_no_websocket(emulator: Emulated) -> None:
    url = f"{emulator.url.replace('http', 'ws')}/endpoints/demo/invocations-bidirectional-stream"
    with pytest.raises(InvalidStatus) as caught, connect(url, origin="https://example.com"):  # type: ignore[arg-type]
        pass
    assert caught.value.response.status_code == 403
