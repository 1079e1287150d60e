"""The load: wrk at full speed, a paced client at a given rate."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.processes import HOST, TICKS

if TYPE_CHECKING:
    from benchmarks.contender import Contender
    from benchmarks.processes import Server
    from benchmarks.works import Work

_MARK: Final = "benchmark "
# wrk formats the request once and sends the same bytes from then on: no Lua runs while it measures.
_SCRIPT: Final = """
wrk.method = "METHOD"
wrk.path = "PATH"
HEADERS
local file = io.open("BODY", "rb")
wrk.body = file:read("*a")
file:close()

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    'MARK{"requests": %d, "microseconds": %d, "p50": %f, "p99": %f, "max": %f, ' ..
    '"errors": {"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency.max,
    e.connect, e.read, e.write, e.status, e.timeout))
end
"""
# With several models, each has a request, and Lua tells which is next.
_TURNS: Final = """
local requests, last = {}, 0

function init(args)
  REQUESTS
end

function request()
  last = last % #requests + 1
  return requests[last]
end
"""


class LoadError(Exception):
    """The load generator failed."""


def find_wrk() -> str:
    """Find wrk.

    Raises:
        LoadError: it is not installed.
    """
    found = shutil.which("wrk")
    if found is None:
        message = "wrk is not installed. Run: apt-get install wrk"
        raise LoadError(message)
    return found


def whole(seconds: float) -> int:
    """As long as wrk can be told to run."""
    return max(1, round(seconds))


def full_speed(server: Server, work: Work, seconds: float) -> dict[str, Any]:
    """Send a work as fast as its connections allow; what came of it, and what it cost."""
    with tempfile.TemporaryDirectory(prefix="bm-") as folder:
        Path(folder, "body").write_bytes(server.contender.target(work)[1])
        Path(folder, "script.lua").write_text(script(server.contender, work, f"{folder}/body"))
        command = [find_wrk(), "--threads", "1", "--connections", str(work.connections)]
        command += ["--duration", f"{whole(seconds)}s", "--timeout", "30s"]
        command += ["--script", f"{folder}/script.lua", f"http://{HOST}:{server.port}"]
        before, machine, ours = server.cpu(), busy_seconds(), _own_seconds()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        after, machine, ours = server.cpu(), busy_seconds() - machine, _own_seconds() - ours
    found = parse_wrk(done.stdout)
    answered = max(1, found["requests"])
    foreign = machine - ours - (sum(after.values()) - sum(before.values()))
    # Of one core, taken by neither contender nor load: what else the machine did meanwhile.
    found["foreign"] = foreign / whole(seconds)
    found["cpu_us"] = {
        kind: (spent - before.get(kind, 0.0)) / answered * 1e6 for kind, spent in after.items()
    }
    return found


def script(contender: Contender, work: Work, body: str) -> str:
    """What wrk is told to send, with the body in this file."""
    found = _SCRIPT.replace("METHOD", work.method).replace("MARK", _MARK).replace("BODY", body)
    found = found.replace("PATH", contender.target(work)[0])
    found = found.replace("HEADERS", _headers(contender, work, 0, "\n"))
    if work.models == 1:
        return found
    requests = [
        f"{_headers(contender, work, model, ' ')} "
        f'requests[{model + 1}] = wrk.format(nil, "{contender.target(work, model)[0]}")'
        for model in range(work.models)
    ]
    return found + _TURNS.replace("REQUESTS", "\n  ".join(requests))


def _headers(contender: Contender, work: Work, model: int, between: str) -> str:
    headers = contender.headers(work, model)
    return between.join(f'wrk.headers["{name}"] = "{value}"' for name, value in headers.items())


def busy_seconds() -> float:
    """What all cores have worked so far, with time stolen by other virtual machines."""
    line = Path("/proc/stat").read_text().partition("\n")[0]
    user, nice, system, _idle, _iowait, irq, softirq, steal, *_ = map(int, line.split()[1:])
    return (user + nice + system + irq + softirq + steal) / TICKS


def _own_seconds() -> float:
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def parse_wrk(output: str) -> dict[str, Any]:
    """Read what the script's ``done`` has written; times become milliseconds.

    Raises:
        LoadError: it is not there.
    """
    line = next((line for line in output.splitlines() if line.startswith(_MARK)), None)
    if line is None:
        message = f"wrk said nothing of use: {output[-300:]!r}"
        raise LoadError(message)
    found: dict[str, Any] = json.loads(line.removeprefix(_MARK))
    seconds = found.pop("microseconds") / 1e6
    # wrk counts answers of any status as requests.
    right = found["requests"] - found["errors"]["status"]
    errors = sum(found.pop("errors").values())
    times = {f"{name}_ms": found.pop(name) / 1000 for name in ("p50", "p99", "max")}
    return {**found, **times, "rate": right / seconds, "errors": errors}


def paced(server: Server, work: Work, rate: float, seconds: float) -> dict[str, Any]:
    """Send a work at a rate, whether answers come or not; see paced.py."""
    path, body = server.contender.target(work)
    done = subprocess.run(
        [
            *(sys.executable, str(Path(__file__).with_name("paced.py"))),
            *(HOST, str(server.port), path, work.content_type, str(rate), str(seconds)),
        ],
        input=body,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise LoadError(done.stderr.decode(errors="replace")[-500:])
    found: dict[str, Any] = json.loads(done.stdout)
    return found
