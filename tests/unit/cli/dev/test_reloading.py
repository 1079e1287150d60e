"""When the program is loaded again, and which server answers meanwhile."""

from __future__ import annotations

import asyncio
import gc
import math
import threading
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from sagemaker_inference._cli._dev import reloading
from sagemaker_inference._cli._dev.reloading import Reloader

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

EDIT = [Path("inference.py")]


class FakeServer:
    """A server without a process, which answers pings when a test says so."""

    def __init__(self, url: str, located: str = "") -> None:
        self.url = url
        self.located = located
        self.lines: list[str] = []
        self.events: list[str] = []
        self.code: int | None = None
        # How many have it end.
        self.most_terminates = 1.0

    def release(self) -> None:
        self.events.append("release")

    def poll(self) -> int | None:
        return self.code

    def terminate(self) -> None:
        self.events.append("terminate")
        if self.events.count("terminate") >= self.most_terminates:
            self.code = 0

    def kill(self) -> None:
        self.events.append("kill")
        self.code = -9

    def close(self) -> None:
        self.events.append("close")


@pytest.fixture(scope="module")
def pinged() -> Iterator[tuple[str, dict[str, int]]]:
    """The URL of pings, and their statuses by the first part of the path."""
    statuses: dict[str, int] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(statuses.get(self.path.split("/")[1], 503))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}", statuses
    http.shutdown()
    thread.join()
    http.server_close()


class Bench:
    """A reloader of fake servers."""

    def __init__(self, url: str, statuses: dict[str, int], limit: float) -> None:
        self.servers: list[FakeServer] = []
        self._url = url
        self._statuses = statuses
        statuses.clear()
        # Where the program is.
        self.place = "here"
        self.reloader = Reloader(
            self._start,  # type: ignore[arg-type]
            lambda: self.place,  # type: ignore[arg-type, return-value]
            "inference.py",
            limit,
        )
        self.reloader.may_load.set()
        self.reloader.prepare()

    def _start(self) -> FakeServer:
        self.servers.append(FakeServer(f"{self._url}/{len(self.servers)}", self.place))
        return self.servers[-1]

    def be_ready(self, number: int) -> None:
        """Have a server answer pings."""
        self._statuses[str(number)] = 200

    async def current(self, number: int) -> None:
        """Wait until a server is the one that answers."""
        await until(lambda: self.reloader.current is self.servers[number])

    async def spare(self, number: int) -> None:
        """Wait until a server has been started ahead."""
        await until(lambda: len(self.servers) > number and not self.reloader.is_loading)


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 - what is tested has no events for it
        await asyncio.sleep(0.002)


@pytest.fixture
def run(pinged: tuple[str, dict[str, int]]) -> Callable[..., Bench]:
    """Run a test beside a reloader, and then end that."""

    def begin(test: Callable[[Bench], Coroutine[Any, Any, None]], limit: float = 60.0) -> Bench:
        async def both() -> Bench:
            bench = Bench(*pinged, limit)
            # As `dev` runs it: before Python 3.11, anyio may lose the cancellation of a task.
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(bench.reloader.run)
                with anyio.fail_after(20):
                    await test(bench)
                tasks.cancel_scope.cancel()
            return bench

        with warnings.catch_warnings():
            # Before Python 3.11, a ping that is cancelled while it connects leaves its socket.
            warnings.simplefilter("ignore", ResourceWarning)
            bench = asyncio.run(both())
            gc.collect()
        return bench

    return begin


def test_a_change_has_the_server_that_waits_take_over(run, caplog):
    async def test(bench):
        first = bench.servers[0]
        await until(lambda: first.events == ["release"])
        # Its pings say what is going on.
        assert bench.reloader.target is first
        assert bench.reloader.current is None
        assert bench.reloader.why_not == "inference.py is being loaded"
        bench.be_ready(0)
        await bench.spare(1)
        assert bench.reloader.number == 1
        second = bench.servers[1]
        assert second.events == []
        bench.reloader.change(EDIT)
        await until(lambda: second.events == ["release"])
        assert bench.reloader.target is first
        bench.be_ready(1)
        await bench.current(1)
        await until(lambda: first.events == ["release", "terminate", "close"])
        await bench.spare(2)

    with caplog.at_level("INFO"):
        bench = run(test)
    assert "inference.py: loaded again in " in caplog.text
    assert "inference.py changed" in caplog.text
    assert [server.events[-2:] for server in bench.servers] == [["terminate", "close"]] * 3


def test_a_program_that_does_not_load_leaves_the_one_before(run, caplog):
    async def test(bench):
        bench.be_ready(0)
        await bench.spare(1)
        bench.servers[1].lines = ["log", "sagemaker-inference: error: inference.py, line 3: no."]
        bench.reloader.change([*EDIT, Path("other.py")])
        await until(lambda: bench.servers[1].events == ["release"])
        bench.servers[1].code = 1
        await bench.spare(2)
        assert bench.reloader.current is bench.servers[0]
        assert bench.reloader.last.problem == "inference.py, line 3: no."
        assert bench.reloader.why_not == "inference.py: inference.py, line 3: no."
        assert bench.reloader.last.log == bench.servers[1].lines
        # The next change puts it right.
        bench.be_ready(2)
        bench.reloader.change(EDIT)
        await bench.current(2)
        assert bench.reloader.last.problem == ""

    run(test)
    said = (
        "inference.py is not loaded, and the program before it goes on answering: "
        "inference.py, line 3: no."
    )
    assert said in caplog.text


def test_a_first_program_that_does_not_load_waits_for_a_change(run, caplog):
    async def test(bench):
        await until(lambda: bench.servers[0].events == ["release"])
        bench.servers[0].code = 1
        await bench.spare(1)
        assert bench.reloader.target is None
        assert bench.reloader.why_not == "inference.py: the server has ended with 1"
        bench.be_ready(1)
        bench.reloader.change(EDIT)
        await bench.current(1)

    run(test)
    assert "inference.py is not loaded: the server has ended with 1" in caplog.text


def test_a_load_that_takes_too_long_is_given_up(run):
    async def test(bench):
        await bench.spare(1)
        assert bench.reloader.last.problem == "it has not been loaded within 0.05 s"
        await until(lambda: bench.servers[0].events[-1] == "close")

    run(test, limit=0.05)


def test_a_change_during_a_load_begins_another_one(run):
    async def test(bench):
        bench.be_ready(0)
        await bench.spare(1)
        bench.reloader.change(EDIT)
        await until(lambda: bench.servers[1].events == ["release"])
        bench.reloader.change(EDIT)
        await until(lambda: bench.servers[1].events == ["release", "terminate", "close"])
        assert bench.reloader.current is bench.servers[0]
        bench.be_ready(2)
        await bench.current(2)
        assert bench.reloader.number == 2

    run(test)


def test_a_server_ends_when_its_requests_are_answered(run):
    async def test(bench):
        bench.be_ready(0)
        bench.be_ready(1)
        await bench.spare(1)
        first = bench.servers[0]
        bench.reloader.begin(first)
        bench.reloader.change(EDIT)
        await bench.current(1)
        await bench.spare(2)
        assert first.events == ["release"]
        bench.reloader.end(first)
        await until(lambda: first.events == ["release", "terminate", "close"])

    run(test)


def test_a_request_that_goes_on_does_not_keep_its_server(run, monkeypatch):
    monkeypatch.setattr(reloading, "_HANDOVER_SECONDS", 0.01)
    monkeypatch.setattr(reloading, "STOP_SECONDS", 0.01)
    monkeypatch.setattr(reloading, "_HURRY_SECONDS", 0.05)

    async def test(bench):
        bench.be_ready(0)
        bench.be_ready(1)
        await bench.spare(1)
        first = bench.servers[0]
        first.most_terminates = math.inf
        bench.reloader.begin(first)
        bench.reloader.change(EDIT)
        await until(lambda: first.events == ["release", "terminate", "terminate", "kill", "close"])

    run(test)


def test_the_end_of_the_server_that_answers_is_noticed(run, caplog):
    async def test(bench):
        bench.be_ready(0)
        await bench.spare(1)
        bench.servers[0].code = 3
        await until(lambda: bench.reloader.current is None)
        assert "the server has ended with 3" in bench.reloader.why_not
        bench.be_ready(1)
        bench.reloader.change(EDIT)
        await bench.current(1)

    run(test)
    assert "the next change starts another one" in caplog.text


def test_a_server_that_cannot_be_reached_does_not_answer(run):
    async def test(bench):
        bench.be_ready(0)
        await bench.spare(1)
        assert await bench.reloader.ping(FakeServer("http://127.0.0.1:1")) == 0

    run(test)


def test_the_end_of_the_command_ends_a_load(run):
    async def test(bench):
        await until(lambda: bench.servers[0].events == ["release"])

    bench = run(test)
    bench.reloader.abandon()
    assert bench.servers[0].events == ["release", "terminate", "close"]


def test_a_server_that_was_killed_while_it_waited_is_not_loaded(run):
    async def test(bench):
        bench.be_ready(0)
        await bench.spare(1)
        bench.servers[1].code = -9
        bench.be_ready(2)
        bench.reloader.change(EDIT)
        await until(lambda: bench.reloader.number > 1)
        assert bench.reloader.current is bench.servers[2]
        await until(lambda: bench.servers[1].events == ["terminate", "close"])
        assert bench.reloader.last.problem == ""

    run(test)


def test_a_server_that_was_started_for_another_place_is_not_loaded(run):
    async def test(bench):
        bench.be_ready(0)
        await bench.spare(1)
        bench.place = "there"
        bench.be_ready(2)
        bench.reloader.change(EDIT)
        await until(lambda: bench.reloader.number > 1)
        assert bench.reloader.current is bench.servers[2]
        await until(lambda: bench.servers[1].events == ["terminate", "close"])

    run(test)


def test_nothing_is_loaded_before_changes_would_be_seen(run):
    async def test(bench):
        bench.be_ready(0)
        await bench.spare(1)
        bench.reloader.may_load = anyio.Event()
        bench.reloader.change(EDIT)
        await until(lambda: bench.reloader.loads == 2)
        await asyncio.sleep(0.05)
        assert bench.servers[1].events == []
        bench.reloader.may_load.set()
        await until(lambda: bench.servers[1].events == ["release"])

    run(test)


def test_whoever_is_in_a_hurry_does_not_wait_for_requests(run):
    async def test(bench):
        bench.be_ready(0)
        bench.be_ready(1)
        await bench.spare(1)
        first = bench.servers[0]
        first.most_terminates = 2
        bench.reloader.begin(first)
        bench.reloader.change(EDIT)
        await bench.current(1)
        bench.reloader.is_hurried = True
        await until(lambda: first.events == ["release", "terminate", "terminate", "close"])

    run(test)


def test_a_server_of_a_command_that_does_not_come_to_run_is_ended(pinged):
    bench = Bench(*pinged, 60.0)
    for _ in range(2):
        bench.reloader.abandon()
        assert bench.servers[0].events == ["kill", "close"]
