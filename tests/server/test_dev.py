"""``sagemaker-inference dev`` with the real server."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from typing import TYPE_CHECKING

import httpx
import pytest
from support.developed import PROGRAM, developed
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from sagemaker_inference.testing import ServerProcess

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.java


def test_no_request_is_lost_while_programs_take_over(tmp_path: Path) -> None:
    with developed(tmp_path) as running:
        assert running.setup.endswith(" by the real server\n")
        # Its pings say what is going on.
        running.until(running.is_up)
        answers: list[tuple[int, str]] = []
        enough = threading.Event()

        def ask() -> None:
            while not enough.wait(0.03):
                reply = running.invoke(1)
                answers.append((reply.status_code, reply.text))

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        running.until(lambda: answers)
        running.edit("return data", "return 2")
        running.until(lambda: answers[-1] == (200, "2"))
        # One that cannot be loaded changes nothing.
        running.edit("return 2", "return 3\nraise KeyError")
        running.wait_for("is not loaded, and the program before it goes on answering: ")
        running.edit("return 3\nraise KeyError", "return 4")
        running.until(lambda: answers[-1] == (200, "4"))
        enough.set()
        for thread in threads:
            thread.join()
        assert set(answers) == {(200, "1"), (200, "2"), (200, "4")}
        # A traceback is in the body of its error, and the log has the port that users know.
        running.edit("return 4", "return 4 / 0")
        running.until(lambda: running.invoke().status_code == 500)
        error = running.invoke().json()["error"]
        assert error["traceback"].endswith("ZeroDivisionError: division by zero\n")
        running.wait_for(f" on {running.url} ")
        assert running.stop(signal.SIGTERM) == 0


def test_a_message_that_is_too_large_closes_a_websocket_with_its_code(tmp_path: Path) -> None:
    echo = "\n\n@bidirectional\nasync def talk(messages):\n    async for one in messages:\n"
    program = PROGRAM.replace("import ", "import bidirectional, ", 1) + echo + "        yield one\n"
    (tmp_path / "inference.py").write_text(program)
    with developed(tmp_path) as running:
        running.until(running.is_up)
        url = f"{running.url.replace('http', 'ws')}/invocations-bidirectional-stream"
        for data in (b"x" * 17_000_000, "x" * 17_000_000):
            with connect(url, max_size=None) as client:
                client.send("small")
                assert client.recv() == "small"
                client.send(data)
                with pytest.raises(ConnectionClosed) as caught:
                    client.recv()
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1009
        assert running.stop(signal.SIGTERM) == 0
    assert "Traceback" not in "".join(running.log)


def test_serve_has_no_tracebacks_for_clients(tmp_path: Path) -> None:
    program = tmp_path / "inference.py"
    program.write_text(PROGRAM.replace("return data", "return data / 0"))
    with ServerProcess(program) as server:
        reply = server.invoke(1)
        assert reply.status_code == 500
        assert sorted(reply.json()["error"]) == ["code", "message", "request_id"]
        assert "ZeroDivisionError" in server.log
        assert "ZeroDivisionError" not in reply.text


def test_another_release_is_served(tmp_path: Path) -> None:
    for number in "12":
        release = tmp_path / "releases" / number
        release.mkdir(parents=True)
        program = PROGRAM.replace("return 1", f"return {number}")
        (release / "inference.py").write_text(program.replace("return data", "return model"))

    def release(number: int) -> None:
        (tmp_path / "new").symlink_to(tmp_path / "releases" / str(number))
        (tmp_path / "new").replace(tmp_path / "current")

    release(1)
    (tmp_path / "inference.py").symlink_to(tmp_path / "current" / "inference.py")
    with developed(tmp_path) as running:
        running.until(running.is_up)
        assert running.invoke().json() == 1
        release(2)
        running.until(lambda: running.invoke().json() == 2)
        # The next server was started for that one.
        path = tmp_path / "releases" / "2" / "inference.py"
        path.write_text(path.read_text().replace("return 2", "return 3"))
        running.until(lambda: running.invoke().json() == 3)
        assert running.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_it_at_once(tmp_path: Path, number: signal.Signals) -> None:
    program = PROGRAM.replace("return data", "print('at work')\n    time.sleep(100)")
    (tmp_path / "inference.py").write_text(f"import time\n{program}")
    with developed(tmp_path) as running:
        running.until(running.is_up)

        def ask() -> None:
            with contextlib.suppress(httpx.TransportError):
                running.invoke()

        thread = threading.Thread(target=ask)
        thread.start()
        running.wait_for("at work")
        running.send(number)
        running.wait_for("waiting for the server to end, up to 25 s; requests in progress: 1.")
        began = time.monotonic()
        assert running.stop(number) == 128 + number
        assert time.monotonic() - began < 5
        thread.join()
