"""Signals, readers of the log that are gone or stuck, and what a start needs of its machine."""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.server.conftest import ACCIDENTS, ECHO

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.conftest import Server

    Serve = Callable[..., Server]

pytestmark = pytest.mark.java

CHATTY = ECHO.replace("return data", "print('x' * 1000); return data")


def wait_answer(server: Server, seconds: float = 60) -> None:
    """Wait until requests are answered, of a server whose log cannot be read."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError):
            if server.request("[1]").json == [1]:
                return
        assert time.monotonic() < deadline
        assert server.process.poll() is None
        time.sleep(0.05)


def small_pipe() -> tuple[int, int]:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    return reader, writer


@pytest.mark.parametrize("is_stuck", [True, False])
def test_a_reader_of_the_log_that_is_stuck_or_gone_costs_lines_only(
    start: Serve, *, is_stuck: bool
) -> None:
    reader, writer = small_pipe()
    server = start(CHATTY, output=writer)
    os.close(writer)
    if not is_stuck:
        assert b"serving" in os.read(reader, 4096)
        os.close(reader)
    wait_answer(server)
    workers = server.pids("sagemaker_inference._worker")
    for _ in range(30):
        assert {reply.status for reply in server.all_at_once(["[1]"] * 10)} == {200}
    assert server.pids("sagemaker_inference._worker") == workers
    began = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - began < 15
    if is_stuck:
        os.close(reader)


def test_what_was_lost_is_counted_when_the_log_is_read_again(start: Serve) -> None:
    reader, writer = small_pipe()
    server = start(CHATTY.replace("1000", "100_000"), output=writer)
    os.close(writer)
    wait_answer(server)
    for _ in range(3):
        server.all_at_once(["[1]"] * 10)
    with os.fdopen(reader, "rb") as log:
        # It comes when all that had waited is read.
        assert any(b" lines of the log were lost: nobody read it in time" in line for line in log)
    assert server.stop() == 0


def test_a_full_disk_costs_lines_only(start: Serve) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    server = start(CHATTY, output=full)
    os.close(full)
    wait_answer(server)
    assert server.stop() == 0


def test_a_second_signal_ends_whatever_is_stuck(start: Serve) -> None:
    reader, writer = small_pipe()
    server = start(output=writer)
    os.close(writer)
    wait_answer(server)
    for pid in server.pids("FrontEnd") + server.pids("sagemaker_inference._worker"):
        os.kill(pid, signal.SIGSTOP)
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    began = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    assert server.wait_end() == 128 + signal.SIGTERM
    assert time.monotonic() - began < 5
    server.wait_gone()
    os.close(reader)


@pytest.mark.parametrize("name", ["SIGHUP", "SIGQUIT", "SIGPWR"])
def test_signals_that_stop_a_container_drain_it(serve: Serve, name: str) -> None:
    server = serve(ACCIDENTS)
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(server.request, '{"sleep": 1}')
        server.wait_busy(1)
        server.process.send_signal(signal.Signals[name])
        assert pending.result().status == 200
    assert server.wait_end() == 0
    assert f"{name}: answering what is in flight" in server.log
    assert "cleaned up" in server.log


def test_other_signals_are_ignored_aloud(serve: Serve) -> None:
    server = serve(ACCIDENTS)
    numbers = [signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGRTMIN + 3]
    for number in numbers:
        server.process.send_signal(number)
    for name in ("SIGUSR1", "SIGUSR2", "SIGALRM", f"signal {signal.SIGRTMIN + 3}"):
        server.wait_for_log(f"{name} is ignored: SIGTERM stops the server")
    assert server.request('"ok"').status == 200
    assert server.stop() == 0


def test_a_thread_of_the_program_does_not_hold_the_stop_up(serve: Serve) -> None:
    source = ECHO.replace(
        "return None",
        """
    import atexit, threading, time
    atexit.register(lambda: print("at exit"))
    threading.Thread(target=time.sleep, args=(1000,), name="forever").start()
""",
    )
    server = serve(source)
    began = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - began < 12
    assert "threads of the program go on after the stop and are ended: forever" in server.log
    assert server.log.count("at exit") == 1


@pytest.mark.once
def test_a_stop_that_outlasts_its_time_tells_clients_to_repeat(serve: Serve) -> None:
    server = serve(ACCIDENTS)
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(server.request, '{"sleep": 50}')
        server.wait_busy(1)
        server.process.send_signal(signal.SIGTERM)
        reply = pending.result()
    assert (reply.status, reply.json["error"]["code"]) == (503, "service_unavailable")
    assert server.wait_end() == 0


def java_home() -> str:
    from sagemaker_inference._frontends.mms.java import find_java

    return str(Path(find_java().path).resolve().parents[1])


def test_a_start_needs_nothing_on_the_path(serve: Serve) -> None:
    server = serve(env={"PATH": "/nowhere", "JAVA_HOME": java_home()})
    assert server.request("[1]").json == [1]
    assert server.stop() == 0


CLEARED = """
import os
port, home = (os.environ.get(name, "1") for name in ("SAGEMAKER_BIND_TO_PORT", "JAVA_HOME"))
os.environ.clear()
os.environ["JAVA_HOME"] = home
"""


def test_a_program_may_clear_its_environment(start: Serve) -> None:
    source = CLEARED + ECHO.replace("serve(__name__)", "serve(__name__, port=int(port))")
    server = start(source, env={"JAVA_HOME": java_home()})
    wait_answer(server)
    assert server.stop() == 0


def test_the_second_of_two_servers_on_a_port_says_so_and_serves_nothing(start: Serve) -> None:
    first = start()
    second = start(port=first.port, name="other/inference.py", arguments=("other/inference.py",))
    servers = [first, second]
    deadline = time.monotonic() + 60
    while all(server.process.poll() is None for server in servers):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    [lost] = [server for server in servers if server.process.poll() is not None]
    [won] = [server for server in servers if server is not lost]
    assert lost.wait_end() == 1
    assert "serving " not in lost.log
    assert "Address already in use" in lost.log
    won.wait_ready()
    assert won.request("[1]").json == [1]


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("temporary directory", "needs a directory for its sockets"),
        ("descriptors", "needs 768 file descriptors and may have 256 at most"),
        ("files", "the server cannot start: "),
    ],
)
def test_what_a_start_lacks_is_named(start: Serve, what: str, words: str) -> None:
    def limit() -> None:
        if what == "descriptors":
            resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
        if what == "files":
            resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))

    # Nothing measures this start: the file of what was run would be cut off, and say so in the log.
    env = {"COVERAGE_PROCESS_CONFIG": "", "COVERAGE_PROCESS_START": ""} if what == "files" else {}
    options: dict[str, Any] = {"before": limit}
    if what == "temporary directory":
        env = {"TMPDIR": "/proc/nowhere", "TEMP": "/proc/nowhere", "TMP": "/proc/nowhere"}
        options = {"source": NO_TEMPORARY}
    reader, writer = os.pipe()  # which has no limit of size
    server = start(env=env, output=writer, **options)
    os.close(writer)
    assert server.wait_end() == 1
    with os.fdopen(reader, "rb") as log:
        text = log.read().decode()
    assert words in text
    assert "Traceback" not in text


# As on a machine where none of the usual directories can be written.
NO_TEMPORARY = """
import sagemaker_inference._supervisor.supervisor, tempfile
from sagemaker_inference._supervisor import main
from sagemaker_inference._supervisor.settings import settings_from_environment
import sys

def none():
    raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

tempfile.gettempdir = none
sys.exit(main.main(["", settings_from_environment("x", ".").dump()]))
"""


def test_a_small_soft_limit_of_descriptors_is_raised(start: Serve) -> None:
    def limit() -> None:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))

    server = start(before=limit).wait_ready()
    assert server.request("[1]").json == [1]


@pytest.mark.parametrize("closed", ["1", "2", "0 1 2"])
def test_closed_streams_do_no_harm(start: Serve, closed: str) -> None:
    def close() -> None:
        for fd in closed.split():
            os.close(int(fd))

    server = start(before=close)
    wait_answer(server)
    assert server.stop() == 0


def test_more_workers_than_can_be_are_refused(start: Serve) -> None:
    server = start(workers=99999999999)
    assert server.wait_end() == 1
    assert "is over 256, the most that a server takes" in server.log


def test_a_program_that_is_imported_for_too_long_is_refused(start: Serve) -> None:
    source = ECHO.replace("serve(__name__)", "import time; time.sleep(2.5); serve(__name__)")
    server = start(source, env={"SAGEMAKER_STARTUP_TIMEOUT": "2"})
    assert server.wait_end() == 1
    assert "s to import, and SAGEMAKER_STARTUP_TIMEOUT allows 2 s" in server.log
