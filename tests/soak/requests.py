"""One server under requests, while its workers are killed, stopped, and cannot load."""

from __future__ import annotations

import collections
import re
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from support.ports import free_port

from tests.server.conftest import Server
from tests.soak.answers import Count
from tests.soak.clients import Clients
from tests.soak.log_reader import LogReader
from tests.soak.processes import (
    READY,
    SETTLE_SECONDS,
    STARTUP_SECONDS,
    Held,
    Killer,
    held,
    leaks,
    measures,
)
from tests.soak.scenarios import LOADS_FAIL, PREDICTION_SECONDS, WRITE_SECONDS

if TYPE_CHECKING:
    from tests.soak.scenarios import Scenario

# A leak of Java's memory is a failure then.
VMARGS = "-Xmx64m -XX:MaxDirectMemorySize=128m -Dio.netty.leakDetection.level=paranoid"
# What no program and no client is to blame for.
_FAULTS_IN_LOG = re.compile(
    r"^.*(?:LEAK|Exception|sagemaker_inference/_supervisor).*", re.MULTILINE
)
_ID = re.compile(r" POST /invocations .* id=(\S+)$", re.MULTILINE)
_STOP_SECONDS = 25
# Of the requests, before memory is measured for the first time.
_WARM_UP = 0.2
_LEAST_RIGHT = 0.8
_LAST_SIZE = 4000


class Options(NamedTuple):
    """How much is done to a server.

    Attributes:
        requests: how many it gets.
        connections: how many clients there are at the same time.
        workers: how many it has.
        kill_every: seconds between two kills.
        failing_loads: which part of the loads fails.
        accidents: how many times as many of the requests do harm as usual.
    """

    requests: int
    connections: int = 16
    workers: int = 2
    kill_every: float = 2.0
    failing_loads: float = 0.2
    accidents: float = 1.0


class Result(NamedTuple):
    """What has become of it.

    Attributes:
        seconds: how long it took.
        kills: how many workers were killed and stopped from outside.
        verdicts: what became of the requests.
        before, after: what the processes held after the warm-up, and in the end.
        faults: what should not have been.
    """

    seconds: float
    kills: int
    verdicts: collections.Counter[str]
    before: dict[str, Held]
    after: dict[str, Held]
    faults: list[str]


def soak(scenario: Scenario, options: Options) -> Result:
    """Start a server, send it requests, and stop it."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "inference.py").write_text(scenario.program)
        log = LogReader(folder / "log.txt")
        server = _start(folder, scenario, options, log.writer)
        log.close_writer()
        count = Count()
        try:
            wait_settled(server, options.workers)
            (folder / LOADS_FAIL).touch()
            clients = Clients(server.port, count, options.connections, options.accidents)
            # A zygote that is stopped is noticed when it is to fork.
            stops, able = not scenario.preloads, options.workers
            killer = Killer(server, options.kill_every, stops=stops, able=able)
            warm_up = int(options.requests * _WARM_UP)
            half = options.requests // 2
            with killer.at_work():
                clients.run(warm_up)
            faults = _settle(server, killer, options.workers)
            before = held(server)
            with killer.at_work():
                clients.run(half - warm_up)
                if scenario.reader != "reads":
                    (log.stop if scenario.reader == "stops" else log.go_away)()
                clients.run(options.requests - half)
            faults += _settle(server, killer, options.workers)
            faults += leaks(server, before)
            after = held(server)
            faults += stop(server)
        finally:
            server.clean_up()
            log.finish()
        faults += faults_in_log(log.text)
        last_lines = log.text[-_LAST_SIZE:]
    faults += count.faults
    right, innocent = count.verdicts["right"], count.innocent
    if right < innocent * _LEAST_RIGHT:
        faults.append(f"only {right} of {innocent} that did no harm were answered")
    if faults:
        faults.append(f"the last lines of the log:\n{last_lines}")
    return Result(time.monotonic() - began, killer.kills, count.verdicts, before, after, faults)


def _start(folder: Path, scenario: Scenario, options: Options, output: int) -> Server:
    port = free_port()
    env = {
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "SAGEMAKER_MODEL_SERVER_WORKERS": str(options.workers),
        "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS": str(PREDICTION_SECONDS),
        # A worker that is stopped before it has loaded is not noticed earlier.
        "SAGEMAKER_STARTUP_TIMEOUT": str(STARTUP_SECONDS),
        "SAGEMAKER_CLIENT_WRITE_TIMEOUT": str(WRITE_SECONDS),
        "SAGEMAKER_MODEL_SERVERVMARGS": VMARGS,
        "SAGEMAKER_PRELOAD": "true" if scenario.preloads else "false",
        "FAILING_LOADS": str(options.failing_loads),
    }
    return Server(folder, ["inference.py"], env, port, output)


def _settle(server: Server, killer: Killer, workers: int) -> list[str]:
    faults = [f"worker {pid} stands still and is not replaced" for pid in killer.left()]
    return faults + wait_settled(server, workers)


def wait_settled(server: Server, workers: int, *more: str) -> list[str]:
    """Wait until all workers are ready and no request is left; what is left, if any is.

    Args:
        server: the server.
        workers: how many it has.
        more: further measures that are to be 0.
    """
    wanted = {READY: workers, **dict.fromkeys(("requests_running", "requests_waiting", *more), 0)}
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        found = measures(server, *wanted)
        if found == wanted:
            return []
        if server.process.poll() is not None:
            return ["it has ended"]
        if time.monotonic() > deadline:
            return [f"in the end: {found}, not {wanted}"]
        time.sleep(0.1)


def stop(server: Server) -> list[str]:
    """Stop it, and say what is wrong with that."""
    began = time.monotonic()
    code = server.stop()
    faults = [f"exit code {code}"] if code else []
    if (seconds := time.monotonic() - began) > _STOP_SECONDS:
        faults.append(f"its stop took {seconds:.0f} s")
    if left := server.pids():
        faults.append(f"processes are left: {left}")
    return faults


def faults_in_log(log: str) -> list[str]:
    """What a log says that no program and no client is to blame for."""
    ids = collections.Counter(_ID.findall(log))
    twice = [f"{count} access lines for {id_}" for id_, count in ids.items() if count > 1]
    return twice + [f"in the log: {line}" for line in _FAULTS_IN_LOG.findall(log)]
